"""Small tables of many files are read once, and are what the files of the asked version hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from stedi_assets.contracts import table
from stedi_assets.contracts.render import arrow_schema
from stedi_assets.engines import duckdb as product
from stedi_assets.engines.duckdb import DuckDBEngine
from stedi_assets.lakehouse import DataFile, Lakehouse, LakehouseError

STEPS = table("step_trainer_landing")
DAYS = [date(2023, 8, 1) + timedelta(days=number) for number in range(product._FEWEST_CACHED_FILES)]
Rows = list[tuple[str, date]]


class Lake:
    """Step readings of many landing days, a file each."""

    def __init__(self, root: Path, engine: DuckDBEngine) -> None:
        self.lakehouse = Lakehouse(str(root))
        self.engine = engine
        self.read: list[int] = []
        """Of each time that files were read, how many."""
        relation = engine.relation

        def counting(contract: object, files: list[DataFile]) -> object:
            self.read.append(len(files))
            return relation(STEPS, files)

        engine.relation = counting  # type: ignore[method-assign, assignment]

    def write(self, serials: dict[date, str]) -> None:
        rows = [
            {
                "sensorReadingTime": 1,
                "serialNumber": serial,
                "distanceFromObject": 1,
                "source_file": "f",
                "landing_date": d,
            }
            for d, serial in serials.items()
        ]
        frame = self.engine.frame(pa.Table.from_pylist(rows, arrow_schema(STEPS)))
        files = self.engine.write(frame, self.lakehouse, STEPS, dict.fromkeys(serials, "0" * 16))
        self.lakehouse.replace(STEPS, list(serials), files)

    @property
    def files(self) -> list[DataFile]:
        return list(self.lakehouse.snapshot(STEPS).files)

    def rows(self, files: list[DataFile]) -> Rows:
        found = self.engine.cached_relation(STEPS, files)
        return sorted(self.engine.rows('SELECT "serialNumber", landing_date FROM found', found=found))


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    with DuckDBEngine(threads=1) as engine:
        lake = Lake(tmp_path, engine)
        lake.write(dict.fromkeys(DAYS, "old"))
        yield lake


def test_a_small_table_of_many_files_is_read_once(lake: Lake) -> None:
    expected = [("old", day) for day in DAYS]
    assert lake.rows(lake.files) == lake.rows(lake.files) == expected
    assert lake.read == [len(DAYS)]


def test_after_a_commit_only_the_days_that_it_replaced_are_read(lake: Lake) -> None:
    before = lake.files
    lake.rows(before)
    lake.write({DAYS[1]: "new", DAYS[-1] + timedelta(days=1): "later"})
    lake.lakehouse.replace(STEPS, [DAYS[2]], [])
    expected = [
        ("later", DAYS[-1] + timedelta(days=1)),
        ("new", DAYS[1]),
        *(("old", day) for day in DAYS if day not in DAYS[1:3]),
    ]
    assert lake.rows(lake.files) == expected
    assert lake.read == [len(DAYS), 2]
    assert lake.rows(before) == [("old", day) for day in DAYS], "the version before is as it was"
    assert lake.read == [len(DAYS), 2, 1], "only the replaced day of it is read again"


def test_a_selection_of_days_leaves_the_others_cached(lake: Lake) -> None:
    later = {DAYS[-1] + timedelta(days=number): "later" for number in range(1, 3)}
    lake.write(later)
    lake.rows(lake.files)
    some = lake.files[2:]
    assert len(lake.rows(some)) == len(some)
    lake.rows(lake.files)
    assert lake.read == [len(DAYS) + 2]


def test_a_day_without_rows_stays_without(lake: Lake) -> None:
    lake.write({DAYS[0]: "new"})
    empty = lake.engine.frame(arrow_schema(STEPS).empty_table())
    days = [DAYS[-1] + timedelta(days=1), DAYS[3]]
    files = lake.engine.write(empty, lake.lakehouse, STEPS, dict.fromkeys(days, "0" * 16))
    lake.lakehouse.replace(STEPS, days, files)
    for _ in range(2):
        assert {day for _, day in lake.rows(lake.files)} == set(DAYS) - {DAYS[3]}
    assert lake.read == [len(DAYS) + 1]


def test_few_files_and_many_rows_are_read_each_time(lake: Lake) -> None:
    few = lake.files[:-1]
    large = [replace(file, rows=product._MOST_CACHED_ROWS) for file in lake.files]
    unknown = [replace(file, rows=0, size=product._MOST_CACHED_BYTES) for file in lake.files]
    for files in (few, large, unknown):
        lake.read.clear()
        assert lake.rows(files) == lake.rows(files) == sorted(("old", file.landing_date) for file in files)
        assert lake.read == [len(files)] * 2


def test_nothing_is_kept_when_the_engine_is_closed(lake: Lake) -> None:
    lake.rows(lake.files)
    lake.engine.close()
    assert lake.rows(lake.files) == [("old", day) for day in DAYS]
    assert lake.read == [len(DAYS)] * 2


def test_a_table_of_another_version_of_the_contract_is_told(tmp_path: Path) -> None:
    newer = replace(STEPS, columns=(*STEPS.columns, replace(STEPS.columns[1], name="battery")))
    with DuckDBEngine(threads=1) as engine:
        lakehouse = Lakehouse(str(tmp_path))
        empty = engine.frame(arrow_schema(STEPS).empty_table())
        lakehouse.replace(STEPS, DAYS, engine.write(empty, lakehouse, STEPS, dict.fromkeys(DAYS, "0" * 16)))
        with pytest.raises(LakehouseError, match="is stored with other columns"):
            engine.cached_relation(newer, lakehouse.snapshot(STEPS).files)


def test_parts_of_a_table_do_not_take_each_others_place(tmp_path: Path) -> None:
    """The readings index has a partition for each landing day and table of readings."""
    index = table("readings_index")
    with DuckDBEngine(threads=1) as engine:
        lakehouse = Lakehouse(str(tmp_path))
        parts = ("accelerometer_landing", "accelerometer_trusted", "step_trainer_landing")
        for part in parts:
            rows = engine.connection.sql(
                f"SELECT unnest(range(DATE '{DAYS[0]}', DATE '{DAYS[-1]}' + 1, INTERVAL 1 DAY))::DATE AS landing_date, "
                f"'{part}' AS subject, '{part}' AS readings_table, 1 AS readings, 1 AS first_time, 1 AS last_time, "
                "1 AS content"
            ).to_arrow_table()
            within = {"readings_table": part}
            files = engine.write(engine.frame(rows), lakehouse, index, dict.fromkeys(DAYS, "0" * 16), within)
            lakehouse.replace(index, DAYS, files, within=within)
        snapshot = lakehouse.snapshot(index)
        for _ in range(2):
            for part in parts:
                found = engine.cached_relation(index, snapshot.part("readings_table", part))
                assert engine.rows("SELECT DISTINCT subject, readings_table FROM found", found=found) == [(part, part)]
