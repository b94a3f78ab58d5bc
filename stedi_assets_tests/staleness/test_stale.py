"""What is said of stale partitions: how many people are concerned, and how many rows must go."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from stedi_assets.staleness.stale import reasons, rows_to_remove, stale_partitions
from stedi_assets_tests.kit.driven import land_partitions
from stedi_assets_tests.kit.lake import SmallLake
from stedi_assets_tests.kit.records import DAY, STAMP, customer, lines, movement, step


def test_who_goes_and_who_comes_is_counted_in_people_and_rows(tmp_path: Path) -> None:
    lake = SmallLake.at(tmp_path)
    lake.land("customer_landing", lines(customer("ann"), customer("bob", False), customer("cat")))
    times = (STAMP, STAMP + 1, STAMP + 2)
    lake.land("accelerometer_landing", lines(*(movement(name, at) for name in ("ann", "bob", "cat") for at in times)))
    lake.land("step_trainer_landing", lines(*(step(name, at) for name in ("ann", "bob", "cat") for at in times[:2])))
    lake.materialize_directly()
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
    lake.close()
