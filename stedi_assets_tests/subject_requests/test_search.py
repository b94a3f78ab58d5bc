"""The search for values: whole ones, wherever the blocks of a file end, and in whatever they are packed."""

from __future__ import annotations

import bz2
import codecs
import functools
import gzip
import io
import lzma
import os
import random
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stedi_assets.engines.duckdb import DuckDBEngine
from stedi_assets.subject_requests.search import Findings, Search

TEXT = b'x ann@example.co, Ann@Example.Co. ann@example.com ann@example.co.uk xann@example.co-y "ann@example.co"\n'


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 17, 1000])
def test_a_value_counts_once_and_only_by_itself(size: int) -> None:
    search = Search(["ann@example.co", "ann"], DuckDBEngine())
    assert search.too_short == 1
    blocks = [TEXT[at : at + size] for at in range(0, len(TEXT), size)]
    assert search._count(blocks) == 3


def test_a_value_at_the_very_end() -> None:
    assert Search(["ann@example.co"], DuckDBEngine())._count([b"ann@exam", b"ple.co"]) == 1
    assert Search(["ann@example.co"], DuckDBEngine())._count([b"ann@example.co", b"m"]) == 0
    assert Search(["ann@example.co"], DuckDBEngine())._count([]) == 0


def test_no_values() -> None:
    assert Search([], DuckDBEngine())._count([b"anything"]) == 0


def test_as_json_writes_it() -> None:
    assert Search(["zo\u00eb/x@example.co"], DuckDBEngine())._count([rb"zo\u00eb/x@example.co"]) == 1
    assert Search(["a/b@example.co"], DuckDBEngine())._count([rb"a\/b@example.co"]) == 1


def test_linked_folders_are_entered_once(tmp_path: Path) -> None:
    elsewhere, here = tmp_path / "elsewhere", tmp_path / "here"
    elsewhere.mkdir()
    here.mkdir()
    (elsewhere / "note.txt").write_text("ann@example.com")
    (elsewhere / "back").symlink_to(here)
    (here / "linked").symlink_to(elsewhere)
    (here / "self").symlink_to(here)
    findings = Findings()
    Search(["ann@example.com"], DuckDBEngine()).folder("folder", here, findings)
    assert findings.found == [("folder", "linked/note.txt", 1)]


# ---- what a file decodes to ------------------------------------------------------------------------------

HERS = '{"user": "bob@example.com"}\n{"user": "Ann@Example.com"}\n'
NOBODYS = '{"user": "bob@example.com"}\n'


