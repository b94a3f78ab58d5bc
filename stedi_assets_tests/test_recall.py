"""What is remembered of files: right after every change, and computed again for what changed only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from stedi_assets import transforms
from stedi_assets.contracts import Table, table
from stedi_assets.contracts.render import arrow_schema
from stedi_assets.engines.duckdb import DuckDBEngine
from stedi_assets.lakehouse import DataFile, Lakehouse
from stedi_assets.recall import Recall
from stedi_assets.recall.digests import Seen, by_day, day_number, day_of, mixed
from stedi_assets.recall.names import Names, hashed, keyed
from stedi_assets.transforms.common import normalised

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


def record(name: str, update: int, **changed: Any) -> dict[str, Any]:
    return {
        "email": f"{name}@example.com",
        "serialNumber": f"serial-{name}",
        "lastUpdateDate": update,
        "shareWithResearchAsOfDate": NOON,
        "source_file": "f",
        "source_line": update,
    } | changed


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


CURATED, TRUSTED = table("customers_curated"), table("customer_trusted")
NAMES = ("ann", "bob", *(f"other-{n}" for n in range(8)))


def test_of_customers_only_those_who_changed_are_read_again(engine: Counting, tmp_path: Path) -> None:
    lakehouse, recall = Lakehouse(str(tmp_path)), Recall(engine)
    days = [date.fromordinal(MONDAY.toordinal() + n) for n in range(len(NAMES) + 1)]
    for day, name in zip(days, NAMES):
        put(engine, lakehouse, PEOPLE, day, [record(name, 1)])

    def digests(recall: Recall) -> dict[date, str]:
        return recall.customer_rows(TRUSTED, lakehouse.snapshot(PEOPLE), transforms.customer_trusted)

    first = digests(recall)
    assert first.keys() == set(days[:-1])
    engine.read.clear()
    # Bob's record of the second day counts no more; Ann's day is written again as it was, with one of Gus.
    put(engine, lakehouse, PEOPLE, days[-1], [record("bob", 2)])
    put(engine, lakehouse, PEOPLE, days[0], [record("ann", 1), record("gus", 1)])
    second = digests(recall)
    # Of the days that changed, everything to compare; of Bob and Gus, all their records.
    assert sorted(engine.read) == sorted([days[0], days[-1], days[0], days[1], days[-1]])
    assert second == digests(Recall(engine))
    assert {day for day in days if first.get(day) != second.get(day)} == {days[0], days[1], days[-1]}
    engine.read.clear()
    assert digests(recall) == second
    assert engine.read == []
    # What the rows depend on besides is not what it was: everything is computed anew.
    recall.customer_rows(TRUSTED, lakehouse.snapshot(PEOPLE), transforms.customer_trusted, 1)
    assert len(engine.read) == len(days)


def test_a_customer_may_have_many_rows_or_none(engine: Counting, tmp_path: Path) -> None:
    lakehouse, recall = Lakehouse(str(tmp_path)), Recall(engine)
    names = ("ann", "bob", "cat", "dee", "eve")

    def digests(recall: Recall) -> dict[date, str]:
        return recall.customer_rows(
            PEOPLE, lakehouse.snapshot(PEOPLE), lambda records: records.with_columns(email=normalised("email"))
        )

    put(engine, lakehouse, PEOPLE, MONDAY, [record(name, n) for name in names for n in (1, 2)])
    assert digests(recall).keys() == {MONDAY}
    put(engine, lakehouse, PEOPLE, TUESDAY, [record("ann", 3), record("ann", 4)])
    assert digests(recall) == digests(Recall(engine))
    put(engine, lakehouse, PEOPLE, MONDAY, [record(name, n) for name in names[1:] for n in (1, 2)])
    assert digests(recall) == digests(Recall(engine))
    put(engine, lakehouse, PEOPLE, TUESDAY, [])
    assert digests(recall) == digests(Recall(engine))
    assert digests(recall).keys() == {MONDAY}


def test_pseudonyms_of_two_keys_are_told_from_one(engine: Counting, tmp_path: Path) -> None:
    lakehouse, recall = Lakehouse(str(tmp_path)), Recall(engine)

    def subject(name: str) -> int:
        email = f"{name}@example.com"
        known = recall.subjects(lakehouse.snapshot(CURATED))
        (code,) = recall.emails.codes(pa.array([email]), keys_of(engine, email))
        return int(known[code]) if code < len(known) else 0

    put(engine, lakehouse, CURATED, MONDAY, [record("ann", 1, subject_id="a"), record("bob", 1, subject_id="b")])
    ann, bob = subject("ann"), subject("bob")
    assert len({ann, bob, 0}) == 3
    assert subject("cat") == 0
    # A stale row with the same pseudonym changes nothing, one with another does.
    put(engine, lakehouse, CURATED, TUESDAY, [record("ann", 1, subject_id="a"), record("bob", 1, subject_id="c")])
    assert subject("ann") == ann
    assert subject("bob") not in {bob, 0}


def keys_of(engine: DuckDBEngine, *texts: str) -> Any:
    table = pa.table({"text": list(texts), "place": list(range(len(texts)))})
    return engine.arrow(f"SELECT {keyed('text')} AS key FROM texts ORDER BY place", texts=table)["key"].to_numpy()


def test_names_keep_their_codes_and_are_told_apart_though_their_keys_are_not() -> None:
    names = Names()

    def codes(*pairs: tuple[str, int]) -> list[int]:
        texts, keys = zip(*pairs)
        return names.codes(pa.array(texts), np.array(keys, np.uint64)).tolist()

    first = codes(("b", 7), ("a", 5), ("b", 7))
    assert first[0] == first[2] != first[1]
    assert codes(("a", 5), ("c", 1), ("b", 7)) == [first[1], 2, first[0]]
    twin = codes(("twin of b", 7), ("b", 7))
    assert twin == [3, first[0]]
    assert codes(("twin of b", 7)) == [3]
    assert names.texts(np.array([3, first[0]], np.int32)).to_pylist() == ["twin of b", "b"]
    assert len(set(names.hashes.tolist())) == len(names) == 4


GOLDEN_MIXED = ["e06dd043328bd285", "bccdfd9c96a18897", "380b28e73a7746e9"]
GOLDEN_HASH, GOLDEN_ROW = "9e907105ed11b0c2", "5c916b5b7e055e3a"


def test_digests_are_the_same_everywhere(engine: Counting) -> None:
    """Fingerprints are kept in file names: who changes these numbers makes every partition of every lake anew."""
    numbers = np.array([0, 1, 2**63], np.uint64)
    flags = np.array([True, False, True])
    assert [f"{n:016x}" for n in mixed(numbers, flags).tolist()] == GOLDEN_MIXED
    names = Names()
    names.codes(pa.array(["ann@example.com"]), keys_of(engine, "ann@example.com"))
    assert f"{names.hashes[0]:016x}" == GOLDEN_HASH
    row = engine.rows(f"SELECT {hashed('1', 'NULL', chr(39) + 'a|b' + chr(39), '-0.5::DOUBLE', 'true')}")
    assert f"{row[0][0]:016x}" == GOLDEN_ROW


def test_sums_wrap_around_and_know_days_from_each_other() -> None:
    most = np.array([2**64 - 1, 3, 5], np.uint64)
    wednesday = date(2023, 8, 9)
    seen = Seen.of(
        {day: np.array(codes, np.int32) for day, codes in {wednesday: [1], MONDAY: [0, 1], TUESDAY: []}.items()}
    )
    assert seen.sums(most) == {MONDAY: f"{2:016x}", wednesday: f"{3:016x}"}
    assert seen.sums(most[:1]) == {MONDAY: "f" * 16}
    assert by_day(seen.day_numbers(), most) == {MONDAY: f"{2:016x}", wednesday: f"{5:016x}"}
    assert day_of(day_number(MONDAY)) == MONDAY
    assert seen.anywhere(1).tolist() == [True]
    assert seen.anywhere(4).tolist() == [True, True, False, False]
