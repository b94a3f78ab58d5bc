"""Raw files become landing tables: real files, real Delta tables, and everything that can go wrong on the way."""

from __future__ import annotations

import gzip
import json
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stedi_assets import reference
from stedi_assets.contracts import Table
from stedi_assets.contracts import table as contract
from stedi_assets.contracts.render import arrow_schema
from stedi_assets.engines.duckdb import DuckDBEngine
from stedi_assets.lakehouse import DataFile, Lakehouse, Snapshot
from stedi_assets.landing import quarantine, reading
from stedi_assets.landing.day_plan import MissingFiles, MissingFilesError
from stedi_assets.landing.differences import day_differences
from stedi_assets.landing.files import LandingZone
from stedi_assets.landing.ingest import DayReport, Ingestion
from stedi_assets.landing.manifest import ManifestEntry, manifest_entries, recorded_fingerprints
from stedi_assets.landing.parse import CUT_OFF_REASON
from stedi_assets.landing.profile import UnreadableFileError
from stedi_assets_tests.kit.examples import examples
from stedi_assets_tests.kit.records import step_record
from stedi_assets_tests.landing.corpus import DAY, NOON, TABLES, files

STEPS, CUSTOMERS, MOVES = "step_trainer_landing", "customer_landing", "accelerometer_landing"
D1, D2, D3 = DAY, date(2023, 8, 7), date(2023, 8, 8)
NOT_JSON = "not one JSON object"


def step(number: int, time: int = NOON) -> bytes:
    return json.dumps(step_record("s", time, number), separators=(",", ":")).encode() + b"\n"


def steps(*numbers: int) -> bytes:
    return b"".join(step(number) for number in numbers)


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDBEngine]:
    with DuckDBEngine(memory_limit="1GB", threads=2) as engine:
        yield engine


