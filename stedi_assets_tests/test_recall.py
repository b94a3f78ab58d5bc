"""What is remembered of files: right after every change, and computed again for what changed only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from stedi_assets.contracts import Table, table
from stedi_assets.contracts.render import arrow_schema
from stedi_assets.engines.duckdb import DuckDBEngine
from stedi_assets.lakehouse import DataFile, Lakehouse
from stedi_assets.recall import Recall
from stedi_assets.recall.digests import day_of

MOVES, PEOPLE = table("accelerometer_landing"), table("customer_landing")
MONDAY, TUESDAY = date(2023, 8, 7), date(2023, 8, 8)
NOON = 1_691_409_600_000


class Counting(DuckDBEngine):
    """Remembers which days were read."""

    def __init__(self) -> None:
        super().__init__(threads=1)
        self.read: list[date] = []

    def relation(self, table: Table, files: Sequence[DataFile]) -> Any:
        self.read += sorted({file.landing_date for file in files})
        return super().relation(table, files)


@pytest.fixture
def engine() -> Iterator[Counting]:
    with Counting() as engine:
        yield engine


def put(engine: DuckDBEngine, lakehouse: Lakehouse, contract: Table, day: date, rows: list[dict[str, Any]]) -> None:
    whole = [dict.fromkeys(contract.column_names) | row | {"landing_date": day} for row in rows]
    frame = engine.frame(pa.Table.from_pylist(whole, arrow_schema(contract)))
    lakehouse.replace(contract, [day], engine.write(frame, lakehouse, contract, {day: "0" * 16}))


def moves(*users: str) -> list[dict[str, Any]]:
    return [{"user": user, "timestamp": NOON, "x": 0.0, "y": 0.0, "z": 0.0, "source_file": "f"} for user in users]


def test_who_is_in_a_partition(engine: Counting, tmp_path: Path) -> None:
    lakehouse, recall = Lakehouse(str(tmp_path)), Recall(engine)

    def seen(days: set[date] | None = None) -> list[tuple[date, str]]:
        engine.read.clear()
        found = recall.seen(lakehouse.snapshot(MOVES), days)
        names = recall.emails.texts(found.codes).to_pylist()
        assert found.days == sorted(found.days)
        numbers = found.day_numbers().tolist()
        return sorted(zip(map(day_of, numbers), names))

    assert seen() == []
    put(engine, lakehouse, MOVES, MONDAY, moves(" Ann@example.com", "ann@example.com", "bob@example.com"))
    put(engine, lakehouse, MOVES, TUESDAY, moves("ann@example.com"))
    assert seen({TUESDAY}) == [(TUESDAY, "ann@example.com")]
    assert engine.read == [TUESDAY]
    both = [(MONDAY, "ann@example.com"), (MONDAY, "bob@example.com"), (TUESDAY, "ann@example.com")]
    assert seen() == both
    assert engine.read == [MONDAY]
    assert seen() == both
    assert engine.read == []
    # A partition that is replaced is read again, and so is one that lost its rows.
    put(engine, lakehouse, MOVES, MONDAY, moves("cat@example.com"))
    assert seen() == [(MONDAY, "cat@example.com"), (TUESDAY, "ann@example.com")]
    assert engine.read == [MONDAY]
    put(engine, lakehouse, MOVES, MONDAY, [])
    assert seen() == [(TUESDAY, "ann@example.com")]
    # An older version of the table is remembered as little as it is mistaken for the newest.
    assert seen({MONDAY}) == []


def test_who_consents(engine: Counting, tmp_path: Path) -> None:
    lakehouse, recall = Lakehouse(str(tmp_path)), Recall(engine)

    def people() -> dict[str, tuple[int | None, date]]:
        engine.read.clear()
        found = recall.people_table(lakehouse.snapshot(PEOPLE))
        return {row["email"]: (row["consented_at"], row["record_landed"]) for row in found.to_pylist()}

    def record(update: int, share: int | None) -> dict[str, Any]:
        return {
            "email": "ann@example.com",
            "serialNumber": "s",
            "lastUpdateDate": update,
            "shareWithResearchAsOfDate": share,
            "source_file": "f",
            "source_line": 1,
        }

    assert people() == {}
    put(engine, lakehouse, PEOPLE, MONDAY, [record(1, NOON)])
    assert people() == {"ann@example.com": (NOON, MONDAY)}
    assert people() == {"ann@example.com": (NOON, MONDAY)}
    assert engine.read == []
    put(engine, lakehouse, PEOPLE, TUESDAY, [record(2, None)])
    assert people() == {"ann@example.com": (None, TUESDAY)}
