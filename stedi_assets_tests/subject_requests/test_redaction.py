"""Raw files in every form lose the objects of a person, and nothing else."""

from __future__ import annotations

import bz2
import codecs
import functools
import gzip
import json
import lzma
import os
import random
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stedi_assets.contracts import table as contract
from stedi_assets.engines.duckdb import DuckDBEngine
from stedi_assets.landing.decode import CutOff, opened, text_blocks
from stedi_assets.reference import RejectedLineError, parse
from stedi_assets.reference.texts import texts
from stedi_assets.subject_requests.export import export_subject
from stedi_assets.subject_requests.matching import Subjects
from stedi_assets.subject_requests.places import all_raw_files, find_places
from stedi_assets.subject_requests.raw_files import RESTED, redact
from stedi_assets.subject_requests.redaction import RawFile, TextFilter
from stedi_assets.subject_requests.subject import Person
from stedi_assets_tests.kit.examples import examples
from stedi_assets_tests.kit.lake import SmallLake
from stedi_assets_tests.kit.records import DAY, STAMP, Record, movement

ANN = Person("ann@example.com", "")
TABLE = "accelerometer_landing"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallLake]:
    small = SmallLake.at(tmp_path_factory.mktemp("redaction"))
    yield small
    small.close()


def redacted(lake: SmallLake, path: Path, is_data: bool = True) -> int:
    below = path.relative_to(lake.root / "landing").as_posix()
    texts_of_ann = TextFilter(Subjects.of(lake.resources, ANN), lake.resources.session)
    return redact(lake.resources.landing, RawFile(contract(TABLE), below, DAY, is_data), texts_of_ann)


# ---- forms -----------------------------------------------------------------------------------------

PEOPLE = ["ann", "bob", "ann", "cid", "Ann", "zo\u00eb"]
RECORDS = [movement(name, STAMP + n) for n, name in enumerate(PEOPLE)]


def laid_out(before: str, between: str, after: str, indent: int | None = None) -> tuple[str, str]:
    """A text of the records, and what must be left of it."""

    def text(gone: bool) -> str:
        written = [json.dumps(record, indent=indent, ensure_ascii=False) for record in RECORDS]
        kept = [
            "\n" * one.count("\n") if gone and name.lower() == "ann" else one
            for name, one in zip(PEOPLE, written, strict=True)
        ]
        return before + between.join(kept) + after

    return text(False), text(True)


LAYOUTS = {
    "lines": laid_out("", "\n", "\n"),
    "concatenated": laid_out("", "", ""),
    "array": laid_out("[", ", ", "]\n"),
    "pretty-printed": laid_out("[\n", ",\n", "\n]\n", indent=2),
    "RFC 7464": laid_out("\x1e", "\n\x1e", "\n"),
}


def zstd(data: bytes) -> bytes:
    return pa.compress(data, codec="zstd", asbytes=True)


