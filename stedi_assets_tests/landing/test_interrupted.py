"""Ingestion that was killed, tables that were changed by hand, and several processes at once."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from stedi_assets.contracts import Table
from stedi_assets.contracts import table as contract
from stedi_assets.contracts.render import arrow_schema
from stedi_assets.engines.duckdb import DuckDBEngine
from stedi_assets.lakehouse import DataFile, Lakehouse
from stedi_assets.landing.day_plan import MissingFiles
from stedi_assets_tests.kit.records import DAY
from stedi_assets_tests.kit.table_lake import D1, D2, D3, STEPS, TableLake, steps


def test_only_changed_partitions_of_the_manifest_are_read_again(lake: TableLake, monkeypatch: pytest.MonkeyPatch):
    for day in (D1, D2, D3):
        lake.put("a.json", steps(day.day), day)
    lake.run(D1, D2, D3)
    before = lake.record()
    read: list[DataFile] = []
    real = DuckDBEngine.relation

    def relation(self: DuckDBEngine, table: Table, files: Sequence[DataFile]) -> object:
        read.extend(files)
        return real(self, table, files)

    monkeypatch.setattr(DuckDBEngine, "relation", relation)
    assert lake.record() == before
    assert read == []
    lake.put("b.json", steps(100), D2)
    lake.run(D2)
    after = lake.record()
    assert [file.landing_date for file in read] == [D2]
    assert [entry for entry in after if entry.landing_date != D2] == [e for e in before if e.landing_date != D2]
    assert sorted(entry.source_file for entry in after if entry.landing_date == D2) == [
        lake.path("a.json", D2),
        lake.path("b.json", D2),
    ]
    assert sorted(after, key=str) == sorted(TableLake(lake.engine, lake.root).record(), key=str)


@pytest.mark.parametrize("fails_at", [1, 2, 3])
@pytest.mark.parametrize("again", [False, True])
def test_killed_between_commits(lake: TableLake, monkeypatch: pytest.MonkeyPatch, fails_at: int, again: bool):
    lake.put("a.json", steps(1) + b"bad\n")
    if again:
        lake.run()
        lake.put("a.json", steps(2) + b"worse\n\n")
    real, calls = Lakehouse.replace, iter(range(1, 10))

    def replace(*args: object, **options: object) -> int:
        if next(calls) == fails_at:
            raise KeyboardInterrupt
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Lakehouse, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        lake.run()
    monkeypatch.undo()
    assert list(lake.plan()) == [DAY]
    lake.settle()
    assert lake.numbers() == [2 if again else 1]
    assert [line for *_, line in lake.quarantine()] == ["worse" if again else "bad"]


@pytest.mark.parametrize("fails_at", [2, 3])
def test_killed_while_rows_are_dropped(lake: TableLake, monkeypatch: pytest.MonkeyPatch, fails_at: int):
    """No file differs from the record here: only the order of the commits lets the plan see it."""
    lake.put("a.json", steps(1) + b"bad\n")
    lake.put("b.json", steps(2))
    lake.run()
    (lake.root / "raw" / lake.path("a.json")).unlink()
    real, calls = Lakehouse.replace, iter(range(1, 10))

    def replace(*args: object, **options: object) -> int:
        if next(calls) == fails_at:
            raise KeyboardInterrupt
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Lakehouse, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        lake.run(missing=MissingFiles.DROP, rows_to_drop=2)
    monkeypatch.undo()
    assert lake.plan() == {DAY: "1 missing file, the table is not as its run left it"}
    lake.run(missing=MissingFiles.DROP, rows_to_drop=2)
    assert (lake.numbers(), lake.quarantine(), lake.plan()) == ([2], [], {})


@pytest.mark.parametrize("name", [STEPS, "landing_files", "landing_quarantine"])
@pytest.mark.parametrize("how", ["delete some", "delete all", "append"])
def test_a_table_that_was_changed_by_hand(lake: TableLake, name: str, how: str):
    lake.put("a.json", steps(1, 2) + b"bad\nworse\n")
    lake.put("b.json", steps(3))
    lake.run()
    before = lake.state()
    delta = DeltaTable(lake.snapshot(name).root)
    if how == "append":
        from deltalake import write_deltalake

        rows = pa.Table.from_pylist(lake.rows(name)[:1], arrow_schema(contract(name)))
        write_deltalake(delta, rows, mode="append")
    elif how == "delete all":
        delta.delete()
    else:
        column = {STEPS: '"distanceFromObject" = 1', "landing_quarantine": "source_line = 3"}
        delta.delete(column.get(name, f"source_file = '{lake.path('b.json')}'"))
    assert list(lake.plan()) == [DAY]
    lake.settle()
    assert lake.state() == before


def _ingest(root: str, day: date, turns: int) -> str:
    try:
        with DuckDBEngine(threads=1) as engine:
            lake = TableLake(engine, Path(root))
            for _ in range(turns):
                lake.run(day)
    except Exception as error:
        return repr(error)
    return ""


@pytest.mark.process
def test_eight_processes_from_nothing(engine: DuckDBEngine, tmp_path: Path):
    """Four on one day and four on others, at once."""
    lake = TableLake(engine, tmp_path)
    days = [D1, D1, D1, D1, *(date(2023, 8, day) for day in range(7, 11))]
    for day in set(days):
        lake.put("a.json", steps(day.day) + b"bad\n", day)
        lake.put("b.json", steps(day.day + 100), day)
    with multiprocessing.get_context("spawn").Pool(8) as pool:
        failed = pool.starmap(_ingest, [(str(tmp_path), day, 2) for day in days], chunksize=1)
    assert failed == [""] * 8
    assert lake.numbers() == sorted(number for day in set(days) for number in (day.day, day.day + 100))
    assert len(lake.quarantine()) == len(set(days))
    assert lake.plan() == {}
