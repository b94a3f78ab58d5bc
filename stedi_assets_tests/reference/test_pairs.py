"""Which readings pair, and whose the device of a pair is."""

from __future__ import annotations

from collections import Counter

import pytest

from stedi_assets.reference import (
    ReadingsBeforeConsent,
    compute,
)
from stedi_assets_tests.kit.records import NOON, Record
from stedi_assets_tests.kit.records import accelerometer_record as worn
from stedi_assets_tests.kit.records import customer_record as customer
from stedi_assets_tests.kit.records import step_record as step
from stedi_assets_tests.reference.landed import (
    ANN,
    BOB,
    CAT,
    DAY_1,
    DAY_2,
    DAY_3,
    DEE,
    KEY,
    ids,
    landed,
    rows,
)


def test_a_pair_lies_where_its_later_half_landed() -> None:
    tables = compute(
        [
            landed("customer", customer(ANN, "s"), day=DAY_3),
            landed("accelerometer", worn(ANN, NOON, 1.5), worn(ANN, NOON + 1, 2.5), day=DAY_1),
            landed("accelerometer", worn(ANN, NOON, 3.5), day=DAY_2),
            landed("step_trainer", step("s", NOON), day=DAY_1),
            landed("step_trainer", step("s", NOON + 1, 8), step("s", NOON + 2), day=DAY_2),
        ],
        KEY,
    )
    ann = ids(ANN, ANN)
    assert rows(tables, "machine_learning_curated") == [
        (*ann, NOON, 7, 1.5, 2.0, 3.0, True, DAY_1),
        (*ann, NOON, 7, 3.5, 2.0, 3.0, True, DAY_2),
        (*ann, NOON + 1, 8, 2.5, 2.0, 3.0, True, DAY_2),
    ]


def test_readings_landed_on_two_days_pair_twice() -> None:
    tables = compute(
        [
            landed("customer", customer(ANN, "s")),
            landed("accelerometer", worn(ANN), worn(ANN), day=DAY_2),
            landed("step_trainer", step("s"), step("S"), day=DAY_1),
            landed("step_trainer", step("S"), step("s"), day=DAY_2),
        ],
        KEY,
    )
    row = (*ids(ANN, ANN), NOON, 7, 1.0, 2.0, 3.0, True, DAY_2)
    assert tables["machine_learning_curated"] == Counter({row: 2})


def test_pairs_of_different_customers_depend_on_the_pairing() -> None:
    files = [
        landed("customer", customer(ANN, "s1"), customer(BOB, "s2"), customer(CAT, "s3", None)),
        landed("accelerometer", worn(ANN), worn(BOB), worn(CAT)),
        landed("step_trainer", step("s1"), step("s3")),
    ]
    columns = ("subject_id", "device_subject_id", "same_customer")
    same, other = (*ids(ANN, ANN), True), (*ids(BOB, ANN), False)
    by_time = rows(compute(files, KEY, pairing="timestamp"), "machine_learning_curated", *columns)
    assert sorted(by_time, key=repr) == sorted([same, other], key=repr)
    by_customer = rows(compute(files, KEY, pairing="customer"), "machine_learning_curated", *columns)
    assert by_customer == [same]


OWNERS = (customer(ANN, "s"), customer(BOB, "s"), customer(DEE, "own"))


@pytest.mark.parametrize(
    ("customers", "wearers", "policy", "expected"),
    [
        pytest.param(OWNERS, [ANN], "include", {(ANN, ANN, True)}, id="wearer is a claimant"),
        pytest.param(
            OWNERS,
            [ANN, BOB],
            "include",
            {(ANN, ANN, True), (BOB, BOB, True)},
            id="each wearer is a claimant",
        ),
        pytest.param(
            (*OWNERS[::2], customer(CAT, "s", None)),
            [ANN, DEE],
            "include",
            {(ANN, ANN, True), (DEE, ANN, False)},
            id="the one consenting claimant, wearing",
        ),
        pytest.param(OWNERS[::2], [DEE], "include", {(DEE, ANN, False)}, id="the one claimant, not wearing"),
        pytest.param(
            OWNERS,
            [BOB, DEE],
            "include",
            {(BOB, BOB, True), (DEE, BOB, False)},
            id="of several, the one who wears",
        ),
        pytest.param(OWNERS, [DEE], "include", {(DEE, None, False)}, id="of several, none wears"),
        pytest.param(
            OWNERS,
            [ANN, BOB, DEE],
            "include",
            {(ANN, ANN, True), (BOB, BOB, True), (DEE, None, False)},
            id="of several, more than one wears",
        ),
        pytest.param(
            (OWNERS[0], customer(BOB, "s", NOON + 1), OWNERS[2]),
            [ANN, DEE],
            "exclude",
            {(ANN, ANN, True), (DEE, ANN, False)},
            id="one consenting at the time",
        ),
    ],
)
def test_device_subject(
    customers: tuple[Record, ...],
    wearers: list[str],
    policy: ReadingsBeforeConsent,
    expected: set[tuple[str, str | None, bool]],
) -> None:
    """Device `s` has a step reading at noon; some of its claimants and others wear a phone then."""
    tables = compute(
        [
            landed("customer", *customers),
            landed("accelerometer", worn(ANN, NOON - 5), *(worn(wearer) for wearer in wearers)),
            landed("step_trainer", step("s")),
        ],
        KEY,
        policy,
    )
    columns = ("subject_id", "device_subject_id", "same_customer")
    found = Counter(rows(tables, "machine_learning_curated", *columns))
    assert found == Counter((*ids(wearer, device), same) for wearer, device, same in expected)
