"""Tests of the oracle itself: what makes `rules` and `histories` fit to test the product with.

What belongs here: tiny hand-written cases with the rows that a person expects, one for every rule
and branch; properties of the strategies; the published counts of the reference data. What does
not: anything of the product. All people are invented.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
from collections import Counter
from datetime import date, datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from stedi_assets_tests.kit.examples import examples
from stedi_assets_tests.kit.records import LONG_AGO, NOON, Record
from stedi_assets_tests.kit.records import accelerometer_record as worn
from stedi_assets_tests.kit.records import customer_record as customer
from stedi_assets_tests.kit.records import step_record as step

from .histories import DAYS, History, Step, histories, schedules
from .rules import (
    ASSETS,
    COLUMNS,
    LANDING_TABLES,
    LandedFile,
    Landing,
    Row,
    Tables,
    compute,
    land,
    last_millisecond,
    pseudonym,
    refine,
)

if TYPE_CHECKING:
    from .rules import Pairing, ReadingsBeforeConsent

KEY = b"a key for tests"
DAY_1, DAY_2, DAY_3 = date(2023, 8, 6), date(2023, 8, 7), date(2023, 8, 8)
DAY_1_END = 1_691_366_399_999  # 2023-08-06T23:59:59.999Z

ANN, BOB, CAT, DEE = "ann@example.com", "bob@example.com", "cat@example.com", "dee@example.com"


def landed(table: str, *lines: Record | bytes, day: date = DAY_1, name: str = "a.json") -> LandedFile:
    """Make a file of records or raw lines, of a table named without `_landing`."""
    raw = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    return whole(table, b"".join(line + b"\n" for line in raw), day=day, name=name)


def whole(table: str, content: bytes, *, day: date = DAY_1, name: str = "a.json") -> LandedFile:
    """Make a file of its bytes."""
    path = f"{table}_landing/landing_date={day}/{name}"
    return LandedFile(f"{table}_landing", day, path, content)


def rows(tables: Tables, table: str, *columns: str) -> list[Row]:
    """Return a table's rows as often as they occur, cut to some columns, in order."""
    places = [COLUMNS[table].index(column) for column in columns or COLUMNS[table]]
    return sorted((tuple(row[n] for n in places) for row in tables[table].elements()), key=repr)


def emails(tables: Tables, table: str = "customer_trusted") -> list[Row]:
    """Return who is in a customer table."""
    return rows(tables, table, "email")


# --- landing ------------------------------------------------------------------------------------


def test_landing_keeps_values_as_delivered() -> None:
    full = {
        "customerName": " Ann Example ",
        "email": " Ann@Example.com",
        "phone": "5550100",
        "birthDay": "31 January 1850",
        "serialNumber": "SN-1 ",
        "registrationDate": 1,
        "lastUpdateDate": 2,
        "shareWithResearchAsOfDate": 3,
        "shareWithPublicAsOfDate": 0,
        "shareWithFriendsAsOfDate": -5,
    }
    tables = compute(
        [
            landed("customer", full, customer("b", "s", None), name="c.json"),
            landed("accelerometer", worn(" Ann@Example.com"), worn(" Ann@Example.com"), day=DAY_2),
            landed("step_trainer", step("SN-1 ")),
        ],
        KEY,
    )
    c = "customer_landing/landing_date=2023-08-06/c.json"
    assert rows(tables, "customer_landing") == [
        (*tuple(full.values()), c, 1, DAY_1),
        (None, "b", None, None, "s", None, 1, None, None, None, c, 2, DAY_1),
    ]
    a = "accelerometer_landing/landing_date=2023-08-07/a.json"
    assert rows(tables, "accelerometer_landing") == [(" Ann@Example.com", NOON, 1.0, 2.0, 3.0, a, DAY_2)] * 2
    s = "step_trainer_landing/landing_date=2023-08-06/a.json"
    assert rows(tables, "step_trainer_landing") == [(NOON, "SN-1 ", 7, s, DAY_1)]
    assert rows(tables, "landing_quarantine") == []
    assert rows(tables, "skipped_files") == []
    assert set(tables) == set(COLUMNS)


