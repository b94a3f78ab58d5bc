"""Landing days: the one partition definition of every table, and arithmetic on its days."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

import dagster as dg

ONE_DAY = timedelta(days=1)


def landing_days(first_day: date) -> dg.DailyPartitionsDefinition:
    """The UTC days on which data can have landed, from ``first_day`` to today inclusive."""
    return dg.DailyPartitionsDefinition(start_date=first_day.isoformat(), end_offset=1)


def consecutive(days: Iterable[date]) -> list[list[date]]:
    """``days`` in order, cut into runs of consecutive days."""
    runs: list[list[date]] = []
    for day in sorted(set(days)):
        if runs and day - runs[-1][-1] == ONE_DAY:
            runs[-1].append(day)
        else:
            runs.append([day])
    return runs
