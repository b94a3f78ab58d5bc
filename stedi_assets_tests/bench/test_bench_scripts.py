"""The competitors of the benchmark make the right tables, so that their times mean something.

Both run once, as the benchmark runs them, on a small sample with some awkward records added; the
DuckDB script is held against the expected rows, the PySpark job against the DuckDB script.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from stedi_assets.sample import write_sample

BENCH = Path(__file__).resolve().parents[2] / "bench"
KEY = "a key of the tests"

Row = dict[str, Any]

MILLION = 1_000_000
SHARED = 1_600_000_000_000
"""When those who share began to; long before the days of the sample."""

UPDATED = 1_690_000_000_000
CUSTOMERS = {
    "landing_date=2023-08-07/customer.json": [
        {
            "email": " Ann@Example.com ",
            "serialNumber": " SN-Ann ",
            "lastUpdateDate": UPDATED,
            "share": SHARED,
        },
        {"email": "bob@example.com", "serialNumber": "sn-bob", "lastUpdateDate": UPDATED, "share": SHARED},
        {
            "email": "eve@example.com",
            "serialNumber": "SN-contested",
            "lastUpdateDate": UPDATED,
            "share": SHARED,
        },
        {"email": "fay@example.com", "serialNumber": "sn-Contested", "lastUpdateDate": UPDATED},
        {"email": "gus@example.com", "serialNumber": "sn-both", "lastUpdateDate": UPDATED, "share": SHARED},
        {"email": "hal@example.com", "serialNumber": "sn-both", "lastUpdateDate": UPDATED, "share": SHARED},
    ],
    # 2023-08-08, by the milliseconds in the name: Bob withdraws, and Dan shares from tomorrow on.
    "customer-1691452800000.json": [
        {"email": "BOB@example.com", "serialNumber": "sn-bob", "lastUpdateDate": UPDATED + 1},
        {
            "email": "dan@example.com",
            "serialNumber": "sn-dan",
            "lastUpdateDate": UPDATED,
            "share": 1_691_539_200_000,
        },
    ],
}
ACCELEROMETER = {
    "landing_date=2023-08-07/accelerometer.json": [
        ("ann@example.com", 1),
        ("ann@example.com", 1),
        (" ANN@example.com", 1),
        ("bob@example.com", 2),
        ("eve@example.com", 3),
        ("eve@example.com", 4),
        ("fay@example.com", 4),
        ("gus@example.com", 5),
        ("dan@example.com", 6),
    ],
    "accelerometer-1691452800000.json": [("ann@example.com", 1)],
}
STEPS = {
    "2023/08/07/step_trainer.json": [
        ("sn-ann", 1),
        ("sn-ann", 5),
        ("sn-bob", 2),
        ("sn-contested", 3),
        ("sn-contested", 4),
        ("sn-contested", 9),
        ("sn-both", 3),
        ("SN-BOTH", 5),
    ],
}
ADDED = {
    "customer_landing": 8,
    "accelerometer_landing": 10,
    "step_trainer_landing": 8,
    "customer_trusted": 4,
    "accelerometer_trusted": 5,
    "customers_curated": 3,
    "step_trainer_trusted": 5,
    "machine_learning_curated": 6,
}
PAIRS = {
    # millisecond, wearer, whose device, landing day
    (1, "ann", "ann", "2023-08-07"),
    (1, "ann", "ann", "2023-08-08"),
    (3, "eve", "eve", "2023-08-07"),
    (3, "eve", None, "2023-08-07"),
    (5, "gus", "gus", "2023-08-07"),
    (5, "gus", "ann", "2023-08-07"),
}


def write_lines(path: Path, rows: list[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """A landing zone and the rows that each table must have."""
    folder = tmp_path_factory.mktemp("landing")
    report = write_sample(folder.as_posix(), customers=60, days=3)
    for name, customers in CUSTOMERS.items():
        rows = [dict(customer) for customer in customers]
        for row in rows:
            if share := row.pop("share", None):
                row["shareWithResearchAsOfDate"] = share
        write_lines(folder / "customer_landing" / name, rows)
    for name, readings in ACCELEROMETER.items():
        rows = [{"user": who, "timestamp": SHARED + at, "x": 1.0, "y": 0.0, "z": -1.0} for who, at in readings]
        write_lines(folder / "accelerometer_landing" / name, rows)
    for name, steps in STEPS.items():
        rows = [{"sensorReadingTime": SHARED + at, "serialNumber": sn, "distanceFromObject": 200} for sn, at in steps]
        write_lines(folder / "step_trainer_landing" / name, rows)
    return folder, {table: report.expected[table] + added for table, added in ADDED.items()}


def run(script: str, landing: Path, out: Path) -> dict[str, list[Row]]:
    """Run a competitor and return the rows of its tables, sorted."""
    subprocess.run(
        [sys.executable, str(BENCH / script), str(landing), str(out)],
        check=True,
        # Most of Spark's time on tiny data is compiling itself; this halves it.
        env={**os.environ, "STEDI_PSEUDONYM_KEY": KEY, "JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1"},
        capture_output=True,
    )
    tables = {}
    for table in ADDED:
        path = out / f"{table}.parquet"
        rows: list[Row] = pq.read_table(path if path.exists() else out / table, partitioning=None).to_pylist()
        tables[table] = sorted(rows, key=lambda row: [str(value) for value in row.values()])
    return tables


@pytest.fixture(scope="module")
def by_duckdb(landing: tuple[Path, dict[str, int]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Row]]:
    return run("duckdb_script.py", landing[0], tmp_path_factory.mktemp("duckdb") / "out")


@pytest.mark.process
def test_the_duckdb_script_makes_the_expected_rows(
    landing: tuple[Path, dict[str, int]], by_duckdb: dict[str, list[Row]]
) -> None:
    assert {table: len(rows) for table, rows in by_duckdb.items()} == landing[1]


@pytest.mark.process
def test_the_duckdb_script_knows_whose_reading_and_whose_device_it_is(by_duckdb: dict[str, list[Row]]) -> None:
    def subject(name: str | None) -> str | None:
        return name and hmac.new(KEY.encode(), f"{name}@example.com".encode(), hashlib.sha256).hexdigest()

    added = [row for row in by_duckdb["machine_learning_curated"] if row["sensorReadingTime"] < SHARED + MILLION]
    assert {
        (row["sensorReadingTime"], row["subject_id"], row["device_subject_id"], str(row["landing_date"]))
        for row in added
    } == {(SHARED + at, subject(wearer), subject(owner), day) for at, wearer, owner, day in PAIRS}
    assert all(row["same_customer"] == (row["subject_id"] == row["device_subject_id"]) for row in added)


@pytest.mark.process
@pytest.mark.spark
@pytest.mark.slow
def test_the_pyspark_job_makes_the_same_rows(
    landing: tuple[Path, dict[str, int]], by_duckdb: dict[str, list[Row]], tmp_path: Path
) -> None:
    if importlib.util.find_spec("pyspark") is None or shutil.which("java") is None:
        pytest.skip("needs the `spark` extra and Java")
    by_spark = run("pyspark_job.py", landing[0], tmp_path / "out")
    for table, rows in by_duckdb.items():
        assert by_spark[table] == rows, table
