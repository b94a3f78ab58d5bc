"""The consent sensor: requests runs for exactly the partitions that are not what they should be now.

Dagster concepts: sensor and run request, with a cursor, a run key and tags of partition ranges.

Consent that changed is the reason for most of them. A late reading, a customer who landed after their readings, a pair
whose halves landed days apart, a run that failed or read an older state, and a table changed by hand are found the same
way: ``staleness.stale`` compares the tables with what they should hold. Whether to request it (again, or already) is
the pure :func:`requests`. The cursor only saves work: it says that nothing has changed since nothing differed.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import dagster as dg

from stedi_assets.contracts import LANDING_TABLES
from stedi_assets.defs.run_history import (
    RANGE_TAGS,
    REQUEST_TAG,
    SENSOR_TAG,
    ActiveRun,
    RequestedRun,
    active_runs,
    failures_in_backoff,
    requested_runs,
)
from stedi_assets.defs.runs import RUN_ROWS, Run, row_counts, runs
from stedi_assets.errors import redact_errors
from stedi_assets.lakehouse.fingerprint import fingerprint
from stedi_assets.resources import Resources
from stedi_assets.staleness import index
from stedi_assets.staleness.fingerprints import lake_state
from stedi_assets.staleness.stale import rows_to_remove, stale_partitions

SENSOR = "consent_sensor"

INTERVAL = 15
"""Seconds between ticks, at the least."""

BACKOFF = 30
"""Seconds to wait after a first failure; doubled after every further one."""

MAX_BACKOFF = 15 * 60
"""Seconds that are waited at the most: it never gives up, since somebody may have withdrawn."""

_HISTORY_LIMIT = 2000
"""Runs of before that are looked at, at the most, to tell what is under way or in backoff."""

_LANDING = frozenset(table.name for table in LANDING_TABLES)


@dataclass(frozen=True)
class Request:
    """A run to request now.

    Args:
        run: its tables and landing days.
        name: of what it is requested for: these tables of these days.
        attempt: how often that was requested before.
    """

    run: Run
    name: str
    attempt: int

    @property
    def run_key(self) -> str:
        """Never the same twice, so that Dagster launches what it is asked for."""
        return f"{self.run.first_day}-{self.run.last_day}-{self.name}-{self.attempt}"


def request_name(run: Run) -> str:
    """The name of what a run is requested for."""
    return fingerprint(run.tables, str(run.first_day), str(run.last_day))


def due(
    stale: Mapping[str, Collection[date]], urgent: Mapping[str, Collection[date]], active: Sequence[ActiveRun]
) -> tuple[dict[str, set[date]], list[str]]:
    """The stale partitions to request now.

    What holds rows of people who do not consent is requested at once. The rest waits while anything lands, since
    that changes what it should be: while 365 days land one after the other, most of the lake would be made anew after
    each of them. What a run on its way makes is left to it; where that read an older state, it differs afterwards.

    Args:
        stale: the partitions that differ.
        urgent: those of them that hold rows of people who do not consent.
        active: the runs that have not ended.

    Returns:
        The partitions, and a sentence for each kind of those that wait.
    """
    landing = any(run.tables & _LANDING for run in active)
    partitions: dict[str, set[date]] = {}
    under_way = later = 0
    urgent_days = {day for days in urgent.values() for day in days}
    for name, days in stale.items():
        for day in days:
            if any(run.makes(name, day) for run in active):
                under_way += 1
            # On a day where something must go, so must what is made from it.
            elif landing and day not in urgent_days:
                later += 1
            else:
                partitions.setdefault(name, set()).add(day)
    messages = []
    if under_way:
        messages.append(f"{under_way} partitions that differ are being made")
    if later:
        messages.append(f"{later} partitions that differ wait until nothing lands")
    return partitions, messages


def requests(
    planned: Sequence[Run], history: Mapping[str, Sequence[RequestedRun]], now: float
) -> tuple[list[Request], list[str]]:
    """The runs to request now, and messages about those that wait.

    Args:
        planned: the runs that would make the stale partitions.
        history: of each name, the runs that were requested under it, the newest first.
        now: in seconds since 1970.

    Returns:
        The requests, and a sentence for each run that waits: what failed is tried again after a while, after longer
        and longer pauses.
    """
    requested: list[Request] = []
    waiting: list[str] = []
    for run in planned:
        before = history.get(request_name(run), ())
        failed = failures_in_backoff(before, now, BACKOFF, MAX_BACKOFF)
        days = str(run.first_day) if run.first_day == run.last_day else f"{run.first_day} to {run.last_day}"
        if any(one.running for one in before):
            waiting.append(f"{days}: a run is on its way")
        elif failed:
            waiting.append(f"{days}: failed {failed} times, will be tried again after a pause")
        else:
            requested.append(Request(run, request_name(run), len(before)))
    return requested, waiting


def consent_sensor(job: str) -> dg.SensorDefinition:
    """The sensor, for the job that materializes the tables, by its name."""

    @dg.sensor(
        name=SENSOR,
        description=(
            "Requests runs for exactly the partitions that are not what they should be now: people withdrew or "
            "consented, late records and readings, runs that failed, tables changed by hand."
        ),
        job_name=job,
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def sensor(context: dg.SensorEvaluationContext, resources: dg.ResourceParam[Resources]) -> dg.SensorResult:
        with redact_errors("comparing the tables with what they should hold"):
            view = resources.view()
            now = lake_state(view)
            if context.cursor == now:
                return dg.SensorResult(skip_reason="Nothing has changed since every table held what it should.")
            try:
                # What a killed run left without its index would be added up at every look.
                if index.fill(resources.session, resources.lakehouse):
                    view = resources.view()
                stale = stale_partitions(view)
                if not stale:
                    return dg.SensorResult(skip_reason="Every table holds what it should.", cursor=now)
                active = active_runs(context.instance)
                wanted, messages = due(stale, rows_to_remove(view, stale), active)
                planned = runs(wanted, row_counts(view, wanted), RUN_ROWS)
            finally:
                # The process lives on, and the next look may be hours away. What the view holds goes first.
                del view
                resources.close()
        names = [request_name(run) for run in planned]
        history = requested_runs(context.instance, REQUEST_TAG, names, limit=_HISTORY_LIMIT)
        requested, waiting = requests(planned, history, time.time())
        messages += waiting
        if not requested:
            return dg.SensorResult(skip_reason="; ".join(messages) + ".")
        for message in messages:
            context.log.warning(message)
        return dg.SensorResult(run_requests=[_run_request(request) for request in requested])

    return sensor


def _run_request(request: Request) -> dg.RunRequest:
    first, last = request.run.first_day.isoformat(), request.run.last_day.isoformat()
    return dg.RunRequest(
        run_key=request.run_key,
        partition_key=first if first == last else None,
        asset_selection=[dg.AssetKey(name) for name in request.run.tables],
        tags={
            REQUEST_TAG: request.name,
            SENSOR_TAG: SENSOR,
            **({} if first == last else dict(zip(RANGE_TAGS, (first, last), strict=True))),
        },
    )
