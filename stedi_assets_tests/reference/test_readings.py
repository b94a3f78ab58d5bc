"""Which readings of both sensors count, and when those of a shared device do."""

from __future__ import annotations

import pytest

from stedi_assets.reference import (
    ReadingsBeforeConsent,
    compute,
    pseudonym,
)
from stedi_assets_tests.kit.records import LONG_AGO, NOON, UPDATED, Record
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
    A,
    emails,
    landed,
    rows,
    variant,
)


def test_accelerometer_trusted_is_of_consenting_customers_once_a_landing_day() -> None:
    tables = compute(
        [
            landed("customer", customer(ANN, "s1"), customer(BOB, "s2", None), day=DAY_3),
            landed(
                "accelerometer",
                worn(ANN),
                worn(" ANN@example.com "),
                variant(A, user=f'"{ANN}"', x="1", y="2", z="3"),
                worn(ANN, x=5.0),
                worn(BOB),
                worn(CAT),
                b"broken",
            ),
            landed("accelerometer", worn(ANN), b"", day=DAY_1, name="b.json"),
            landed("accelerometer", worn(ANN), day=DAY_2),
        ],
        KEY,
    )
    assert rows(tables, "accelerometer_trusted") == [
        (ANN, NOON, 1.0, 2.0, 3.0, DAY_1),
        (ANN, NOON, 1.0, 2.0, 3.0, DAY_2),
        (ANN, NOON, 5.0, 2.0, 3.0, DAY_1),
    ]
    assert tables["accelerometer_landing"].total() == 9 - 1


def test_customers_curated_have_readings() -> None:
    tables = compute(
        [
            landed("customer", customer(ANN, "s1"), customer(BOB, "s2"), customer(CAT, "s", None)),
            landed("accelerometer", worn("Ann@Example.com"), worn(CAT), worn(DEE), day=DAY_2),
            landed("step_trainer", step("s2")),
        ],
        KEY,
    )
    assert emails(tables) == [(ANN,), (BOB,)]
    ann = (None, ANN, None, None, "s1", None, UPDATED + 1, LONG_AGO, None, None, DAY_1)
    assert rows(tables, "customers_curated") == [(pseudonym(ANN, KEY), *ann)]


def test_subject_id_is_hmac_sha256_in_hex() -> None:
    """Compare with test case 2 of RFC 4231."""
    assert pseudonym("what do ya want for nothing?", b"Jefe") == (
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    )


def test_readings_before_consent_are_excluded_of_both_sensors() -> None:
    files = [
        landed("customer", customer(ANN, "s1", NOON), customer(BOB, "s2", NOON)),
        landed("accelerometer", worn(ANN, NOON - 1), worn(ANN, NOON), worn(BOB, NOON - 1)),
        landed("step_trainer", *(step(f"s{n}", NOON - m) for n in (1, 2) for m in (0, 1))),
    ]
    tables = compute(files, KEY, "exclude")
    assert emails(tables) == [(ANN,), (BOB,)]
    assert rows(tables, "accelerometer_trusted", "user", "timestamp") == [(ANN, NOON)]
    assert emails(tables, "customers_curated") == [(ANN,)]
    columns = ("serialNumber", "sensorReadingTime")
    assert rows(tables, "step_trainer_trusted", *columns) == [("s1", NOON)]
    assert tables["machine_learning_curated"].total() == 1

    tables = compute(files, KEY, "include")
    assert tables["accelerometer_trusted"].total() == 3
    assert emails(tables, "customers_curated") == [(ANN,), (BOB,)]
    assert tables["step_trainer_trusted"].total() == 4
    assert tables["machine_learning_curated"].total() == 2 + 4