def test_lines_end_at_newline_alone_and_blank_ones_count_but_are_nothing() -> None:
    one, two = json.dumps(step("s1")).encode(), json.dumps(step("s2")).encode()
    content = b"\xef\xbb\xbf" + one + b"\r\n\n \t\r\n\v\f\nbroken\n" + two.replace(b", ", b",\r") + b"\r"
    tables = compute([whole("step_trainer", content)], KEY)
    assert rows(tables, "step_trainer_landing", "serialNumber") == [("s1",), ("s2",)]
    assert rows(tables, "landing_quarantine", "line_number") == [(5,)]


def test_byte_order_mark_counts_only_at_the_start_of_a_file() -> None:
    line = b"\xef\xbb\xbf" + json.dumps(step("s1")).encode()
    tables = compute([landed("step_trainer", line, line)], KEY)
    assert rows(tables, "landing_quarantine", "line_number") == [(2,)]


def test_gzip_is_read_by_name_and_may_be_unreadable() -> None:
    text = json.dumps(step("s1")).encode() + b"\nbroken"
    packed = whole("step_trainer", gzip.compress(text), name="a.json.gz")
    tables = compute([packed], KEY)
    assert rows(tables, "step_trainer_landing", "serialNumber", "source_file") == [
        ("s1", "step_trainer_landing/landing_date=2023-08-06/a.json.gz")
    ]
    assert rows(tables, "landing_quarantine") == [
        ("step_trainer_landing", DAY_1, "step_trainer_landing/landing_date=2023-08-06/a.json.gz", 2)
    ]
    with pytest.raises(EOFError):
        land([whole("step_trainer", packed.content[:-9], name="a.json.gz")])


C: Record = {"email": "e", "serialNumber": "s", "lastUpdateDate": 1}
A: Record = {"user": "u", "timestamp": NOON, "x": 1, "y": 1, "z": 1}
S: Record = {"sensorReadingTime": NOON, "serialNumber": "s", "distanceFromObject": 1}


def variant(record: Record, **changes: str | None) -> bytes:
    """Encode a record with fields set to JSON literals, or left out."""
    literals = {key: json.dumps(value) for key, value in record.items()}
    pairs = {**literals, **changes}.items()
    return b"{%s}" % ",".join(f'"{k}":{v}' for k, v in pairs if v is not None).encode()


