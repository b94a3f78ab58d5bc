"""Two engines behind one protocol make the same tables of the same raw files."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from fsspec.implementations.local import LocalFileSystem
from hypothesis import given
from hypothesis import strategies as st

from stedi_assets import transforms
from stedi_assets.contracts import TABLES
from stedi_assets.contracts import table as contract
from stedi_assets.contracts.render import arrow_schema
from stedi_assets.engines import Engine, Frame
from stedi_assets.engines.duckdb import DuckDBEngine
from stedi_assets.lakehouse import Lakehouse
from stedi_assets.landing.parse import read_texts
from stedi_assets.privacy.pseudonyms import Pseudonyms
from stedi_assets.reference import LANDING_TABLES, LandedFile
from stedi_assets.settings import Pairing, Policies, ReadingsBeforeConsent
from stedi_assets_tests.engines.pyarrow_engine import PyArrowEngine
from stedi_assets_tests.kit.examples import drawing_afresh
from stedi_assets_tests.oracle.histories import History, histories

KEY = b"a key for tests"
FINGERPRINT = "0" * 16
QUARANTINE = contract("landing_quarantine")


class Lake:
    """The tables that an engine makes of raw files, with nothing of Dagster between.

    Args:
        engine: makes them.
        root: where they come to lie.
    """

    def __init__(self, engine: Engine, root: Path) -> None:
        self.engine = engine
        self.lakehouse = Lakehouse(str(root / "lake"))
        self.written: dict[str, Counter[Any]] = {}

    def put(self, name: str, frame: Frame, days: Collection[date], **within: str) -> None:
        """Write a table's partitions, and note what the engine says of their files."""
        files = self.engine.write(
            frame, self.lakehouse, contract(name), dict.fromkeys(days, FINGERPRINT), within or None
        )
        self.lakehouse.replace(contract(name), days, files, within=within or None)
        for file in files:
            figures = (file.rows, *map(_items, (file.partition, file.minimum, file.maximum)))
            # Of a file without rows, an engine may say nothing.
            nulls = {column: number for column, number in file.nulls.items() if number}
            self.written.setdefault(name, Counter()).update([(*figures, _items(nulls))])

    def scan(self, name: str) -> Frame:
        return self.engine.scan(contract(name), self.lakehouse.snapshot(contract(name)).files)

    def land(self, files: Collection[LandedFile], landing: Path, days: Collection[date]) -> None:
        """Read raw files line by line: good lines into their tables, others into quarantine."""
        for name in LANDING_TABLES:
            rows = [_schema(name).empty_table()]
            rejects = [_schema(QUARANTINE.name).empty_table()]
            for file in files:
                if file.table != name:
                    continue
                path = str(landing / file.path)
                for piece in read_texts(
                    self.engine, LocalFileSystem(), path, contract(name), file.path, file.landing_date
                ):
                    dates = pa.repeat(pa.scalar(file.landing_date), piece.rows.num_rows)
                    rows.append(piece.rows.append_column("landing_date", dates).select(_schema(name).names))
                    for reject in piece.rejects:
                        row = {"source_file": file.path, "source_line": reject.line, "source_object": reject.number}
                        row |= {"reason": reject.reason, "line": reject.text, "landing_table": name}
                        row |= {"landing_date": file.landing_date}
                        rejects.append(pa.Table.from_pylist([row], _schema(QUARANTINE.name)))
            self.put(name, self.engine.frame(pa.concat_tables(rows)), days)
            self.put(QUARANTINE.name, self.engine.frame(pa.concat_tables(rejects)), days, landing_table=name)

    def refine(self, policies: Policies, days: Collection[date]) -> None:
        """Compute what follows."""
        before, cache, scan = policies.readings_before_consent, self.engine.cache, self.scan
        pseudonyms = Pseudonyms(lambda: KEY, self.engine.frame).subject_ids
        people, moves, steps = (f"{kind}_landing" for kind in ("customer", "accelerometer", "step_trainer"))
        rules: Mapping[str, Callable[[], Frame]] = {
            "customer_trusted": lambda: transforms.customer_trusted(scan(people), cache),
            "accelerometer_trusted": lambda: transforms.accelerometer_trusted(scan(moves), scan(people), before, cache),
            "customers_curated": lambda: transforms.customers_curated(
                scan("customer_trusted"),
                scan("accelerometer_trusted"),
                scan(people),
                pseudonyms(scan("customer_trusted")),
                cache,
            ),
            "consent_history": lambda: transforms.consent_history(
                scan(people), pseudonyms(transforms.ever_consenting(scan(people))), cache
            ),
            "step_trainer_trusted": lambda: transforms.step_trainer_trusted(
                scan(steps), scan("customers_curated"), scan(people), scan(moves), before, cache
            ),
            "machine_learning_curated": lambda: transforms.machine_learning_curated(
                scan("step_trainer_trusted"),
                scan("accelerometer_trusted"),
                scan("customers_curated"),
                scan(people),
                days,
                policies.pairing,
                before,
                cache,
            ),
        }
        for name, rule in rules.items():
            self.put(name, rule(), days)

    def rows(self, name: str, engine: Engine | None = None) -> Counter[tuple[str, ...]]:
        """The rows of a table, read by an engine; as text, so that -0.0 is not 0.0."""
        reader = engine or self.engine
        found = reader.collect(reader.scan(contract(name), self.lakehouse.snapshot(contract(name)).files))
        assert found.schema.equals(_schema(name))
        return Counter(tuple(map(repr, row.values())) for row in found.to_pylist())


