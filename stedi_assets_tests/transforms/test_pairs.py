"""What makes a pair, and whose: literal cases, on every backend."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from stedi_assets import transforms
from stedi_assets.settings import Pairing, ReadingsBeforeConsent
from stedi_assets_tests.transforms.conftest import (
    ANN,
    BOB,
    CAT,
    DAY_1,
    DAY_2,
    DAY_3,
    DEE,
    LONG_AGO,
    NOON,
    Constructor,
    Record,
    curated,
    customer,
    rows,
    step,
    table_rows,
    trusted,
    worn,
)

EXCLUDE, INCLUDE = ReadingsBeforeConsent.EXCLUDE, ReadingsBeforeConsent.INCLUDE


def pairs(
    constructor: Constructor,
    people: list[Record],
    moves: list[Record],
    steps: list[Record],
    names: list[Record] | None = None,
    **arguments: Any,
) -> Any:
    """The pairs of trusted readings, where all of the people are curated unless said otherwise."""
    if names is None:
        names = [curated(email) for email in sorted({record["email"] for record in people})]
    return transforms.machine_learning_curated(
        constructor("step_trainer_trusted", trusted(*steps)),
        constructor("accelerometer_trusted", trusted(*moves)),
        constructor("customers_curated", names),
        constructor("customer_landing", people),
        **arguments,
    )


def ids(*emails: str | None) -> tuple[str | None, ...]:
    return tuple(email and f"id of {email}" for email in emails)


def test_a_pair_is_what_carries_the_same_millisecond(constructor: Constructor) -> None:
    found = pairs(
        constructor,
        [customer(ANN, "s")],
        [worn(ANN, x=1.0), worn(ANN, x=2.0), worn(ANN, NOON + 1)],
        [step("s"), step("s", distance=8), step("s", NOON - 1)],
    )
    assert table_rows(found, "machine_learning_curated") == {
        (*ids(ANN, ANN), NOON, distance, x, 2.0, 3.0, True, DAY_1): 1 for distance in (7, 8) for x in (1.0, 2.0)
    }


@pytest.mark.parametrize("pairing", list(Pairing))
def test_no_pair_at_all(constructor: Constructor, pairing: Pairing) -> None:
    for moves, steps in (([worn(ANN)], []), ([], [step("s")]), ([], [])):
        found = pairs(constructor, [customer(ANN, "s")], moves, steps, pairing=pairing)
        assert not table_rows(found, "machine_learning_curated")


@pytest.mark.parametrize(
    ("wanted", "pairing"),
    [
        (None, Pairing.TIMESTAMP),
        ([DAY_1], Pairing.CUSTOMER),
        ([DAY_2], Pairing.TIMESTAMP),
        ([DAY_3, DAY_2], Pairing.CUSTOMER),
    ],
)
def test_a_pair_lies_where_its_later_half_landed(constructor: Constructor, wanted: Any, pairing: Pairing) -> None:
    found = pairs(
        constructor,
        [customer(ANN, "s", day=DAY_3)],
        [worn(ANN, x=1.0, day=DAY_1), worn(ANN, x=2.0, day=DAY_2), worn(ANN, x=3.0, day=DAY_3)],
        [step("s", distance=1, day=DAY_1), step("s", distance=2, day=DAY_2)],
        days=wanted,
        pairing=pairing,
    )
    lies = {
        (1, 1.0): DAY_1,
        (1, 2.0): DAY_2,
        (1, 3.0): DAY_3,
        (2, 1.0): DAY_2,
        (2, 2.0): DAY_2,
        (2, 3.0): DAY_3,
    }
    assert rows(found, "distanceFromObject", "x", "landing_date") == {
        (*pair, day): 1 for pair, day in lies.items() if wanted is None or day in wanted
    }


def test_equal_halves_of_several_days_pair_each(constructor: Constructor) -> None:
    found = pairs(constructor, [customer(ANN, "s")], [worn(ANN, day=DAY_2)], [step("s"), step("s", day=DAY_2)])
    assert rows(found, "landing_date") == {(DAY_2,): 2}


@pytest.mark.parametrize(
    ("pairing", "expected"),
    [
        (Pairing.TIMESTAMP, {(*ids(ANN, ANN), True): 1, (*ids(BOB, ANN), False): 1}),
        (Pairing.CUSTOMER, {(*ids(ANN, ANN), True): 1}),
    ],
)
def test_the_pairing(constructor: Constructor, pairing: Pairing, expected: Any) -> None:
    people = [customer(ANN, "s"), customer(BOB, "t")]
    found = pairs(constructor, people, [worn(ANN), worn(BOB)], [step("s")], pairing=pairing)
    assert rows(found, "subject_id", "device_subject_id", "same_customer") == expected


WHOSE: dict[str, tuple[dict[str, int | None], tuple[str, ...], str | None]] = {
    # device: its claimants and since when they share, which of them move at noon, and whose the device
    # is for somebody else who moves then
    "one claimant": ({ANN: 1}, (), ANN),
    "one claimant, moving": ({ANN: 1}, (ANN,), ANN),
    "one shares, still": ({ANN: 1, BOB: None}, (), ANN),
    "one shares, moving": ({ANN: 1, BOB: None}, (ANN,), ANN),
    "two share, still": ({ANN: 1, BOB: 1}, (), None),
    "two share, one moving": ({ANN: 1, BOB: 1}, (BOB,), BOB),
    "two share, two moving": ({ANN: 1, BOB: 1}, (ANN, BOB), None),
    "two share, one moving, one refuses": ({ANN: 1, BOB: 1, CAT: None}, (BOB,), BOB),
    "three share, two moving": ({ANN: 1, BOB: 1, CAT: 1}, (ANN, CAT), None),
    "three share, one moving": ({ANN: 1, BOB: 1, CAT: 1}, (CAT,), CAT),
}


def test_whose_device_it_is(constructor: Constructor) -> None:
    """Each device has people and a moment of its own, so one frame holds all the cases."""
    check_whose(constructor, WHOSE, INCLUDE)


def test_whose_device_it_is_at_the_time_of_the_reading(constructor: Constructor) -> None:
    later = NOON + 1_000_000
    cases: dict[str, tuple[dict[str, int | None], tuple[str, ...], str | None]] = {
        "both share, one of them since that very moment": ({ANN: 1, BOB: NOON}, (), None),
        "both share, one of them later": ({ANN: 1, BOB: later}, (), ANN),
        "both share, one of them later, moving": ({ANN: 1, BOB: later}, (ANN,), ANN),
        "three share, one of them later": ({ANN: 1, BOB: 1, CAT: later}, (), None),
        "three share, one of them later, one moving": ({ANN: 1, BOB: 1, CAT: later}, (BOB,), BOB),
        **WHOSE,
    }
    check_whose(constructor, cases, EXCLUDE)


def check_whose(constructor: Constructor, cases: dict[str, Any], policy: ReadingsBeforeConsent) -> None:
    people, moves, steps, expected = [customer(DEE, "dee's own")], [], [], Counter[Any]()
    for number, (device, (claims, movers, owner)) in enumerate(cases.items()):
        time = NOON + number

        def here(email: str | None, number: int = number) -> str | None:
            return email and email.replace("@", f".{number}@")

        people += [customer(str(here(email)), device, share, day=DAY_2) for email, share in claims.items()]
        moves += [worn(str(here(email)), time) for email in movers] + [worn(DEE, time)]
        steps.append(step(device, time))
        expected[(time, *ids(DEE, here(owner)), False)] += 1
        for mover in movers:
            expected[(time, *ids(here(mover), here(mover)), True)] += 1
    found = pairs(constructor, people, moves, steps, readings_before_consent=policy)
    assert rows(found, "sensorReadingTime", "subject_id", "device_subject_id", "same_customer") == expected


def test_a_shared_serial_number_multiplies_nothing(constructor: Constructor) -> None:
    people = [customer(email, "s") for email in (ANN, BOB, CAT)]
    found = pairs(constructor, people, [worn(ANN), worn(BOB)], [step("s")])
    assert rows(found, "subject_id", "device_subject_id") == {ids(ANN, ANN): 1, ids(BOB, BOB): 1}


@pytest.mark.parametrize("pairing", list(Pairing))
@pytest.mark.parametrize("second", [f"id of {ANN}", "0 under an older key"])
def test_a_customer_in_two_partitions_multiplies_nothing(
    constructor: Constructor, pairing: Pairing, second: str
) -> None:
    """One of them is stale, and reconciled later."""
    names = [curated(ANN), {**curated(ANN, DAY_2), "subject_id": second}]
    people = [customer(ANN, "s"), customer(ANN, "s", update=2, day=DAY_2)]
    found = pairs(constructor, people, [worn(ANN)], [step("s")], names, pairing=pairing)
    assert rows(found, "sensorReadingTime", "same_customer") == {(NOON, True): 1}


@pytest.mark.parametrize("pairing", list(Pairing))
def test_stale_rows_are_left_out(constructor: Constructor, pairing: Pairing) -> None:
    """BOB and CAT withdrew; their readings, and CAT's curated row, are still there."""
    people = [customer(ANN, "a"), customer(BOB, "b", None, 2), customer(CAT, "c", None, 2), customer(DEE, "d")]
    found = pairs(
        constructor,
        people,
        [worn(ANN), worn(BOB), worn(CAT), worn(DEE, NOON + 1)],
        [step("b"), step("c"), step("a"), step("a", NOON + 1)],
        [curated(ANN), curated(CAT)],
        pairing=pairing,
    )
    # DEE is not curated yet, so there is no pseudonym to write.
    assert rows(found, "sensorReadingTime", "subject_id", "device_subject_id") == {(NOON, *ids(ANN, ANN)): 1}


def test_who_claims_is_the_latest_records_say(constructor: Constructor) -> None:
    people = [customer(ANN, "s"), customer(BOB, "s"), customer("ANN@example.com", "t", update=2, day=DAY_2)]
    found = pairs(constructor, people, [worn(ANN)], [step("s")], [curated(ANN), curated(BOB)])
    assert rows(found, "subject_id", "device_subject_id", "same_customer") == {(*ids(ANN, BOB), False): 1}


def test_the_types_are_the_contracts(constructor: Constructor) -> None:
    found = pairs(constructor, [customer(ANN, "s", LONG_AGO)], [worn(ANN)], [step("s")])
    ((time, distance, same),) = rows(found, "sensorReadingTime", "distanceFromObject", "same_customer")
    assert (time, distance) == (NOON, 7)
    assert bool(same)