@pytest.mark.parametrize(
    ("table", "line"),
    [
        pytest.param(table, line, id=f"{table}-{number}")
        for number, (table, line) in enumerate(
            [
                *(("step_trainer", line) for line in (b"x", b"null", b"7", b'"s"', b"{}", b"[]")),
                ("step_trainer", variant(S)[:-1]),
                ("step_trainer", b"[" + variant(S) + b"]"),
                ("step_trainer", variant(S) + variant(S)),
                ("step_trainer", variant(S) + b","),
                ("step_trainer", variant(S).replace(b"}", b",}")),
                ("step_trainer", variant(S).replace(b'"', b"'")),
                ("step_trainer", variant(S) + b"\xc2\xa0"),
                ("step_trainer", variant(S, serialNumber='"\\ud800"')),
                ("step_trainer", variant(S, other='["\\udfff"]')),
                ("step_trainer", variant(S, other="NaN")),
                ("step_trainer", variant(S, other='"\t"')),
                ("step_trainer", variant(S).replace(b'"s"', b'"\xff"')),
                # repeats a key: a known one, one with the same value, an unknown, an escaped one
                ("step_trainer", variant(S).replace(b"}", b',"distanceFromObject":2}')),
                ("step_trainer", variant(S).replace(b"}", b',"distanceFromObject":1}')),
                ("step_trainer", variant(S).replace(b"}", b',"q":1,"q":1}')),
                ("step_trainer", variant(S).replace(b"}", b',"\\u0073erialNumber":"s"}')),
                # lacks a required field
                *(("customer", variant(C, **{key: None})) for key in C),
                *(("customer", variant(C, **{key: "null"})) for key in C),
                *(("accelerometer", variant(A, **{key: None})) for key in A),
                *(("accelerometer", variant(A, **{key: "null"})) for key in A),
                *(("step_trainer", variant(S, **{key: None})) for key in S),
                *(("step_trainer", variant(S, **{key: "null"})) for key in S),
                *(("customer", variant(C, email=blank)) for blank in ('""', '" \\t\\n\\f"')),
                ("customer", variant(C, serialNumber='"\\u000b\\r"')),
                ("accelerometer", variant(A, user='" "')),
                ("step_trainer", variant(S, serialNumber='""')),
                ("customer", variant(C, email=None, Email='"e"')),
                # a field of the wrong type
                *(
                    ("step_trainer", variant(S, distanceFromObject=literal))
                    for literal in (
                        "1.5",
                        "1e-1",
                        "1e300",
                        "1e999",
                        f"{2**53}.0",
                        "-1.0",
                        '"1"',
                        "true",
                        "[]",
                        "{}",
                        "-1",
                    )
                ),
                ("step_trainer", variant(S, distanceFromObject=f"{2**63}")),
                ("step_trainer", variant(S, distanceFromObject="9" * 5000)),
                ("step_trainer", variant(S, serialNumber="5")),
                ("step_trainer", variant(S, sensorReadingTime=f"{NOON}.5")),
                ("accelerometer", variant(A, timestamp=f'"{NOON}"')),
                ("customer", variant(C, lastUpdateDate=f"{-(2**63) - 1}")),
                ("customer", variant(C, email="[]")),
                ("customer", variant(C, phone="5550100")),
                ("customer", variant(C, birthDay="false")),
                ("customer", variant(C, shareWithResearchAsOfDate='"1"')),
                ("customer", variant(C, shareWithFriendsAsOfDate="1.5")),
                # no number, or one that is not finite
                *(
                    ("accelerometer", variant(A, x=literal))
                    for literal in ("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" * 400)
                ),
                *(
                    ("accelerometer", variant(A, z=literal))
                    for literal in ('"1"', "true", "[1]", "01", "+1", ".5", "1.")
                ),
                # out of time
                ("accelerometer", variant(A, timestamp="1420070399999")),
                ("accelerometer", variant(A, timestamp="-1")),
                ("accelerometer", variant(A, timestamp=f"{DAY_1_END + 86_400_001}")),
                ("step_trainer", variant(S, sensorReadingTime="1420070399999")),
                ("step_trainer", variant(S, sensorReadingTime=f"{DAY_1_END + 86_400_001}")),
            ]
        )
    ],
)
def test_bad_line_is_quarantined(table: str, line: bytes) -> None:
    tables = compute([landed(table, b"", line)], KEY)
    path = f"{table}_landing/landing_date=2023-08-06/a.json"
    assert rows(tables, "landing_quarantine") == [(f"{table}_landing", DAY_1, path, 2)]
    assert rows(tables, f"{table}_landing") == []


