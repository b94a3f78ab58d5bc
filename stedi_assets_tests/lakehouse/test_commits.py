"""Commits of a table: what they replace, what they refuse, what a vacuum and an old snapshot see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from stedi_assets.contracts.render import arrow_schema
from stedi_assets.engines.duckdb import DuckDBEngine
from stedi_assets.lakehouse import Lakehouse
from stedi_assets_tests.kit.records import DAY, NOON
from stedi_assets_tests.kit.table_lake import D1, D2, D3, STEPS, TableLake, steps


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDBEngine]:
    with DuckDBEngine(memory_limit="1GB", threads=2) as engine:
        yield engine


@pytest.fixture
def lake(engine: DuckDBEngine, tmp_path: Path) -> TableLake:
    return TableLake(engine, tmp_path)


@pytest.mark.parametrize("days", [[D1] * 6, [date(2023, 8, day) for day in range(1, 7)]], ids=["one day", "six days"])
def test_replaced_by_threads_at_once(engine: DuckDBEngine, tmp_path: Path, days: list[date]):
    lake = TableLake(engine, tmp_path)
    new = []
    for number, day in enumerate(days):
        rows = pa.Table.from_pylist(
            [
                {"sensorReadingTime": NOON, "serialNumber": "s", "distanceFromObject": number, "landing_date": day}
                for _ in range(number + 1)
            ],
            arrow_schema(lake.table),
        )
        new.append(engine.write(engine.frame(rows), lake.lakehouse, lake.table, {day: f"{number:016x}"}))
    with ThreadPoolExecutor(len(days)) as pool:
        versions = list(
            pool.map(
                lambda job: Lakehouse(lake.lakehouse.uri).replace(lake.table, [job[0]], job[1]),
                zip(days, new, strict=True),
            )
        )
    counts = Counter(lake.numbers())
    if days[0] == days[1]:
        # One wins, whole.
        [(winner, rows_of_winner)] = counts.items()
        assert rows_of_winner == winner + 1
    else:
        assert counts == {number: number + 1 for number in range(len(days))}
    assert max(versions) == lake.snapshot(STEPS).version == len(days)


def test_the_version_that_is_returned_has_the_commit(lake: TableLake):
    for number, day in enumerate((D1, D2, D3), start=1):
        rows = arrow_schema(lake.table).empty_table()
        new = lake.engine.write(lake.engine.frame(rows), lake.lakehouse, lake.table, {day: f"{number:016x}"})
        assert lake.lakehouse.replace(lake.table, [day], new) == lake.snapshot(STEPS).version == number


def test_replacing_nothing_changes_nothing(lake: TableLake):
    lake.put("a.json", steps(1))
    lake.run()
    version = lake.snapshot(STEPS).version
    assert lake.lakehouse.replace(lake.table, [], []) == version
    assert lake.numbers() == [1]


def test_a_file_outside_the_partitions_to_replace_is_refused(lake: TableLake):
    rows = arrow_schema(lake.table).empty_table()
    new = lake.engine.write(lake.engine.frame(rows), lake.lakehouse, lake.table, {D1: "0" * 16})
    with pytest.raises(ValueError, match="outside the partitions"):
        lake.lakehouse.replace(lake.table, [D2], new)
    assert lake.snapshot(STEPS).version == -1


def test_vacuum_leaves_what_counts(lake: TableLake):
    assert lake.lakehouse.vacuum(lake.table) == 0
    for number in range(3):
        lake.put("a.json", steps(number))
        lake.run()
    orphan = lake.root / "lake" / lake.table.path / f"landing_date={DAY}" / "orphan.parquet"
    orphan.write_bytes(b"left behind by a killed run")
    assert lake.lakehouse.vacuum(lake.table) >= 3
    assert not orphan.exists()
    assert lake.numbers() == [2]
    assert len(list((lake.root / "lake" / lake.table.path).rglob("*.parquet"))) - len(
        list((lake.root / "lake" / lake.table.path).rglob("*checkpoint*.parquet"))
    ) == 1  # fmt: skip


def test_a_snapshot_keeps_its_version(lake: TableLake):
    lake.put("a.json", steps(1))
    lake.run()
    old = lake.snapshot(STEPS)
    lake.put("a.json", steps(2))
    lake.run()
    rows = lake.engine.relation(lake.table, old.files).to_arrow_table()
    assert rows["distanceFromObject"].to_pylist() == [1]
    assert lake.numbers() == [2]


def test_bounds_without_statistics_may_be_anything(lake: TableLake):
    lake.put("a.json", steps(1))
    lake.run()
    snapshot = lake.snapshot(STEPS)
    assert snapshot.bounds("sensorReadingTime", [DAY]) == (NOON, NOON)
    assert snapshot.bounds("serialNumber", [DAY]) == (-(2**63), 2**63 - 1)
    assert snapshot.bounds("sensorReadingTime", [D2]) is None
