"""A cache of what was computed from single partitions.

A data file never changes, so a value holds for as long as its partition consists of the same files. After a commit
only the partitions that it replaced are computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Sized
from datetime import date
from typing import Generic, TypeVar

from stedi_assets.lakehouse.files import DataFile

Value = TypeVar("Value", bound=Sized)


class PartitionCache(Generic[Value]):
    """Values of the landing days of one table, or of one part of it.

    Args:
        limit: how many elements all values may have that are kept; of what exceeds it, the oldest days are
            computed again each time.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: dict[date, tuple[tuple[str, ...], Value]] = {}

    def get(
        self,
        partitions: Mapping[date, Sequence[DataFile]],
        compute: Callable[[Sequence[DataFile]], Mapping[date, Value]],
    ) -> dict[date, Value]:
        """The value of each partition.

        Args:
            partitions: the files of each landing day now. What is kept of days that are not named stays.
            compute: gives the values of the partitions that some files belong to, by landing day; of each of them.

        Returns:
            The values, in the order of ``partitions``.

        Raises:
            KeyError: ``compute`` left out a landing day of the files that it got.
        """
        names = {day: tuple(file.uri for file in files) for day, files in partitions.items()}
        kept = dict(self._kept)
        stale = {day for day, name in names.items() if day not in kept or kept[day][0] != name}
        computed = compute([file for day in partitions if day in stale for file in partitions[day]]) if stale else {}
        # A stale day that was not computed is an error here: its old value must never be taken for it.
        values = {day: computed[day] if day in stale else kept[day][1] for day in names}
        self._kept = self._within_limit(kept | {day: (names[day], values[day]) for day in names})
        return values

    def _within_limit(
        self, found: Mapping[date, tuple[tuple[str, ...], Value]]
    ) -> dict[date, tuple[tuple[str, ...], Value]]:
        room = self._limit
        kept = {}
        for day in sorted(found, reverse=True):
            room -= len(found[day][1])
            if room < 0:
                break
            kept[day] = found[day]
        return kept