@pytest.mark.parametrize(
    ("table", "line", "field", "value"),
    [
        ("customer", variant(C, phone="null"), "phone", None),
        ("customer", variant(C, phone='""'), "phone", ""),
        ("customer", variant(C, lastUpdateDate=f"{-(2**63)}"), "lastUpdateDate", -(2**63)),
        ("customer", variant(C, lastUpdateDate=f"{2**63 - 1}"), "lastUpdateDate", 2**63 - 1),
        (
            "customer",
            variant(C, customerName='"Zo\\u00eb \\ud83d\\ude00"'),
            "customerName",
            "Zoë 😀",
        ),
        ("customer", variant(C, customerName='"a\u2028\u0085b"'), "customerName", "a\u2028\u0085b"),
        ("customer", variant(C, email='"\u00a0"'), "email", "\u00a0"),
        ("customer", variant(C, Email="1"), "email", "e"),
        ("customer", variant(C, other='{"q":1,"q":[1e999]}'), "email", "e"),
        ("customer", variant(C).replace(b"email", b"\\u0065mail"), "email", "e"),
        ("step_trainer", variant(S, distanceFromObject="-0"), "distanceFromObject", 0),
        ("step_trainer", variant(S, distanceFromObject="-0.0"), "distanceFromObject", 0),
        ("step_trainer", variant(S, distanceFromObject="1.0"), "distanceFromObject", 1),
        ("step_trainer", variant(S, distanceFromObject="1e3"), "distanceFromObject", 1000),
        ("step_trainer", variant(S, distanceFromObject=f"{2**53 - 1}.0"), "distanceFromObject", 2**53 - 1),
        ("step_trainer", variant(S, sensorReadingTime=f"{NOON}.0"), "sensorReadingTime", NOON),
        ("step_trainer", b"\t " + variant(S) + b" \r", "distanceFromObject", 1),
        ("accelerometer", variant(A, x="-1e-400"), "x", 0.0),
        ("accelerometer", variant(A, x="1E2"), "x", 100.0),
        ("accelerometer", variant(A, x="12345678901234567891"), "x", 12345678901234567000.0),
        ("accelerometer", variant(A, timestamp="1420070400000"), "timestamp", 1_420_070_400_000),
        (
            "accelerometer",
            variant(A, timestamp=f"{DAY_1_END + 86_400_000}"),
            "timestamp",
            1_691_452_799_999,
        ),
    ],
)
def test_good_line_arrives(table: str, line: bytes, field: str, value: object) -> None:
    tables = compute([landed(table, line)], KEY)
    assert rows(tables, f"{table}_landing", field) == [(value,)]
    assert rows(tables, "landing_quarantine") == []


def test_file_with_the_bytes_of_an_earlier_one_is_skipped() -> None:
    lines = (step("s1"), b"broken", b"", step("s1"))
    files = [
        landed("step_trainer", *lines, day=DAY_2, name="a.json"),
        landed("step_trainer", *lines, day=DAY_1, name="c.json"),
        landed("step_trainer", *lines, day=DAY_1, name="b.json"),
        landed("step_trainer", *lines, b"", day=DAY_1, name="d.json"),
    ]
    tables = compute(files, KEY)
    assert rows(tables, "skipped_files") == [
        (
            "step_trainer_landing",
            DAY_1,
            "step_trainer_landing/landing_date=2023-08-06/c.json",
            3,
        ),
        (
            "step_trainer_landing",
            DAY_2,
            "step_trainer_landing/landing_date=2023-08-07/a.json",
            3,
        ),
    ]
    b, d = (f"step_trainer_landing/landing_date=2023-08-06/{name}.json" for name in "bd")
    assert rows(tables, "step_trainer_landing", "source_file") == [(b,), (b,), (d,), (d,)]
    assert rows(tables, "landing_quarantine", "source_file", "line_number") == [(b, 2), (d, 2)]


def test_duplicates_are_of_one_table_and_of_stored_bytes_and_hold_a_line() -> None:
    both = {**step("s"), **worn("u")}
    files = [
        landed("step_trainer", both),
        landed("accelerometer", both),
        whole("step_trainer", gzip.compress(json.dumps(both).encode() + b"\n"), name="a.json.gz"),
        *(whole("customer", b"", name=name, day=day) for name in "xy" for day in (DAY_1, DAY_2)),
        *(whole("customer", b"\xef\xbb\xbf \r\n\n", name=name) for name in "zw"),
    ]
    tables = compute(files, KEY)
    assert rows(tables, "skipped_files") == []
    assert tables["step_trainer_landing"].total() == 2
    assert tables["accelerometer_landing"].total() == 1


# --- customers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("research", "consents"),
    [
        (None, False),
        ("null", False),
        ("0", False),
        ("-1", False),
        ("1", True),
        (f"{DAY_1_END}", True),
        (f"{DAY_1_END + 1}", False),
    ],
)
def test_consent_is_positive_and_not_later_than_the_landing_day(research: str | None, *, consents: bool) -> None:
    line = variant(C, shareWithResearchAsOfDate=research)
    tables = compute([landed("customer", line)], KEY)
    assert emails(tables) == [("e",)] * consents