class Lake:
    """A landing zone and a lake, with the table that a test is about."""

    def __init__(self, engine: DuckDBEngine, root: Path, table: str = STEPS) -> None:
        self.engine = engine
        self.root = root
        self.table = contract(table)
        self.lakehouse = Lakehouse(str(root / "lake"))
        self.zone = LandingZone(str(root / "raw"))

    def put(self, name: str, content: bytes, day: date | None = DAY) -> Path:
        folder = self.root / "raw" / self.table.name
        path = folder / (name if day is None else f"landing_date={day}/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def path(self, name: str, day: date | None = DAY) -> str:
        return f"{self.table.name}/{name}" if day is None else f"{self.table.name}/landing_date={day}/{name}"

    def run(self, *days: date, missing: MissingFiles = MissingFiles.FAIL) -> dict[date, DayReport]:
        listing = self.zone.list(date(2022, 1, 1), date(2099, 1, 1))
        ingestion = Ingestion(self.engine, self.lakehouse, self.zone, self.table, missing=missing)
        return ingestion.run(days or [DAY], listing.by_day(self.table.name))

    def snapshot(self, name: str) -> Snapshot:
        return self.lakehouse.snapshot(contract(name))

    def plan(self) -> dict[date, str]:
        found = day_differences(
            self.table.name,
            self.zone.list(date(2022, 1, 1), date(2099, 1, 1)),
            self.record(),
            self.snapshot(self.table.name).fingerprints(),
            recorded_fingerprints(self.snapshot("landing_files"), self.table),
            recorded_fingerprints(self.snapshot("landing_quarantine"), self.table),
        )
        return {day: str(difference) for day, difference in found.items()}

    def settle(self, order: Callable[[list[date]], list[date]] = sorted) -> int:
        """Run what differs, a day at a time, until nothing does."""
        for ran in range(30):
            days = order(list(self.plan()))
            if not days:
                return ran
            self.run(days[0])
        msg = f"it never settles: {self.plan()}"
        raise AssertionError(msg)

    def record(self) -> list[ManifestEntry]:
        return manifest_entries(self.engine, self.lakehouse, self.table)

    def rows(self, name: str | None = None) -> list[dict[str, object]]:
        table = contract(name or self.table.name)
        rows: pa.Table = self.engine.relation(table, self.snapshot(table.name).files).to_arrow_table()
        return rows.to_pylist()

    def numbers(self) -> list[int]:
        return sorted(int(str(row["distanceFromObject"])) for row in self.rows())

    def quarantine(self) -> list[tuple[str, int, str, str]]:
        return sorted(
            (str(r["source_file"]).rpartition("/")[2], int(str(r["source_line"])), str(r["reason"]), str(r["line"]))
            for r in self.rows("landing_quarantine")
        )

    def state(self) -> dict[str, list[str]]:
        """All rows of all three tables."""
        return {
            name: sorted(json.dumps(row, default=str) for row in self.rows(name))
            for name in (self.table.name, "landing_quarantine", "landing_files")
        }

    def versions(self) -> list[int]:
        return [self.snapshot(name).version for name in (self.table.name, "landing_quarantine", "landing_files")]


@pytest.fixture
def lake(engine: DuckDBEngine, tmp_path: Path) -> Lake:
    return Lake(engine, tmp_path)


# --- what lies in files -------------------------------------------------------------------------


def test_good_lines_arrive_and_bad_ones_are_kept_aside(lake: Lake):
    lake.put("a.json", steps(1) + b"broken\n\n" + steps(2) + b'{"sensorReadingTime":1}\n')
    lake.put("b.json", steps(3, 4))
    assert lake.run()[DAY] == DayReport(
        files=2, lines=6, rows=4, rejected=2, reasons={"lacks serialNumber": 1, NOT_JSON: 1}
    )
    assert lake.numbers() == [1, 2, 3, 4]
    assert Counter(row["source_file"] for row in lake.rows()) == {lake.path("a.json"): 2, lake.path("b.json"): 2}
    assert {row["landing_date"] for row in lake.rows()} == {DAY}
    assert lake.quarantine() == [
        ("a.json", 2, NOT_JSON, "broken"),
        ("a.json", 5, "lacks serialNumber", '{"sensorReadingTime":1}'),
    ]
    assert {(row["landing_table"], row["landing_date"]) for row in lake.rows("landing_quarantine")} == {(STEPS, DAY)}
    assert [(one.lines, one.rows, one.rejected, one.duplicate_of) for one in lake.record()] == [
        (4, 2, 2, None),
        (2, 2, 0, None),
    ]
    assert lake.plan() == {}


def test_customers_know_their_lines(engine: DuckDBEngine, tmp_path: Path):
    lake = Lake(engine, tmp_path, CUSTOMERS)
    good = b'{"email":"e%d","serialNumber":"s","lastUpdateDate":1}\n'
    lake.put("a.json", good % 1 + b"\n" + good % 3 + b"x\n" + good.replace(b'"s"', b'" s"') % 5)
    lake.run()
    assert sorted((row["source_line"], row["email"]) for row in lake.rows()) == [(1, "e1"), (3, "e3"), (5, "e5")]
    assert lake.quarantine() == [("a.json", 4, NOT_JSON, "x")]


def test_line_ends_and_marks(lake: Lake):
    text = steps(1, 2, 3)
    lake.put("crlf.json", text.replace(b"\n", b"\r\n"))
    lake.put("bom.json", b"\xef\xbb\xbf" + text)
    lake.put("no end.json", text.removesuffix(b"\n"))
    lake.put("gzip.json.gz", gzip.compress(b"\xef\xbb\xbf" + text))
    lake.put("cr.json", text.replace(b"\n", b"\r"))
    report = lake.run()[DAY]
    assert (report.lines, report.rows, report.rejected) == (13, 12, 1)
    assert lake.numbers() == [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]
    [(name, line, reason, text_kept)] = lake.quarantine()
    assert (name, line, reason, text_kept.count("\r")) == ("cr.json", 1, NOT_JSON, 3)


def test_bytes_that_are_no_text_are_kept_aside_as_they_were(lake: Lake):
    lake.put("a.json", b"\xff\xfe\n\xed\xa0\x80\n\xc0\x80\n\0\n" + steps(1) + b'{"a":"\xc3"}\n')
    lake.run()
    assert lake.numbers() == [1]
    assert lake.quarantine() == [
        ("a.json", 1, "not UTF-8", "\\xff\\xfe"),
        ("a.json", 2, "not UTF-8", "\\xed\\xa0\\x80"),
        ("a.json", 3, "not UTF-8", "\\xc0\\x80"),
        ("a.json", 4, NOT_JSON, "\0"),
        ("a.json", 6, "not UTF-8", '{"a":"\\xc3"}'),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True])
