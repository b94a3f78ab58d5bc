"""The partition cache: what it keeps, and what it computes again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from stedi_assets.lakehouse import DataFile
from stedi_assets.lakehouse.partition_cache import PartitionCache

MONDAY, TUESDAY, WEDNESDAY = (date(2023, 8, day) for day in (7, 8, 9))


def files(day: date, *names: str) -> list[DataFile]:
    return [DataFile(name, name, day, {"landing_date": day.isoformat()}, 1, 1, None, {}, {}) for name in names]


class Computation:
    """Gives the names of a day's files, and notes for which days it was asked."""

    def __init__(self) -> None:
        self.days: list[date] = []

    def __call__(self, some: Sequence[DataFile]) -> dict[date, tuple[str, ...]]:
        self.days = sorted({file.landing_date for file in some})
        return {day: tuple(file.path for file in some if file.landing_date == day) for day in self.days}


def test_only_partitions_with_other_files_are_computed_again() -> None:
    cache: PartitionCache[tuple[str, ...]] = PartitionCache(100)
    compute = Computation()
    first = {MONDAY: files(MONDAY, "a", "b"), TUESDAY: files(TUESDAY, "c")}
    assert cache.get(first, compute) == {MONDAY: ("a", "b"), TUESDAY: ("c",)}
    assert compute.days == [MONDAY, TUESDAY]
    second = {MONDAY: files(MONDAY, "a", "b"), TUESDAY: files(TUESDAY, "d"), WEDNESDAY: files(WEDNESDAY, "e")}
    assert cache.get(second, compute) == {MONDAY: ("a", "b"), TUESDAY: ("d",), WEDNESDAY: ("e",)}
    assert compute.days == [TUESDAY, WEDNESDAY]
    # A partition that was gone meanwhile, and one that lost a file.
    assert cache.get({TUESDAY: files(TUESDAY, "d")}, compute) == {TUESDAY: ("d",)}
    assert cache.get({MONDAY: files(MONDAY, "b"), TUESDAY: files(TUESDAY, "d")}, compute)[MONDAY] == ("b",)
    assert compute.days == [MONDAY]


def test_it_keeps_no_more_than_its_limit() -> None:
    cache: PartitionCache[tuple[str, ...]] = PartitionCache(3)
    compute = Computation()
    partitions = {day: files(day, f"{day} a", f"{day} b") for day in (MONDAY, TUESDAY)}
    for expected in ([MONDAY, TUESDAY], [MONDAY], [MONDAY]):
        assert len(cache.get(partitions, compute)) == 2
        assert compute.days == expected
