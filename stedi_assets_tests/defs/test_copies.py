"""Copies of raw files: after one ``stedi materialize`` each reading counts once, wherever and whenever copies land."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from stedi_assets_tests.kit.driven import land_partitions
from stedi_assets_tests.kit.lake import SmallLake
from stedi_assets_tests.kit.people import nothing_differs
from stedi_assets_tests.kit.records import DAY, STAMP, lines, movement

EARLIER, NEXT = DAY - timedelta(days=1), DAY + timedelta(days=1)
READINGS = lines(*(movement("ann", STAMP + number) for number in range(3)))


@pytest.fixture
def made(lake: SmallLake) -> SmallLake:
    lake.land_people("ann")
    lake.land("accelerometer_landing", READINGS, "readings.json")
    lake.materialize_directly()
    return lake


def landed(lake: SmallLake) -> dict[date, int]:
    """How many readings each landing day has."""
    rows = lake.rows("accelerometer_landing", "landing_date")
    return {day: rows.count((day,)) for (day,) in rows}


def test_a_copy_on_an_earlier_day_counts_in_the_place_of_the_later_one(made: SmallLake) -> None:
    made.land("accelerometer_landing", READINGS, "late.json", day=EARLIER)
    assert made.materialize_directly().differing == {}
    assert landed(made) == {EARLIER: 3, DAY: 1}
    assert nothing_differs(made)
    assert made.materialize_directly().runs == []


def test_days_that_are_run_in_another_order(made: SmallLake) -> None:
    made.land("accelerometer_landing", lines(movement("ann", STAMP + 9)), "a.json", day=DAY)
    made.land("accelerometer_landing", lines(movement("ann", STAMP + 9)), "b.json", day=NEXT)
    land_partitions(made.resources, "accelerometer_landing", [NEXT])
    assert landed(made) == {DAY: 4, NEXT: 1}
    made.materialize_directly()
    assert landed(made) == {DAY: 5}
    assert nothing_differs(made)


def test_days_that_were_not_to_be_run_are_said(made: SmallLake) -> None:
    made.land("accelerometer_landing", READINGS, "late.json", day=EARLIER)
    assert made.materialize_directly(days=[EARLIER]).differing == {"accelerometer_landing": [DAY]}
    assert landed(made) == {EARLIER: 3, DAY: 4}