def test_lines_of_50_megabytes(lake: Lake, packed: bool):
    wide = b"x" * (50 << 20)
    good = step(7).replace(b'"s"', b'"%s"' % wide)
    bad = b'{"q":"' + wide + b"\n"
    content = steps(1) + good + bad + steps(2)
    lake.put("a.json.gz" if packed else "a.json", gzip.compress(content, 1) if packed else content)
    report = lake.run()[DAY]
    assert (report.lines, report.rows, report.rejected) == (4, 3, 1)
    assert lake.numbers() == [1, 2, 7]
    assert max(len(str(row["serialNumber"])) for row in lake.rows()) == len(wide)
    [(name, line, reason, text)] = lake.quarantine()
    assert (name, line, reason) == ("a.json.gz" if packed else "a.json", 3, NOT_JSON)
    assert text == bad.decode().removesuffix("\n")


def test_empty_files(lake: Lake):
    for name, content in {"zero": b"", "blank": b"\n \r\n\t\n", "bom": b"\xef\xbb\xbf"}.items():
        lake.put(f"{name}.json", content)
        lake.put(f"{name}.json.gz", gzip.compress(content, mtime=0))
        lake.put(f"again {name}.json.gz", gzip.compress(content, mtime=0))
    lake.put("zero bytes.json.gz", b"")
    assert lake.run()[DAY] == DayReport(files=10)
    assert lake.rows() == []
    assert lake.plan() == {}
    # A day without rows is a day that was run: it says what it was made from.
    prints = lake.snapshot(STEPS).fingerprints()
    assert list(prints) == [DAY]
    assert prints == recorded_fingerprints(lake.snapshot("landing_files"), lake.table)
    assert prints[DAY] is not None
    before = prints[DAY]
    lake.put("c.json", b"")
    assert lake.plan() == {DAY: "1 new file"}
    lake.run()
    assert lake.plan() == {}
    assert lake.snapshot(STEPS).fingerprints()[DAY] != before


def test_a_day_without_files(lake: Lake):
    assert lake.run(D1, D2) == {D1: DayReport(), D2: DayReport()}
    assert lake.plan() == {}
    assert set(lake.snapshot(STEPS).fingerprints()) == {D1, D2}


@pytest.mark.parametrize("cut", [1, 8, 9, 60, 300])
def test_a_gzip_file_that_is_cut_off(lake: Lake, cut: int):
    content = steps(*(n * 7919 % 1009 for n in range(500)))
    lake.put("a.json.gz", gzip.compress(content)[:-cut])
    lake.put("b.json", steps(5000))
    report = lake.run()[DAY]
    assert report.rejected == 1
    assert report.reasons == {CUT_OFF_REASON: 1}
    assert report.lines == report.rows + 1
    [(name, line, reason, rest)] = lake.quarantine()
    read = content.split(b"\n")[: line - 1]
    assert (name, reason) == ("a.json.gz", CUT_OFF_REASON)
    assert content.startswith(b"\n".join([*read, rest.encode()]))
    assert lake.numbers() == sorted([5000, *(json.loads(text)["distanceFromObject"] for text in read)])
    # With only its check sum gone all lines are there, and that something is gone is not silent.
    assert (line, rest) == (501, "") if cut <= 8 else line > 10
    assert lake.plan() == {}
    lake.put("a.json.gz", gzip.compress(content))
    assert list(lake.plan()) == [DAY]
    lake.run()
    assert (len(lake.rows()), lake.quarantine()) == (501, [])


# --- what cannot be read ------------------------------------------------------------------------


