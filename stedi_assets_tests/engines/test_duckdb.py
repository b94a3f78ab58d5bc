"""The embedded engine: what it reads by name, holds, and leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from datetime import date
from pathlib import Path

import narwhals.stable.v2 as nw
import pyarrow as pa
import pytest

from stedi_assets.contracts import table
from stedi_assets.contracts.render import arrow_schema
from stedi_assets.engines.duckdb import DuckDBEngine, sweep_spilled
from stedi_assets.engines.sql import as_named
from stedi_assets.lakehouse import Lakehouse, LakehouseError

DAY = date(2023, 8, 6)
STEPS = table("step_trainer_landing")


def steps(*serials: str) -> pa.Table:
    rows = [
        {
            "sensorReadingTime": n,
            "serialNumber": serial,
            "distanceFromObject": n,
            "source_file": "f",
            "landing_date": DAY,
        }
        for n, serial in enumerate(serials)
    ]
    return pa.Table.from_pylist(rows, arrow_schema(STEPS))


@pytest.mark.parametrize("folder", ["plain", "a [b] *?", "o'neill", "[", "*"])
def test_a_lake_lies_where_it_is_said_to(tmp_path: Path, folder: str) -> None:
    # A neighbour that the name would match, were it a pattern.
    (tmp_path / "a b xy").mkdir()
    lakehouse = Lakehouse(str(tmp_path / folder))
    with DuckDBEngine(threads=1) as engine:
        lakehouse.replace(STEPS, [DAY], engine.write(engine.frame(steps("a", "b")), lakehouse, STEPS, {DAY: "0" * 16}))
        stored = engine.relation(STEPS, lakehouse.snapshot(STEPS).files)
        assert sorted(engine.rows('SELECT "serialNumber" FROM stored', stored=stored)) == [("a",), ("b",)]


def test_a_table_of_another_version_is_told_by_its_columns(tmp_path: Path) -> None:
    lakehouse = Lakehouse(str(tmp_path))
    newer = replace(STEPS, columns=(*STEPS.columns, replace(STEPS.columns[1], name="battery")))
    with DuckDBEngine(threads=1) as engine:
        lakehouse.replace(STEPS, [DAY], engine.write(engine.frame(steps("a")), lakehouse, STEPS, {DAY: "0" * 16}))
        with pytest.raises(
            LakehouseError,
            match=r"step_trainer_landing is stored with other columns.*, battery; found sensor.*operations",
        ):
            engine.relation(newer, lakehouse.snapshot(STEPS).files)


def test_only_characters_of_patterns_are_changed() -> None:
    assert as_named("s3://bucket/a=b/c-1_2.json") == "s3://bucket/a=b/c-1_2.json"
    assert as_named("/a[1]/*?.json") == "/a[[]1]/[*][?].json"


def test_what_is_held_is_computed_once_and_let_go_with_the_next_write(tmp_path: Path) -> None:
    lakehouse = Lakehouse(str(tmp_path))
    with DuckDBEngine(threads=1) as engine:
        engine.connection.execute("CREATE SEQUENCE computed")
        counted = engine.connection.sql("SELECT nextval('computed') AS number, * FROM range(3)")
        held = engine.cache(nw.from_native(counted).lazy())
        first, second = engine.collect(held), engine.collect(held)
        assert first.sort_by("number").equals(second.sort_by("number"))
        assert engine.rows("SELECT nextval('computed')") == [(4,)]
        again = engine.cache(held.select("number"))
        assert engine.collect(again).num_rows == 3
        engine.write(engine.frame(steps("a")), lakehouse, STEPS, {DAY: "0" * 16})
        assert engine.rows("SELECT count(*) FROM duckdb_tables()") == [(0,)]


def test_columns_come_with_the_types_of_the_contract(tmp_path: Path) -> None:
    lakehouse = Lakehouse(str(tmp_path))
    with DuckDBEngine(threads=1) as engine:
        lakehouse.replace(STEPS, [DAY], engine.write(engine.frame(steps("a")), lakehouse, STEPS, {DAY: "0" * 16}))
        frame = engine.collect(engine.scan(STEPS, lakehouse.snapshot(STEPS).files))
        assert frame.schema.equals(arrow_schema(STEPS))
        assert engine.collect(engine.scan(STEPS, ())).schema.equals(arrow_schema(STEPS))
        assert engine.arrow("SELECT 1::BIGINT AS one").to_pylist() == [{"one": 1}]


SPILLING = """
    import sys, time
    from stedi_assets.engines.duckdb import DuckDBEngine
    engine = DuckDBEngine()
    engine.connection.execute("SELECT 1")
    print(engine._spill, flush=True)
    time.sleep(600)
"""


@pytest.mark.process
@pytest.mark.slow
def test_what_a_killed_process_spilled_is_removed_and_a_living_ones_is_not(tmp_path: Path) -> None:
    folders, processes = [], []
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SPILLING)],
            env={**os.environ, "TMPDIR": str(tmp_path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        processes.append(process)
        folders.append(Path(process.stdout.readline().strip()))
    try:
        dead, living = folders
        assert dead.parent == living.parent == tmp_path
        assert dead.stat().st_mode & 0o777 == 0o700
        processes[0].send_signal(signal.SIGKILL)
        processes[0].wait()
        assert sweep_spilled(tmp_path) == 1
        assert not dead.exists()
        assert living.exists()
    finally:
        for process in processes:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
