"""The landing sensor: requests a run for each day whose raw files are not what was ingested.

A thin shell: what differs is ``reconcile``'s to say, whether to ask for it (again) is the pure
:func:`requests`. No wall clock in there, no state but what the tables and the runs themselves say.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import dagster as dg

from stedi_assets.fingerprint import fingerprint
from stedi_assets.landing.files import LandingFile, Listing
from stedi_assets.landing.ingest import MissingFiles
from stedi_assets.landing.record import Difference
from stedi_assets.platform import Platform
from stedi_assets.reconcile import downstream, landing_differences

DAY_TAG = "stedi/landing_day"
REQUEST_TAG = "stedi/landing_request"

INTERVAL = 15
"""Seconds between ticks, at the least."""

ATTEMPTS = 4
"""How often the same files of a day are tried before somebody has to look."""

BACKOFF = 30
"""Seconds to wait after a first failure; doubled after every further one."""

_RUNNING = frozenset(
    {
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    }
)


@dataclass(frozen=True)
class PastRun:
    """A run that was requested for a day.

    Args:
        request: names the files that it was requested for.
        running: it has not ended.
        ended: when it did, in seconds since 1970.
    """

    request: str
    running: bool
    ended: float


@dataclass(frozen=True)
class Request:
    """A run to request now."""

    day: date
    tables: tuple[str, ...]
    request: str
    attempt: int
    missing: bool

    @property
    def run_key(self) -> str:
        """The same for the same files and attempt, so that Dagster never launches it twice."""
        return f"{self.day}-{self.request}-{self.attempt}"


def requests(
    differences: Mapping[str, Mapping[date, Difference]],
    files: Mapping[date, Collection[LandingFile]],
    past: Mapping[date, Sequence[PastRun]],
    now: float,
) -> tuple[list[Request], list[str]]:
    """Which runs to request, and what is left for later.

    Args:
        differences: of each landing table, the days that differ.
        files: the raw files of each day.
        past: the runs that were requested for each day.
        now: in seconds since 1970.

    Returns:
        The requests, and a sentence for each day that differs and is not requested. One run per day,
        never while one of the same day is running: what that one does not settle differs afterwards
        too. What failed is tried again after a while, a few times.
    """
    wanted: list[Request] = []
    waiting: list[str] = []
    for day in sorted({day for days in differences.values() for day in days}):
        changed = {name: days[day] for name, days in differences.items() if day in days}
        named = fingerprint(
            str(day),
            [(name, str(why)) for name, why in sorted(changed.items())],
            sorted((file.path, file.size, file.stamp) for file in files.get(day, ()) if file.table in changed),
        )
        runs = past.get(day, ())
        tried = [run for run in runs if run.request == named]
        if any(run.running for run in runs):
            waiting.append(f"{day}: a run is on its way")
        elif len(tried) >= ATTEMPTS:
            waiting.append(
                f"{day}: tried {len(tried)} times and still differs; look at the last run, mend what it says, "
                "and materialize the day by hand or change a file"
            )
        elif tried and now < max(run.ended for run in tried) + BACKOFF * 2 ** (len(tried) - 1):
            waiting.append(f"{day}: will be tried again after a pause")
        else:
            missing = any(why.missing for why in changed.values())
            wanted.append(Request(day, tuple(sorted(changed)), named, len(tried), missing))
    return wanted, waiting


def landing_sensor(job: Any) -> dg.SensorDefinition:
    """The sensor, for the job that materializes the tables."""

    @dg.sensor(
        name="landing_sensor",
        description="Requests one run per day whose raw files are new, changed, or not as ingested.",
        job=job,
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def sensor(context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Platform]) -> dg.SensorResult:
        listing = platform.listing()
        differences = landing_differences(platform, listing)
        days = sorted({day for found in differences.values() for day in found})
        past = {day: _past(context.instance, day) for day in days}
        wanted, waiting = requests(differences, _by_day(listing), past, time.time())
        said = [*waiting, *(f"{path}: left alone, {reason}" for path, reason in listing.ignored[:20])]
        if len(listing.ignored) > 20:
            said.append(f"and {len(listing.ignored) - 20} more files left alone")
        if wanted:
            for sentence in said:
                context.log.warning(sentence)
            return dg.SensorResult(run_requests=[_run_request(request) for request in wanted])
        return dg.SensorResult(skip_reason="; ".join(["Every landed day is as ingested" if not waiting else "", *said])
                               .removeprefix("; ") + ".")

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
        asset_selection=[dg.AssetKey(name) for name in downstream(request.tables)],
        run_config=landing_run_config(request.tables) if request.missing else None,
        tags={DAY_TAG: request.day.isoformat(), REQUEST_TAG: request.request},
    )


def _past(instance: dg.DagsterInstance, day: date) -> list[PastRun]:
    records = instance.get_run_records(dg.RunsFilter(tags={DAY_TAG: day.isoformat()}), limit=50)
    return [
        PastRun(
            request=record.dagster_run.tags.get(REQUEST_TAG, ""),
            running=record.dagster_run.status in _RUNNING,
            ended=record.end_time or record.update_timestamp.timestamp(),
        )
        for record in records
    ]


def _by_day(listing: Listing) -> dict[date, list[LandingFile]]:
    days: dict[date, list[LandingFile]] = {}
    for file in listing.files:
        days.setdefault(file.landing_date, []).append(file)
    return days
