"""Groups partitions into the runs that make them: some tables of some consecutive landing days.

Dagster concept: run of a partition range (a single-run backfill).

Which partitions are stale is asked of ``staleness``; when to request a run is decided by the sensors.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from stedi_assets.contracts import ASSET_TABLES
from stedi_assets.contracts import table as contract
from stedi_assets.staleness.view import LakeView

RUN_ROWS = 20_000_000
"""Rows of inputs that a run of several days may have."""


@dataclass(frozen=True)
class Run:
    """One run to request: some tables of some consecutive landing days."""

    tables: tuple[str, ...]
    first_day: date
    last_day: date

    @property
    def days(self) -> list[date]:
        """The landing days, in order."""
        return [self.first_day + timedelta(days=n) for n in range((self.last_day - self.first_day).days + 1)]


def row_counts(view: LakeView, tables: Mapping[str, Collection[date]]) -> dict[date, int]:
    """The number of rows that the inputs of the tables to make have, per landing day."""
    rows: dict[date, int] = {}
    for upstream in {name for table in tables for name in contract(table).inputs}:
        for file in view.snapshot(upstream).files:
            rows[file.landing_date] = rows.get(file.landing_date, 0) + file.rows
    return rows


def runs(tables: Mapping[str, Iterable[date]], sizes: Mapping[date, int] | None = None, limit: int = 0) -> list[Run]:
    """Group what differs into runs: consecutive days on which the same tables differ.

    Args:
        tables: of each table, the landing days to run.
        sizes: how much there is to do on each day, in the unit of ``limit``.
        limit: no run of several days has more to do than this.

    Returns:
        The runs, in order of their days.
    """
    by_day: dict[date, tuple[str, ...]] = {}
    for name in (table.name for table in ASSET_TABLES):
        for day in tables.get(name, ()):
            by_day[day] = (*by_day.get(day, ()), name)
    result: list[Run] = []
    size = 0
    for day, names in sorted(by_day.items()):
        last = result[-1] if result else None
        more = (sizes or {}).get(day, 0)
        consecutive = last is not None and last.tables == names and day - last.last_day == timedelta(days=1)
        if last is not None and consecutive and (not limit or size + more <= limit):
            result[-1] = Run(names, last.first_day, day)
            size += more
        else:
            result.append(Run(names, day, day))
            size = more
    return result


def downstream(tables: Iterable[str]) -> tuple[str, ...]:
    """``tables`` and every table that is made from them, in an order in which they can be made."""
    names = set(tables)
    for table in ASSET_TABLES:
        if names & table.inputs.keys():
            names.add(table.name)
    return tuple(table.name for table in ASSET_TABLES if table.name in names)
