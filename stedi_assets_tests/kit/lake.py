"""A small lake for tests of what Dagster does with it: a sample, its resources, and ways to run and to spoil it."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import narwhals.stable.v2 as nw
import pytest

from stedi_assets.contracts import LANDING_TABLES, SIDE_TABLES, Table
from stedi_assets.contracts import table as contract
from stedi_assets.defs.asset_job import JOB
from stedi_assets.defs.build import build_definitions
from stedi_assets.defs.materialize import Materializer, Outcome
from stedi_assets.resources import Resources
from stedi_assets.settings import Policies, Settings
from stedi_assets_tests.kit.driven import land_partitions, leave_out_dagster
from stedi_assets_tests.kit.records import DAY, customer, lines, movement, step


@dataclass
class SmallLake:
    """A landing zone, a lake and Dagster's state below one folder."""

    root: Path
    resources: Resources
    opened: dg.DagsterInstance | None = None

    @classmethod
    def at(cls, root: Path, policies: Policies | None = None, instance: dg.DagsterInstance | None = None) -> SmallLake:
        settings = Settings(
            str(root / "landing"),
            str(root / "lake"),
            policies=policies or Policies(),
            privacy_uri=str(root / "privacy"),
            dagster_home=root / "home",
        )
        return cls(root, Resources.of(settings), instance)

    @property
    def instance(self) -> dg.DagsterInstance:
        """Dagster's instance, made when it is first asked for: most lakes that are copied need none."""
        if self.opened is None:
            with pytest.MonkeyPatch.context() as patch:
                # Nobody migrates what is in memory, and to read all of Dagster's migrations takes most of the time.
                for kind in ("runs", "event_log"):
                    patch.setattr(f"dagster._core.storage.{kind}.in_memory.stamp_alembic_rev", lambda *_: None)
                self.opened = dg.DagsterInstance.ephemeral()
        return self.opened

    def close(self) -> None:
        self.resources.close()
        if self.opened is not None:
            self.opened.dispose()

    # ---- landing --------------------------------------------------------------------------------

    def path(self, table: str, name: str = "part.json", day: date | str = DAY) -> Path:
        path = self.root / "landing" / table / f"landing_date={day}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def land(self, table: str, content: str, name: str = "part.json", day: date | str = DAY) -> Path:
        """Write a raw file, as another process does: whole at once."""
        path = self.path(table, name, day)
        aside = path.with_name(f".{name}.part")
        aside.write_text(content)
        aside.replace(path)
        return path

    def land_people(self, *names: str, day: date | str = DAY) -> None:
        """Land customers who consent, with one reading of each sensor, of the same millisecond."""
        self.land("customer_landing", lines(*map(customer, names)), day=day)
        self.land("accelerometer_landing", lines(*map(movement, names)), day=day)
        self.land("step_trainer_landing", lines(*map(step, names)), day=day)

    # ---- runs -----------------------------------------------------------------------------------

    @cached_property
    def definitions(self) -> dg.Definitions:
        return build_definitions(self.resources.settings, self.resources, loggers={"silent": SILENT})

    @cached_property
    def job(self) -> dg.JobDefinition:
        return self.definitions.resolve_job_def(JOB)

    def run(
        self,
        tables: Collection[str],
        day: date | str | None,
        checks: Collection[dg.AssetCheckKey] | None = None,
        config: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Run some tables of a day (or of those that ``tags`` name), or some checks alone, in this process."""
        job = self.job.get_subset(
            asset_selection={dg.AssetKey(name) for name in tables},
            asset_check_selection=None if checks is None else set(checks),
        )
        return job.execute_in_process(
            instance=self.instance,
            partition_key=None if day is None else str(day),
            run_config={**(config or {}), "loggers": {"silent": {}}},
            tags=dict(tags or {}),
            raise_on_error=False,
        )

    def materialize(self, **how: Any) -> Outcome:
        return Materializer(self.resources, self.instance).run(**how)

    def materialize_directly(self, **how: Any) -> Outcome:
        """Do the same without Dagster's runs, of which nothing is recorded then: for a lake that is copied."""
        with pytest.MonkeyPatch.context() as patch:
            leave_out_dagster(patch)
            return self.materialize(**how)

    def ingest(self) -> None:
        """Make the landing tables of every landed day, and nothing that is made from them."""
        listing = self.resources.listing()
        for table in LANDING_TABLES:
            land_partitions(self.resources, table.name, sorted(listing.by_day(table.name)))

    # ---- tables ---------------------------------------------------------------------------------

    def consenting(self) -> set[str]:
        """Who consents by what has landed, read and rejected."""
        self.ingest()
        names = self.resources.view().customer_names.to_pylist()
        return {one["email"] for one in names if one["consented_at"] is not None}

    def rows(self, name: str, columns: str = "*") -> list[tuple[Any, ...]]:
        table = contract(name)
        stored = self.resources.engine.relation(table, self.resources.lakehouse.snapshot(table).files)
        return self.resources.engine.rows(f"SELECT {columns} FROM stored ORDER BY ALL", stored=stored)

    def count(self, name: str) -> int:
        return self.resources.lakehouse.snapshot(contract(name)).rows()

    def spoil(
        self, name: str, day: date, sql: str, variant: Table | None = None, good: SmallLake | None = None
    ) -> None:
        """Replace a partition by what SQL makes of its ``rows``, under the fingerprint that it has.

        Args:
            name: the table.
            day: the partition.
            sql: over ``rows``.
            variant: a contract with other columns; the table is made anew with it.
            good: the lake whose ``rows`` they are, where this one was spoilt before.
        """
        engine, lakehouse = self.resources.engine, self.resources.lakehouse
        table = contract(name)
        snapshot = lakehouse.snapshot(table)
        fingerprint = snapshot.fingerprints()[day]
        assert fingerprint is not None
        whole = snapshot if good is None else good.resources.lakehouse.snapshot(table)
        engine.relation(table, whole.select({day})).create_view("rows", replace=True)
        spoilt = engine.connection.sql(sql).to_arrow_table()
        if variant is not None:
            shutil.rmtree(lakehouse.root(table))
        frame = nw.from_native(engine.connection.from_arrow(spoilt)).lazy()
        files = engine.write(frame, lakehouse, variant or table, {day: fingerprint})
        lakehouse.replace(variant or table, [day], files)


@dg.logger
def SILENT(_: dg.InitLoggerContext) -> Any:  # noqa: N802 - used as a constant
    """Says nothing: the tests look at events."""
    import logging

    logger = logging.getLogger("stedi.tests.silent")
    logger.propagate = False
    logger.handlers = [logging.NullHandler()]
    return logger


def copied(small: SmallLake, root: Path) -> SmallLake:
    """A lake with the same files, without any state of Dagster's."""
    for part in ("landing", "lake", "privacy", ".lake-pseudonym-key"):
        source = small.root / part
        if source.is_dir():
            shutil.copytree(source, root / part)
        elif source.exists():
            shutil.copy2(source, root / part)
    return SmallLake.at(root, small.resources.settings.policies)


def with_platform(small: SmallLake, **parts: Any) -> SmallLake:
    """The same lake through other parts."""
    return dataclasses.replace(small, resources=dataclasses.replace(small.resources, **parts))


def failed_checks(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    """The checks that did not pass, by table and name."""
    return {
        (evaluation.asset_key.to_user_string(), evaluation.check_name): evaluation
        for evaluation in result.get_asset_check_evaluations()
        if not evaluation.passed
    }


def made(result: dg.ExecuteInProcessResult) -> Sequence[str]:
    """The tables that a run made."""
    return sorted(
        {
            event.asset_key.to_user_string()
            for event in result.get_asset_materialization_events()
            if event.asset_key is not None
        }
        - {table.name for table in SIDE_TABLES}
    )
