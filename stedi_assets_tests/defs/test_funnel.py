"""The funnel says how many readings and customers were left out by which rule."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stedi_assets.defs.funnel import funnel
from stedi_assets.settings import Policies, ReadingsBeforeConsent
from stedi_assets_tests.kit.driven import make_partitions
from stedi_assets_tests.kit.lake import SmallLake
from stedi_assets_tests.kit.records import DAY, STAMP, customer, lines, movement


@pytest.fixture(scope="module", params=list(ReadingsBeforeConsent), ids=lambda before: before.value)
def lake(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallLake]:
    """Ann consents since between her readings, one of which landed twice; bob refuses; cat has no reading."""
    root: Path = tmp_path_factory.mktemp("funnel")
    small = SmallLake.at(root, Policies(request.param))
    ann = customer("ann", shareWithResearchAsOfDate=STAMP)
    small.land("customer_landing", lines(ann, customer("bob", consents=False), customer("cat")))
    moves = [*(movement("ann", STAMP + n) for n in (-2, -1, 0, 0, 1)), *(movement("bob", STAMP + n) for n in range(3))]
    small.land("accelerometer_landing", lines(*moves, movement("nobody", STAMP)))
    tables = ("customer_landing", "accelerometer_landing", "customer_trusted", "accelerometer_trusted")
    make_partitions(small.resources, [*tables, "customers_curated"], [DAY])
    yield small
    small.close()


def test_readings(lake: SmallLake) -> None:
    before = lake.resources.settings.policies.readings_before_consent is ReadingsBeforeConsent.EXCLUDE
    kept = lake.count("accelerometer_trusted")
    assert kept == (2 if before else 4)
    assert funnel(lake.resources.view(), "accelerometer_trusted", [DAY], {DAY: kept}) == {
        DAY: {
            "funnel/readings_landed": 9,
            "funnel/readings_kept": kept,
            "funnel/left_out_without_consent": 4,
            "funnel/left_out_before_consent": 2 if before else 0,
            "funnel/left_out_as_duplicates": 1,
        }
    }


def test_customers(lake: SmallLake) -> None:
    assert funnel(lake.resources.view(), "customers_curated", [DAY], {DAY: lake.count("customers_curated")}) == {
        DAY: {
            "funnel/customers_landed": 3,
            "funnel/customers_consenting": 2,
            "funnel/customers_with_readings": 1,
        }
    }


def test_other_tables_have_none(lake: SmallLake) -> None:
    assert funnel(lake.resources.view(), "customer_trusted", [DAY], {DAY: 2}) == {}
