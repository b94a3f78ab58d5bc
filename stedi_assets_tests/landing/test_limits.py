"""The limits on what of a raw file is read: each with its own words, and nothing below them changes."""

from __future__ import annotations

import dataclasses
import gzip
import json
import lzma
from pathlib import Path

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stedi_assets.contracts import table as contract
from stedi_assets.engines.duckdb import DuckDBEngine
from stedi_assets.landing import day_plan, parse, profile
from stedi_assets.landing.errors import UnreadableFileError
from stedi_assets.landing.parse import read_texts
from stedi_assets.landing.profile import profile_file
from stedi_assets.landing.texts import TOO_LONG
from stedi_assets.settings import Limits
from stedi_assets_tests.kit.examples import examples
from stedi_assets_tests.kit.records import DAY, NOON, step_record
from stedi_assets_tests.kit.table_lake import D1, D2, TableLake, steps
from stedi_assets_tests.landing.corpus import files
from stedi_assets_tests.landing.judged import SEVERAL

FS = fsspec.filesystem("file")
KIB = 1 << 10


def limited(lake: TableLake, **limits: int) -> TableLake:
    lake.zone = dataclasses.replace(lake.zone, limits=Limits(**limits))
    return lake


def long_step(length: int) -> bytes:
    """A good record of so many bytes."""
    line = json.dumps(step_record("", NOON, 7)).encode()
    return line.replace(b'""', b'"%s"' % (b"s" * (length - len(line))))


# ---- the longest text ------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("piece", [100, 3_000, 1 << 20])
def test_of_a_text_that_is_too_long_the_beginning_is_kept_and_reading_goes_on(
    lake: TableLake, monkeypatch: pytest.MonkeyPatch, pack: type, piece: int
):
    monkeypatch.setattr(parse, "PIECE_BYTES", piece)
    monkeypatch.setattr(parse, "KEPT_OF_LONG", 10)
    limited(lake, longest_text=KIB)
    content = steps(1) + b'{"note":"' + b"x" * 5_000 + b'"} {"a":1}\n' + steps(2) + b"y" * 2_000 + b"\n" + steps(3)
    lake.put("a.json", pack(content))
    report = lake.run()[DAY]
    assert lake.numbers() == [1, 2, 3]
    assert lake.quarantine() == [("a.json", 2, TOO_LONG, '{"note":"x'), ("a.json", 4, TOO_LONG, "y" * 10)]
    assert (report.lines, report.rows, report.rejected) == (5, 3, 2)


@pytest.mark.parametrize("between", [b"\n", b" \n", b"\n,"])
def test_good_records_are_read_up_to_the_limit_whichever_way_they_are_read(lake: TableLake, between: bytes):
    """The second of them are read at full speed, one by one, and in an array."""
    limited(lake, longest_text=KIB)
    lake.put("a.json", between.join([long_step(KIB), long_step(KIB - 1), steps(1)]))
    assert lake.run()[DAY].rejected == 0
    lake.put("b.json", between.join([long_step(KIB + 1), steps(2)]))
    assert [reason for _, _, reason, _ in (lake.run(), lake.quarantine())[1]] == [TOO_LONG]
    assert lake.numbers() == [1, 2, 7, 7]


def test_another_limit_makes_the_days_be_read_anew(lake: TableLake):
    limited(lake, longest_text=KIB)
    lake.put("a.json", steps(1) + long_step(2 * KIB))
    lake.run()
    assert (lake.numbers(), lake.plan()) == ([1], {})
    limited(lake, longest_text=4 * KIB)
    assert lake.plan() == {D1: "the files were read by other rules"}
    lake.settle()
    assert (lake.numbers(), lake.quarantine(), lake.plan()) == ([1, 7], [], {})


def test_a_file_that_is_cut_off_in_a_text_that_is_too_long(lake: TableLake, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parse, "PIECE_BYTES", 500)
    monkeypatch.setattr(parse, "KEPT_OF_LONG", 3)
    packed = gzip.compress(b"y" * 50_000)
    lake.put("a.json", packed[:-10])
    limited(lake, longest_text=KIB).run()
    assert lake.quarantine() == [("a.json", 1, TOO_LONG, "yyy"), ("a.json", 1, parse.CUT_OFF_REASON, "")]


@settings(SEVERAL, max_examples=examples(5, 100))
@given(content=files("step_trainer_landing", most=8))
def test_what_is_below_every_limit_is_read_as_without_one(
    engine: DuckDBEngine, tmp_path_factory: pytest.TempPathFactory, content: bytes
):
    path = tmp_path_factory.getbasetemp() / "below.json"
    path.write_bytes(content)
    size = len(content)

    def read(limits: Limits) -> list[object]:
        pieces = read_texts(engine, FS, str(path), contract("step_trainer_landing"), "a/b.json", DAY, limits)
        return [(piece.rows.to_pylist(), piece.rejects, piece.unknown_keys) for piece in pieces if piece.texts]

    assert read(Limits(longest_text=size + 1, largest_file=size)) == read(Limits(1 << 40, 1 << 40, 1 << 40))


