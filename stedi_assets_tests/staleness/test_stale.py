"""Stale partitions: one that another's staleness could hide; and what is said of them, in people and rows."""

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


def test_a_claim_that_came_and_went_while_the_steps_were_stale(lake: SmallLake) -> None:
    """The pairs were made of stale step readings. Once these are right again, only the pairs' own part tells."""
    # Bob moved when ann's device measured, so that the pair is of his movement and her device.
    lake.land("customer_landing", lines(customer("ann"), customer("bob")))
    lake.land("accelerometer_landing", lines(movement("ann", STAMP + 9), movement("bob")))
    lake.land("step_trainer_landing", lines(step("ann")))
    make(lake)
    assert lake.rows("machine_learning_curated", "device_subject_id") == [
        (lake.resources.pseudonyms.subject_id("ann@example.com"),)
    ]
    # Cat, who never moved, claims the device, and the pairs alone are made anew; then her record names another one.
    for number, (serial, tables) in enumerate((("serial-ann", ["machine_learning_curated"]), ("serial-cat", []))):
        later = DAY + timedelta(days=1 + number)
        lake.land("customer_landing", lines(customer("cat", serialNumber=serial, updated=STAMP + number)), day=later)
        land_partitions(lake.resources, "customer_landing", [later])
        for name in tables:
            begin_partitions(lake.resources, name, [DAY])()
            assert lake.rows(name, "device_subject_id") == [(None,)]
    assert stale_partitions(lake.resources.view())["machine_learning_curated"] == {DAY: ("claims of devices",)}


def test_a_partition_that_nothing_speaks_for_any_more_is_stale(lake: SmallLake) -> None:
    """Ann was the only one of her day, and her record that counts landed on another."""
    lake.land("customer_landing", lines(customer("ann")))
    land_partitions(lake.resources, "customer_landing", [DAY])
    begin_partitions(lake.resources, "customer_trusted", [DAY])()
    assert "customer_trusted" not in stale_partitions(lake.resources.view())
    later = DAY + timedelta(days=1)
    lake.land("customer_landing", lines(customer("ann", False, updated=STAMP)), day=later)
    land_partitions(lake.resources, "customer_landing", [later])
    assert stale_partitions(lake.resources.view())["customer_trusted"] == {DAY: ("customer records", "consent")}
