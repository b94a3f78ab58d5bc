"""The history of runs, and those that are active, as Dagster's instance has them.

Dagster concepts: run, run status and run tags, read from the instance.

Questions to the instance belong here, for the sensors and for ``materialize``, and the names of the project's own tags.
What to run next is decided by the sensors.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import takewhile

import dagster as dg
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from stedi_assets.contracts import ASSET_TABLES

DAY_TAG = "stedi/landing_day"
REQUEST_TAG = "stedi/request"
SENSOR_TAG = "stedi/requested_by"
ERASURE_JOB = "erasure"
RANGE_TAGS = (ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG)
"""Dagster's tags of a run of several consecutive partitions: the first and the last."""

FAILED = frozenset({dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED})
RUNNING = frozenset(
    {
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    }
)

EVERY_TABLE = tuple(table.name for table in ASSET_TABLES)

_VALUES_PER_QUERY = 100
"""Values of a tag that are asked for in one query."""


@dataclass(frozen=True)
class RequestedRun:
    """A run that was requested by a sensor.

    Args:
        request: names what it was requested for.
        running: it has not ended.
        ended: when it did, in seconds since 1970.
        failed: it ended without having made everything.
        tables: that it was to make.
        run_id: Dagster's name for it.
    """

    request: str
    running: bool
    ended: float
    failed: bool = False
    tables: tuple[str, ...] = ()
    run_id: str = ""


@dataclass(frozen=True)
class ActiveRun:
    """A run, whoever asked for it, that has not ended.

    Args:
        tables: that it makes.
        first_day, last_day: of these landing days; none where it does not say.
    """

    tables: frozenset[str]
    first_day: date | None
    last_day: date | None

    def makes(self, table: str, day: date) -> bool:
        """Whether it makes a partition."""
        if table not in self.tables:
            return False
        return self.first_day is None or self.last_day is None or self.first_day <= day <= self.last_day


def failures_in_backoff(before: Sequence[RequestedRun], now: float, pause: float, longest: float) -> int:
    """The number of failures in a row while the backoff after the last one lasts; 0 when a run may be requested.

    Args:
        before: the runs for it, the newest first.
        now: in seconds since 1970.
        pause: seconds to wait after a first failure; doubled after every further one.
        longest: seconds that are waited at the most.
    """
    failed = list(takewhile(lambda run: run.failed, before))
    if failed and now < failed[0].ended + min(longest, pause * 2 ** (len(failed) - 1)):
        return len(failed)
    return 0


def requested_runs(
    instance: dg.DagsterInstance, tag: str, values: Collection[str], limit: int | None = None
) -> dict[str, list[RequestedRun]]:
    """The runs with each value of a tag, the newest first.

    Args:
        instance: Dagster's.
        tag: its name.
        values: the values to look for.
        limit: of how many runs in all, at the most.
    """
    runs: dict[str, list[RequestedRun]] = {value: [] for value in values}
    ordered = sorted(runs)
    for start in range(0, len(ordered), _VALUES_PER_QUERY):
        tags = {tag: ordered[start : start + _VALUES_PER_QUERY]}
        for record in instance.get_run_records(dg.RunsFilter(tags=tags), limit=limit):
            run = record.dagster_run
            runs[run.tags[tag]].append(
                RequestedRun(
                    request=run.tags.get(REQUEST_TAG, ""),
                    running=run.status in RUNNING,
                    ended=record.end_time or record.update_timestamp.timestamp(),
                    failed=run.status in FAILED,
                    tables=tables_of(run),
                    run_id=run.run_id,
                )
            )
    return runs


def active_runs(instance: dg.DagsterInstance) -> Sequence[ActiveRun]:
    """The runs that have not ended."""
    runs = instance.get_runs(dg.RunsFilter(statuses=list(RUNNING)))
    return [ActiveRun(frozenset(tables_of(run)), *_days(run.tags)) for run in runs]


def is_erasing(instance: dg.DagsterInstance) -> bool:
    """Whether an erasure is being carried out, which writes raw files anew and makes their days itself."""
    begun = list(RUNNING - {dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED})
    return instance.get_runs_count(dg.RunsFilter(job_name=ERASURE_JOB, statuses=begun)) > 0


def tables_of(run: dg.DagsterRun) -> tuple[str, ...]:
    """The tables that a run makes; every table where it selects none."""
    return tuple(sorted(key.to_user_string() for key in run.asset_selection or ())) or EVERY_TABLE


def _days(tags: Mapping[str, str]) -> tuple[date | None, date | None]:
    first, last = (tags.get(tag, tags.get(PARTITION_NAME_TAG)) for tag in RANGE_TAGS)
    try:
        return (date.fromisoformat(first), date.fromisoformat(last)) if first and last else (None, None)
    except ValueError:
        return None, None
