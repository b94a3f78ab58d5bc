"""The landing tables: raw files of a day become rows, rejected lines become quarantine.

Dagster concepts: asset, run config (``missing_files``, ``rows_to_drop``), and external assets (``dg.AssetSpec``) for
the tables that are written with partitions of others.

What a run reports of a day belongs here; reading, judging and committing lines belong to ``landing.ingest``.
"""

from datetime import date

import dagster as dg
from pydantic import Field

from stedi_assets.contracts import LANDING_TABLES, READINGS_TABLES, SIDE_TABLES, Table
from stedi_assets.contracts import table as contract_of
from stedi_assets.defs.assets.common import OWNERS, table_asset
from stedi_assets.defs.io_manager import (
    days_between,
    materializations,
    partition_metadata,
    static_metadata,
    table_metadata,
)
from stedi_assets.defs.partitions import landing_days
from stedi_assets.landing.day_plan import MissingFiles
from stedi_assets.landing.ingest import DayReport, Ingestion
from stedi_assets.resources import Resources
from stedi_assets.staleness import index

READINGS_INDEX = "readings_index"


class LandingConfig(dg.Config):
    """The run configuration of a landing asset."""

    missing_files: MissingFiles = Field(
        default=MissingFiles.FAIL,
        description=(
            "What to do with the rows of raw files that were ingested and are gone: fail (the table stays as it "
            "is), keep their rows, or drop them."
        ),
    )
    rows_to_drop: int | None = Field(
        default=None,
        description=(
            "Only with missing_files: DROP, which it confirms: how many rows and rejected texts the run is to drop of "
            "this table, on all of its days. If it is another number, the run fails, says the right one, and changes "
            "nothing."
        ),
    )


def landing_assets(first_day: date) -> list[dg.AssetsDefinition]:
    """The three landing tables, as assets."""
    return [_landing_asset(contract, first_day) for contract in LANDING_TABLES]


def side_tables(first_day: date) -> list[dg.AssetSpec]:
    """The tables that are written with partitions of others: shown and tracked, but not run by themselves."""
    specs = []
    for contract in SIDE_TABLES:
        written_with = READINGS_TABLES if contract.name == READINGS_INDEX else LANDING_TABLES
        specs.append(
            dg.AssetSpec(
                contract.name,
                deps=[table.name for table in written_with],
                description=contract.description,
                group_name=contract.zone.value,
                partitions_def=landing_days(first_day),
                owners=OWNERS,
                kinds={"deltalake"},
                metadata=static_metadata(contract),
            )
        )
    return specs


def _landing_asset(contract: Table, first_day: date) -> dg.AssetsDefinition:
    @table_asset(contract.name, first_day)
    def landing(
        context: dg.AssetExecutionContext, config: LandingConfig, resources: dg.ResourceParam[Resources]
    ) -> dg.MaterializeResult[None]:
        keys = context.partition_key_range
        days = days_between(keys.start, keys.end)
        files = resources.listing(frozenset(days)).by_day(contract.name)
        ingestion = Ingestion(
            resources.session,
            resources.lakehouse,
            resources.landing,
            contract,
            missing=config.missing_files,
            rows_to_drop=config.rows_to_drop,
            erased=resources.erased,
        )
        reports = ingestion.run(days, files)
        written = ["landing_quarantine", "landing_files"]
        if index.write(resources.session, resources.lakehouse, contract, days):
            written.append(READINGS_INDEX)
        for day, report in reports.items():
            _report(context, day, report)
        for name in written:
            for event in materializations(resources.lakehouse.snapshot(contract_of(name)), days):
                context.log_event(event)
        snapshot = resources.lakehouse.snapshot(contract)
        for day, metadata in partition_metadata(snapshot, days).items():
            context.add_asset_metadata({**metadata, **_numbers(reports[day])}, partition_key=day.isoformat())
        return dg.MaterializeResult(metadata=table_metadata(snapshot))

    return landing


def _report(context: dg.AssetExecutionContext, day: date, report: DayReport) -> None:
    if report.rejected:
        reasons = ", ".join(f"{reason}: {number}" for reason, number in report.reasons.items())
        context.log.warning(f"{day}: {report.rejected} of {report.lines} lines went to landing_quarantine ({reasons}).")
    if report.duplicates:
        context.log.warning(f"{day}: skipped {report.duplicates} file(s) whose bytes had landed already.")
    if report.erased:
        context.log.warning(f"{day}: left out {report.erased} line(s) of people who were erased.")
    if report.kept:
        context.log.warning(f"{day}: kept the rows of {report.kept} file(s) that are gone.")


def _numbers(report: DayReport) -> dict[str, int]:
    return {
        "landing/files": report.files,
        "landing/duplicate_files": report.duplicates,
        "landing/lines": report.lines,
        "landing/quarantined_lines": report.rejected,
        "landing/erased_lines": report.erased,
    }
