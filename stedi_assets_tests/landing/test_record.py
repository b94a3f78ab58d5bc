"""``day_differences``: which days differ from what was ingested. Pure: cases say what lies there."""

from __future__ import annotations

from datetime import date

import pytest

from stedi_assets.contracts import table as contract
from stedi_assets.contracts.render import arrow_schema
from stedi_assets.landing.differences import Difference, day_differences
from stedi_assets.landing.files import LandingFile, Listing
from stedi_assets.landing.manifest import ManifestEntry, as_rows, first_copies, from_rows

T = "step_trainer_landing"
D1, D2, D3 = date(2023, 8, 6), date(2023, 8, 7), date(2023, 8, 8)
MADE, OTHER = "0" * 16, "f" * 16


def lies(path: str, day: date = D1, size: int = 1, stamp: str = "s", table: str = T) -> LandingFile:
    return LandingFile(table, path, day, size, stamp)


def was(
    path: str,
    day: date = D1,
    digest: str | None = None,
    of: str | None = None,
    *,
    size: int = 1,
    stamp: str = "s",
    lines: int = 1,
    rejected: int = 0,
) -> ManifestEntry:
    rows = lines - rejected if of is None else 0
    return ManifestEntry(path, size, stamp, digest or path, lines, rows, rejected, of, T, day)


