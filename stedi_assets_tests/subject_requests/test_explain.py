"""Which rule left out which of somebody's readings, by the rules themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from stedi_assets.settings import Policies, ReadingsBeforeConsent
from stedi_assets.subject_requests.explain import explain
from stedi_assets.subject_requests.subject import Person
from stedi_assets_tests.kit.lake import SmallLake
from stedi_assets_tests.kit.records import STAMP, customer, lines, movement, step

pytestmark = pytest.mark.usefixtures("without_dagster")


def told(lake: SmallLake, email: str) -> dict[str, tuple[int, str]]:
    found = explain(lake.resources, Person.of(lake.resources, email))
    return {answer.table: (answer.rows, "; ".join(answer.reasons)) for answer in found}


def test_readings_before_consent(tmp_path: Path) -> None:
    lake = SmallLake.at(tmp_path, Policies(ReadingsBeforeConsent.EXCLUDE))
    lake.land("customer_landing", lines(customer("ann", shareWithResearchAsOfDate=STAMP)))
    lake.land("accelerometer_landing", lines(*(movement("ann", STAMP + n) for n in (-2, -1, 0, 0, 1))))
    lake.land("step_trainer_landing", lines(*(step("ann", STAMP + n) for n in (-1, 0))))
    lake.materialize()
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
    lake.close()


def test_a_shared_device(tmp_path: Path) -> None:
    """Dan refuses and claims ann's device: a reading counts only where ann moved and he did not."""
    lake = SmallLake.at(tmp_path)
    dan = customer("dan", consents=False, serialNumber="serial-ann")
    lake.land("customer_landing", lines(customer("ann"), dan))
    moves = [movement("ann", STAMP), movement("ann", STAMP + 1), movement("dan", STAMP + 1), movement("dan", STAMP + 2)]
    lake.land("accelerometer_landing", lines(*moves))
    lake.land("step_trainer_landing", lines(*(step("ann", STAMP + n) for n in range(4))))
    lake.materialize()
    why = told(lake, "ann@example.com")
    assert why["step_trainer_landing"][0] == 1
    assert "1 of their serial numbers are claimed by others too" in why["step_trainer_landing"][1]
    assert why["step_trainer_trusted"] == (
        1,
        (
            "3 readings of their devices are left out, as nobody who claims the device is curated, "
            "or as it cannot be told that whoever moved consents"
        ),
    )
    assert told(lake, "dan@example.com")["customer_trusted"] == (0, "the latest record does not consent")
    lake.close()


def test_a_table_that_is_behind_is_told(tmp_path: Path) -> None:
    lake = SmallLake.at(tmp_path)
    lake.land_people("ann")
    lake.materialize()
    lake.land("accelerometer_landing", lines(movement("ann", STAMP + 5)), "late.json")
    assert lake.run(["accelerometer_landing"], "2023-08-06").success
    assert told(lake, "ann@example.com")["accelerometer_trusted"] == (
        1,
        "the table is behind: it should have 2 rows; run `stedi reconcile`",
    )
    lake.close()
