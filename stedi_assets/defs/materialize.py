"""Runs what is stale until nothing is, without a daemon: ``stedi materialize`` and ``stedi reconcile``.

Dagster concept: in-process execution of a job.

Runs are Dagster runs like any other, recorded in the instance, so the UI shows them. In which order they go, how many
days one takes and when to give up belong here; which partitions are stale is asked of ``staleness.stale``, as the
sensors do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from stedi_assets.contracts import ASSET_TABLES
from stedi_assets.defs.asset_job import JOB, build_asset_job
from stedi_assets.defs.checks.build import checks_of, whole_table_checks
from stedi_assets.defs.partitions import ONE_DAY
from stedi_assets.defs.run_events import LOGGER, Progress, RunWatcher
from stedi_assets.defs.runs import RUN_ROWS, Run, downstream, row_counts, runs
from stedi_assets.defs.sensors.landing import landing_run_config
from stedi_assets.errors import redact_errors
from stedi_assets.landing.differences import Difference
from stedi_assets.landing.files import Listing
from stedi_assets.resources import Resources
from stedi_assets.staleness import index
from stedi_assets.staleness.stale import stale_partitions
from stedi_assets.subject_requests.forgetting import Rebuild

RUN_BYTES = 8 << 30
"""Raw bytes that a run of several days may have. More days in one run are fewer runs and fewer rounds of
reconciliation; fewer days are less to do again when a run fails."""

_WHOLE = whole_table_checks()

ROUNDS = 20
"""Rounds of reconciliation after which something is wrong: each settles at least one kind of table."""

GIVE_UP = 10
"""Failures after which the cause is not the day: a full disk, say."""


class MaterializeError(RuntimeError):
    """Something could not be brought up to date; the message says which tables and days, and why.

    Remedy: mend what it names for each day and run it again. If tables still differ after 20 rounds, something else
    keeps changing them: stop the other writer; if there is none, report it.
    """


@dataclass
class Outcome:
    """The result of bringing a lake up to date.

    Args:
        runs: those that succeeded.
        warnings: checks that did not pass but let the run go on: table, check, what it says.
        ignored: raw files that were left alone, and why.
        differing: of each landing table, the landing days that still differ from the raw files: those that were not to
            be run.
    """

    runs: list[Run] = field(default_factory=list)
    warnings: list[tuple[str, str, str]] = field(default_factory=list)
    ignored: tuple[tuple[str, str], ...] = ()
    differing: Mapping[str, Sequence[date]] = field(default_factory=dict)

    def add_check(self, evaluation: dg.AssetCheckEvaluation) -> None:
        """Keep the warning of a check that did not pass; of one about a whole table, what it says at last."""
        of = evaluation.asset_key.to_user_string(), evaluation.check_name
        if of in _WHOLE:
            self.warnings = [warning for warning in self.warnings if warning[:2] != of]
        warning = (*of, evaluation.description or "")
        if not evaluation.passed and warning not in self.warnings:
            self.warnings.append(warning)


def rebuilder(resources: Resources, instance: dg.DagsterInstance) -> Rebuild:
    """The rebuild step of an erasure, as runs of Dagster.

    Args:
        resources: the lake.
        instance: where the runs are recorded.
    """

    def rebuild(landing: Mapping[str, Collection[date]]) -> int:
        return len(Materializer(resources, instance).rerun(landing).runs)

    return rebuild


@dataclass
class _Call:
    """What one call of a ``Materializer`` has come to so far.

    Args:
        outcome: the runs that succeeded, and what they warn of.
        failures: a message for each day that failed.
        blocked: the partitions that are left as they are, since something that they are made from failed.
    """

    outcome: Outcome = field(default_factory=Outcome)
    failures: list[str] = field(default_factory=list)
    blocked: dict[str, set[date]] = field(default_factory=dict)

    @property
    def gave_up(self) -> bool:
        """Whether so much has failed that nothing more is run."""
        return len(self.failures) >= GIVE_UP

    def block(self, tables: Iterable[str], days: Iterable[date]) -> None:
        """Leave these partitions as they are."""
        for name in tables:
            self.blocked.setdefault(name, set()).update(days)

    def without_blocked(self, tables: Mapping[str, Collection[date]]) -> dict[str, set[date]]:
        """The partitions of ``tables`` that are not blocked."""
        remaining = {name: set(days) - self.blocked.get(name, set()) for name, days in tables.items()}
        return {name: days for name, days in remaining.items() if days}

    def advice(self) -> str:
        """The last lines of an error: how many other runs succeeded, and what to do next."""
        count = len(self.outcome.runs)
        others = f"{count} run{'' if count == 1 else 's'} succeeded"
        if self.gave_up:
            return f"Gave up after {GIVE_UP} failures ({others}). Mend what they say and run it again; it goes on here."
        return f"Everything else was made ({others}). Mend what is said above and run it again."


class Materializer:
    """Brings a lake up to date.

    Args:
        resources: the lake.
        instance: where the runs are recorded.
        progress: called as runs go on.
    """

    def __init__(
        self, resources: Resources, instance: dg.DagsterInstance, progress: Callable[[Progress], None] | None = None
    ) -> None:
        self._resources = resources
        self._instance = instance
        self._watcher = RunWatcher(progress)

    @cached_property
    def _job(self) -> dg.JobDefinition:
        """The job of all tables, made only where something is to be run."""
        definitions = build_asset_job(
            self._resources.settings, self._resources, loggers={LOGGER: self._watcher.logger()}
        )
        return definitions.resolve_job_def(JOB)

    def run(self, days: Collection[date] | None = None, *, force: bool = False) -> Outcome:
        """Run every landed day that is not up to date, then reconcile until nothing differs.

        A day that fails does not keep the others from being brought up to date: a run of several days that
        fails is cut in halves until the days that fail are found. What is made from the tables of such a day
        is left as it is on that day, and everything is raised at the end.

        Args:
            days: run these landed days only; reconciliation looks at all of them all the same.
            force: run the days even if they are up to date.

        Raises:
            MaterializeError: runs failed, or reconciliation found no end.
        """
        call = _Call()
        chosen = None if days is None else set(days)
        listing, differences = self._compare_landing()
        partitions = _to_be_made(differences, chosen)
        if force:
            landed = {file.landing_date for file in listing.files}
            partitions = {table.name: landed if chosen is None else set(chosen) for table in ASSET_TABLES}
        self._retry(call, partitions, days)
        rounds = 0
        while any(partitions.values()) and not call.gave_up:
            if rounds == ROUNDS:
                names = ", ".join(differences)
                msg = f"After {ROUNDS} rounds {names} still differ from the landing folders; something changes them."
                call.failures.append(msg)
                break
            rounds += 1
            sizes: dict[date, int] = {}
            for file in listing.files:
                sizes[file.landing_date] = sizes.get(file.landing_date, 0) + file.size
            self._execute(call, runs(partitions, sizes, RUN_BYTES), _missing(differences))
            # What has landed changes what counts on other days: a copy on an earlier day counts in the place of this
            # one, and of people who were erased and registered anew what was left out is to be landed again.
            listing, differences = self._compare_landing()
            partitions = call.without_blocked(_to_be_made(differences, chosen))
        call.outcome.ignored = listing.ignored
        call.outcome.differing = {table: sorted(changes) for table, changes in differences.items()}
        return self._settle(call)

    def _compare_landing(self) -> tuple[Listing, Mapping[str, Mapping[date, Difference]]]:
        """The raw files, and of each landing table the days that are not made from them."""
        with redact_errors("comparing the tables with the landing folders"):
            listing = self._resources.listing()
            return listing, self._resources.landing_differences(listing)

    def reconcile(self) -> Outcome:
        """Run whatever is not made from what it should be made from, until nothing differs; nothing new lands.

        Raises:
            MaterializeError: runs failed, or there was no end.
        """
        return self._settle(_Call())

    def rerun(self, landing: Mapping[str, Collection[date]]) -> Outcome:
        """Run partitions of landing tables, keeping the rows of raw files that are gone; then reconcile.

        Args:
            landing: of each landing table, the landing days.

        Raises:
            MaterializeError: runs failed, or there was no end.
        """
        call = _Call()
        self._execute(call, runs(landing), landing)
        return self._settle(call)

    def _settle(self, call: _Call) -> Outcome:
        """Reconcile until nothing differs, and say what failed."""
        with redact_errors("indexing readings"):
            index.fill(self._resources.session, self._resources.lakehouse)
        for _ in range(ROUNDS):
            with redact_errors("comparing the tables with what they are made from"):
                view = self._resources.view()
                stale = call.without_blocked(stale_partitions(view))
            if not stale or call.gave_up:
                break
            self._execute(call, runs(stale, row_counts(view, stale), RUN_ROWS), {})
        else:
            msg = (
                f"After {ROUNDS} rounds these tables still differ from what they should hold: {', '.join(stale)}. "
                "Something else keeps changing them, or this is a defect: please report it."
            )
            raise MaterializeError("\n".join([*call.failures, msg]))
        if call.failures:
            raise MaterializeError("\n".join([*call.failures, call.advice()]))
        return call.outcome

    def unpassed(self) -> dict[str, set[date]]:
        """The partitions whose latest blocking checks failed, of each table that has any."""
        storage, failed = self._instance.event_log_storage, AssetCheckExecutionRecordStatus.FAILED
        blocking = [
            dg.AssetCheckKey(dg.AssetKey(table.name), check.name)
            for table in ASSET_TABLES
            for check in checks_of(table)
            if check.blocking
        ]
        # Most checks have never failed, and to ask for the partitions of one looks at all that were ever evaluated.
        keys = [key for key in blocking if storage.get_asset_check_execution_history(key, limit=1, status={failed})]
        failures: dict[str, set[date]] = {}
        for info in storage.get_asset_check_partition_info(keys):
            if info.latest_execution_status is failed and info.partition_key is not None:
                days = failures.setdefault(info.check_key.asset_key.to_user_string(), set())
                days.add(date.fromisoformat(info.partition_key))
        return failures

    def _retry(self, call: _Call, partitions: dict[str, set[date]], days: Collection[date] | None) -> None:
        """Add the partitions whose blocking checks failed, which no table shows: they are made from the right inputs.

        On days that are not to be run, block the tables that follow from them instead.
        """
        for table, failed in self.unpassed().items():
            again = failed if days is None else failed & set(days)
            for name in downstream([table]):
                partitions.setdefault(name, set()).update(again)
            for day in sorted(failed - again):
                call.block([name for name in downstream([table]) if name != table], [day])
                call.failures.append(f"{table} of {day} did not pass its blocking checks; that day was not to be run.")

    def _execute(self, call: _Call, planned: Sequence[Run], missing: Mapping[str, Collection[date]]) -> None:
        """Execute runs in order; a run of several days that fails is cut in halves until the failing days are found."""
        stack = list(reversed(planned))
        while stack and not call.gave_up:
            run = stack.pop()
            if self._execute_one(call, run, missing):
                continue
            days = run.days
            if len(days) > 1:
                middle = days[len(days) // 2]
                stack += [Run(run.tables, middle, run.last_day), Run(run.tables, run.first_day, middle - ONE_DAY)]

    def _execute_one(self, call: _Call, run: Run, missing: Mapping[str, Collection[date]]) -> bool:
        """Execute a run and return whether it succeeded. Tables that follow from a day that failed are blocked."""
        self._watcher.begin(run)
        keeping = [table for table in run.tables if set(run.days) & set(missing.get(table, ()))]
        job = self._job.get_subset(asset_selection={dg.AssetKey(name) for name in run.tables})
        first, last = run.first_day.isoformat(), run.last_day.isoformat()
        result = job.execute_in_process(
            instance=self._instance,
            run_config={**landing_run_config(keeping), "loggers": {LOGGER: {}}},
            # A day by itself is a partition, so that Dagster knows its checks by it.
            partition_key=first if first == last else None,
            tags={}
            if first == last
            else {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last},
            raise_on_error=False,
        )
        if result.success:
            for evaluation in result.get_asset_check_evaluations():
                call.outcome.add_check(evaluation)
            call.outcome.runs.append(run)
        elif len(run.days) == 1:
            why = [f"  {step}: {reason}" for step, reason in self._watcher.failures.items()] or [
                "  no reason was given"
            ]
            call.failures.append("\n".join([f"The run of {run.first_day} failed (run {result.run_id}):", *why]))
            for step in self._watcher.failures or run.tables:
                table = step.removesuffix("_checks")
                beyond = [name for name in downstream([table]) if name != table]
                call.block([table, *beyond] if step == table else beyond, run.days)
            for evaluation in result.get_asset_check_evaluations():
                if not evaluation.passed and evaluation.severity is dg.AssetCheckSeverity.ERROR:
                    name = f"{evaluation.asset_key.to_user_string()}.{evaluation.check_name}"
                    call.failures[-1] += f"\n    {name}: {evaluation.description or ''}"
        return bool(result.success)


def _to_be_made(differences: Mapping[str, Collection[date]], chosen: set[date] | None) -> dict[str, set[date]]:
    """The partitions of landing tables that differ, and of what is made from them; of some days, or of all."""
    partitions: dict[str, set[date]] = {}
    for table, days in differences.items():
        for name in downstream([table]):
            partitions.setdefault(name, set()).update(days if chosen is None else chosen & set(days))
    return partitions


def _missing(differences: Mapping[str, Mapping[date, Difference]]) -> dict[str, set[date]]:
    """The partitions of landing tables of which rows of raw files that are gone are to be kept."""
    return {
        table: {day for day, change in changes.items() if change.missing or change.returned}
        for table, changes in differences.items()
    }
