"""Loads inputs of assets as frames and writes their outputs as partitions.

Dagster concept: I/O manager (``dg.IOManager``), with the metadata of a materialization.

All inputs of a step, and the fingerprint that its output is stored under, come from one
:class:`~stedi_assets.staleness.view.LakeView`, so a run that goes on meanwhile cannot slip between them. When a step
may commit and when it must be tried again belongs here; how a commit works belongs to ``lakehouse``, what a fingerprint
covers to ``staleness``. Landing assets write their tables themselves, without this I/O manager.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date
from typing import Any

import dagster as dg

from stedi_assets.contracts import Scope, Table, table
from stedi_assets.defs.funnel import funnel
from stedi_assets.defs.metadata import column_lineage, column_schema
from stedi_assets.engines.base import Engine, Frame
from stedi_assets.errors import RedactedError, redact_errors
from stedi_assets.lakehouse import LakehouseError, Snapshot, VacuumedError
from stedi_assets.privacy.identity import CUSTOMERS
from stedi_assets.resources import Resources
from stedi_assets.staleness import index
from stedi_assets.staleness.fingerprints import expected_fingerprints
from stedi_assets.staleness.view import LakeView
from stedi_assets.transforms.common import lazy

MANY_DAYS = 100
"""Days of one run beyond which it says nothing of each: the table's own row count must do."""


RETRIES = 5
"""How often a step is tried again whose inputs keep changing; then its run fails, and reconciliation asks again."""


class LakehouseIOManager(dg.IOManager):
    """Loads inputs from the lake and replaces partitions of it.

    Args:
        resources: the lake and what reads it.
    """

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._views: dict[tuple[str, str], LakeView] = {}

    def _view(self, run_id: str, step_key: str) -> LakeView:
        return self._views.setdefault((run_id, step_key), self._resources.view())

    def load_input(self, context: dg.InputContext) -> Frame:
        """The rows of the upstream table that the partitions of this run need."""
        step = context.step_context
        days = days_between(step.partition_key_range.start, step.partition_key_range.end)
        consumer = step.job_def.asset_layer.get_selected_entity_keys_for_node(step.node_handle)
        name = next(iter(sorted(key.to_user_string() for key in consumer if isinstance(key, dg.AssetKey))))
        view = self._view(step.run_id, step.step.key)
        upstream = context.asset_key.to_user_string()
        with redact_errors(f"reading {upstream} for {name}"):
            return input_frame(self._resources.engine, view, name, upstream, days)

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Compute the frame and replace the partitions of this run by it.

        What is committed is what the partitions should hold at that moment: where an input changed meanwhile so that
        they should hold other rows (somebody withdrew, say), nothing is committed and the step is tried again.
        """
        contract = table(context.asset_key.to_user_string())
        days = days_between(context.asset_partition_key_range.start, context.asset_partition_key_range.end)
        view = self._view(context.run_id, context.step_key)
        resources = self._resources
        try:
            with redact_errors(f"writing {contract.name}"):
                fingerprints = expected_fingerprints(view, contract.name, days)
                files = resources.engine.write(lazy(obj), resources.lakehouse, contract, fingerprints)
                rows = {date.fromisoformat(file.partition["landing_date"]): file.rows for file in files}
                counted = funnel(view, contract.name, days, rows) if len(days) <= MANY_DAYS else {}
                with resources.lakehouse.committing():
                    if not view.is_current() and fingerprints != expected_fingerprints(
                        resources.view(), contract.name, days
                    ):
                        raise dg.RetryRequested(RETRIES)
                    resources.lakehouse.replace(contract, days, files)
                indexed = index.write(resources.session, resources.lakehouse, contract, days)
        except (LakehouseError, RedactedError) as error:
            # Files of a version that is not the current one any more may be vacuumed away while they are read.
            if isinstance(error, VacuumedError) or not view.is_current():
                raise dg.RetryRequested(RETRIES) from error
            raise
        finally:
            self._views.pop((context.run_id, context.step_key), None)
        snapshot = resources.lakehouse.snapshot(contract)
        context.add_output_metadata(table_metadata(snapshot))
        for day, metadata in partition_metadata(snapshot, days).items():
            day_metadata = {**metadata, **counted.get(day, {})}
            context.step_context.add_asset_metadata(day_metadata, partition_key=day.isoformat())
        if indexed:
            for event in materializations(resources.lakehouse.snapshot(table("readings_index")), days):
                context.log_event(event)


def input_frame(engine: Engine, view: LakeView, name: str, upstream: str, days: Collection[date]) -> Frame:
    """The rows of ``upstream`` that the partitions ``days`` of the derived table ``name`` need, as a frame."""
    needed, inputs = table(upstream), table(name).inputs
    if needed is CUSTOMERS:
        return view.customer_records()
    if inputs[upstream] is Scope.SUBJECTS:
        subjects = view.index(upstream).select(["landing_date", "subject"])
        return engine.frame(subjects.rename_columns(["landing_date", needed.subject_column.name]))
    return engine.scan(needed, view.input_files(name, upstream, days))


def days_between(first: str, last: str) -> list[date]:
    """The landing days from one partition key to another, inclusive."""
    start, end = date.fromisoformat(first).toordinal(), date.fromisoformat(last).toordinal()
    return [date.fromordinal(day) for day in range(start, end + 1)]


def static_metadata(contract: Table) -> dict[str, Any]:
    """The metadata of an asset that its contract alone gives."""
    return {
        "dagster/column_schema": column_schema(contract),
        "dagster/table_name": contract.path.replace("/", "."),
        "dagster/storage_kind": "deltalake",
        **({"dagster/column_lineage": column_lineage(contract)} if contract.lineage else {}),
    }


def table_metadata(snapshot: Snapshot) -> dict[str, Any]:
    """The metadata of a materialization: numbers and places, no values of rows."""
    return {
        "dagster/row_count": snapshot.rows(),
        "dagster/uri": snapshot.root,
        "delta/version": snapshot.version,
    }


def materializations(snapshot: Snapshot, days: Collection[date]) -> Iterator[dg.AssetMaterialization]:
    """One event for each landing day of a table that was written together with another."""
    of_table, of_day = table_metadata(snapshot), partition_metadata(snapshot, days)
    for day in days:
        yield dg.AssetMaterialization(
            snapshot.table.name, partition=day.isoformat(), metadata={**of_table, **of_day.get(day, {})}
        )


def partition_metadata(snapshot: Snapshot, days: Collection[date]) -> dict[date, dict[str, Any]]:
    """The metadata of each partition that was just written; none where they are too many.

    A run of several days reports each of them, so what is said of all must be true of each. And Dagster
    looks the whole range up again for each partition that something is said of.
    """
    if len(days) > MANY_DAYS:
        return {}
    by_day = snapshot.days()
    return {
        day: {
            "dagster/partition_row_count": sum(file.rows for file in by_day.get(day, ())),
            "delta/files": len(by_day.get(day, ())),
            "delta/bytes": sum(file.size for file in by_day.get(day, ())),
        }
        for day in days
    }