def no_gzip(lake: Lake) -> None:
    lake.put("bad.json.gz", steps(9))


def cut_to_nothing(lake: Lake) -> None:
    lake.put("bad.json.gz", gzip.compress(steps(9))[:10])


def damaged(lake: Lake) -> None:
    packed = bytearray(gzip.compress(steps(*range(1000))))
    packed[-6] ^= 1
    lake.put("bad.json.gz", bytes(packed))


def dangling(lake: Lake) -> None:
    lake.put("bad.json", b"").unlink()
    (lake.root / "raw" / lake.path("bad.json")).symlink_to("/nowhere/at/all")


@pytest.mark.parametrize("spoil", [no_gzip, cut_to_nothing, damaged, dangling])
def test_an_unreadable_file_fails_its_day_and_is_named(lake: Lake, spoil: Callable[[Lake], None]):
    lake.put("a.json", steps(1) + b"bad\n")
    lake.run()
    before, versions = lake.state(), lake.versions()
    spoil(lake)
    lake.put("b.json", steps(2))
    with pytest.raises(UnreadableFileError, match=r"bad\.json"):
        lake.run()
    assert (lake.state(), lake.versions()) == (before, versions)
    assert lake.plan() == {DAY: "2 new files"}


def test_a_file_that_may_not_be_read(lake: Lake, monkeypatch: pytest.MonkeyPatch):
    lake.put("a.json", steps(1))
    lake.run()
    before, versions = lake.state(), lake.versions()
    lake.put("secret.json", steps(2))
    local = type(fsspec.filesystem("file"))
    real = local.open

    def refuse(self: object, path: str, *args: object, **options: object) -> object:
        if path.endswith("secret.json"):
            raise PermissionError(13, "Permission denied", path)
        return real(self, path, *args, **options)

    monkeypatch.setattr(local, "open", refuse)
    with pytest.raises(UnreadableFileError, match=r"secret\.json: PermissionError"):
        lake.run()
    assert (lake.state(), lake.versions()) == (before, versions)


def test_a_file_that_breaks_while_it_is_read(lake: Lake, monkeypatch: pytest.MonkeyPatch):
    """Its profile was taken; the store fails in the middle of the second reading."""
    lake.put("a.json", steps(1) + b"bad\n" * 10)
    real = reading.read_lines

    def fail(*args: object) -> object:
        yield from real(*args)  # type: ignore[arg-type]
        raise UnreadableFileError(str(args[2]))

    monkeypatch.setattr(reading, "read_lines", fail)
    with pytest.raises(UnreadableFileError, match=r"a\.json"):
        lake.run()
    assert lake.versions() == [-1, -1, -1]


def test_other_days_of_the_run_are_done(lake: Lake):
    lake.put("a.json", steps(1), D1)
    lake.put("bad.json.gz", b"no gzip", D2)
    lake.put("c.json", steps(3), D3)
    with pytest.raises(UnreadableFileError, match=r"bad\.json\.gz"):
        lake.run(D1, D2, D3)
    assert lake.numbers() == [1, 3]
    assert lake.plan() == {D2: "1 new file"}
    lake.put("worse.json.gz", b"no gzip", D3)
    with pytest.raises(UnreadableFileError, match=r"(?s)bad\.json\.gz.*worse\.json\.gz"):
        lake.run(D1, D2, D3)
    assert lake.numbers() == [1, 3]


def test_a_folder_where_a_file_should_be(lake: Lake):
    lake.put("x.json/inner.json", steps(1))
    lake.put("a.json", steps(2))
    lake.run()
    assert lake.numbers() == [1, 2]
    assert lake.plan() == {}


