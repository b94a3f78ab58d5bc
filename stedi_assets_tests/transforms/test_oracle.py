"""The transforms against the oracle, on random histories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedi_assets import transforms
from stedi_assets.contracts.names import normalize
from stedi_assets.privacy.mentions import mentions
from stedi_assets.privacy.pseudonyms import Pseudonyms
from stedi_assets.reference import ASSETS, COLUMNS, Tables, land, refine
from stedi_assets.settings import Pairing, ReadingsBeforeConsent
from stedi_assets_tests.kit.examples import drawing_afresh
from stedi_assets_tests.kit.memory import rejected_rows
from stedi_assets_tests.oracle.histories import History, histories
from stedi_assets_tests.transforms.conftest import Record, arrow, pandas_arrow_frame, pandas_frame, rows

KEY = b"a key for tests"
BACKENDS = ("duckdb", "pandas", "pandas[pyarrow]", "pyarrow")


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:", config={"threads": 1}) as opened:
        yield opened


def records(tables: Tables, name: str) -> list[Record]:
    return [dict(zip(COLUMNS[name], row, strict=True)) for row in tables[name].elements()]


@drawing_afresh(4, 50)
@given(
    history=histories(),
    backend=st.sampled_from(BACKENDS),
    before=st.sampled_from(ReadingsBeforeConsent),
    pairing=st.sampled_from(Pairing),
)
def test_transforms_give_the_oracles_tables(
    connection: duckdb.DuckDBPyConnection,
    history: History,
    backend: str,
    before: ReadingsBeforeConsent,
    pairing: Pairing,
) -> None:
    landing = land(history.files)
    expected = refine(landing, KEY, before.value, pairing.value)

    def native(table: pa.Table) -> Any:
        """Rows as a frame of the backend."""
        if backend == "duckdb":
            return connection.from_arrow(table)
        if backend == "pyarrow":
            return table
        return table.to_pandas(types_mapper=pd.ArrowDtype) if "[" in backend else table.to_pandas(date_as_object=False)

    def made(name: str, frame: Any = None) -> Any:
        """A landing table of the oracle's, or what a transform made, as a frame of the backend."""
        found = records(landing.tables, name) if frame is None else frame.collect("pyarrow").to_native().to_pylist()
        if backend == "duckdb":
            return connection.from_arrow(arrow(name, found))
        return {"pandas": pandas_frame, "pandas[pyarrow]": pandas_arrow_frame, "pyarrow": arrow}[backend](name, found)

    people, moves, steps = (made(name) for name in ASSETS[:3])
    landed = records(landing.tables, "customer_landing")
    known = pa.array({normalize(str(one[name])) for one in landed for name in ("email", "serialNumber")}, pa.string())
    named = mentions(rejected_rows(landing), known)
    people = transforms.with_doubts(people, transforms.doubts(people, native(named)))
    results = {"customer_trusted": transforms.customer_trusted(people)}
    results["accelerometer_trusted"] = transforms.accelerometer_trusted(moves, people, before)
    customers = made("customer_trusted", results["customer_trusted"])
    readings = made("accelerometer_trusted", results["accelerometer_trusted"])
    # Frames that are not in memory belong to a connection, so the pseudonyms must be told which.
    frame = connection.from_arrow if backend == "duckdb" else None
    subject_ids = Pseudonyms(lambda: KEY, frame).subject_ids(customers)
    results["customers_curated"] = transforms.customers_curated(customers, readings, people, subject_ids)
    curated = made("customers_curated", results["customers_curated"])
    everybody = Pseudonyms(lambda: KEY, frame).subject_ids(transforms.ever_consenting(people))
    results["consent_history"] = transforms.consent_history(people, everybody)
    results["step_trainer_trusted"] = transforms.step_trainer_trusted(steps, curated, people, moves, before)
    used = made("step_trainer_trusted", results["step_trainer_trusted"])
    results["machine_learning_curated"] = transforms.machine_learning_curated(
        used, readings, curated, people, None, pairing, before
    )
    for name, frame in results.items():
        found = rows(frame, *COLUMNS[name])
        assert found == expected[name], f"{name} on {backend}: {Counter(expected[name])} expected, found {found}"
