"""Whatever is in a file, reading it text by text gives what the rule gives."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stedi_assets.contracts import table as contract
from stedi_assets.engines.duckdb import DuckDBEngine
from stedi_assets.landing import parse
from stedi_assets.landing.parse import read_texts
from stedi_assets_tests.kit.examples import examples
from stedi_assets_tests.kit.records import DAY
from stedi_assets_tests.landing.corpus import GOOD, TABLES, files, lines
from stedi_assets_tests.landing.judged import SEVERAL, judged, rows_of

FS = fsspec.filesystem("file")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("raw")


def assert_read_as_judged(engine: DuckDBEngine, path: Path, table: str, content: bytes) -> None:
    """Read a file text by text and compare."""
    path.write_bytes(content)
    pieces = list(read_texts(engine, FS, str(path), contract(table), "a/b.json", DAY))
    good, bad = judged(table, content)
    numbered = table == "customer_landing"
    found = Counter(row for piece in pieces for row in rows_of(contract(table), piece.rows.to_pylist()))
    assert found == Counter((*values, "a/b.json", *(place if numbered else ())) for place, values in good)
    assert sorted(tuple(reject) for piece in pieces for reject in piece.rejects) == sorted(bad)
    assert sum(piece.texts for piece in pieces) == len(good) + len(bad)


@pytest.mark.parametrize("table", TABLES)
@settings(SEVERAL, max_examples=examples(4, 60))
@given(data=st.data())
def test_any_file_is_read_as_its_texts_are_judged(engine: DuckDBEngine, folder: Path, table: str, data: st.DataObject):
    assert_read_as_judged(engine, folder / "any.json", table, data.draw(files(table, most=12)))


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES)
def test_a_long_file_in_many_pieces(engine: DuckDBEngine, folder: Path, table: str, monkeypatch: pytest.MonkeyPatch):
    """Thousands of generated lines at once, so that the reader's buffers and our pieces cut anywhere."""
    made: list[bytes] = []

    @settings(SEVERAL, max_examples=50, database=None, derandomize=True)
    @given(st.lists(lines(table), min_size=1, max_size=20))
    def make(some: list[bytes]) -> None:
        made.extend(some)

    make()
    made += [GOOD[table]] * 2000
    random.Random(1).shuffle(made)
    for size, most in ((16 << 20, 1 << 18), (30_000, 1 << 18), (16 << 20, 100)):
        monkeypatch.setattr(parse, "PIECE_BYTES", size)
        monkeypatch.setattr(parse, "MOST_TEXTS", most)
        assert_read_as_judged(engine, folder / "long.json", table, b"\n".join(made))


@pytest.mark.slow
def test_lines_about_as_long_as_the_reader_takes(engine: DuckDBEngine, folder: Path):
    def line(length: int, *, good: bool = True) -> bytes:
        text = b'{"sensorReadingTime":1691323200000,"distanceFromObject":7,"serialNumber":"%s"}' % (b"x" * length)
        return text if good else text[:-1]

    sizes = [parse.LONG_LINE + n for n in (-200, -79, -78, -77, -1, 0, 1, parse.LONG_LINE)]
    content = b"\n".join([GOOD["step_trainer_landing"], *(line(n, good=g) for n in sizes for g in (True, False))])
    assert_read_as_judged(engine, folder / "wide.json", "step_trainer_landing", content)