def _schema(name: str) -> pa.Schema:
    return arrow_schema(contract(name))


def _items(values: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(values.items()))


@pytest.mark.slow
@drawing_afresh(5, 20)
@given(history=histories(), before=st.sampled_from(ReadingsBeforeConsent), pairing=st.sampled_from(Pairing))
def test_engines_make_the_same_tables(history: History, before: ReadingsBeforeConsent, pairing: Pairing) -> None:
    policies = Policies(readings_before_consent=before, pairing=pairing)
    days = history.days() or (date(2023, 8, 6),)
    with tempfile.TemporaryDirectory() as folder, DuckDBEngine(threads=1) as duck:
        history.write(Path(folder, "landing"))
        one, other = Lake(duck, Path(folder, "duckdb")), Lake(PyArrowEngine(), Path(folder, "pyarrow"))
        for lake in (one, other):
            lake.land(history.files, Path(folder, "landing"), days)
            lake.refine(policies, days)
        assert one.written.keys() == other.written.keys()
        for name in one.written:
            assert one.rows(name) == other.rows(name), name
            assert one.written[name] == other.written[name], name
            # What one engine wrote, the other reads.
            assert other.rows(name, duck) == other.rows(name) == one.rows(name, other.engine), name


@pytest.mark.parametrize("engine", [DuckDBEngine(threads=1), PyArrowEngine()], ids=["duckdb", "pyarrow"])
def test_keys_of_a_cached_frame_are_all_different(engine: Engine) -> None:
    names = engine.frame(pa.table({"email": ["b", "a", "c"]}))
    try:
        found = engine.collect(engine.cache(names, person="email", other="email"))
        assert set(found.column_names) == {"email", "person", "other"}
        assert sorted(found["email"].to_pylist()) == ["a", "b", "c"]
        assert len(set(found["person"].to_pylist())) == len(set(found["other"].to_pylist())) == 3
    finally:
        engine.close()


@pytest.mark.parametrize("engine", [DuckDBEngine(threads=1), PyArrowEngine()], ids=["duckdb", "pyarrow"])
def test_a_day_without_rows_has_a_file(engine: Engine, tmp_path: Path) -> None:
    lake = Lake(engine, tmp_path)
    try:
        for name, table in TABLES.items():
            within = {column: "customer_landing" for column in table.partition_by if column != "landing_date"}
            lake.put(name, engine.frame(_schema(name).empty_table()), [date(2023, 8, 6)], **within)
            assert not lake.rows(name)
            assert len(lake.lakehouse.snapshot(table).files) == 1
    finally:
        engine.close()
