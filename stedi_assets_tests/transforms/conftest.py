"""Every kind of frame that the transforms take, and short names for the rows that the cases are made of.

What belongs here: how rows become a frame of each backend and how a frame becomes rows again. The
``constructor`` fixture, after Narwhals' own, runs each test that asks for it once per backend. All
people are invented.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime
from typing import Any

import duckdb
import narwhals.stable.v2 as nw
import pandas as pd
import pyarrow as pa
import pytest

from stedi_assets.contracts import table as contract
from stedi_assets.contracts.render import arrow_schema
from stedi_assets_tests.kit.records import (
    LONG_AGO,
    NOON,
    Record,
    accelerometer_record,
    customer_record,
    step_record,
)

Constructor = Callable[["str | pa.Schema", Iterable[Record]], Any]
"""Makes a frame of a table's columns (or of a schema's) from the table's name and records; what one lacks is null."""

SPARK_MISSING = (
    "PySpark is not installed, so the transforms are not tested on it: pip install 'stedi-assets[spark]' "
    "(and a Java runtime, 17 or newer)"
)
JAVA_MISSING = "PySpark is installed but finds no Java: install a Java runtime, 17 or newer, or set JAVA_HOME"

DAY_1, DAY_2, DAY_3 = date(2023, 8, 6), date(2023, 8, 7), date(2023, 8, 8)
DAY_1_END = 1_691_366_399_999
"""The last millisecond of the first day."""
ANN, BOB, CAT, DEE = "ann@example.com", "bob@example.com", "cat@example.com", "dee@example.com"


def arrow(name: str | pa.Schema, records: Iterable[Record]) -> pa.Table:
    schema = arrow_schema(contract(name)) if isinstance(name, str) else name
    return pa.Table.from_pylist(list(records), schema)


def pandas_frame(name: str | pa.Schema, records: Iterable[Record]) -> pd.DataFrame:
    """NumPy's types: a null makes an integer column one of floats, and a date is a time."""
    return arrow(name, records).to_pandas(date_as_object=False)


def pandas_arrow_frame(name: str | pa.Schema, records: Iterable[Record]) -> pd.DataFrame:
    return arrow(name, records).to_pandas(types_mapper=pd.ArrowDtype)


@pytest.fixture(scope="session")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        yield connection


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    """A local Spark session: quiet, small, UTC, without its web page."""
    if importlib.util.find_spec("pyspark") is None:
        pytest.skip(SPARK_MISSING)
    if shutil.which("java") is None:
        pytest.skip(JAVA_MISSING)
    from pyspark.sql import SparkSession

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        session = (
            SparkSession.builder.master("local[1]")
            .appName("stedi tests")
            .config("spark.ui.enabled", "false")
            .config("spark.ui.showConsoleProgress", "false")
            .config("spark.sql.shuffle.partitions", "1")
            .config("spark.default.parallelism", "1")
            .config("spark.sql.session.timeZone", "UTC")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.driver.extraJavaOptions", "-Dlog4j2.level=OFF -Duser.timezone=UTC")
            .getOrCreate()
        )
        session.sparkContext.setLogLevel("OFF")
        yield session
        session.stop()


@pytest.fixture(
    params=[
        "duckdb",
        "pyarrow",
        # Not the product's: they show that the transforms are bound to no backend.
        pytest.param("pandas", marks=pytest.mark.slow),
        pytest.param("pandas[pyarrow]", marks=pytest.mark.slow),
        pytest.param("pyspark", marks=pytest.mark.spark),
    ]
)
def constructor(request: pytest.FixtureRequest) -> Constructor:
    """Frames of one backend."""
    if request.param == "duckdb":
        duck = request.getfixturevalue("duck")
        return lambda name, records: duck.from_arrow(arrow(name, records))
    if request.param == "pyspark":
        spark = request.getfixturevalue("spark")
        return lambda name, records: spark.createDataFrame(arrow(name, records))
    return {"pandas": pandas_frame, "pandas[pyarrow]": pandas_arrow_frame, "pyarrow": arrow}[request.param]


def rows(frame: nw.LazyFrame[Any], *columns: str) -> Counter[tuple[Any, ...]]:
    """The rows of a frame, cut to some columns."""
    found = frame.collect("pyarrow").to_native()
    return Counter(tuple(_plain(cell) for cell in row.values()) for row in found.select(list(columns)).to_pylist())


def table_rows(frame: nw.LazyFrame[Any], name: str) -> Counter[tuple[Any, ...]]:
    """The rows of a frame, which has exactly the table's columns."""
    assert tuple(frame.collect_schema().names()) == contract(name).column_names
    return rows(frame, *contract(name).column_names)


def _plain(cell: Any) -> Any:
    if isinstance(cell, datetime):
        return cell.date()
    return None if cell != cell else cell  # noqa: PLR0124 - NumPy has no other null of a number


# --- records ------------------------------------------------------------------------------------


def customer(
    email: str, serial: str, share: int | None = LONG_AGO, update: int = 1, day: date = DAY_1, **more: Any
) -> Record:
    """A record as it landed, with consent."""
    record = {**customer_record(email, serial, share), "lastUpdateDate": update}
    return {**record, **landed(day), "source_line": 1, "source_object": 1, **more}


def worn(user: str, time: int = NOON, x: float = 1.0, day: date = DAY_1) -> Record:
    """An accelerometer reading as it landed."""
    return {**accelerometer_record(user, time, x), **landed(day)}


def step(serial: str, time: int = NOON, distance: int = 7, day: date = DAY_1) -> Record:
    """A step reading as it landed."""
    return {**step_record(serial, time, distance), **landed(day)}


def landed(day: date) -> Record:
    """What landing adds to a record."""
    return {"landing_date": day, "source_file": "a.json"}


def trusted(*records: Record) -> list[Record]:
    """Records of a landing table as the trusted one holds them."""
    return [{name: value for name, value in record.items() if not name.startswith("source_")} for record in records]


def curated(email: str, day: date = DAY_1) -> Record:
    """A curated customer; who reads a pseudonym sees whose it is."""
    return {"email": email, "subject_id": f"id of {email}", "landing_date": day}
