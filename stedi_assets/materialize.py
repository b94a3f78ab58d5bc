"""What the sensors do, without a daemon: run what differs until nothing does.

Runs are Dagster runs like any other, in this process, recorded in the instance, so the UI shows them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from logging import Handler, Logger, LogRecord, getLogger
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.instance.ref import InstanceRef

from stedi_assets.build import JOB, build_definitions
from stedi_assets.contracts import ASSET_TABLES
from stedi_assets.contracts import table as contract
from stedi_assets.derivation import INPUTS
from stedi_assets.platform import Platform
from stedi_assets.reconcile import Run, differing, downstream, landing_differences, runs
from stedi_assets.sensors import landing_run_config

RUN_BYTES = 1 << 30
"""Raw bytes that a run of several days may have; more is split, so that a run's rows stay on one machine's scale."""

_LOGGER = "progress"

ROUNDS = 20
"""Rounds of reconciliation after which something is wrong: each settles at least one kind of table."""


class MaterializeError(RuntimeError):
    """Something could not be brought up to date; the message says what and why."""


@dataclass(frozen=True)
class Progress:
    """What a caller may show while runs go on.

    Args:
        run: the run that is going on.
        step: table (or its checks) that was begun or finished; empty when the run begins.
        finished: whether it was finished.
    """

    run: Run
    step: str = ""
    finished: bool = False


@dataclass
class Outcome:
    """What was done.

    Args:
        runs: those that succeeded.
        warnings: checks that did not pass but let the run go on: table, check, what it says.
        ignored: raw files that were left alone, and why.
    """

    runs: list[Run] = field(default_factory=list)
    warnings: list[tuple[str, str, str]] = field(default_factory=list)
    ignored: tuple[tuple[str, str], ...] = ()


def open_instance(home: Path) -> dg.DagsterInstance:
    """Dagster's instance in ``home``, made if it is not there.

    As in ``dagster dev``, a ``dagster.yaml`` in the current folder counts where ``DAGSTER_HOME`` is not set.
    """
    if "DAGSTER_HOME" in os.environ:  # noqa: TID251 - Dagster's own variable, asked for its presence only
        home.mkdir(parents=True, exist_ok=True)
        return dg.DagsterInstance.from_config(str(home))
    if (Path.cwd() / "dagster.yaml").exists():
        return dg.DagsterInstance.from_config(str(Path.cwd()))
    home.mkdir(parents=True, exist_ok=True)
    overrides = {
        "run_storage": _stored("dagster._core.storage.runs", "SqliteRunStorage", home / "history"),
        "event_log_storage": _stored("stedi_assets.event_log", "KeptSqliteEventLogStorage", home / "history" / "runs"),
        "schedule_storage": _stored("dagster._core.storage.schedules", "SqliteScheduleStorage", home / "schedules"),
        "telemetry": {"enabled": False},
    }
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides=overrides))


def _stored(module: str, name: str, folder: Path) -> dict[str, object]:
    return {"module": module, "class": name, "config": {"base_dir": str(folder)}}


class Materializer:
    """Brings a lake up to date.

    Args:
        platform: the lake.
        instance: where the runs are recorded.
        progress: called as runs go on.
    """

    def __init__(
        self, platform: Platform, instance: dg.DagsterInstance, progress: Callable[[Progress], None] | None = None
    ) -> None:
        self._platform = platform
        self._instance = instance
        self._progress = progress or (lambda _: None)
        self._current: Run | None = None
        self._failures: list[str] = []
        self._outcome = Outcome()
        definitions = build_definitions(platform.settings, platform, loggers={_LOGGER: self._logger()})
        self._job = definitions.resolve_job_def(JOB)

    def run(self, days: Collection[date] | None = None, *, force: bool = False) -> Outcome:
        """Run every landed day that is not up to date, then reconcile until nothing differs.

        Args:
            days: run these landed days only; reconciliation looks at all of them all the same.
            force: run the days even if they are up to date.

        Raises:
            MaterializeError: a run failed, or reconciliation found no end.
        """
        self._outcome = Outcome()
        listing = self._platform.listing()
        self._outcome.ignored = listing.ignored
        landed = {file.landing_date for file in listing.files}
        differences = landing_differences(self._platform, listing)
        missing = {
            table: {day for day, why in found.items() if why.missing} for table, found in differences.items()
        }
        wanted: dict[str, set[date]] = {}
        for table, found in differences.items():
            for name in downstream([table]):
                wanted.setdefault(name, set()).update(found)
        if force:
            chosen = landed if days is None else set(days)
            wanted = {table.name: chosen for table in ASSET_TABLES}
        elif days is not None:
            wanted = {name: found & set(days) for name, found in wanted.items()}
        sizes: dict[date, int] = {}
        for file in listing.files:
            sizes[file.landing_date] = sizes.get(file.landing_date, 0) + file.size
        self._execute(runs(wanted, sizes, RUN_BYTES), missing)
        for _ in range(ROUNDS):
            stale = differing(self._platform.view())
            if not stale:
                return self._outcome
            self._execute(runs(stale, self._rows(stale), _RUN_ROWS), {})
        msg = (
            f"After {ROUNDS} rounds these tables still differ from what they should hold: {', '.join(stale)}. "
            "Something else keeps changing them, or this is a defect: please report it."
        )
        raise MaterializeError(msg)

    def _rows(self, tables: Mapping[str, Collection[date]]) -> dict[date, int]:
        """How many rows the inputs of the tables to make have, per day."""
        rows: dict[date, int] = {}
        for upstream in {name for table in tables for name in INPUTS[table]}:
            for file in self._platform.lakehouse.snapshot(contract(upstream)).files:
                rows[file.landing_date] = rows.get(file.landing_date, 0) + file.rows
        return rows

    def _execute(self, wanted: Collection[Run], missing: Mapping[str, Collection[date]]) -> None:
        for run in wanted:
            self._current = run
            self._failures = []
            self._progress(Progress(run))
            keeping = [table for table in run.tables if set(run.days) & set(missing.get(table, ()))]
            job = self._job.get_subset(asset_selection={dg.AssetKey(name) for name in run.tables})
            result = job.execute_in_process(
                instance=self._instance,
                run_config={**landing_run_config(keeping), "loggers": {_LOGGER: {}}},
                tags={
                    "dagster/asset_partition_range_start": run.first_day.isoformat(),
                    "dagster/asset_partition_range_end": run.last_day.isoformat(),
                },
                raise_on_error=False,
            )
            for evaluation in result.get_asset_check_evaluations():
                if not evaluation.passed:
                    said = evaluation.asset_key.to_user_string(), evaluation.check_name, evaluation.description or ""
                    if said not in self._outcome.warnings:
                        self._outcome.warnings.append(said)
            if not result.success:
                why = "\n".join(dict.fromkeys(self._failures)) or "no reason was given"
                msg = f"The run of {_span(run)} failed (run {result.run_id}):\n{why}"
                raise MaterializeError(msg)
            self._outcome.runs.append(run)

    def _logger(self) -> dg.LoggerDefinition:
        @dg.logger(description="Passes on what a run does.")
        def passing_on(_: dg.InitLoggerContext) -> Logger:
            logger = getLogger("stedi.runs")
            logger.setLevel("DEBUG")
            logger.propagate = False
            logger.handlers = [_EventHandler(self._event)]
            return logger

        return passing_on

    def _event(self, event: Any) -> None:
        kind = event.event_type_value
        if kind in {"STEP_START", "STEP_SUCCESS"} and self._current is not None:
            self._progress(Progress(self._current, event.step_key, finished=kind == "STEP_SUCCESS"))
        elif kind == "STEP_FAILURE":
            error = event.event_specific_data.error
            self._failures.append(f"  {event.step_key}: {_reason(error)}")


_RUN_ROWS = 20_000_000


class _EventHandler(Handler):
    """Hands Dagster's events to a function."""

    def __init__(self, on_event: Callable[[Any], None]) -> None:
        super().__init__()
        self._on_event = on_event

    def emit(self, record: LogRecord) -> None:
        meta = getattr(record, "dagster_meta", {})
        event = meta.get("dagster_event") if isinstance(meta, dict) else None
        if event is not None:
            self._on_event(event)


def _reason(error: Any) -> str:
    """The message of the innermost cause, without its traceback."""
    while error is not None and error.cause is not None:
        error = error.cause
    return "unknown" if error is None else str(error.message).strip()


def _span(run: Run) -> str:
    return str(run.first_day) if run.first_day == run.last_day else f"{run.first_day} to {run.last_day}"


def steps(run: Run) -> Iterator[str]:
    """The steps that a run has, by name: each table and its checks."""
    for table in run.tables:
        yield table
        yield f"{table}_checks"