def test_consent_in_the_future_stays_none_when_its_day_comes() -> None:
    tables = compute(
        [
            landed("customer", customer(ANN, "s1", DAY_1_END + 1)),
            landed("customer", customer(BOB, "s2"), day=DAY_3),
        ],
        KEY,
    )
    assert emails(tables) == [(BOB,)]


def test_customer_trusted_is_the_latest_record_normalised() -> None:
    tables = compute(
        [
            landed("customer", customer(" ANN@Example.com\t", "OLD", update=1), day=DAY_3),
            landed(
                "customer",
                {**customer("Ann@example.COM", " SN-1\r", 5, update=2), "customerName": " Ann "},
                day=DAY_2,
            ),
        ],
        KEY,
    )
    assert rows(tables, "customer_trusted") == [(" Ann ", ANN, None, None, "sn-1", None, 2, 5, None, None, DAY_2)]
    assert tables["customer_landing"].total() == 2


@pytest.mark.parametrize(
    ("loser", "winner"),
    [
        pytest.param((2, DAY_3, "z.json"), (3, DAY_1, "a.json"), id="lastUpdateDate"),
        pytest.param((2, DAY_1, "z.json"), (2, DAY_2, "a.json"), id="landing_date"),
        pytest.param((2, DAY_1, "10.json"), (2, DAY_1, "9.json"), id="file name, as text"),
    ],
)
@pytest.mark.parametrize("grants", [True, False])
def test_latest_record_decides(loser: tuple[int, date, str], winner: tuple[int, date, str], *, grants: bool) -> None:
    files = [
        landed("customer", customer(ANN, "s", research, update), day=day, name=name)
        for (update, day, name), research in (
            (winner, 1 if grants else None),
            (loser, None if grants else 1),
        )
    ]
    assert emails(compute(files, KEY)) == [(ANN,)] * grants


@pytest.mark.parametrize("last", ["1", "0"])
def test_latest_record_of_one_file_is_its_last_line(last: str) -> None:
    other = {"1": "0", "0": "1"}[last]
    lines = [variant(C, shareWithResearchAsOfDate=literal) for literal in (other, last, "broken")]
    assert emails(compute([landed("customer", *lines)], KEY)) == [("e",)] * int(last)


def test_the_landing_day_goes_before_the_path() -> None:
    """Files need not lie in folders of their day: it may come from the name or the time."""
    contents = (json.dumps(customer(ANN, "s", research)).encode() for research in (1, None))
    files = [
        LandedFile("customer_landing", day, f"customer_landing/{name}.json", content)
        for day, name, content in zip((DAY_2, DAY_1), "az", contents, strict=True)
    ]
    assert rows(compute(files, KEY), "customer_trusted", "landing_date") == [(DAY_2,)]

    copy = LandedFile("customer_landing", DAY_3, "customer_landing/0.json", files[0].content)
    skipped = compute([copy, *files], KEY)["skipped_files"]
    assert skipped == Counter({("customer_landing", DAY_3, copy.path, 1): 1})


# --- readings of the accelerometer, and whose they are ------------------------------------------


