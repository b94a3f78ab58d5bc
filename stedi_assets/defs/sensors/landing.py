"""The landing sensor: requests a run for each day whose raw files are not what was ingested.

Dagster concepts: sensor and run request, with a run key, tags and run config.

What differs is asked of ``staleness.stale``; whether to request it (again) is the pure :func:`requests`, with backoff.
That function reads no clock, and there is no state but what the tables and the runs themselves say.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone
from itertools import takewhile

import dagster as dg

from stedi_assets.defs.run_history import (
    DAY_TAG,
    FAILED,
    REQUEST_TAG,
    SENSOR_TAG,
    RequestedRun,
    is_erasing,
    requested_runs,
)
from stedi_assets.defs.runs import downstream
from stedi_assets.errors import redact_errors
from stedi_assets.lakehouse.fingerprint import fingerprint
from stedi_assets.landing.day_plan import MissingFiles
from stedi_assets.landing.differences import Difference
from stedi_assets.landing.files import LandingFile, Listing
from stedi_assets.resources import Resources

SENSOR = "landing_sensor"

INTERVAL = 15
"""Seconds between ticks, at the least."""

MAX_ATTEMPTS = 4
"""How often the same files of a day are tried before somebody has to look."""

BACKOFF = 30
"""Seconds to wait after a first failure; doubled after every further one."""

FAILURE_LOOKBACK = 7 * 24 * 60 * 60
"""Seconds for which a failed run is remembered that left the landing tables right and others not made."""


@dataclass(frozen=True)
class Request:
    """A run to request now.

    Args:
        day: the landing day.
        tables: to make; what is made from them is made as well.
        request: names what it is requested for.
        attempt: how often that was requested before.
        keep: landing tables of which raw files are gone.
    """

    day: date
    tables: tuple[str, ...]
    request: str
    attempt: int
    keep: tuple[str, ...] = ()

    @property
    def run_key(self) -> str:
        """The same for the same files and attempt, so that Dagster never launches it twice."""
        return f"{self.day}-{self.request}-{self.attempt}"


def requests(
    differences: Mapping[str, Mapping[date, Difference]],
    files: Mapping[date, Collection[LandingFile]],
    history: Mapping[date, Sequence[RequestedRun]],
    now: float,
    erasing: bool = False,
) -> tuple[list[Request], list[str]]:
    """The runs to request now, and messages about the landing days that wait.

    Args:
        differences: of each landing table, the days that differ.
        files: the raw files of each day.
        history: the runs that were requested for each day, the newest first; of days that differ and of days
            whose last run failed.
        now: in seconds since 1970.
        erasing: an erasure is being carried out. It writes raw files anew and makes their days itself, so what
            only changed waits for its end.

    Returns:
        The requests, and a message for each day that is to be run and is not requested. One run per day,
        never while one of the same day is running: what that one does not settle differs afterwards
        too. What failed is tried again after a while, a few times; also where the landing tables are as the
        raw files are, and only what is made from them is not.
    """
    wanted: list[Request] = []
    waiting: list[str] = []
    for day in sorted({day for days in differences.values() for day in days} | history.keys()):
        changed = {name: days[day] for name, days in differences.items() if day in days}
        runs = history.get(day, ())
        failed = list(takewhile(lambda run: run.failed, runs))
        if not changed and not failed:
            continue
        if changed:
            name = fingerprint(
                str(day),
                [(name, str(why)) for name, why in sorted(changed.items())],
                sorted((file.path, file.size, file.stamp) for file in files.get(day, ()) if file.table in changed),
            )
            attempts = [run for run in runs if run.request == name]
        else:
            name, attempts = fingerprint(str(day), "again", failed[-1].run_id), failed
        if any(run.running for run in runs):
            waiting.append(f"{day}: a run is on its way")
        elif erasing and changed and all(why.only_changed for why in changed.values()):
            waiting.append(f"{day}: an erasure is writing raw files anew")
        elif len(attempts) >= MAX_ATTEMPTS:
            waiting.append(
                f"{day}: tried {len(attempts)} times and still differs; look at the last run, mend what it says, "
                "and materialize the day by hand or change a file"
            )
        elif attempts and now < max(run.ended for run in attempts) + BACKOFF * 2 ** (len(attempts) - 1):
            waiting.append(f"{day}: will be tried again after a pause")
        else:
            # What the last run did not make is not seen in the landing tables.
            tables = {*changed, *(failed[0].tables if failed else ())}
            keep = tuple(sorted(name for name, why in changed.items() if why.missing))
            wanted.append(Request(day, downstream(tables), name, len(attempts), keep))
    return wanted, waiting


def landing_sensor(job: str) -> dg.SensorDefinition:
    """The sensor, for the job that materializes the tables, by its name."""

    @dg.sensor(
        name=SENSOR,
        description="Requests one run per day whose raw files are new, changed, or not as ingested.",
        job_name=job,
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def sensor(context: dg.SensorEvaluationContext, resources: dg.ResourceParam[Resources]) -> dg.SensorResult:
        # Asked before and after: what was looked at in between may be half of an erasure's work.
        began = is_erasing(context.instance)
        with redact_errors("comparing the landing tables with the landing folders"):
            listing = resources.listing()
            differences = resources.landing_differences(listing)
        now = time.time()
        days = {day for found in differences.values() for day in found}
        history = _requested_runs(context.instance, days | _failed_days(context.instance, now))
        for day in history.keys() - days:
            if _materialized_since(context.instance, day, history[day]):
                del history[day]
        still = began or is_erasing(context.instance)
        wanted, waiting = requests(differences, _by_day(listing), history, now, still)
        messages = [*waiting, *(f"{path}: left alone, {reason}" for path, reason in listing.ignored[:20])]
        if len(listing.ignored) > 20:
            messages.append(f"and {len(listing.ignored) - 20} more files left alone")
        if wanted:
            for message in messages:
                context.log.warning(message)
            return dg.SensorResult(run_requests=[_run_request(request) for request in wanted])
        return dg.SensorResult(
            skip_reason="; ".join([*([] if waiting else ["Every landed day is as ingested"]), *messages]) + "."
        )

    return sensor


def landing_run_config(tables: Collection[str]) -> dict[str, object]:
    """The run configuration that keeps the rows of raw files that are gone.

    A late file must not be stuck because the day's other files were archived.
    """
    return {"ops": {table: {"config": {"missing_files": MissingFiles.KEEP.name}} for table in tables}}


def _run_request(request: Request) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=request.run_key,
        partition_key=request.day.isoformat(),
        asset_selection=[dg.AssetKey(name) for name in request.tables],
        run_config=landing_run_config(request.keep) if request.keep else None,
        tags={DAY_TAG: request.day.isoformat(), REQUEST_TAG: request.request, SENSOR_TAG: SENSOR},
    )


def _failed_days(instance: dg.DagsterInstance, now: float) -> set[date]:
    """The days of which a requested run failed lately."""
    since = datetime.fromtimestamp(now - FAILURE_LOOKBACK, timezone.utc)
    failed = dg.RunsFilter(tags={SENSOR_TAG: SENSOR}, statuses=list(FAILED), updated_after=since)
    return {date.fromisoformat(run.tags[DAY_TAG]) for run in instance.get_runs(failed, limit=200)}


def _requested_runs(instance: dg.DagsterInstance, days: Collection[date]) -> dict[date, list[RequestedRun]]:
    """The runs that were requested for each day, the newest first."""
    found = requested_runs(instance, DAY_TAG, [day.isoformat() for day in days])
    return {date.fromisoformat(day): runs for day, runs in found.items()}


def _materialized_since(instance: dg.DagsterInstance, day: date, runs: Sequence[RequestedRun]) -> bool:
    """Whether everything that the last run was to make has been made since, by hand."""
    last = runs[0]
    records = (
        instance.fetch_materializations(
            dg.AssetRecordsFilter(dg.AssetKey(name), asset_partitions=[day.isoformat()], after_timestamp=last.ended),
            limit=1,
        ).records
        for name in last.tables
    )
    return last.failed and all(records)


def _by_day(listing: Listing) -> dict[date, list[LandingFile]]:
    days: dict[date, list[LandingFile]] = {}
    for file in listing.files:
        days.setdefault(file.landing_date, []).append(file)
    return days