# --- nothing is lost ----------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES)
@settings(max_examples=examples(3, 8), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_nothing_is_lost_and_the_oracle_agrees(
    engine: DuckDBEngine, tmp_path_factory: pytest.TempPathFactory, table: str, data: st.DataObject
):
    """Lines in the files = rows + quarantined lines + lines of skipped copies, blank lines aside."""
    lake = Lake(engine, tmp_path_factory.mktemp("lake"), table)
    contents = data.draw(st.lists(files(table, most=6), min_size=1, max_size=3))
    landed = []
    for number in range(data.draw(st.integers(1, 5))):
        day, content = data.draw(st.sampled_from([D1, D2])), data.draw(st.sampled_from(contents))
        if b"[[[[" in content:
            content = b""  # Nesting is limited by us and by Python, at different depths.
        packed = data.draw(st.booleans())
        name = f"{number}.json.gz" if packed else f"{number}.json"
        stored = gzip.compress(content, mtime=0) if packed else content
        lake.put(name, stored, day)
        landed.append(reference.LandedFile(table, day, lake.path(name, day), stored))
    lake.settle(data.draw(st.sampled_from([sorted, lambda days: sorted(days, reverse=True)])))

    expected = reference.land(landed).tables
    assert Counter(tuple(row.values()) for row in lake.rows()) == expected[table]
    quarantined = Counter(
        (row["landing_table"], row["landing_date"], row["source_file"], row["source_line"])
        for row in lake.rows("landing_quarantine")
    )
    assert quarantined == expected["landing_quarantine"]
    skipped = [one for one in lake.record() if one.duplicate_of is not None]
    assert (
        Counter((table, one.landing_date, one.source_file, one.lines) for one in skipped) == expected["skipped_files"]
    )
    for day in (D1, D2):
        lines = sum(len(file.lines()) for file in landed if file.landing_date == day)
        mine = [one for one in lake.record() if one.landing_date == day]
        assert sum(one.lines for one in mine) == lines
        assert sum(one.rows for one in mine) == sum(row["landing_date"] == day for row in lake.rows())
        assert sum(one.rejected for one in mine) == sum(
            r["landing_date"] == day for r in lake.rows("landing_quarantine")
        )
        assert lines == sum(one.rows + one.rejected + (one.lines if one.duplicate_of else 0) for one in mine)


def test_much_of_what_is_bad_is_written_in_between(lake: Lake, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(quarantine, "FLUSH_BYTES", 1000)
    monkeypatch.setattr(reading, "FLUSH_ROWS", 10)
    monkeypatch.setattr("stedi_assets.landing.parse.PIECE_BYTES", 500)
    lake.put("a.json", b"".join(step(n) + b"bad %d\n" % n for n in range(100)))
    report = lake.run()[DAY]
    assert (report.rows, report.rejected, report.reasons) == (100, 100, {NOT_JSON: 100})
    assert lake.numbers() == list(range(100))
    assert [line for _, line, _, _ in lake.quarantine()] == list(range(2, 201, 2))
    assert len(lake.snapshot("landing_quarantine").files) > 2
    assert lake.plan() == {}


# --- copies -------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(D1, D2, D3), (D3, D2, D1), (D2, D3, D1)])
def test_copies_count_once_whatever_runs_first(lake: Lake, order: tuple[date, ...]):
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


def test_a_report_says_what_was_skipped(lake: Lake):
    for name in "abc":
        lake.put(f"{name}.json", steps(1, 2))
    assert lake.run()[DAY] == DayReport(files=3, duplicates=2, lines=2, rows=2)


def test_when_the_copy_that_counted_changes_the_next_one_counts(lake: Lake):
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
    lakes = [Lake(engine, tmp_path, table) for table in (STEPS, MOVES)]
    for one in lakes:
        one.put("a.json", both)
        one.run()
    assert [len(one.rows()) for one in lakes] == [1, 1]
    assert [one.plan() for one in lakes] == [{}, {}]


# --- files change -------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [steps(2), steps(2, 3), b"", b"bad\n"])
def test_a_file_rewritten_under_its_name(lake: Lake, content: bytes):
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
def test_a_half_written_file_that_is_finished_later(lake: Lake, half: int):
    lake.put("a.json", steps(1, 2, 3)[:half])
    lake.run()
    assert len(lake.quarantine()) == (half == len(step(1)) + 10)
    lake.put("a.json", steps(1, 2, 3))
    assert lake.plan() == {DAY: "1 changed file"}
    lake.run()
    assert (lake.numbers(), lake.quarantine(), lake.plan()) == ([1, 2, 3], [], {})


@pytest.mark.parametrize("order", [sorted, lambda days: sorted(days, reverse=True)])
def test_a_file_that_is_finished_after_midnight(lake: Lake, order: Callable[[list[date]], list[date]]):
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


def test_archived_files_take_nothing_with_them(lake: Lake):
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
def test_what_to_do_with_the_rows_of_files_that_are_gone(lake: Lake, rest: bool):
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

    lake.run(missing=MissingFiles.DROP)
    assert lake.numbers() == ([3] if rest else [])
    assert lake.quarantine() == ([("b.json", 2, NOT_JSON, "worse")] if rest else [])
    assert [one.source_file for one in lake.record()] == ([lake.path("b.json")] if rest else [])
    assert lake.plan() == {}
    assert set(lake.snapshot(STEPS).fingerprints()) == {DAY}
    lake.run()


def test_keep_with_a_new_file_besides(lake: Lake):
    lake.put("a.json", steps(1))
    lake.run()
    (lake.root / "raw" / lake.path("a.json")).unlink()
    lake.put("b.json", steps(2))
    assert lake.plan() == {DAY: "1 new file, 1 missing file"}
    with pytest.raises(MissingFilesError):
        lake.run()
    lake.run(missing=MissingFiles.KEEP)
    assert (lake.numbers(), lake.plan()) == ([1, 2], {})


def test_rows_of_a_file_that_is_gone_are_not_kept_where_a_copy_counts(lake: Lake):
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


def test_files_that_gave_nothing_may_go(lake: Lake):
    lake.put("a.json", steps(1))
    lake.put("copy.json", steps(1))
    lake.put("empty.json", b"")
    lake.run()
    for name in ("copy.json", "empty.json"):
        (lake.root / "raw" / lake.path(name)).unlink()
    assert lake.plan() == {}
    lake.run()
    assert (lake.numbers(), [one.source_file for one in lake.record()]) == ([1], [lake.path("a.json")])


# --- killed, changed by hand, at once -----------------------------------------------------------


def test_only_changed_partitions_of_the_manifest_are_read_again(lake: Lake, monkeypatch: pytest.MonkeyPatch):
    for day in (D1, D2, D3):
        lake.put("a.json", steps(day.day), day)
    lake.run(D1, D2, D3)
    before = lake.record()
    read: list[DataFile] = []
    real = DuckDBEngine.relation

    def relation(self: DuckDBEngine, table: Table, files: Sequence[DataFile]) -> object:
        read.extend(files)
        return real(self, table, files)

    monkeypatch.setattr(DuckDBEngine, "relation", relation)
    assert lake.record() == before
    assert read == []
    lake.put("b.json", steps(100), D2)
    lake.run(D2)
    after = lake.record()
    assert [file.landing_date for file in read] == [D2]
    assert [entry for entry in after if entry.landing_date != D2] == [e for e in before if e.landing_date != D2]
    assert sorted(entry.source_file for entry in after if entry.landing_date == D2) == [
        lake.path("a.json", D2),
        lake.path("b.json", D2),
    ]
    assert sorted(after, key=str) == sorted(Lake(lake.engine, lake.root).record(), key=str)


@pytest.mark.parametrize("fails_at", [1, 2, 3])
@pytest.mark.parametrize("again", [False, True])
def test_killed_between_commits(lake: Lake, monkeypatch: pytest.MonkeyPatch, fails_at: int, again: bool):
    lake.put("a.json", steps(1) + b"bad\n")
    if again:
        lake.run()
        lake.put("a.json", steps(2) + b"worse\n\n")
    real, calls = Lakehouse.replace, iter(range(1, 10))

    def replace(*args: object, **options: object) -> int:
        if next(calls) == fails_at:
            raise KeyboardInterrupt
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Lakehouse, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        lake.run()
    monkeypatch.undo()
    assert list(lake.plan()) == [DAY]
    lake.settle()
    assert lake.numbers() == [2 if again else 1]
    assert [line for *_, line in lake.quarantine()] == ["worse" if again else "bad"]


@pytest.mark.parametrize("fails_at", [2, 3])
def test_killed_while_rows_are_dropped(lake: Lake, monkeypatch: pytest.MonkeyPatch, fails_at: int):
    """No file differs from the record here: only the order of the commits lets the plan see it."""
    lake.put("a.json", steps(1) + b"bad\n")
    lake.put("b.json", steps(2))
    lake.run()
    (lake.root / "raw" / lake.path("a.json")).unlink()
    real, calls = Lakehouse.replace, iter(range(1, 10))

    def replace(*args: object, **options: object) -> int:
        if next(calls) == fails_at:
            raise KeyboardInterrupt
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Lakehouse, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        lake.run(missing=MissingFiles.DROP)
    monkeypatch.undo()
    assert lake.plan() == {DAY: "1 missing file, the table is not as its run left it"}
    lake.run(missing=MissingFiles.DROP)
    assert (lake.numbers(), lake.quarantine(), lake.plan()) == ([2], [], {})


@pytest.mark.parametrize("name", [STEPS, "landing_files", "landing_quarantine"])
@pytest.mark.parametrize("how", ["delete some", "delete all", "append"])
def test_a_table_that_was_changed_by_hand(lake: Lake, name: str, how: str):
    lake.put("a.json", steps(1, 2) + b"bad\nworse\n")
    lake.put("b.json", steps(3))
    lake.run()
    before = lake.state()
    delta = DeltaTable(lake.snapshot(name).root)
    if how == "append":
        from deltalake import write_deltalake

        rows = pa.Table.from_pylist(lake.rows(name)[:1], arrow_schema(contract(name)))
        write_deltalake(delta, rows, mode="append")
    elif how == "delete all":
        delta.delete()
    else:
        column = {STEPS: '"distanceFromObject" = 1', "landing_quarantine": "source_line = 3"}
        delta.delete(column.get(name, f"source_file = '{lake.path('b.json')}'"))
    assert list(lake.plan()) == [DAY]
    lake.settle()
    assert lake.state() == before


def _ingest(root: str, day: date, turns: int) -> str:
    try:
        with DuckDBEngine(threads=1) as engine:
            lake = Lake(engine, Path(root))
            for _ in range(turns):
                lake.run(day)
    except Exception as error:
        return repr(error)
    return ""


@pytest.mark.process
def test_eight_processes_from_nothing(engine: DuckDBEngine, tmp_path: Path):
    """Four on one day and four on others, at once."""
    lake = Lake(engine, tmp_path)
    days = [D1, D1, D1, D1, *(date(2023, 8, day) for day in range(7, 11))]
    for day in set(days):
        lake.put("a.json", steps(day.day) + b"bad\n", day)
        lake.put("b.json", steps(day.day + 100), day)
    with multiprocessing.get_context("spawn").Pool(8) as pool:
        failed = pool.starmap(_ingest, [(str(tmp_path), day, 2) for day in days], chunksize=1)
    assert failed == [""] * 8
    assert lake.numbers() == sorted(number for day in set(days) for number in (day.day, day.day + 100))
    assert len(lake.quarantine()) == len(set(days))
    assert lake.plan() == {}


@pytest.mark.parametrize("days", [[D1] * 6, [date(2023, 8, day) for day in range(1, 7)]], ids=["one day", "six days"])
def test_replaced_by_threads_at_once(engine: DuckDBEngine, tmp_path: Path, days: list[date]):
    lake = Lake(engine, tmp_path)
    new = []
    for number, day in enumerate(days):
        rows = pa.Table.from_pylist(
            [
                {"sensorReadingTime": NOON, "serialNumber": "s", "distanceFromObject": number, "landing_date": day}
                for _ in range(number + 1)
            ],
            arrow_schema(lake.table),
        )
        new.append(engine.write(engine.frame(rows), lake.lakehouse, lake.table, {day: f"{number:016x}"}))
    with ThreadPoolExecutor(len(days)) as pool:
        versions = list(
            pool.map(
                lambda job: Lakehouse(lake.lakehouse.uri).replace(lake.table, [job[0]], job[1]),
                zip(days, new, strict=True),
            )
        )
    counts = Counter(lake.numbers())
    if days[0] == days[1]:
        # One wins, whole.
        [(winner, rows_of_winner)] = counts.items()
        assert rows_of_winner == winner + 1
    else:
        assert counts == {number: number + 1 for number in range(len(days))}
    assert max(versions) == lake.snapshot(STEPS).version == len(days)


def test_the_version_that_is_returned_has_the_commit(lake: Lake):
    for number, day in enumerate((D1, D2, D3), start=1):
        rows = arrow_schema(lake.table).empty_table()
        new = lake.engine.write(lake.engine.frame(rows), lake.lakehouse, lake.table, {day: f"{number:016x}"})
        assert lake.lakehouse.replace(lake.table, [day], new) == lake.snapshot(STEPS).version == number


# --- the lake -----------------------------------------------------------------------------------


def test_replacing_nothing_changes_nothing(lake: Lake):
    lake.put("a.json", steps(1))
    lake.run()
    version = lake.snapshot(STEPS).version
    assert lake.lakehouse.replace(lake.table, [], []) == version
    assert lake.numbers() == [1]


def test_a_file_outside_the_partitions_to_replace_is_refused(lake: Lake):
    rows = arrow_schema(lake.table).empty_table()
    new = lake.engine.write(lake.engine.frame(rows), lake.lakehouse, lake.table, {D1: "0" * 16})
    with pytest.raises(ValueError, match="outside the partitions"):
        lake.lakehouse.replace(lake.table, [D2], new)
    assert lake.snapshot(STEPS).version == -1


def test_vacuum_leaves_what_counts(lake: Lake):
    assert lake.lakehouse.vacuum(lake.table) == 0
    for number in range(3):
        lake.put("a.json", steps(number))
        lake.run()
    orphan = lake.root / "lake" / lake.table.path / f"landing_date={DAY}" / "orphan.parquet"
    orphan.write_bytes(b"left behind by a killed run")
    assert lake.lakehouse.vacuum(lake.table) >= 3
    assert not orphan.exists()
    assert lake.numbers() == [2]
    assert len(list((lake.root / "lake" / lake.table.path).rglob("*.parquet"))) - len(
        list((lake.root / "lake" / lake.table.path).rglob("*checkpoint*.parquet"))
    ) == 1  # fmt: skip


def test_a_snapshot_keeps_its_version(lake: Lake):
    lake.put("a.json", steps(1))
    lake.run()
    old = lake.snapshot(STEPS)
    lake.put("a.json", steps(2))
    lake.run()
    rows = lake.engine.relation(lake.table, old.files).to_arrow_table()
    assert rows["distanceFromObject"].to_pylist() == [1]
    assert lake.numbers() == [2]


def test_bounds_without_statistics_may_be_anything(lake: Lake):
    lake.put("a.json", steps(1))
    lake.run()
    snapshot = lake.snapshot(STEPS)
    assert snapshot.bounds("sensorReadingTime", [DAY]) == (NOON, NOON)
    assert snapshot.bounds("serialNumber", [DAY]) == (-(2**63), 2**63 - 1)
    assert snapshot.bounds("sensorReadingTime", [D2]) is None


def test_nobody_is_in_the_log(lake: Lake):
    """Statistics and predicates name days and times only."""
    lake.put("a.json", step(1).replace(b'"s"', b'"canary-serial"') + b"canary-line\n")
    lake.run()
    for log in (lake.root / "lake").rglob("_delta_log/*.json"):
        assert b"canary" not in log.read_bytes()


def test_a_file_that_gave_only_rejected_lines_does_not_go_unnoticed(lake: Lake):
    lake.put("a.json", b"bad\n")
    lake.put("b.json", steps(1))
    lake.run()
    (lake.root / "raw" / lake.path("a.json")).unlink()
    with pytest.raises(MissingFilesError, match=r"^1 raw file\(s\) of step_trainer_landing"):
        lake.run()
    assert [name for name, *_ in lake.quarantine()] == ["a.json"]