def test_step_trainer_trusted_is_of_devices_of_curated_customers() -> None:
    tables = compute(
        [
            landed("customer", customer(ANN, " SN-1"), customer(BOB, "s2"), customer(CAT, "s3", 0)),
            landed("customer", customer(ANN, "s0", update=0), name="b.json"),
            landed("accelerometer", worn(ANN, LONG_AGO), worn(CAT, NOON)),
            landed(
                "step_trainer",
                step("sn-1"),
                step("Sn-1\t"),
                step("SN-1", distance=8),
                *(step(serial) for serial in ("s0", "s2", "s3", "stray")),
                day=DAY_2,
            ),
            landed("step_trainer", step("sn-1"), day=DAY_3),
        ],
        KEY,
    )
    assert rows(tables, "step_trainer_trusted") == [
        (NOON, "sn-1", 7, DAY_2),
        (NOON, "sn-1", 7, DAY_3),
        (NOON, "sn-1", 8, DAY_2),
    ]
    assert rows(tables, "machine_learning_curated") == []


SHARED = (customer(ANN, "s"), customer(BOB, "S "))
MIXED = (*SHARED, customer(CAT, "s", None), customer(DEE, "s", None))
ELSEWHERE = worn(ANN, NOON - 5)
BORN_LATER = (customer(ANN, "s"), customer(BOB, "s", NOON + 1))


@pytest.mark.parametrize(
    ("customers", "readings", "policy", "used"),
    [
        pytest.param(SHARED, [ELSEWHERE], "include", True, id="all consent, one has readings"),
        pytest.param(SHARED, [], "include", False, id="all consent, nobody has readings"),
        pytest.param(SHARED, [worn(ANN), worn(BOB)], "include", True, id="all consent, all wear"),
        pytest.param(MIXED, [ELSEWHERE], "include", False, id="mixed, nobody wears"),
        pytest.param(MIXED, [worn(ANN)], "include", True, id="mixed, a consenting one wears"),
        pytest.param(MIXED, [worn(ANN), worn(BOB)], "include", True, id="mixed, two of them wear"),
        pytest.param(MIXED, [worn(ANN), worn(CAT)], "include", False, id="mixed, a refusing one wears too"),
        pytest.param(MIXED, [ELSEWHERE, worn(CAT)], "include", False, id="mixed, a refusing one wears"),
        pytest.param(MIXED, [worn(ANN), worn(CAT, NOON - 1)], "include", True, id="refusing one wears before"),
        pytest.param(MIXED, [ELSEWHERE, worn("x")], "include", False, id="mixed, a stranger wears"),
        pytest.param(MIXED[2:], [worn(CAT)], "include", False, id="nobody consents"),
        pytest.param(BORN_LATER, [ELSEWHERE], "include", True, id="later consent, included"),
        pytest.param(BORN_LATER, [ELSEWHERE], "exclude", False, id="later consent, excluded"),
        pytest.param(BORN_LATER, [worn(ANN)], "exclude", True, id="later consent, other wears"),
        pytest.param(BORN_LATER, [worn(ANN), worn(BOB)], "exclude", False, id="later consent, both wear"),
        pytest.param(BORN_LATER, [worn(BOB), worn(BOB, NOON + 1)], "exclude", False, id="not yet consenting"),
    ],
)
def test_step_readings_of_a_shared_serial_number(
    customers: tuple[Record, ...],
    readings: list[Record],
    policy: ReadingsBeforeConsent,
    *,
    used: bool,
) -> None:
    """Customers share device `s`; one step reading at noon, landed on another day."""
    files = [
        landed("customer", *customers),
        landed("accelerometer", *readings, day=DAY_3),
        landed("step_trainer", step("s"), day=DAY_2),
    ]
    tables = compute(files, KEY, policy)
    assert rows(tables, "step_trainer_trusted") == [(NOON, "s", 7, DAY_2)] * used


def test_a_serial_number_is_claimed_by_the_latest_record_alone() -> None:
    """A refusing customer who gave the device up no longer bars its readings."""
    before = landed("customer", customer(ANN, "s"), customer(CAT, "s", None, update=1))
    after = landed("customer", customer(CAT, "other", None, update=2), day=DAY_2)
    readings = [landed("accelerometer", ELSEWHERE), landed("step_trainer", step("s"))]
    assert compute([before, *readings], KEY)["step_trainer_trusted"].total() == 0
    assert compute([before, after, *readings], KEY)["step_trainer_trusted"].total() == 1
