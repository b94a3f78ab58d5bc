"""What is said of stale partitions, in people and rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from stedi_assets.contracts import ASSET_TABLES
from stedi_assets.staleness.stale import reasons, rows_to_remove, stale_partitions
from stedi_assets_tests.kit.driven import begin_partitions, land_partitions
from stedi_assets_tests.kit.lake import SmallLake
from stedi_assets_tests.kit.records import DAY, STAMP, customer, lines, movement, step


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[SmallLake]:
    small = SmallLake.at(tmp_path)
    yield small
    small.close()


def make(lake: SmallLake) -> None:
    """Make every table of the day, in order."""
    for table in ASSET_TABLES:
        if table.source is not None:
            land_partitions(lake.resources, table.name, [DAY])
        else:
            begin_partitions(lake.resources, table.name, [DAY])()


def test_who_goes_and_who_comes_is_counted_in_people_and_rows(lake: SmallLake) -> None:
    lake.land("customer_landing", lines(customer("ann"), customer("bob", False), customer("cat")))
    times = (STAMP, STAMP + 1, STAMP + 2)
    lake.land("accelerometer_landing", lines(*(movement(name, at) for name in ("ann", "bob", "cat") for at in times)))
    lake.land("step_trainer_landing", lines(*(step(name, at) for name in ("ann", "bob", "cat") for at in times[:2])))
    make(lake)
    later = DAY + timedelta(days=1)
    changed = [customer("ann", False, updated=STAMP), customer("bob", updated=STAMP)]
    lake.land("customer_landing", lines(*changed), day=later)
    land_partitions(lake.resources, "customer_landing", [later])

    view = lake.resources.view()
    stale = stale_partitions(view)
    why = reasons(view, stale)
    assert why["accelerometer_trusted", DAY] == "consent of 2 people"
    assert why["customer_trusted", DAY] == "customer records, consent of 1 person"
    assert why["customer_trusted", later] == "not made yet"
    assert rows_to_remove(view, stale) == {
        "customer_trusted": {DAY: 1},
        "accelerometer_trusted": {DAY: 3},
        "customers_curated": {DAY: 1},
        "step_trainer_trusted": {DAY: 2},
        "machine_learning_curated": {DAY: 6},
    }