def test_consent_history_is_every_time_somebody_shared() -> None:
    tables = compute(
        [
            landed("customer", customer(ANN, "s", 10, 1), customer(BOB, "s", None, 1), customer(DEE, "s", None, 1)),
            # Lands first and is the later one; then, of one moment: takes back, and shares again.
            landed("customer", customer(ANN, "s", 40, 4), customer(" ANN@example.com", "s", 20, 2), day=DAY_2),
            landed("customer", customer(ANN, "s", None, 3), customer(DEE, "s", 5, 2), day=DAY_3),
            landed("customer", customer(DEE, "s", 0, 2), customer(DEE, "s", 5, 2), day=DAY_3, name="b.json"),
        ],
        KEY,
    )
    ann, dee = ids(ANN, DEE)
    assert rows(tables, "consent_history") == sorted(
        [
            (ann, 1, 10, 3, DAY_3, DAY_1),
            (ann, 2, 40, None, None, DAY_2),
            (dee, 1, 5, 2, DAY_3, DAY_3),
            (dee, 2, 5, None, None, DAY_3),
        ],
        key=repr,
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
    ann = (None, ANN, None, None, "s1", None, 1, LONG_AGO, None, None, DAY_1)
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


# --- step readings ------------------------------------------------------------------------------


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


# --- pairs --------------------------------------------------------------------------------------


def ids(*people: str | None) -> tuple[str | None, ...]:
    """Return the pseudonyms of people."""
    return tuple(None if one is None else pseudonym(one, KEY) for one in people)


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
            landed("accelerometer", ELSEWHERE, *(worn(wearer) for wearer in wearers)),
            landed("step_trainer", step("s")),
        ],
        KEY,
        policy,
    )
    columns = ("subject_id", "device_subject_id", "same_customer")
    found = Counter(rows(tables, "machine_learning_curated", *columns))
    assert found == Counter((*ids(wearer, device), same) for wearer, device, same in expected)


def test_withdrawal_and_grant_anew_reach_every_table() -> None:
    history = [
        landed("customer", customer(ANN, "s", LONG_AGO, 1)),
        landed("accelerometer", worn(ANN)),
        landed("step_trainer", step("s")),
        landed("customer", customer(ANN, "s", None, 2), day=DAY_2),
        landed("customer", customer(ANN, "s", LONG_AGO, 3), day=DAY_3),
    ]
    for count, held, intervals in ((3, 1, 1), (4, 0, 1), (5, 1, 2)):
        tables = compute(history[:count], KEY)
        assert {tables[table].total() for table in ASSETS[3:] if table != "consent_history"} == {held}
        assert tables["consent_history"].total() == intervals


# --- properties ---------------------------------------------------------------------------------

POLICIES: list[tuple[ReadingsBeforeConsent, Pairing]] = [
    ("include", "timestamp"),
    ("include", "customer"),
    ("exclude", "timestamp"),
    ("exclude", "customer"),
]

few = settings(max_examples=examples(20, 60), deadline=None, suppress_health_check=[HealthCheck.too_slow])


@few
@given(st.data())
def test_the_order_of_files_says_nothing(data: st.DataObject) -> None:
    history = data.draw(histories())
    shuffled = data.draw(st.permutations(history.files))
    for policies in POLICIES:
        assert compute(shuffled, KEY, *policies) == compute(history.files, KEY, *policies)


@few
@given(histories())
def test_no_line_is_lost(history: History) -> None:
    tables = compute(history.arrived(), KEY)
    for table in LANDING_TABLES:
        for day in history.days(table):
            lines = sum(len(file.lines()) for file in history.files if (file.table, file.landing_date) == (table, day))
            kept = sum(n for row, n in tables[table].items() if row[-1] == day)
            bad = sum(n for row, n in tables["landing_quarantine"].items() if row[:2] == (table, day))
            skipped = sum(
                n * int(str(row[-1])) for row, n in tables["skipped_files"].items() if row[:2] == (table, day)
            )
            assert lines == kept + bad + skipped


@few
@given(histories())
def test_policies_only_take_away(history: History) -> None:
    landing = land(history.files)
    everything = refine(landing, KEY)
    for policies in POLICIES[1:]:
        less = refine(landing, KEY, *policies)
        for table in ASSETS[:-1]:
            assert less[table] <= everything[table]
        columns = [name for name in COLUMNS["machine_learning_curated"] if "device" not in name]
        assert Counter(rows(less, "machine_learning_curated", *columns)) <= Counter(
            rows(everything, "machine_learning_curated", *columns)
        )


