"""The funnel says how many readings and customers were left out by which rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from stedi_assets.defs.funnel import funnel
from stedi_assets.settings import Policies, ReadingsBeforeConsent
from stedi_assets_tests.kit.driven import make_partitions
from stedi_assets_tests.kit.lake import SmallLake
from stedi_assets_tests.kit.records import DAY, STAMP, customer, lines, movement

NEXT = DAY + timedelta(days=1)


@pytest.fixture(scope="module", params=list(ReadingsBeforeConsent), ids=lambda before: before.value)
def lake(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallLake]:
    """Ann consents since between her readings, one of which landed twice; bob refuses; cat has no reading.

    On the next day, one more reading of ann's lands, twice, and one of bob's.
    """
    root: Path = tmp_path_factory.mktemp("funnel")
    small = SmallLake.at(root, Policies(request.param))
    ann = customer("ann", shareWithResearchAsOfDate=STAMP)
    small.land("customer_landing", lines(ann, customer("bob", consents=False), customer("cat")))
    moves = [*(movement("ann", STAMP + n) for n in (-2, -1, 0, 0, 1)), *(movement("bob", STAMP + n) for n in range(3))]
    small.land("accelerometer_landing", lines(*moves, movement("nobody", STAMP)))
    later = [movement("ann", STAMP + 9), movement("ann", STAMP + 9), movement("bob", STAMP + 9)]
    small.land("accelerometer_landing", lines(*later), day=NEXT)
    tables = ("customer_landing", "accelerometer_landing", "customer_trusted", "accelerometer_trusted")
    make_partitions(small.resources, [*tables, "customers_curated"], [DAY, NEXT])
    yield small
    small.close()


def test_readings(lake: SmallLake) -> None:
    before = lake.resources.settings.policies.readings_before_consent is ReadingsBeforeConsent.EXCLUDE
    kept = 2 if before else 4
    written = Counter(day for (day,) in lake.rows("accelerometer_trusted", "landing_date"))
    assert written == {DAY: kept, NEXT: 1}
    assert funnel(lake.resources.view(), "accelerometer_trusted", [DAY, NEXT], written) == {
        DAY: {
            "funnel/readings_landed": 9,
            "funnel/readings_kept": kept,
            "funnel/left_out_without_consent": 4,
            "funnel/left_out_before_consent": 2 if before else 0,
            "funnel/left_out_as_duplicates": 1,
        },
        NEXT: {
            "funnel/readings_landed": 3,
            "funnel/readings_kept": 1,
            "funnel/left_out_without_consent": 1,
            "funnel/left_out_before_consent": 0,
            "funnel/left_out_as_duplicates": 1,
        },
    }


def test_customers(lake: SmallLake) -> None:
    assert funnel(lake.resources.view(), "customers_curated", [DAY], {DAY: lake.count("customers_curated")}) == {
        DAY: {
            "funnel/customers_landed": 3,
            "funnel/customers_consenting": 2,
            "funnel/customers_with_readings": 1,
        }
    }


@pytest.mark.parametrize("name", ["accelerometer_trusted", "customers_curated"])
def test_a_day_on_which_nothing_landed_counts_nothing(lake: SmallLake, name: str) -> None:
    empty = NEXT + timedelta(days=1)
    numbers = funnel(lake.resources.view(), name, [DAY, empty], {DAY: lake.count(name)})
    assert numbers.keys() == {DAY, empty}
    assert numbers[empty] == dict.fromkeys(numbers[DAY], 0)
    assert numbers[DAY] == funnel(lake.resources.view(), name, [DAY], {DAY: lake.count(name)})[DAY]


def test_other_tables_have_none(lake: SmallLake) -> None:
    assert funnel(lake.resources.view(), "customer_trusted", [DAY], {DAY: 2}) == {}