def zipped(data: bytes, inner: str = "part.json", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.writestr(inner, data)
    return packed.getvalue()


def encrypted(data: bytes) -> bytes:
    """A zip whose member says that it is encrypted, as it must be read by whoever has no password."""
    packed = bytearray(zipped(data, method=zipfile.ZIP_STORED))
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        packed[packed.index(header) + flags] |= 1
    at = packed.index(data)
    packed[at : at + len(data)] = noise(len(data))
    return bytes(packed)


def noise(size: int) -> bytes:
    return random.Random(7).randbytes(size)


def zstd(data: bytes) -> bytes:
    return pa.compress(data, codec="zstd", asbytes=True)


def utf_16(encoding: str, mark: bytes = b"") -> Packing:
    return lambda data: mark + data.decode().encode(encoding)


Packing = Callable[[bytes], bytes]
PACKINGS: dict[str, list[Packing]] = {
    "plain": [],
    "gzip": [gzip.compress],
    "bzip2": [bz2.compress],
    "xz": [lzma.compress],
    "zstd": [zstd],
    "three layers": [zstd, gzip.compress, bz2.compress],
    "two members": [lambda data: gzip.compress(data[:40]) + gzip.compress(data[40:])],
    "UTF-16-LE": [utf_16("utf-16-le", codecs.BOM_UTF16_LE)],
    "UTF-16-BE": [utf_16("utf-16-be", codecs.BOM_UTF16_BE)],
    "UTF-16-LE without a mark": [utf_16("utf-16-le")],
    "UTF-16-BE without a mark": [utf_16("utf-16-be")],
    "UTF-16 in xz": [utf_16("utf-16-be"), lzma.compress],
    "zip": [zipped],
    "stored in zip": [lambda data: zipped(data, method=zipfile.ZIP_STORED)],
    "zip of gzip of UTF-16": [utf_16("utf-16-le"), gzip.compress, zipped],
    "zip in zip": [zipped, zipped],
}


def searched(folder: Path, name: str, content: bytes) -> tuple[list[str], list[str]]:
    """The files in which the search finds ann, and those that it cannot decode."""
    (folder / name).write_bytes(content)
    findings = Findings()
    Search(["ann@example.com"], DuckDBEngine()).folder("folder", folder, findings)
    assert findings.files == {"folder": len(list(folder.iterdir()))}
    return [file for _, file, _ in findings.found], [file for _, file in findings.undecodable]


def packed_as(data: str, packing: str) -> bytes:
    content = data.encode()
    for pack in PACKINGS[packing]:
        content = pack(content)
    return content


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_value_is_found_whatever_it_is_packed_in(tmp_path: Path, packing: str) -> None:
    assert searched(tmp_path, "x.json", packed_as(HERS, packing)) == (["x.json"], [])
    assert searched(tmp_path, "x.json", packed_as(NOBODYS, packing)) == ([], [])


@pytest.mark.parametrize("name", ["_x.json", ".x", "x.parquet.gz", "x.gz", "x"])
def test_a_value_is_found_whatever_the_name(tmp_path: Path, name: str) -> None:
    assert searched(tmp_path, name, bz2.compress(HERS.encode())) == ([name], [])


OPAQUE = {
    "an encrypted zip": encrypted(NOBODYS.encode()),
    "a zip whose member is opaque": zipped(noise(500)),
    "a damaged zip": zipped(noise(500))[:-30],
    "zips too deep": zipped(zipped(zipped(zipped(NOBODYS.encode())))),
    "7z": b"7z\xbc\xaf\x27\x1c\0\x04",
    "rar": b"Rar!\x1a\x07\x01\0",
    "OpenPGP": b"-----BEGIN PGP MESSAGE-----\n\nhQEMA\n",
    "random bytes": noise(2000),
    "few random bytes": b"x" + noise(40),
    "random bytes that look like UTF-16": codecs.BOM_UTF16_LE + noise(4000),
    "text and a zero byte": NOBODYS.encode() + b"\0",
    "a cut-off gzip": gzip.compress(noise(500).hex().encode())[:-20],
    "a damaged gzip": gzip.compress(NOBODYS.encode())[:-5] + b"12345",
    "a cut-off zstd": zstd(noise(500).hex().encode())[:-20],
    "four layers": bz2.compress(bz2.compress(bz2.compress(bz2.compress(NOBODYS.encode())))),
    "gzip of random bytes": gzip.compress(noise(2000)),
    "gzip of a database": gzip.compress(b"SQLite format 3\0" + NOBODYS.encode()),
}


@pytest.mark.parametrize("what", OPAQUE)
def test_what_cannot_be_decoded_is_named(tmp_path: Path, what: str) -> None:
    assert searched(tmp_path, "x.json", OPAQUE[what]) == ([], ["x.json"])


def test_also_of_what_cannot_be_decoded_the_bytes_are_searched(tmp_path: Path) -> None:
    assert searched(tmp_path, "x.bin", b"\0 ann@example.com \0") == (["x.bin"], ["x.bin"])
    cut = gzip.compress(HERS.encode() + noise(9000).hex().encode())[:-4000]
    assert searched(tmp_path, "x.bin", cut) == (["x.bin"], ["x.bin"])


@pytest.mark.parametrize(
    "text",
    ["", "caf\u00e9 " * 100, "\u6f22\u5b57" * 100, "\x1b[31mred\x1b[0m\r\n\t", "\U0001f600 and a \ufeff mark"],
)
def test_text_is_text(tmp_path: Path, text: str) -> None:
    assert searched(tmp_path, "x.txt", text.encode()) == ([], [])


def test_latin_1_is_text(tmp_path: Path) -> None:
    assert searched(tmp_path, "x.txt", "Andr\u00e9 said that he would come again\n".encode("latin-1")) == ([], [])


def test_a_database_is_read_and_not_only_its_pages(tmp_path: Path) -> None:
    """A long value lies on several pages, and an address may begin on one and end on the next."""
    path = tmp_path / "history.db"
    for length in range(600, 1200):
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA page_size = 512")
            database.execute("CREATE TABLE events (body TEXT)")
            database.execute("INSERT INTO events VALUES (?)", ["x" * 900 + " ann@example.com " + "y" * length])
            database.commit()
        if b"ann@example.com" not in path.read_bytes():
            break
    assert b"ann@example.com" not in path.read_bytes()
    findings = Findings()
    Search(["ann@example.com"], DuckDBEngine()).folder("folder", tmp_path, findings)
    assert (findings.found, findings.undecodable) == ([("folder", "history.db", 1)], [])


def test_what_lies_beside_a_database_is_known(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "runs.db")) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE runs (body TEXT)")
        database.execute("INSERT INTO runs VALUES ('of ann@example.com')")
        database.commit()
        findings = Findings()
        Search(["ann@example.com"], DuckDBEngine()).folder("folder", tmp_path, findings)
    assert findings.undecodable == []
    assert "runs.db-wal" in {file for _, file, _ in findings.found}
    (tmp_path / "other-wal").write_bytes(noise(100))
    findings = Findings()
    Search(["ann@example.com"], DuckDBEngine()).folder("folder", tmp_path, findings)
    assert findings.undecodable == [("folder", "other-wal")]