@settings(max_examples=examples(50, 500), deadline=None)
@given(st.lists(st.integers(0, 12), max_size=8), st.integers(1, 9), st.booleans(), st.integers(1, 15))
def test_a_profile_knows_whether_a_line_is_too_long(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], block: int, ends: bool, longest: int
):
    path = tmp_path_factory.getbasetemp() / "lines.json"
    path.write_bytes(b"\n".join(b"x" * length for length in lengths) + b"\n" * ends)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(profile, "BLOCK", block)
        assert profile_file(FS, str(path), Limits(longest)).long == (max(lengths, default=0) > longest)


# ---- the largest file ------------------------------------------------------------------------------

BOMBS = {
    "raw": b" " * (1 << 20) + b" ",
    "gzip": gzip.compress(b"x" * (2 << 20)),
    "gzip of blanks": gzip.compress(b"\n" * (2 << 20)),
    "gzip of gzip": gzip.compress(gzip.compress(b"x" * (2 << 20))),
    "empty members in gzip": gzip.compress(gzip.compress(b"") * 60_000),
    "xz": lzma.compress(b"x\n" * (1 << 20)),
    "UTF-16": gzip.compress(("x" * (1 << 20)).encode("utf-16")),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_file_that_is_too_large_is_refused_and_the_other_days_are_made(lake: TableLake, bomb: str):
    limited(lake, largest_file=1 << 20)
    lake.put("a.json", steps(1), D1)
    lake.put("bomb.json", BOMBS[bomb], D2)
    said = r"bomb\.json has, decompressed.* more than 1 MiB, .*STEDI_LARGEST_FILE"
    with pytest.raises(UnreadableFileError, match=said):
        lake.run(D1, D2)
    assert lake.numbers() == [1]
    assert lake.plan() == {D2: "1 new file"}


def test_what_is_too_large_as_it_lies_there_is_not_opened(lake: TableLake, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(day_plan, "profile_file", lambda *_: pytest.fail("it was read"))
    path = lake.put("bomb.json", b"")
    with path.open("r+b") as file:
        file.truncate(10 << 30)
    with pytest.raises(UnreadableFileError, match="more than 4 GiB"):
        lake.run()


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path):
    path = tmp_path / "a.json"
    path.write_bytes(b"x" * 2_000)
    with pytest.raises(UnreadableFileError, match="more than 1 KiB"):
        profile_file(FS, str(path), Limits(largest_file=KIB))


def test_a_file_within_a_raised_limit_is_read_at_the_next_run(lake: TableLake):
    lake.put("a.json", gzip.compress(steps(*range(100))))
    with pytest.raises(UnreadableFileError):
        limited(lake, largest_file=KIB).run()
    limited(lake, largest_file=1 << 20).settle()
    assert len(lake.numbers()) == 100


# ---- the most rejected texts -----------------------------------------------------------------------


@pytest.mark.parametrize("unit", [b"a\n", b"{}\n", b"{", b'{"a":1}', b'{"a":\n'])
def test_a_file_with_too_many_rejected_texts_is_refused(lake: TableLake, unit: bytes):
    limited(lake, most_rejected=10)
    lake.put("a.json", unit * 10 + b"\n" + steps(1))
    assert lake.run()[DAY].rejected == 10
    lake.put("b.json", unit * 11 + b"\n" + steps(2))
    before = lake.state()
    with pytest.raises(UnreadableFileError, match=r"b\.json more than 10 texts .*STEDI_MOST_REJECTED"):
        lake.run()
    assert lake.state() == before
    assert limited(lake, most_rejected=11).run()[DAY].rejected == 21


def test_rejected_texts_may_be_long_or_many(lake: TableLake):
    limited(lake, most_rejected=10, longest_text=10 * KIB)
    lake.put("a.json", (b"x" * 9_000 + b"\n") * 3)
    assert lake.run()[DAY].rejected == 3
    lake.put("a.json", (b"x" * 9_000 + b"\n") * 4)
    with pytest.raises(UnreadableFileError, match="STEDI_MOST_REJECTED"):
        lake.run()


def test_an_error_names_no_value(lake: TableLake):
    limited(lake, most_rejected=1)
    lake.put("a.json", b"ann@example.com\n" * 2)
    with pytest.raises(UnreadableFileError) as found:
        lake.run()
    assert "@" not in str(found.value)
