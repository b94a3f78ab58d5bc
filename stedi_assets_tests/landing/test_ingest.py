"""Raw files become landing tables: real files, real Delta tables, and everything that can go wrong on the way."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stedi_assets import reference
from stedi_assets.engines.duckdb import DuckDBEngine
from stedi_assets.landing import quarantine, reading
from stedi_assets.landing.ingest import DayReport
from stedi_assets.landing.manifest import recorded_fingerprints
from stedi_assets_tests.kit.examples import examples
from stedi_assets_tests.kit.records import DAY
from stedi_assets_tests.kit.table_lake import CUSTOMERS, D1, D2, NOT_JSON, STEPS, TableLake, step, steps
from stedi_assets_tests.landing.corpus import TABLES, files

# --- what lies in files -------------------------------------------------------------------------


def test_good_lines_arrive_and_bad_ones_are_kept_aside(lake: TableLake):
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
    lake = TableLake(engine, tmp_path, CUSTOMERS)
    good = b'{"email":"e%d@x","serialNumber":"s","lastUpdateDate":1690000000000}\n'
    lake.put("a.json", good % 1 + b"\n" + good % 3 + b"x\n" + good.replace(b'"s"', b'" s"') % 5)
    lake.run()
    assert sorted((row["source_line"], row["email"]) for row in lake.rows()) == [(1, "e1@x"), (3, "e3@x"), (5, "e5@x")]
    assert lake.quarantine() == [("a.json", 4, NOT_JSON, "x")]


def test_line_ends_and_marks(lake: TableLake):
    text = steps(1, 2, 3)
    lake.put("crlf.json", text.replace(b"\n", b"\r\n"))
    lake.put("bom.json", b"\xef\xbb\xbf" + text)
    lake.put("no end.json", text.removesuffix(b"\n"))
    lake.put("gzip.json.gz", gzip.compress(b"\xef\xbb\xbf" + text))
    lake.put("cr.json", text.replace(b"\n", b"\r"))
    report = lake.run()[DAY]
    assert (report.lines, report.rows, report.rejected) == (15, 15, 0)
    assert lake.numbers() == [1] * 5 + [2] * 5 + [3] * 5


def test_bytes_that_are_no_text_are_kept_aside_as_they_were(lake: TableLake):
    lake.put("a.json", b"\xff\n\xed\xa0\x80\n\xc0\x80\n\0\n" + steps(1) + b'{"a":"\xc3"}\n')
    lake.run()
    assert lake.numbers() == [1]
    assert lake.quarantine() == [
        ("a.json", 1, "not UTF-8", "\\xff"),
        ("a.json", 2, "not UTF-8", "\\xed\\xa0\\x80"),
        ("a.json", 3, "not UTF-8", "\\xc0\\x80"),
        ("a.json", 4, NOT_JSON, "\0"),
        ("a.json", 6, "not UTF-8", '{"a":"\\xc3"}'),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True])
def test_lines_nearly_as_long_as_they_may_be(lake: TableLake, packed: bool):
    wide = b"x" * (15 << 20)
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


def test_empty_files(lake: TableLake):
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


def test_a_day_without_files(lake: TableLake):
    assert lake.run(D1, D2) == {D1: DayReport(), D2: DayReport()}
    assert lake.plan() == {}
    assert set(lake.snapshot(STEPS).fingerprints()) == {D1, D2}


# --- nothing is lost ----------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES)
@settings(max_examples=examples(3, 8), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_nothing_is_lost_and_the_oracle_agrees(
    engine: DuckDBEngine, tmp_path_factory: pytest.TempPathFactory, table: str, data: st.DataObject
):
    """Lines in the files = rows + quarantined lines + lines of skipped copies, blank lines aside."""
    lake = TableLake(engine, tmp_path_factory.mktemp("lake"), table)
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
        tuple(row[name] for name in ("landing_table", "landing_date", "source_file", "source_line", "source_object"))
        for row in lake.rows("landing_quarantine")
    )
    assert quarantined == expected["landing_quarantine"]
    skipped = [one for one in lake.record() if one.duplicate_of is not None]
    assert (
        Counter((table, one.landing_date, one.source_file, one.lines) for one in skipped) == expected["skipped_files"]
    )
    for day in (D1, D2):
        copies = {row[2] for row in expected["skipped_files"]}
        lines = sum(
            len(file.lines() if file.path in copies else file.texts()) for file in landed if file.landing_date == day
        )
        mine = [one for one in lake.record() if one.landing_date == day]
        assert sum(one.lines for one in mine) == lines
        assert sum(one.rows for one in mine) == sum(row["landing_date"] == day for row in lake.rows())
        assert sum(one.rejected for one in mine) == sum(
            r["landing_date"] == day for r in lake.rows("landing_quarantine")
        )
        assert lines == sum(one.rows + one.rejected + (one.lines if one.duplicate_of else 0) for one in mine)


def test_empty_arrays_are_no_copies_of_each_other(lake: TableLake):
    """They hold nothing that could count in another's place; a run for it would be followed by another for ever."""
    for number, content in enumerate((b"[]", b"[]", b"[\n]\n", b"[\n]\n")):
        lake.put(f"{number}.json", content, D1)
    assert lake.settle() == 1
    assert [(one.lines, one.duplicate_of) for one in lake.record()] == [(0, None)] * 4


def test_much_of_what_is_bad_is_written_in_between(lake: TableLake, monkeypatch: pytest.MonkeyPatch):
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


def test_nobody_is_in_the_log(lake: TableLake):
    """Statistics and predicates name days and times only."""
    lake.put("a.json", step(1).replace(b'"s"', b'"canary-serial"') + b"canary-line\n")
    lake.run()
    for log in (lake.root / "lake").rglob("_delta_log/*.json"):
        assert b"canary" not in log.read_bytes()
