"""Raw files that are copies, change, move to another day or go."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from stedi_assets.engines.duckdb import DuckDBEngine
from stedi_assets.landing.day_plan import MissingFiles, MissingFilesError, UnconfirmedDropError
from stedi_assets.landing.ingest import DayReport
from stedi_assets_tests.kit.records import DAY, NOON
from stedi_assets_tests.kit.table_lake import D1, D2, D3, MOVES, NOT_JSON, STEPS, TableLake, step, steps

# --- copies -------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(D1, D2, D3), (D3, D2, D1), (D2, D3, D1)])
def test_copies_count_once_whatever_runs_first(lake: TableLake, order: tuple[date, ...]):
    content = steps(1, 2) + b"bad\n\n"
    for day, names in ((D1, ("b.json", "c.json")), (D2, ("a.json", "own.json")), (D3, ("a.json",))):
        for name in names:
            lake.put(name, steps(9) if name == "own.json" else content, day)
    for day in order:
        lake.run(day)
    lake.settle()
    assert lake.numbers() == [1, 2, 9]
    assert {row["source_file"] for row in lake.rows()} == {lake.path("b.json", D1), lake.path("own.json", D2)}
    assert lake.quarantine() == [("b.json", 3, NOT_JSON, "bad")]
    first = lake.path("b.json", D1)
    assert {(one.source_file, one.lines, one.duplicate_of) for one in lake.record()} == {
        (first, 3, None),
        (lake.path("c.json", D1), 3, first),
        (lake.path("a.json", D2), 3, first),
        (lake.path("own.json", D2), 1, None),
        (lake.path("a.json", D3), 3, first),
    }


def test_a_report_says_what_was_skipped(lake: TableLake):
    for name in "abc":
        lake.put(f"{name}.json", steps(1, 2))
    assert lake.run()[DAY] == DayReport(files=3, duplicates=2, lines=2, rows=2)


def test_when_the_copy_that_counted_changes_the_next_one_counts(lake: TableLake):
    lake.put("a.json", steps(1), D1)
    lake.put("a.json", steps(1), D2)
    lake.run(D1, D2)
    assert [row["landing_date"] for row in lake.rows()] == [D1]
    lake.put("a.json", steps(2, 3), D1)
    assert lake.settle() == 2
    assert sorted((row["landing_date"], row["distanceFromObject"]) for row in lake.rows()) == [
        (D1, 2),
        (D1, 3),
        (D2, 1),
    ]


def test_equal_files_of_other_tables_are_no_copies(engine: DuckDBEngine, tmp_path: Path):
    both = step(1).replace(b"}", b',"user":"u","timestamp":%d,"x":1,"y":1,"z":1}' % NOON)
    lakes = [TableLake(engine, tmp_path, table) for table in (STEPS, MOVES)]
    for one in lakes:
        one.put("a.json", both)
        one.run()
    assert [len(one.rows()) for one in lakes] == [1, 1]
    assert [one.plan() for one in lakes] == [{}, {}]


# --- files change -------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [steps(2), steps(2, 3), b"", b"bad\n"])
def test_a_file_rewritten_under_its_name(lake: TableLake, content: bytes):
    lake.put("a.json", steps(1))
    lake.run()
    assert len(content) != len(steps(1)) or content == steps(2)
    lake.put("a.json", content)
    assert lake.plan() == {DAY: "1 changed file"}
    lake.run()
    assert lake.numbers() == [json.loads(line)["distanceFromObject"] for line in content.split(b"\n") if b"{" in line]
    assert len(lake.quarantine()) == content.count(b"bad")
    assert lake.plan() == {}


@pytest.mark.parametrize("half", [len(step(1)), len(step(1)) + 10, 0])
def test_a_half_written_file_that_is_finished_later(lake: TableLake, half: int):
    lake.put("a.json", steps(1, 2, 3)[:half])
    lake.run()
    assert len(lake.quarantine()) == (half == len(step(1)) + 10)
    lake.put("a.json", steps(1, 2, 3))
    assert lake.plan() == {DAY: "1 changed file"}
    lake.run()
    assert (lake.numbers(), lake.quarantine(), lake.plan()) == ([1, 2, 3], [], {})


@pytest.mark.parametrize("order", [sorted, lambda days: sorted(days, reverse=True)])
def test_a_file_that_is_finished_after_midnight(lake: TableLake, order: Callable[[list[date]], list[date]]):
    """Its time alone says when it landed, so it lies on another day, and its first half must not stay behind."""
    noon = NOON // 1000
    file = lake.put("a.json", steps(1), None)
    os.utime(file, (noon, noon))
    lake.run(D1)
    file = lake.put("a.json", steps(1, 2), None)
    os.utime(file, (noon + 86_400, noon + 86_400))
    assert lake.plan() == {D1: "1 moved file", D2: "1 new file"}
    lake.settle(order)
    assert sorted((row["landing_date"], row["distanceFromObject"]) for row in lake.rows()) == [(D2, 1), (D2, 2)]
    # ... nor where only the time changed.
    os.utime(file, (noon + 2 * 86_400, noon + 2 * 86_400))
    lake.settle(order)
    assert sorted((row["landing_date"], row["distanceFromObject"]) for row in lake.rows()) == [(D3, 1), (D3, 2)]


# --- files go -----------------------------------------------------------------------------------


def test_archived_files_take_nothing_with_them(lake: TableLake):
    for day in (D1, D2):
        lake.put("a.json", steps(day.day, 100) + b"bad\n", day)
    lake.put("b.json", steps(3), D2)
    lake.run(D1, D2)
    before = lake.state()
    for day in (D1, D2):
        (lake.root / "raw" / lake.path("a.json", day)).unlink()
    assert lake.plan() == {}
    for day in (D1, D2):
        with pytest.raises(MissingFilesError, match=r"^1 raw file\(s\) of step_trainer_landing .* their 2 rows"):
            lake.run(day)
    assert lake.state() == before


@pytest.mark.parametrize("rest", [True, False])
def test_what_to_do_with_the_rows_of_files_that_are_gone(lake: TableLake, rest: bool):
    lake.put("a.json", steps(1, 2) + b"bad\n")
    if rest:
        lake.put("b.json", steps(3) + b"worse\n")
    lake.run()
    before = lake.state()
    (lake.root / "raw" / lake.path("a.json")).unlink()

    report = lake.run(missing=MissingFiles.KEEP)[DAY]
    assert lake.state() == before
    assert lake.plan() == {}
    assert (report.files, report.kept, report.lines) == (1 + rest, 1, 3 + 2 * rest)
    assert (report.rows, report.rejected, report.reasons) == (2 + rest, 1 + rest, {NOT_JSON: 1 + rest})
    # What was kept can be kept again.
    lake.run(missing=MissingFiles.KEEP)
    assert lake.state() == before

    lake.run(missing=MissingFiles.DROP, rows_to_drop=3)
    assert lake.numbers() == ([3] if rest else [])
    assert lake.quarantine() == ([("b.json", 2, NOT_JSON, "worse")] if rest else [])
    assert [one.source_file for one in lake.record()] == ([lake.path("b.json")] if rest else [])
    assert lake.plan() == {}
    assert set(lake.snapshot(STEPS).fingerprints()) == {DAY}
    lake.run()


@pytest.mark.parametrize(("number", "asked"), [(None, "is not given"), (0, "is 0"), (2, "is 2"), (5, "is 5")])
def test_rows_are_dropped_only_by_their_number(lake: TableLake, number: int | None, asked: str):
    """The number is that of all days of the run, and nothing has changed on any where it is wrong."""
    for day in (D1, D2, D3):
        lake.put("a.json", steps(day.day, 100) + b"bad\n", day)
    lake.put("b.json", steps(1, 2, 3), D3)
    lake.run(D1, D2, D3)
    before = lake.state()
    (lake.root / "raw" / lake.path("a.json", D1)).unlink()
    (lake.root / "raw" / lake.path("b.json", D3)).unlink()
    says = (
        f"would drop 5 row(s) and 1 rejected text(s) of 2 raw file(s) of {STEPS} that landed on {D1}, {D3} "
        f"and are gone, and rows_to_drop {asked}. Every table is as it was. If all of them are to go, set "
        "rows_to_drop: 6."
    )
    with pytest.raises(UnconfirmedDropError, match=re.escape(says)):
        lake.run(D1, D2, D3, missing=MissingFiles.DROP, rows_to_drop=number)
    assert lake.state() == before

    lake.run(D1, D2, D3, missing=MissingFiles.DROP, rows_to_drop=6)
    assert sorted((row["landing_date"], row["distanceFromObject"]) for row in lake.rows()) == [
        (D2, 7), (D2, 100), (D3, 8), (D3, 100)
    ]  # fmt: skip


def test_where_no_file_is_gone_there_is_nothing_to_confirm(lake: TableLake):
    lake.put("a.json", steps(1))
    lake.run()
    lake.run(missing=MissingFiles.DROP)
    lake.run(missing=MissingFiles.DROP, rows_to_drop=0)
    with pytest.raises(UnconfirmedDropError, match=r"would drop 0 row\(s\) .* rows_to_drop is 1\."):
        lake.run(missing=MissingFiles.DROP, rows_to_drop=1)
    assert lake.numbers() == [1]


def test_rejected_texts_are_dropped_by_their_number_too(lake: TableLake):
    lake.put("a.json", b"bad\n")
    lake.run()
    (lake.root / "raw" / lake.path("a.json")).unlink()
    with pytest.raises(UnconfirmedDropError, match=r"would drop 0 row\(s\) and 1 rejected text\(s\) .* is not given"):
        lake.run(missing=MissingFiles.DROP)
    assert len(lake.quarantine()) == 1
    lake.run(missing=MissingFiles.DROP, rows_to_drop=1)
    assert lake.quarantine() == []


def test_keep_with_a_new_file_besides(lake: TableLake):
    lake.put("a.json", steps(1))
    lake.run()
    (lake.root / "raw" / lake.path("a.json")).unlink()
    lake.put("b.json", steps(2))
    assert lake.plan() == {DAY: "1 new file, 1 missing file"}
    with pytest.raises(MissingFilesError):
        lake.run()
    lake.run(missing=MissingFiles.KEEP)
    assert (lake.numbers(), lake.plan()) == ([1, 2], {})


def test_rows_of_a_file_that_is_gone_are_not_kept_where_a_copy_counts(lake: TableLake):
    lake.put("a.json", steps(1) + b"bad\n", D2)
    lake.run(D2)
    (lake.root / "raw" / lake.path("a.json", D2)).unlink()
    lake.put("late.json", steps(1) + b"bad\n", D1)
    lake.run(D1)
    lake.run(D2, missing=MissingFiles.KEEP)
    assert [(row["landing_date"], row["distanceFromObject"]) for row in lake.rows()] == [(D1, 1)]
    assert [name for name, *_ in lake.quarantine()] == ["late.json"]
    assert [one.duplicate_of for one in lake.record()] == [None, lake.path("late.json", D1)]
    lake.run(D2, missing=MissingFiles.KEEP)
    assert len(lake.rows()) == 1


def test_files_that_gave_nothing_may_go(lake: TableLake):
    lake.put("a.json", steps(1))
    lake.put("copy.json", steps(1))
    lake.put("empty.json", b"")
    lake.run()
    for name in ("copy.json", "empty.json"):
        (lake.root / "raw" / lake.path(name)).unlink()
    assert lake.plan() == {}
    lake.run()
    assert (lake.numbers(), [one.source_file for one in lake.record()]) == ([1], [lake.path("a.json")])


def test_a_file_that_gave_only_rejected_lines_does_not_go_unnoticed(lake: TableLake):
    lake.put("a.json", b"bad\n")
    lake.put("b.json", steps(1))
    lake.run()
    (lake.root / "raw" / lake.path("a.json")).unlink()
    with pytest.raises(MissingFilesError, match=r"^1 raw file\(s\) of step_trainer_landing"):
        lake.run()
    assert [name for name, *_ in lake.quarantine()] == ["a.json"]


# --- files that grew and got another name --------------------------------------------------------


@pytest.mark.parametrize("missing", list(MissingFiles))
def test_a_file_that_grew_and_was_renamed_counts_once(lake: TableLake, missing: MissingFiles):
    """As the rotation of logs does it. Its first rows would stay beside all rows of the file that it is now."""
    old = lake.put("a.json", steps(1, 2) + b"bad\n")
    lake.run()
    old.rename(old.with_name("a-closed.json"))
    with old.with_name("a-closed.json").open("ab") as file:
        file.write(steps(3))
    report = lake.run(missing=missing)[DAY]
    assert lake.numbers() == [1, 2, 3]
    assert [row[:2] for row in lake.quarantine()] == [("a-closed.json", 3)]
    assert report.duplicates == 1
    closed = lake.path("a-closed.json")
    assert {(one.source_file, one.rows, one.rejected, one.duplicate_of) for one in lake.record()} == {
        (lake.path("a.json"), 0, 0, closed),
        (closed, 3, 1, None),
    }
    assert lake.settle() == 0
    # The next file that lands keeps everything as it is.
    lake.put("b.json", steps(4))
    lake.run()
    assert lake.numbers() == [1, 2, 3, 4]
    lake.put("old.json", steps(1, 2) + b"bad\n")
    lake.run()
    assert lake.numbers() == [1, 2, 3, 4], "a copy of what the file was is a copy of what it is part of"


def test_a_file_that_begins_otherwise_takes_no_rows_of_one_that_is_gone(lake: TableLake):
    old = lake.put("a.json", steps(1, 2))
    lake.run()
    old.unlink()
    lake.put("b.json", steps(1, 3, 4))
    with pytest.raises(MissingFilesError):
        lake.run()
    lake.run(missing=MissingFiles.KEEP)
    assert lake.numbers() == [1, 1, 2, 3, 4]


def test_a_customer_record_that_could_not_be_read_stays_whatever_begins_like_it(engine: DuckDBEngine, tmp_path: Path):
    """It may be a withdrawal, and every file of one exporter begins alike."""
    lake = TableLake(engine, tmp_path, "customer_landing")
    record = b'{"customerName":"Ann","email":"ann@x","serialNumber":"s","lastUpdateDate":1690000000000}\n'
    cut_off = lake.put("withdrawal.json", record[:40])
    lake.run()
    cut_off.unlink()
    lake.put("snapshot.json", record)
    lake.run(missing=MissingFiles.KEEP)
    assert [row[0] for row in lake.quarantine()] == ["withdrawal.json"]
    assert len(lake.rows()) == 1
    assert lake.settle() == 0
