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
from stedi_assets_tests.landing.judged import SEVERAL, judged, rows_of, unknown_keys_in

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
    assert sum((Counter(piece.unknown_keys) for piece in pieces), Counter()) == unknown_keys_in(table, content)


KEYS = [b"battery", b"app version", b"is active", b"note", b"a,b", b"Battery", b"filename", b"good", b"unknown 0", b"x"]
OTHERS = [
    *(b"0.5", b"-0", b"1e3", b"1e999", b"01", b"NaN", b"-Infinity", b"null", b"true", b"false", b"[1,2]", b'{"a":1}'),
    *(
        b'"1.2"',
        b'""',
        b'"a, b"',
        b'"true"',
        b'"say \\"so\\""',
        b'"\\ud800"',
        b'"\xff"',
        '"ünï"'.encode(),
        b'"a\vb"',
        b"TRUE",
    ),
]


@pytest.mark.parametrize("table", TABLES)
@settings(SEVERAL, max_examples=examples(12, 150))
@given(data=st.data())
def test_keys_that_mean_no_field_change_nothing_else(
    engine: DuckDBEngine, folder: Path, table: str, data: st.DataObject
):
    """Objects that are alike but for the values of such keys: most are read at speed, and each as it is judged."""
    keys = data.draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=3))
    values = st.sampled_from(data.draw(st.lists(st.sampled_from(OTHERS), min_size=1, max_size=4)))

    def with_keys() -> bytes:
        pairs = b"".join(b',"%s": %s' % (key, data.draw(values)) for key in keys if data.draw(st.integers(0, 4)))
        return GOOD[table].replace(b"}", pairs + b"}")

    content = b"\n".join(with_keys() for _ in range(data.draw(st.integers(1, 12))))
    assert_read_as_judged(engine, folder / "unknown.json", table, content)


@pytest.mark.parametrize("value", [b"0.5", b'"a, b"', b"true"])
def test_an_object_with_a_key_that_means_no_field_is_proven(engine: DuckDBEngine, value: bytes):
    line = GOOD["accelerometer_landing"].replace(b"}", b',"battery":%s}' % value)
    parser = parse.TextParser(engine, contract("accelerometer_landing"), DAY, 1 << 20)
    found = parser.segments(b"\n".join([line] * 3), final=True)
    assert (len(found.starts), len(found.texts), found.unknown) == (3, 0, {"battery": 3})


@pytest.mark.parametrize("table", TABLES)
@settings(SEVERAL, max_examples=examples(4, 60))
@given(data=st.data())
def test_any_file_is_read_as_its_texts_are_judged(engine: DuckDBEngine, folder: Path, table: str, data: st.DataObject):
    content = data.draw(files(table, most=12))
    assert_read_as_judged(engine, folder / "any.json", table, content)


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