Packing = Callable[[bytes], bytes]
FORMS: dict[str, tuple[str, bytes, str, list[Packing]]] = {
    "plain": ("part.json", b"", "utf-8", []),
    "with a mark": ("part.json", codecs.BOM_UTF8, "utf-8", []),
    "gzip named .json": ("part.json", b"", "utf-8", [gzip.compress]),
    "bzip2": ("part.bz2", b"", "utf-8", [bz2.compress]),
    "xz": ("part", b"", "utf-8", [lzma.compress]),
    "zstd": ("part.zst", b"", "utf-8", [zstd]),
    "UTF-16-LE": ("part.json", codecs.BOM_UTF16_LE, "utf-16-le", []),
    "UTF-16-BE": ("part.json", codecs.BOM_UTF16_BE, "utf-16-be", []),
    "UTF-16-LE without a mark": ("part.json", b"", "utf-16-le", []),
    "UTF-16-BE without a mark": ("part.json", b"", "utf-16-be", []),
    "gzip of xz": ("part.gz", b"", "utf-8", [lzma.compress, gzip.compress]),
    "zstd of bzip2 of UTF-16": ("part.gz", codecs.BOM_UTF16_BE, "utf-16-be", [bz2.compress, zstd]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("form", FORMS)
def test_the_objects_of_a_person_go_and_every_other_byte_stays(
    lake: SmallLake, tmp_path: Path, form: str, layout: str
) -> None:
    name, mark, encoding, packings = FORMS[form]
    before, after = LAYOUTS[layout]
    path = lake.path(TABLE, name, day=f"{form} {layout}")
    path.write_bytes(packed(mark + before.encode(encoding), packings))
    path.chmod(0o640)
    os.utime(path, ns=(STAMP, STAMP))
    stored, _ = opened([path.read_bytes()])
    assert redacted(lake, path) == 3
    assert opened([path.read_bytes()])[0] == stored
    assert unpacked(path.read_bytes(), packings) == mark + after.encode(encoding)
    assert (path.stat().st_mtime_ns, path.stat().st_mode & 0o777) == (STAMP, 0o640)
    assert list(path.parent.iterdir()) == [path]
    again = path.read_bytes()
    assert redacted(lake, path) == 0
    assert path.read_bytes() == again


def packed(data: bytes, packings: list[Packing]) -> bytes:
    for packing in packings:
        data = packing(data)
    return data


def unpacked(data: bytes, packings: list[Packing]) -> bytes:
    """Not by the product's own decompression."""
    for packing in reversed(packings):
        if packing is zstd:
            data = pa.input_stream(pa.BufferReader(data), compression="zstd").read()
        else:
            data = {gzip.compress: gzip.decompress, bz2.compress: bz2.decompress}.get(packing, lzma.decompress)(data)
    return data


def test_equal_content_stays_equal(lake: SmallLake) -> None:
    """A copy that was compressed at another time is still a copy of what it was."""
    paths = [lake.path(TABLE, f"{number}.gz", day="copies") for number in range(2)]
    for number, path in enumerate(paths):
        path.write_bytes(gzip.compress(LAYOUTS["lines"][0].encode(), mtime=number))
        redacted(lake, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("packings", [[gzip.compress], [bz2.compress], [lzma.compress], [bz2.compress, gzip.compress]])
def test_a_cut_off_file_keeps_what_could_be_read_and_stays_cut_off(lake: SmallLake, packings: list[Packing]) -> None:
    """It must be seen that something is missing: it may be a withdrawal."""
    path = lake.path(TABLE, "part", day="cut-off")
    noise = random.Random(1)
    many = [json.dumps({**movement(name), "x": noise.random()}) for _ in range(9000) for name in ("ann", "bob")]
    whole = packed("\n".join(many).encode(), packings)
    path.write_bytes(whole[: len(whole) * 3 // 4])
    read = until_cut_off(path)
    assert redacted(lake, path) > 500
    left = until_cut_off(path)
    assert left == b"\n".join(b"" if b"ann@" in line else line for line in read.split(b"\n"))
    assert redacted(lake, path) == 0


def until_cut_off(path: Path) -> bytes:
    read = []
    with pytest.raises(CutOff):
        read += text_blocks(fsspec.filesystem("file"), str(path))
    return b"".join(read)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # What is left would be taken for UTF-16, or for bzip2.
        (json.dumps(RECORDS[0]).encode() + b"\0x\0y", b"  \0x\0y"),
        (json.dumps(RECORDS[0]).encode() + b"BZh9", b"  BZh9"),
        ((json.dumps(RECORDS[0]) + "\u6f22").encode("utf-16-le"), "  \u6f22".encode("utf-16-le")),
    ],
)
def test_what_is_left_is_not_taken_for_another_form(lake: SmallLake, before: bytes, after: bytes) -> None:
    path = lake.path(TABLE, day="form")
    path.write_bytes(before)
    assert redacted(lake, path) == 1
    assert path.read_bytes() == after


def test_a_file_whose_name_is_as_long_as_names_can_be(lake: SmallLake) -> None:
    path = lake.path(TABLE, "x" * 250 + ".json", day="long")
    path.write_text(f"{A}\n{B}\n")
    assert redacted(lake, path) == 1
    assert path.read_text() == f"\n{B}\n"


# ---- rejected texts ----------------------------------------------------------------------------------

A, B = json.dumps(movement("ann")), json.dumps(movement("bob"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # Of a whole object its inner ones go, and it stays whole.
        (f'{{"records": [{A}, {B}], "of": 1}}', f'{{"records": [{{}}, {B}], "of": 1}}'),
        (f'{{"records": [{A}, {B}', f'{{"records": [{{}}, {B}'),
        # Two records that a comma parts, in braces.
        (f"{{{A},\n{B}}}", f"{{\x1e,\n{B}}}"),
        # What names the person besides goes with the rest.
        ('{"user": "ann@example.com", "x": {"y": 1}}', ""),
        ('{"user": "ann@example.com", "timestamp": "soon"}' + B, B),
        (f"mail from ann@example.com {B}", f" {B}"),
        # An object that breaks ended at the brace of hers.
        (f'{{"user": "bob@example.com", "x": 1 {A}, "y": 2}}', '{"user": "bob@example.com", "x": 1 \x1e, "y": 2}'),
        (f'{{"user": "bob\n{A}\n{B}', f'{{"user": "bob\n\x1e\n{B}'),
    ],
)
def test_of_a_rejected_text_the_bytes_of_others_stay(lake: SmallLake, before: str, after: str) -> None:
    path = lake.path(TABLE, day="rejected")
    path.write_text(before)
    assert redacted(lake, path) >= 1
    assert path.read_text() == after
    assert [one for one in good(before) if "bob" in one] == [one for one in good(after) if "bob" in one]


def good(text: str) -> list[str]:
    """The good records of a text, by the reference."""
    found = []
    for one in texts(text.encode()):
        try:
            parse(one.content, TABLE, DAY)
        except RejectedLineError:
            continue
        found.append(one.content.decode())
    return found


_PARTS = [A, B, "\n", ",", " ", "[", "]", "\x1e", "{", "}", '"', ":", '{"a": ', '{"a": "', '{"records": [', "1", "bob"]
_PARTS += [" ann@example.com ", '{"user": "ann@example.com"}', '{"user":\n"ann\\u0040example.com"}', "\ufeff", "\u00eb"]


@settings(max_examples=examples(50, 300), deadline=None)
@given(parts=st.lists(st.sampled_from(_PARTS), max_size=14), size=st.integers(1, 400))
def test_whatever_stands_around(parts: list[str], size: int) -> None:
    """Nothing of the person is left, others' records are read as before, and none is made of pieces."""
    before = "".join(parts).encode()
    texts_of_ann = _filter()
    file = RawFile(contract(TABLE), "x.json", DAY)
    after = before
    for _ in range(10):
        blocks = [after[at : at + size] for at in range(0, len(after), size)]
        pieces = list(texts_of_ann.redacted(blocks, file))
        after = b"".join(piece.kept for piece in pieces)
        if not any(piece.removed for piece in pieces):
            break
    assert not any(piece.removed for piece in pieces)
    assert b"ann@example.com" not in after.lower().replace(rb"\u0040", b"@")
    assert after.count(b"\n") == before.count(b"\n")
    kept = [one for one in texts(before) if one.content == B.encode()]
    left = [one for one in texts(after) if one.content == B.encode()]
    assert {one.line for one in kept} <= {one.line for one in left}
    assert len(kept) <= len(left)
    assert all(one.encode() in before for one in good(after.decode()))


@functools.cache
def _filter() -> TextFilter:
    """One filter for all examples; nothing is stored."""
    lake = SmallLake.at(Path(os.devnull))
    return TextFilter(Subjects.of(lake.resources, ANN), DuckDBEngine())


# ---- texts that are too long ---------------------------------------------------------------------------


def _long_text() -> str:
    """One line of 400 kB that no object ends: the first and last objects are Ann's, and prose that names her."""
    others = ",".join(json.dumps({"user": f"b{n}@example.com", "timestamp": STAMP + n}) for n in range(6_000))
    return f'{{"records":[{A},{others},"ask ann@example.com or cid@example.com",{A},{B}'


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("piece", [30_000, 1 << 20])
def test_a_text_that_is_too_long_loses_what_names_a_person_and_stays_as_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int, pack: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr("stedi_assets.subject_requests.raw_files.PIECE", piece)
    lake = SmallLake.at(tmp_path)
    path = lake.path(TABLE)
    before = f"{B}\n{_long_text()}\n{A}\n{B}\n".encode()
    path.write_bytes(pack(before))
    texts_of_ann = TextFilter(Subjects.of(lake.resources, ANN), lake.resources.session, longest=50_000)
    file = RawFile(contract(TABLE), path.relative_to(lake.root / "landing").as_posix(), DAY, is_data=True)
    assert redact(lake.resources.landing, file, texts_of_ann) == 3
    after = b"".join(text_blocks(fsspec.filesystem("file"), str(path)))
    assert b"ann@" not in after
    first, long, empty, last, _ = after.split(b"\n")
    assert (first, empty, last) == (B.encode(), b"", B.encode())
    assert len(long) == len(_long_text())
    assert long.startswith(b'{"records":[{}')
    # An object goes by itself; of prose the stretch around it does, but for whom else it names.
    assert json.loads(long[len(b'{"records":[{}') :].lstrip(b" ,").partition(b",{")[0])["user"] == "b0@example.com"
    assert {b"bob@example.com", b"cid@example.com", b"b5999@example.com"} < set(long.rstrip().split(b" "))
    lake.close()


# ---- files that are no data ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["_x.json", ".x.json", "x.json.tmp", "_spark/x.json"])
def test_files_that_ingestion_leaves_alone_are_rewritten_once_they_have_rested(tmp_path: Path, name: str) -> None:
    lake = SmallLake.at(tmp_path)
    path = lake.path(TABLE).parent / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{A}\n{B}\n")
    (file,) = all_raw_files(lake.resources)
    assert not file.is_data
    (place,) = find_places(lake.resources, Subjects.of(lake.resources, ANN))
    assert (place.kind, place.number) == ("raw file", 1)
    assert redacted(lake, path, is_data=False) == 0
    os.utime(path, (time.time() - RESTED - 60,) * 2)
    assert redacted(lake, path, is_data=False) == 1
    assert path.read_text() == f"\n{B}\n"
    lake.close()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (".x.json.swp", b"b0VIM\0" + A.encode()),
        ("x.zip", b"PK\x03\x04" + A.encode()),
        ("x.db", b"SQLite format 3\0" + A.encode()),
    ],
)
def test_what_would_be_destroyed_is_left_to_the_search(lake: SmallLake, name: str, content: bytes) -> None:
    path = lake.path(TABLE, name, day="opaque")
    path.write_bytes(content)
    os.utime(path, (time.time() - RESTED - 60,) * 2)
    assert redacted(lake, path, is_data=not name.startswith(".")) == 0
    assert path.read_bytes() == content


def test_an_export_has_the_objects_and_nothing_of_others(tmp_path: Path) -> None:
    lake = SmallLake.at(tmp_path)
    lake.path(TABLE).write_bytes(gzip.compress(f'{A}{B}{{"records": [{A}, {B}]}}'.encode()))
    assert export_subject(lake.resources, ANN, tmp_path / "ann.zip")["raw_files.json"] == 2
    with zipfile.ZipFile(tmp_path / "ann.zip") as packed_up:
        rows: list[Record] = json.loads(packed_up.read("raw_files.json"))
    assert [row["text"] for row in rows] == [A, A]
    lake.close()
