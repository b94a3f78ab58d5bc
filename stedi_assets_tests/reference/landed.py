"""Files, people and days that the tests of the reference computation land, and rows as they read them.

All people are invented.
"""

from __future__ import annotations

import json
from datetime import date

from stedi_assets.reference import COLUMNS, LandedFile, Row, Tables, pseudonym
from stedi_assets_tests.kit.records import NOON, Record

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


C: Record = {"email": "e@x", "serialNumber": "s", "lastUpdateDate": 1_690_000_000_000}
A: Record = {"user": "u", "timestamp": NOON, "x": 1, "y": 1, "z": 1}
S: Record = {"sensorReadingTime": NOON, "serialNumber": "s", "distanceFromObject": 1}


def variant(record: Record, **changes: str | None) -> bytes:
    """Encode a record with fields set to JSON literals, or left out."""
    literals = {key: json.dumps(value) for key, value in record.items()}
    pairs = {**literals, **changes}.items()
    return b"{%s}" % ",".join(f'"{k}":{v}' for k, v in pairs if v is not None).encode()


def ids(*people: str | None) -> tuple[str | None, ...]:
    """Return the pseudonyms of people."""
    return tuple(None if one is None else pseudonym(one, KEY) for one in people)
