"""Whose readings may be used: literal cases, on every backend."""

from __future__ import annotations

import pytest

from stedi_assets import transforms
from stedi_assets.settings import ReadingsBeforeConsent
from stedi_assets_tests.transforms.conftest import (
    ANN,
    BOB,
    CAT,
    DAY_1,
    DAY_2,
    DEE,
    NOON,
    Constructor,
    curated,
    customer,
    rows,
    step,
    table_rows,
    worn,
)

EXCLUDE, INCLUDE = ReadingsBeforeConsent.EXCLUDE, ReadingsBeforeConsent.INCLUDE


def test_readings_of_those_who_share(constructor: Constructor) -> None:
    found = transforms.accelerometer_trusted(
        constructor(
            "accelerometer_landing",
            [
                worn(ANN),
                worn("\tANN@Example.com ", NOON + 1),
                worn(BOB),
                worn("nobody.knows@example.com"),
                worn("ann@example.com.example.com"),
            ],
        ),
        constructor("customer_landing", [customer(" Ann@example.com", "s"), customer(BOB, "s", None)]),
    )
    assert table_rows(found, "accelerometer_trusted") == {
        (ANN, NOON, 1.0, 2.0, 3.0, DAY_1): 1,
        (ANN, NOON + 1, 1.0, 2.0, 3.0, DAY_1): 1,
    }


def test_no_reading_at_all(constructor: Constructor) -> None:
    found = transforms.accelerometer_trusted(
        constructor("accelerometer_landing", []), constructor("customer_landing", [customer(ANN, "s")])
    )
    assert not table_rows(found, "accelerometer_trusted")


def test_a_reading_counts_once_per_landing_day(constructor: Constructor) -> None:
    found = transforms.accelerometer_trusted(
        constructor(
            "accelerometer_landing",
            [worn(ANN), worn(ANN), worn(" ANN@example.com"), worn(ANN, x=1.5), worn(ANN, day=DAY_2)],
        ),
        constructor("customer_landing", [customer(ANN, "s")]),
    )
    assert rows(found, "user", "x", "landing_date") == {
        (ANN, 1.0, DAY_1): 1,
        (ANN, 1.5, DAY_1): 1,
        (ANN, 1.0, DAY_2): 1,
    }


@pytest.mark.parametrize(("policy", "first"), [(INCLUDE, -1), (EXCLUDE, 0)])
def test_readings_before_consent(constructor: Constructor, policy: ReadingsBeforeConsent, first: int) -> None:
    found = transforms.accelerometer_trusted(
        constructor("accelerometer_landing", [worn(ANN, NOON + n) for n in (-1, 0, 1)]),
        constructor("customer_landing", [customer(ANN, "s", NOON)]),
        policy,
    )
    assert rows(found, "timestamp") == {(NOON + n,): 1 for n in range(first, 2)}


DEVICES: dict[str, tuple[dict[str, int | None], tuple[str, ...], bool, bool]] = {
    # device: its claimants and since when they share, who moves as it measures at noon, and whether the
    # reading is used, with readings before consent included and excluded
    "the claimant shares": ({ANN: 1}, (), True, True),
    "the claimant shares and moves": ({ANN: 1}, (ANN,), True, True),
    "the claimant shares since that moment": ({ANN: NOON}, (), True, True),
    "the claimant shares later": ({ANN: NOON + 1}, (ANN,), True, False),
    "the claimant refuses": ({ANN: None}, (ANN,), False, False),
    "nobody claims it": ({}, (), False, False),
    "both share": ({ANN: 1, BOB: 1}, (), True, True),
    "both share, one moves": ({ANN: 1, BOB: 1}, (BOB,), True, True),
    "both refuse": ({ANN: None, BOB: None}, (ANN,), False, False),
    "one refuses, nobody moves": ({ANN: 1, BOB: None}, (), False, False),
    "one refuses, who shares moves": ({ANN: 1, BOB: None}, (ANN,), True, True),
    "one refuses and moves": ({ANN: 1, BOB: None}, (BOB,), False, False),
    "one refuses, both move": ({ANN: 1, BOB: None}, (ANN, BOB), False, False),
    "one refuses, a stranger moves": ({ANN: 1, BOB: None}, (DEE,), False, False),
    "two share, one refuses, one who shares moves": ({ANN: 1, BOB: 1, CAT: None}, (BOB,), True, True),
    "two share, one refuses, both who share move": ({ANN: 1, BOB: 1, CAT: None}, (ANN, BOB), True, True),
    "two share, one refuses, all move": ({ANN: 1, BOB: 1, CAT: None}, (ANN, BOB, CAT), False, False),
    "one shares later, nobody moves": ({ANN: 1, BOB: NOON + 1}, (), True, False),
    "one shares later, the other moves": ({ANN: 1, BOB: NOON + 1}, (ANN,), True, True),
    "one shares later and moves": ({ANN: 1, BOB: NOON + 1}, (BOB,), True, False),
    "both share later": ({ANN: NOON + 1, BOB: NOON + 2}, (ANN,), True, False),
}


