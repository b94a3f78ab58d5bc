"""Which lines are good, and which are rejected: the reference computation, line by line."""

from __future__ import annotations

from datetime import date

import pytest

from stedi_assets.reference import (
    compute,
    last_millisecond,
)
from stedi_assets_tests.kit.records import NOON
from stedi_assets_tests.reference.landed import (
    DAY_1,
    DAY_1_END,
    KEY,
    A,
    C,
    S,
    landed,
    rows,
    variant,
)


@pytest.mark.parametrize(
    ("table", "line"),
    [
        pytest.param(table, line, id=f"{table}-{number}")
        for number, (table, line) in enumerate(
            [
                *(("step_trainer", line) for line in (b"x", b"null", b"7", b'"s"', b"{}")),
                ("step_trainer", variant(S)[:-1]),
                ("step_trainer", variant(S).replace(b"}", b",}")),
                ("step_trainer", variant(S).replace(b'"', b"'")),
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
                ("customer", variant(C, Email='"e@x"')),
                ("customer", variant(C, lastUpdateDate="1420070399999")),
                ("customer", variant(C, lastUpdateDate=f"{DAY_1_END + 86_400_001}")),
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
    assert rows(tables, "landing_quarantine") == [(f"{table}_landing", DAY_1, path, 2, 1)]
    assert rows(tables, f"{table}_landing") == []


@pytest.mark.parametrize(
    ("table", "line", "field", "value"),
    [
        ("customer", variant(C, phone="null"), "phone", None),
        ("customer", variant(C, phone='""'), "phone", ""),
        ("customer", variant(C, registrationDate=f"{-(2**63)}"), "registrationDate", -(2**63)),
        ("customer", variant(C, registrationDate=f"{2**63 - 1}"), "registrationDate", 2**63 - 1),
        ("customer", variant(C, email=None, Email='"e@x"'), "email", "e@x"),
        ("step_trainer", b"[" + variant(S) + b"]", "serialNumber", "s"),
        ("step_trainer", variant(S) + b",", "serialNumber", "s"),
        (
            "customer",
            variant(C, customerName='"Zo\\u00eb \\ud83d\\ude00"'),
            "customerName",
            "Zoë 😀",
        ),
        ("customer", variant(C, customerName='"a\u2028\u0085b"'), "customerName", "a\u2028\u0085b"),
        ("customer", variant(C, serialNumber='"\u00a0"'), "serialNumber", "\u00a0"),
        ("customer", variant(C, other='{"q":1,"q":[1e999]}'), "email", "e@x"),
        ("customer", variant(C).replace(b"email", b"\\u0065mail"), "email", "e@x"),
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


def test_the_end_of_a_day() -> None:
    assert last_millisecond(DAY_1) == DAY_1_END
    assert last_millisecond(date(1970, 1, 1)) == 86_399_999
