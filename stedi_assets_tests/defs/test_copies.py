"""Copies of raw files: after one ``stedi materialize`` each reading counts once, wherever and whenever copies land."""

from __future__ import annotations

import contextlib
import tempfile
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedi_assets.defs.materialize import Materializer
from stedi_assets.settings import Policies
from stedi_assets_tests.kit.driven import POLICIES, DrivenLake, assert_right, land_partitions, leave_out_dagster
from stedi_assets_tests.kit.examples import drawing_afresh
from stedi_assets_tests.kit.lake import SmallLake
from stedi_assets_tests.kit.people import nothing_differs
from stedi_assets_tests.kit.records import DAY, STAMP, lines, movement
from stedi_assets_tests.oracle.histories import FIRST_DAY, History, histories

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


@st.composite
def single_days(draw: st.DrawFn) -> tuple[History, list[tuple[int, list[date]]], Policies]:
    """A history with copies on any days, and before the end some runs of single days: after how many files, which."""
    history = draw(histories(forms=False))
    days = list(history.days()) or [FIRST_DAY]
    some_days = st.lists(st.sampled_from(days), min_size=1, max_size=2, unique=True)
    runs = draw(st.lists(st.tuples(st.integers(0, len(history.files)), some_days), max_size=3))
    return history, sorted(runs, key=lambda run: run[0]), draw(st.sampled_from(POLICIES))


@pytest.mark.slow
@drawing_afresh(2, 10)
@given(single_days())
def test_one_run_is_enough_after_copies_on_any_day_and_days_in_any_order(
    drawn: tuple[History, list[tuple[int, list[date]]], Policies],
) -> None:
    history, runs, policies = drawn
    with (
        tempfile.TemporaryDirectory() as root,
        contextlib.closing(DrivenLake(Path(root), policies)) as lake,
        dg.DagsterInstance.ephemeral() as instance,
        pytest.MonkeyPatch.context() as patch,
    ):
        leave_out_dagster(patch)
        (Path(root) / "landing").mkdir()
        materializer, arrived = Materializer(lake.resources, instance), 0
        for count, days in runs:
            lake.arrive(history, count, arrived)
            materializer.run(days=days)
            arrived = count
        lake.arrive(history, None, arrived)
        assert materializer.run().differing == {}
        # Nothing settles what this run left: whoever reads "up to date" reads the tables next.
        assert_right(lake, lake.expected())
        assert nothing_left(lake)


def nothing_left(lake: DrivenLake) -> bool:
    return not lake.landed() and not lake.differing()