@pytest.mark.parametrize("policy", [INCLUDE, EXCLUDE])
def test_whose_step_readings_are_used(constructor: Constructor, policy: ReadingsBeforeConsent) -> None:
    """Each device has people of its own, so one frame holds all the cases."""

    def at(email: str, device: str) -> str:
        return email.replace("@", f".{list(DEVICES).index(device)}@")

    people = [customer(at(e, d), d, share) for d, (claims, *_) in DEVICES.items() for e, share in claims.items()]
    found = transforms.step_trainer_trusted(
        constructor("step_trainer_landing", [step(device) for device in DEVICES]),
        constructor("customers_curated", [curated(record["email"]) for record in people]),
        constructor("customer_landing", people),
        constructor(
            "accelerometer_landing",
            [worn(at(mover, device).upper()) for device, (_, movers, *_) in DEVICES.items() for mover in movers]
            # Moving at another moment, or on another device, says nothing.
            + [worn(record["email"], NOON + 1) for record in people],
        ),
        policy,
    )
    place = 2 if policy is INCLUDE else 3
    used = {device for device, case in DEVICES.items() if case[place]}
    assert table_rows(found, "step_trainer_trusted") == {(NOON, device, 7, DAY_1): 1 for device in used}


def test_who_moved_is_asked_of_every_landing_day(constructor: Constructor) -> None:
    found = transforms.step_trainer_trusted(
        constructor("step_trainer_landing", [step("s")]),
        constructor("customers_curated", [curated(ANN)]),
        constructor("customer_landing", [customer(ANN, "s"), customer(BOB, "s", None)]),
        constructor("accelerometer_landing", [worn(ANN, day=DAY_2)]),
    )
    assert rows(found, "serialNumber", "landing_date") == {("s", DAY_1): 1}


def test_only_devices_of_curated_customers(constructor: Constructor) -> None:
    """Somebody curated who no longer shares has no say, nor has somebody who shares but never moved."""
    found = transforms.step_trainer_trusted(
        constructor("step_trainer_landing", [step("a"), step("b"), step("c"), step("both")]),
        constructor("customers_curated", [curated(ANN), curated(BOB), curated(BOB, DAY_2)]),
        constructor(
            "customer_landing",
            [
                customer(ANN, "a", None),
                customer(BOB, "b"),
                customer(CAT, "c"),
                customer(CAT.upper(), "c ", update=2),
                customer(DEE, "both"),
                customer("bob.too@example.com", "both", None),
            ],
        ),
        constructor("accelerometer_landing", [worn(DEE)]),
    )
    assert rows(found, "serialNumber") == {("b",): 1}


def test_the_serial_number_is_the_latest_records(constructor: Constructor) -> None:
    found = transforms.step_trainer_trusted(
        constructor("step_trainer_landing", [step("old"), step("new")]),
        constructor("customers_curated", [curated(ANN)]),
        constructor("customer_landing", [customer(ANN, "old"), customer(ANN, "new", update=2, day=DAY_2)]),
        constructor("accelerometer_landing", []),
    )
    assert rows(found, "serialNumber") == {("new",): 1}


@pytest.mark.parametrize("policy", [INCLUDE, EXCLUDE])
def test_a_step_reading_counts_once_per_landing_day(constructor: Constructor, policy: ReadingsBeforeConsent) -> None:
    """Also where several customers claim the device, and where who moved decides."""
    found = transforms.step_trainer_trusted(
        constructor(
            "step_trainer_landing",
            [
                *(step("Shared"), step(" shared\t"), step("shared", distance=8), step("shared", day=DAY_2)),
                *(step("mixed"), step("MIXED "), step("mixed", day=DAY_2)),
            ],
        ),
        constructor("customers_curated", [curated(email, day) for email in (ANN, BOB, CAT) for day in (DAY_1, DAY_2)]),
        constructor(
            "customer_landing",
            [customer(ANN, "shared"), customer(BOB, "sHARED"), customer(CAT, "mixed"), customer(DEE, "mixed", None)],
        ),
        constructor("accelerometer_landing", [worn(CAT), worn(CAT), worn(CAT, x=2.0), worn(CAT.upper(), day=DAY_2)]),
        policy,
    )
    assert table_rows(found, "step_trainer_trusted") == {
        (NOON, "shared", 7, DAY_1): 1,
        (NOON, "shared", 8, DAY_1): 1,
        (NOON, "shared", 7, DAY_2): 1,
        (NOON, "mixed", 7, DAY_1): 1,
        (NOON, "mixed", 7, DAY_2): 1,
    }
