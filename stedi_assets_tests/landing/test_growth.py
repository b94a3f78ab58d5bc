"""Reading takes time that grows with the length of a file, whatever stands in it."""

from __future__ import annotations

import json
from pathlib import Path

import fsspec
import pytest

from stedi_assets.contracts import table as contract
from stedi_assets.engines.duckdb import DuckDBEngine
from stedi_assets.landing import decode, parse
from stedi_assets.landing.parse import read_texts
from stedi_assets_tests.kit.growth import assert_grows_with_length
from stedi_assets_tests.kit.records import DAY
from stedi_assets_tests.kit.table_lake import TableLake, steps

FS = fsspec.filesystem("file")
HOSTILE = [
    *(b'{"a":', b'{"a":\n', b'{"a":[\n', b"{", b"{\n", b'{"a":1,"b":[1,2,{"c":1},\n', b'{"a":[1,"x",\n'),
    *(b"[", b"[\n", b"]", b",", b"\n", b" ", b"\xef\xbb\xbf", b"x", b"x\n", b"}", b"{}", b'{"a":}', b"\0"),
    *(b'"', b'"\n', b"\\", b'{"a":"\\', b'{"a":"x\n', b'{"a":"\\u00', b'{"\\"":\n', b'{"a":{"b":1}', b"\xff"),
]
WITHIN = [b"x", b"\\\\", b'\\"', b"\\u0061", b"{", b"[", b"\xff"]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("growth") / "a.json"


def read(engine: DuckDBEngine, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    for _ in read_texts(engine, FS, str(path), contract("customer_landing"), "a/b.json", DAY):
        pass


@pytest.mark.parametrize("unit", HOSTILE)
def test_any_file_is_read_in_time_that_grows_with_its_length(engine: DuckDBEngine, path: Path, unit: bytes):
    assert_grows_with_length(lambda length: read(engine, path, unit * (length // len(unit))), 6_000)


@pytest.mark.parametrize("unit", WITHIN)
def test_any_string_that_does_not_end_is_too(engine: DuckDBEngine, path: Path, unit: bytes):
    assert_grows_with_length(lambda length: read(engine, path, b'{"a":"' + unit * (length // len(unit))), 50_000)


@pytest.mark.parametrize("unit", [b"x", b'{"a":'])
def test_a_text_that_comes_in_many_pieces_is_too(
    engine: DuckDBEngine, path: Path, unit: bytes, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(parse, "PIECE_BYTES", 1_000)
    assert_grows_with_length(lambda length: read(engine, path, b'{"b":' + unit * (length // len(unit))), 50_000)


@pytest.mark.parametrize("packed", ["gzip", "bzip2", "xz"])
def test_many_short_members_are_too(packed: str):
    member = {"gzip": decode.zlib.compressobj(wbits=31).flush(), "bzip2": decode.bz2.compress(b"")}
    unit = member.get(packed) or decode.lzma.compress(b"")
    assert_grows_with_length(lambda length: list(decode.decoded([unit * length])), 2_000)


@pytest.mark.slow
@pytest.mark.parametrize("around", ['{"note":%s,%s}', "%s,%s"])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("closed", [True, False])
def test_what_is_nested_500_000_deep_is_rejected_and_what_lies_around_it_is_read(
    lake: TableLake, around: str, opening: str, closing: str, closed: bool
):
    nested = opening * 500_000 + "1" + closing * (500_000 if closed else 0)
    good = steps(1).decode().strip()
    line = (around % (nested, good[1:-1] if around[0] == "{" else "7")).encode()
    lake.put("a.json", steps(2) + line + b"\n" + steps(3))
    report = lake.run()[DAY]
    assert lake.numbers() == [2, 3]
    # What stands behind an object that ends is a text of its own.
    assert (report.rows, report.rejected) == (2, 2 if around[0] == "%" and opening[0] == "{" and closed else 1)


@pytest.mark.slow
def test_a_record_with_a_million_keys_is_a_row(lake: TableLake):
    keys = ",".join(f'"k{number}":1' for number in range(1_000_000))
    lake.put("a.json", steps(1).replace(b"}", f",{keys}}}".encode()) + steps(2))
    assert lake.run()[DAY].rows == 2
    [entry] = lake.record()
    assert json.loads(str(entry.unknown_keys))["other keys"] + 19 >= 1_000_000 - 1_000