def test_parquet_is_decoded_whatever_its_name_and_its_types(tmp_path: Path) -> None:
    words = pa.array(["ann@example.com", None])
    columns = {
        "text": words,
        "coded": words.dictionary_encode(),
        "listed": pa.array([["x", "ann@example.com"], None]),
        "within": pa.array([{"who": "ann@example.com"}, None]),
        "binary": pa.array([b"of ann@example.com", None]),
    }
    for name, column in columns.items():
        pq.write_table(pa.table({name: column, "n": [1, 2]}), tmp_path / name, compression="zstd", use_dictionary=False)
    findings = Findings()
    Search(["ann@example.com"], DuckDBEngine()).folder("folder", tmp_path, findings)
    assert {file for _, file, _ in findings.found} == set(columns)
    assert findings.undecodable == []


@pytest.mark.parametrize(
    "text",
    [
        r"ann\u0040example.com",
        r"of\nann@example.com",
        r"of\u0020ann@example.com",
        r"\"ann@example.com\"",
        "ANN@EXAMPLE.COM",
    ],
)
def test_as_json_may_escape_it(text: str) -> None:
    assert Search(["ann@example.com"], DuckDBEngine())._count([text.encode()]) == 1


@pytest.mark.parametrize(
    "text", ["user=ann%40example.co", "ann&#64;example.co", "&#X40;", "%22ann@example.co%22", "%3Aann%40example%2eco"]
)
def test_as_urls_and_html_may_escape_it(text: str) -> None:
    text = text.replace("&#X40;", "ann&#x40;example.co")
    assert Search(["ann@example.co"], DuckDBEngine())._count([text.encode()]) == 1


def test_names_of_what_has_nothing_but_a_name(tmp_path: Path) -> None:
    (tmp_path / "user=ann@example.co").mkdir()
    (tmp_path / "ann@example.co.json").symlink_to(tmp_path / "nowhere")
    findings = Findings()
    Search(["ann@example.co"], DuckDBEngine()).folder("lake", tmp_path, findings)
    assert {file for _, file, _ in findings.found} == {"user=ann@example.co"}


def test_letters_that_are_not_ascii_in_either_case() -> None:
    search = Search(["zo\u00eb invented"], DuckDBEngine())
    for text in ("Zo\u00eb Invented", "ZO\u00cb INVENTED", r"ZO\u00CB invented"):
        assert search._count([text.encode()]) == 1


def test_names_of_folders_and_of_members_are_searched(tmp_path: Path) -> None:
    folder = tmp_path / "user=ann@example.com"
    folder.mkdir()
    (folder / "x.json").write_text("{}")
    (tmp_path / "y.zip").write_bytes(zipped(b"{}", "ann@example.com/y.json"))
    findings = Findings()
    Search(["ann@example.com"], DuckDBEngine()).folder("folder", tmp_path, findings)
    assert [file for _, file, _ in findings.found] == ["user=ann@example.com/x.json", "y.zip"]


def test_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.bin")).write_bytes(noise(100))
    findings = Findings()
    Search(["ann@example.com"], DuckDBEngine()).folder("folder", tmp_path, findings)
    assert findings.undecodable == [("folder", r"caf\udce9.bin")]


def test_without_values_what_cannot_be_decoded_is_named_too(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(noise(100))
    findings = Findings()
    Search([], DuckDBEngine()).folder("folder", tmp_path, findings)
    assert findings.undecodable == [("folder", "x")]


@settings(max_examples=300, deadline=None)
@given(
    words=st.lists(
        st.sampled_from(
            ["ann@example.com", "ann", "@example.com", "serial-ann", "555", "5550100", " ", ".", "x" * 300]
        ),
        max_size=12,
    ),
    size=st.integers(1, 700),
)
def test_to_look_around_the_rarest_parts_finds_the_same(words: list[str], size: int) -> None:
    search = Search(["ann@example.com", "serial-ann", "5550100"], _engine())
    text = "".join(words).encode()
    blocks = [text[at : at + size] for at in range(0, len(text), size)]
    assert search._pattern is not None
    assert search._count(blocks) == len(search._pattern.findall(text))


@functools.cache
def _engine() -> DuckDBEngine:
    return DuckDBEngine()