def planned(
    files: list[LandingFile],
    ingested: list[ManifestEntry],
    stored: dict[date, str | None] | None = None,
    recorded: dict[date, str | None] | None = None,
    quarantined: dict[date, str | None] | None = None,
    rules: str = MADE,
) -> dict[date, str]:
    """The plan in words; where nothing else is said, tables are as their runs left them."""
    days: dict[date, str | None] = dict.fromkeys((file.landing_date for file in ingested), MADE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stedi_assets.landing.differences.day_fingerprint", lambda *_: rules)
        found = day_differences(
            T,
            Listing(tuple(files)),
            ingested,
            days if stored is None else stored,
            days if recorded is None else recorded,
            quarantined,
        )
    assert list(found) == sorted(found)
    return {day: str(difference) for day, difference in found.items()}


def test_nothing_landed_and_nothing_new():
    assert planned([], []) == {}
    assert planned([lies("a")], [was("a")]) == {}


def test_what_lies_there_and_was_not_ingested():
    files = [lies("b", D2), lies("a"), lies("c"), lies("other", D3, table="customer_landing")]
    assert planned(files, []) == {D1: "2 new files", D2: "1 new file"}
    assert planned(files, [was("a")]) == {D1: "1 new file", D2: "1 new file"}
    assert planned([lies("empty", size=0)], []) == {D1: "1 new file"}
    assert planned([lies("empty", size=0)], [was("empty", size=0, lines=0)]) == {}


@pytest.mark.parametrize("change", [{"size": 2}, {"stamp": "t"}])
def test_what_was_rewritten_under_its_name(change: dict[str, object]):
    assert planned([lies("a", **change), lies("b")], [was("a"), was("b")]) == {D1: "1 changed file"}  # type: ignore[arg-type]


def test_what_was_read_by_other_rules_is_read_anew():
    """Not where no file is left of a day: it could not be made again."""
    files, ingested = [lies("a"), lies("c", D2)], [was("a"), was("b", D1), was("c", D2)]
    differs = "the files were read by other rules"
    assert planned(files, ingested, rules=OTHER) == {D1: f"1 missing file, {differs}", D2: differs}
    assert planned([], ingested, rules=OTHER) == {}


def test_what_is_gone_is_no_reason():
    assert planned([], [was("a"), was("b", D2)]) == {}
    assert planned([lies("a")], [was("a"), was("b")]) == {}
    # ... but is told where there is another.
    assert planned([lies("a"), lies("c")], [was("a"), was("b")]) == {D1: "1 new file, 1 missing file"}


def test_what_is_gone_is_no_reason_even_if_another_copy_counts_now():
    copies = [was("b", D2, "x"), was("a", D1, "x")]
    assert planned([lies("a"), lies("c", D2)], [*copies, was("c", D2)]) == {}


def test_a_file_that_its_time_moved_to_another_day():
    """Finished after midnight: what its first half gave must go from the day before."""
    assert planned([lies("a", D2, size=2)], [was("a", D1)]) == {D1: "1 moved file", D2: "1 new file"}
    # Whichever day is run first, the other is still asked for.
    assert planned([lies("a", D2, size=2)], [was("a", D1), was("a", D2, size=2)]) == {D1: "1 moved file"}
    assert planned([lies("a", D2, size=2)], [was("a", D2, size=2)]) == {}


def test_a_moved_file_says_nothing_of_copies():
    assert planned([lies("a", D2)], [was("a", D1, "x"), was("a", D2, "x")]) == {D1: "1 moved file"}


@pytest.mark.parametrize(
    ("ingested", "days"),
    [
        ([was("a", D1, "x"), was("b", D2, "x", "a")], set()),
        ([was("a", D1, "x"), was("b", D2, "x")], {D2}),
        ([was("a", D1, "x", "b"), was("b", D2, "x")], {D1, D2}),
        ([was("a", D1, "x", "b"), was("b", D2, "x", "a")], {D1}),
        ([was("a", D1, "x", "z"), was("b", D2, "x", "z")], {D1, D2}),
        ([was("a", D1, "x"), was("c", D1, "x")], {D1}),
        ([was("a", D1, "x"), was("c", D1, "x", "a"), was("b", D2, "x", "c")], {D2}),
        # Files without a line are no copies of each other.
        ([was("a", D1, "x", lines=0), was("b", D2, "x", lines=0)], set()),
    ],
)
def test_which_copy_counts(ingested: list[ManifestEntry], days: set[date]):
    files = [lies(file.source_file, file.landing_date) for file in ingested]
    found = planned(files, ingested)
    assert found == dict.fromkeys(sorted(days), "another file with the same bytes counts now")


def test_first_copies():
    files = [was("b", D1, "x"), was("a", D2, "x"), was("c", D1, "x"), was("d", D3, "y"), was("e", D1, "z", lines=0)]
    assert first_copies(files) == {"x": (D1, "b"), "y": (D3, "d")}


@pytest.mark.parametrize(
    ("stored", "recorded", "differs"),
    [
        ({D1: MADE}, {D1: MADE}, False),
        ({D1: OTHER}, {D1: MADE}, True),
        ({D1: None}, {D1: MADE}, True),
        ({}, {D1: MADE}, True),
        ({D1: MADE}, {D1: None}, True),
        ({D1: None}, {D1: None}, True),
    ],
)
def test_a_table_that_is_not_as_its_run_left_it(
    stored: dict[date, str | None], recorded: dict[date, str | None], differs: bool
):
    found = planned([lies("a")], [was("a")], stored, recorded)
    assert found == ({D1: "the table is not as its run left it"} if differs else {})
    # It could not be made again.
    assert planned([], [was("a")], stored, recorded) == {}


@pytest.mark.parametrize(
    ("rejected", "quarantined", "differs"),
    [
        (0, {}, False),
        (1, {D1: MADE}, False),
        (0, {D1: MADE}, True),
        (1, {}, True),
        (1, {D1: OTHER}, True),
        (1, {D1: None}, True),
    ],
)
def test_a_quarantine_that_is_not_as_its_run_left_it(rejected: int, quarantined: dict[date, str | None], differs: bool):
    found = planned([lies("a")], [was("a", rejected=rejected)], quarantined=quarantined)
    assert found == ({D1: "the quarantine is not as its run left it"} if differs else {})


def test_a_difference_in_words():
    assert str(Difference(1, 2, 3, "words", 4)) == "1 new file, 2 changed files, 3 missing files, 4 moved files, words"
    assert str(Difference()) == ""


def test_the_record_as_rows_and_back():
    files = [was("a"), was("b", D2, "x", "a", lines=7), was("é", lines=0)]
    rows = as_rows(files)
    assert rows.schema == arrow_schema(contract("landing_files"))
    assert from_rows(rows) == files
    assert from_rows(as_rows([])) == []
