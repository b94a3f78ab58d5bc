"""Snapshots of a table: what they pin, and that nobody is shown an old one for the newest."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from stedi_assets.contracts import Column, Table, table
from stedi_assets.contracts.columns import SOURCE_OBJECT
from stedi_assets.contracts.render import arrow_schema
from stedi_assets.engines.duckdb import DuckDBEngine
from stedi_assets.lakehouse import Lakehouse, LakehouseError

STEPS = table("step_trainer_landing")
MONDAY, TUESDAY = date(2023, 8, 7), date(2023, 8, 8)


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDBEngine]:
    with DuckDBEngine(threads=1) as engine:
        yield engine


def put(engine: DuckDBEngine, root: Path, day: date, rows: int, table: Table = STEPS) -> int:
    """Replace a partition, as another process does; gives the version."""
    lakehouse = Lakehouse(str(root))
    same = {"serialNumber": "s", "distanceFromObject": 1, "source_file": "f", "source_object": 7, "landing_date": day}
    frame = engine.frame(
        pa.Table.from_pylist([{"sensorReadingTime": n, **same} for n in range(rows)], arrow_schema(table))
    )
    return lakehouse.replace(table, [day], engine.write(frame, lakehouse, table, {day: "0" * 16}))


def test_a_table_that_did_not_change_is_not_read_again(engine: DuckDBEngine, tmp_path: Path) -> None:
    lakehouse = Lakehouse(str(tmp_path))
    assert lakehouse.snapshot(STEPS).version == -1
    put(engine, tmp_path, MONDAY, 2)
    first = lakehouse.snapshot(STEPS)
    assert lakehouse.snapshot(STEPS) is first
    assert first.rows() == 2


def test_every_commit_of_anybody_is_seen(engine: DuckDBEngine, tmp_path: Path) -> None:
    lakehouse = Lakehouse(str(tmp_path))
    seen = []
    for rows in range(5):
        version = put(engine, tmp_path, TUESDAY if rows % 2 else MONDAY, rows)
        snapshot = lakehouse.snapshot(STEPS)
        assert snapshot.version == version
        assert snapshot.rows() == rows + max(rows - 1, 0)
        seen.append(snapshot)
    # Those that were taken before still say what they said.
    assert [snapshot.rows() for snapshot in seen] == [0, 1, 3, 5, 7]
    assert len({snapshot.version for snapshot in seen}) == 5
    # Own commits as well.
    assert lakehouse.replace(STEPS, [MONDAY], []) > seen[-1].version
    assert lakehouse.snapshot(STEPS).rows() == 3


def test_a_table_is_opened_once_and_its_files_are_made_once(
    engine: DuckDBEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    class Counted(DeltaTable):
        def __init__(self, *args: object, **options: object) -> None:
            opened.append(args)
            super().__init__(*args, **options)  # type: ignore[arg-type]

    put(engine, tmp_path, MONDAY, 1)
    lakehouse = Lakehouse(str(tmp_path))
    monkeypatch.setattr("stedi_assets.lakehouse.lakehouse.DeltaTable", Counted)
    first = lakehouse.snapshot(STEPS).files
    lakehouse.replace(STEPS, [TUESDAY], [])
    assert len(opened) == 1
    put(engine, tmp_path, TUESDAY, 2)
    assert len(opened) == 2
    second = lakehouse.snapshot(STEPS).files
    assert len(opened) == 2
    assert [file.rows for file in second] == [1, 2]
    assert second[0] is first[0]
    assert second == Lakehouse(str(tmp_path)).snapshot(STEPS).files


def test_a_table_made_anew_is_seen_whatever_its_version(engine: DuckDBEngine, tmp_path: Path) -> None:
    lakehouse = Lakehouse(str(tmp_path))
    version = put(engine, tmp_path, MONDAY, 3)
    old = lakehouse.snapshot(STEPS)
    shutil.rmtree(lakehouse.root(STEPS))
    assert lakehouse.snapshot(STEPS).version == -1
    assert put(engine, tmp_path, MONDAY, 1) == version
    new = lakehouse.snapshot(STEPS)
    assert (old.version, new.version) == (version, version)
    assert (old.rows(), new.rows()) == (3, 1)


def test_a_log_without_its_old_commits_is_read_all_the_same(engine: DuckDBEngine, tmp_path: Path) -> None:
    lakehouse = Lakehouse(str(tmp_path))
    for rows in range(1, 4):
        put(engine, tmp_path, MONDAY, rows)
    DeltaTable(lakehouse.root(STEPS)).create_checkpoint()
    for commit in sorted((Path(lakehouse.root(STEPS)) / "_delta_log").glob("*.json"))[:-1]:
        commit.unlink()
    assert lakehouse.snapshot(STEPS).rows() == 3
    assert lakehouse.snapshot(STEPS).rows() == 3
    put(engine, tmp_path, MONDAY, 5)
    assert lakehouse.snapshot(STEPS).rows() == 5


def with_columns(*columns: Column) -> Table:
    """The table of a version of this project that has other columns."""
    *_, landing_date = STEPS.columns
    return dataclasses.replace(STEPS, columns=(*columns, landing_date), key=())


def test_a_table_of_an_earlier_version_grows_by_the_columns_that_were_added(
    engine: DuckDBEngine, tmp_path: Path
) -> None:
    grown = with_columns(*STEPS.columns[:-1], SOURCE_OBJECT)

    def objects() -> list[tuple[date, int]]:
        stored = engine.relation(grown, Lakehouse(str(tmp_path)).snapshot(grown).files)
        return engine.rows("SELECT landing_date, source_object FROM stored ORDER BY ALL", stored=stored)

    put(engine, tmp_path, MONDAY, 1)
    assert objects() == [(MONDAY, 1)]
    put(engine, tmp_path, TUESDAY, 1, grown)
    assert objects() == [(MONDAY, 1), (TUESDAY, 7)]


def test_a_table_that_lacks_another_column_is_not_written(engine: DuckDBEngine, tmp_path: Path) -> None:
    put(engine, tmp_path, MONDAY, 1, with_columns(*STEPS.columns[:1]))
    with pytest.raises(LakehouseError, match="is stored with other columns"):
        put(engine, tmp_path, TUESDAY, 1)
    assert Lakehouse(str(tmp_path)).snapshot(STEPS).rows() == 1