@few
@given(histories())
def test_a_history_can_be_written_and_read(tmp_path_factory: pytest.TempPathFactory, history: History) -> None:
    root = tmp_path_factory.mktemp("landing")
    half = len(history.files) // 2
    history.write(root, half)
    assert len([path for path in root.rglob("*.json*") if path.is_file()]) == half
    history.write(root, start=half)
    found = []
    for path in root.rglob("*.json*"):
        table, folder, _ = path.relative_to(root).parts
        day = date.fromisoformat(folder.removeprefix("landing_date="))
        found.append(LandedFile(table, day, path.relative_to(root).as_posix(), path.read_bytes()))
    assert sorted(found, key=lambda file: file.path) == sorted(history.files, key=lambda file: file.path)
    assert set(history.days()) <= set(DAYS)


@few
@given(st.data())
def test_a_schedule_runs_every_landed_day_after_its_last_file(data: st.DataObject) -> None:
    history = data.draw(histories())
    schedule = data.draw(schedules(history))
    arrivals = [one.arrived for one in schedule]
    assert arrivals == sorted(arrivals)
    for number, file in enumerate(history.files, start=1):
        assert any(one.covers(file.landing_date, number) for one in schedule)
    for one in schedule:
        assert one.days()[0] == one.first <= one.last == one.days()[-1]
        assert one.fails_at is None or one.fails_at in one.tables
        assert set(one.tables) <= set(ASSETS)


def test_a_failed_or_partial_run_covers_nothing() -> None:
    assert Step(DAY_1, DAY_3, 2).covers(DAY_2, 2)
    assert not Step(DAY_1, DAY_3, 2).covers(DAY_2, 3)
    assert not Step(DAY_1, DAY_1, 2).covers(DAY_2, 2)
    assert not Step(DAY_1, DAY_3, 2, ("customer_landing",)).covers(DAY_2, 2)
    assert not Step(DAY_1, DAY_3, 2, ASSETS, "customer_landing").covers(DAY_2, 2)


def pair_situations(tables: Tables) -> set[str]:
    """Name what there is among the pairs that the product may get wrong."""
    found = set()
    columns = ("same_customer", "device_subject_id")
    for same_customer, device in rows(tables, "machine_learning_curated", *columns):
        found.add(f"a pair, same customer: {same_customer}, device known: {device is not None}")
    if any(count > 1 for count in tables["machine_learning_curated"].values()):
        found.add("the same pair of readings landed on two days")
    return found


def device_situations(landing: Landing, tables: Tables) -> set[str]:
    """Name what there is among customers and their devices that the product may get wrong."""
    found = set()
    last: dict[str, tuple[int, str]] = {}
    for record in landing.customers:
        known = last.get(record.email, (-1, ""))
        if known[0] == record.last_update:
            found.add("a tie in lastUpdateDate")
        last[record.email] = max(known, (record.last_update, record.serial_number))

    consenting: dict[str, set[bool]] = {}
    claims = Counter(serial for _, serial in last.values())
    trusted = {email for (email,) in emails(tables)}
    for email, (_, serial) in last.items():
        consenting.setdefault(serial, set()).add(email in trusted)
    used = {row[:2] for row in tables["step_trainer_trusted"]}
    for one in landing.steps:
        mixed = len(consenting.get(one.serial_number, ())) > 1
        number = min(claims[one.serial_number], 2)
        is_used = (one.time, one.serial_number) in used
        found.add(f"a step reading, claimants: {number}, mixed: {mixed}, used: {is_used}")
    return found


WANTED = {
    *COLUMNS,
    *(f"{table}, other under exclude" for table in ASSETS[4:] if table != "consent_history"),
    "an interval that ended",
    "an interval that ended and another that holds",
    "two intervals that say the same",
    "a pair, same customer: True, device known: True",
    "a pair, same customer: False, device known: True",
    "a pair, same customer: False, device known: False",
    "the same pair of readings landed on two days",
    "a tie in lastUpdateDate",
    "a step reading, claimants: 0, mixed: False, used: False",
    "a step reading, claimants: 1, mixed: False, used: False",
    "a step reading, claimants: 1, mixed: False, used: True",
    "a step reading, claimants: 2, mixed: False, used: False",
    "a step reading, claimants: 2, mixed: False, used: True",
    "a step reading, claimants: 2, mixed: True, used: False",
    "a step reading, claimants: 2, mixed: True, used: True",
}


