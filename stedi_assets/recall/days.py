"""What is computed per landing day, and remembered for as long as the day has the same files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import date
from typing import Generic, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stedi_assets.lakehouse import DataFile, Snapshot
from stedi_assets.recall.digests import day_of
from stedi_assets.recall.names import column

Part = TypeVar("Part")
Places = NDArray[np.intp]


class ByDay(Generic[Part]):
    """Of one table, something of each landing day.

    Args:
        compute: gives it for some days at once, from their files; days without rows may be missing.
        nothing: what days without rows have.
    """

    def __init__(self, compute: Callable[[Snapshot, Sequence[DataFile]], dict[date, Part]], nothing: Part) -> None:
        self._compute = compute
        self._nothing = nothing
        self._known: dict[date, tuple[tuple[str, ...], Part]] = {}

    def of(self, snapshot: Snapshot, days: Collection[date] | None = None) -> dict[date, Part]:
        """What the landing days have: each that has files, or those of ``days`` that do.

        A day whose files are the same as before has the same object as before.
        """
        contents = snapshot.contents
        for gone in self._known.keys() - contents.keys():
            del self._known[gone]
        wanted = [day for day in contents if days is None or day in days]
        unknown = [day for day in wanted if day not in self._known or self._known[day][0] != contents[day]]
        if unknown:
            found = self._compute(snapshot, snapshot.select(unknown))
            for day in unknown:
                self._known[day] = contents[day], found.get(day, self._nothing)
        return {day: self._known[day][1] for day in wanted}


def cut_by_day(rows: pa.Table) -> dict[date, Places]:
    """Where in rows, which are in any order, those of each ``landing_date`` lie."""
    numbers = column(rows, "landing_date")
    order = np.argsort(numbers, kind="stable")
    days, starts = np.unique(numbers[order], return_index=True)
    return dict(zip(map(day_of, days.tolist()), np.split(order, starts[1:])))
