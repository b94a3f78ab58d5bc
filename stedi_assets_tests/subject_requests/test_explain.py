"""Which rule left out which of somebody's readings, by the rules themselves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stedi_assets.contracts import ASSET_TABLES
from stedi_assets.settings import Policies, ReadingsBeforeConsent
from stedi_assets.subject_requests.explain import explain
from stedi_assets.subject_requests.subject import Person
from stedi_assets_tests.kit.driven import make_partitions
from stedi_assets_tests.kit.lake import SmallLake
from stedi_assets_tests.kit.records import DAY, STAMP, customer, lines, movement, step


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallLake]:
    """A lake that leaves out readings before consent.

    Ann consents since the middle of her readings. Dan refuses and claims eve's device. Of bob, a reading landed of
    which nothing was made.
    """
    lake = SmallLake.at(tmp_path_factory.mktemp("explained"), Policies(ReadingsBeforeConsent.EXCLUDE))
    dan = customer("dan", consents=False, serialNumber="serial-eve")
    people = [customer("ann", shareWithResearchAsOfDate=STAMP), dan, customer("eve"), customer("bob")]
    lake.land("customer_landing", lines(*people))
    moved = [*(("ann", n) for n in (-2, -1, 0, 0, 1)), ("eve", 0), ("eve", 1), ("dan", 1), ("dan", 2), ("bob", 0)]
    lake.land("accelerometer_landing", lines(*(movement(name, STAMP + n) for name, n in moved)))
    stepped = [("ann", -1), ("ann", 0), *(("eve", n) for n in range(4))]
    lake.land("step_trainer_landing", lines(*(step(name, STAMP + n) for name, n in stepped)))
    make_partitions(lake.resources, [table.name for table in ASSET_TABLES], [DAY])
    lake.land("accelerometer_landing", lines(movement("bob", STAMP + 5)), "late.json")
    make_partitions(lake.resources, ["accelerometer_landing"], [DAY])
    yield lake
    lake.close()


def told(lake: SmallLake, email: str) -> dict[str, tuple[int, str]]:
    found = explain(lake.resources, Person.of(lake.resources, email))
    return {answer.table: (answer.rows, "; ".join(answer.reasons)) for answer in found}


def test_readings_before_consent(lake: SmallLake) -> None:
    why = told(lake, "ann@example.com")
    assert why["accelerometer_trusted"] == (
        2,
        (
            "1 readings are left out as exact duplicates within a landing day; "
            "2 readings are left out, as they were taken before consent (2023-08-06)"
        ),
    )
    assert why["step_trainer_trusted"] == (
        1,
        "1 readings of their devices are left out, as they were taken before consent",
    )


def test_a_shared_device(lake: SmallLake) -> None:
    """Dan refuses and claims eve's device: a reading counts only where eve moved and he did not."""
    why = told(lake, "eve@example.com")
    assert why["step_trainer_landing"][0] == 1
    assert "serial numbers of theirs that others claim too: 1" in why["step_trainer_landing"][1]
    assert why["step_trainer_trusted"] == (
        1,
        (
            "3 readings of their devices are left out, as nobody who claims the device is curated, "
            "or as it cannot be told that whoever moved consents; 3 of these are left out only because others claim "
            "the device since 2023-08-06 "
            "(customer_landing/landing_date=2023-08-06/part.json, line 2)"
        ),
    )
    assert told(lake, "dan@example.com")["customer_trusted"] == (0, "the latest record does not consent")


def test_a_table_that_is_behind_is_told(lake: SmallLake) -> None:
    assert told(lake, "bob@example.com")["accelerometer_trusted"] == (
        1,
        "the table is behind: it should have 2 rows; run `stedi reconcile`",
    )