def history_situations(tables: Tables) -> set[str]:
    """Name what there is among the intervals of consent that the product may get wrong."""
    found = set()
    intervals: dict[object, list[Row]] = {}
    for subject, _, *interval in rows(tables, "consent_history"):
        intervals.setdefault(subject, []).append(tuple(interval))
    for of_subject in intervals.values():
        ended = [interval for interval in of_subject if interval[1] is not None]
        if ended:
            found.add("an interval that ended" + (" and another that holds" if len(of_subject) > len(ended) else ""))
        if len(set(of_subject)) < len(of_subject):
            found.add("two intervals that say the same")
    return found


class AllSeenError(Exception):
    """Ends the search below."""


@pytest.mark.slow
def test_the_strategy_reaches_every_situation() -> None:
    missing = set(WANTED)

    @settings(
        max_examples=1000,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        backend="hypothesis-urandom",
    )
    @given(histories())
    def look(history: History) -> None:
        landing = land(history.files)
        tables, others = refine(landing, KEY), refine(landing, KEY, "exclude")
        missing.difference_update(
            {table for table in COLUMNS if tables[table]},
            {f"{one}, other under exclude" for one in COLUMNS if tables[one] != others[one]},
            pair_situations(tables),
            device_situations(landing, tables),
            history_situations(tables),
        )
        if not missing:
            raise AllSeenError

    with contextlib.suppress(AllSeenError):
        look()
    assert not missing


# --- the reference data -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference() -> Landing:
    """Read the public STEDI data set, which is no part of the project."""
    place = os.environ.get("STEDI_REFERENCE_LANDING")
    if not place or not Path(place).is_dir():
        pytest.skip(
            "the STEDI reference data is not here: clone"
            " udacity/nd027-Data-Engineering-Data-Lakes-AWS-Exercises and set"
            " STEDI_REFERENCE_LANDING to a folder that holds the files of its project/starter as"
            " customer_landing/, accelerometer_landing/ and step_trainer_landing/"
        )
    root = Path(place)
    files = []
    for path in root.glob("*_landing/*.json"):
        found = re.search(r"\d{13}", path.name)
        assert found, f"expected epoch milliseconds in the file name, found {path.name}"
        day = datetime.fromtimestamp(int(found[0]) / 1000, tz=timezone.utc).date()
        table = path.parent.name
        files.append(LandedFile(table, day, path.relative_to(root).as_posix(), path.read_bytes()))
    return land(files)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policies", "published"),
    [
        (("include", "timestamp"), (482, 40_981, 482, 14_460, 43_681, 40_981)),
        (("include", "customer"), (482, 40_981, 482, 14_460, 40_981, 40_981)),
        (("exclude", "timestamp"), (482, 32_025, 464, 11_297, 34_253, 32_025)),
        (("exclude", "customer"), (482, 32_025, 464, 11_297, 32_025, 32_025)),
    ],
)
def test_the_published_counts(
    reference: Landing,
    policies: tuple[ReadingsBeforeConsent, Pairing],
    published: tuple[int, ...],
) -> None:
    tables = refine(reference, KEY, *policies)
    counts = {table: counter.total() for table, counter in tables.items()}
    same_customer = sum(row[0] is True for row in rows(tables, ASSETS[-1], "same_customer"))
    of_published = [table for table in ASSETS if table != "consent_history"]
    assert tuple(counts[table] for table in of_published) == (956, 81_273, 28_680, *published[:-1])
    assert same_customer == published[-1]
    assert counts["landing_quarantine"] == counts["skipped_files"] == 0


def test_the_end_of_a_day() -> None:
    assert last_millisecond(DAY_1) == DAY_1_END
    assert last_millisecond(date(1970, 1, 1)) == 86_399_999
