"""Erasure: who is forgotten, what is left, that it stays so, and what the receipt proves."""

from __future__ import annotations

import gzip
import json
import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from stedi_assets.contracts import LANDING_TABLES, READINGS_TABLES, TABLES
from stedi_assets.contracts import table as contract
from stedi_assets.privacy.folder import PrivacyFolder, PrivacyFolderError
from stedi_assets.privacy.keys import SecretKeyError
from stedi_assets.staleness.stale import stale_partitions
from stedi_assets.subject_requests.matching import Subjects
from stedi_assets.subject_requests.places import find_places
from stedi_assets.subject_requests.progress import ErasureError
from stedi_assets.subject_requests.receipts import Receipts
from stedi_assets.subject_requests.requests import RequestError, Requests
from stedi_assets.subject_requests.subject import Person
from stedi_assets_tests.kit.lake import SmallLake, copied
from stedi_assets_tests.kit.people import (
    DAYS,
    IN_QUARANTINE,
    NEVER_CONSENTED,
    NOW,
    ON_SEVERAL_DAYS,
    SHARED_WITH,
    SHARING,
    at,
    carry_out,
    email,
    erase,
    erasure,
    everything_stored,
    land,
    moved_at_first,
    names_one,
    person,
    request,
    stored_texts,
    tables,
    without,
)
from stedi_assets_tests.kit.records import lines, movement, step


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallLake]:
    """Three days of everybody, materialized; not to be changed."""
    lake = SmallLake.at(tmp_path_factory.mktemp("people"))
    land(lake)
    lake.materialize_directly()
    yield lake
    lake.close()


@pytest.fixture
def checked(made: SmallLake, tmp_path: Path) -> Iterator[SmallLake]:
    """A copy of it, to change."""
    small = copied(made, tmp_path)
    yield small
    small.close()


@pytest.fixture
def lake(checked: SmallLake, without_dagster: None) -> SmallLake:
    """The same, whose tables are made without Dagster."""
    return checked


@dataclass
class Forgotten:
    """A lake after an erasure, under a umask that forbids nothing; not to be changed.

    Args:
        lake: it.
        request: the request's id.
        receipt: its receipt.
    """

    lake: SmallLake
    request: str
    receipt: dict[str, Any]


@pytest.fixture(scope="session")
def without_ann(made: SmallLake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forgotten]:
    """Of whom there were rows on each day, in every table."""
    lake = copied(made, tmp_path_factory.mktemp("without-ann"))
    asked = request(lake, ON_SEVERAL_DAYS)
    old = os.umask(0)
    try:
        receipt = carry_out(lake, asked)
    finally:
        os.umask(old)
    yield Forgotten(lake, asked.id, receipt)
    lake.close()


def nothing_differs(lake: SmallLake) -> bool:
    resources = lake.resources
    return not resources.landing_differences(resources.listing()) and not stale_partitions(resources.view())


# ---- who is forgotten, and what is left ------------------------------------------------------------


def test_nothing_of_the_person_is_left_and_everything_else_is_as_it_was(
    made: SmallLake, without_ann: Forgotten
) -> None:
    assert_erased(made, without_ann.lake, without_ann.receipt, ON_SEVERAL_DAYS)


@pytest.mark.parametrize("name", [NEVER_CONSENTED, IN_QUARANTINE])
def test_whoever_is_in_few_tables_is_erased_all_the_same(made: SmallLake, lake: SmallLake, name: str) -> None:
    assert_erased(made, lake, erase(lake, name), name)


def assert_erased(made: SmallLake, lake: SmallLake, receipt: dict[str, Any], name: str) -> None:
    """A1 = A0 - B0, B1 = 0, and untouched rows identical."""
    before, after = tables(made), tables(lake)
    assert after == without(before, lake, [name])
    assert sum(map(len, after.values())) < sum(map(len, before.values()))
    for row in receipt["partitions"]:
        assert row["others_identical"], row
        assert row["after"] == row["before"] - row["removed"]
    assert nothing_differs(lake)


def test_raw_files_lose_the_lines_of_the_person_and_nothing_else(made: SmallLake, without_ann: Forgotten) -> None:
    folder, other = made.root / "landing", without_ann.lake.root / "landing"
    emptied = 0
    for old in sorted(folder.rglob("*.json*")):
        new = other / old.relative_to(folder)
        lines_before, lines_after = read(old), read(new)
        assert new.stat().st_mtime_ns == old.stat().st_mtime_ns
        assert len(lines_after) == len(lines_before)
        for was, now in zip(lines_before, lines_after, strict=True):
            theirs = names_one([was.replace("\\u0040", "@")], [ON_SEVERAL_DAYS])
            assert now == ("" if theirs else was)
            emptied += theirs
    assert emptied >= 3 * 3
    assert not list(other.rglob(".*"))


def read(path: Path) -> list[str]:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode().split("\n")


def test_of_a_shared_device_only_what_is_the_persons_goes(lake: SmallLake) -> None:
    before = tables(lake)
    erase(lake, SHARING)
    after = tables(lake)
    steps = {(row[1], row[0]) for row in before["step_trainer_landing"] if row[1] == "serial-shared"}
    left = {(row[1], row[0]) for row in after["step_trainer_landing"] if row[1] == "serial-shared"}
    moved = {row[1] for row in before["accelerometer_landing"] if row[0] == email(SHARING)}
    assert steps - left == {(serial, time) for serial, time in steps if time in moved}
    assert left
    assert all(time in {row[1] for row in after["accelerometer_landing"]} for _, time in left)
    assert [row for row in after["accelerometer_landing"] if row[0] == email(SHARED_WITH)] == [
        row for row in before["accelerometer_landing"] if row[0] == email(SHARED_WITH)
    ]
    assert nothing_differs(lake)


def index_rows(lake: SmallLake, name: str) -> list[tuple[Any, ...]]:
    """The rows of the readings index of somebody's phone and device."""
    names = [email(name), person(name, DAYS[0])["serialNumber"]]
    return [
        row for row in lake.rows("readings_index", "subject, readings_table, landing_date, readings") if row[0] in names
    ]


def test_the_readings_index_loses_the_rows_of_the_person(made: SmallLake, without_ann: Forgotten) -> None:
    tables_with_ann = {row[1] for row in index_rows(made, ON_SEVERAL_DAYS)}
    assert tables_with_ann == {table.name for table in READINGS_TABLES if table.name != "machine_learning_curated"}
    assert index_rows(without_ann.lake, ON_SEVERAL_DAYS) == []


def test_the_index_row_of_a_shared_device_counts_what_is_left(lake: SmallLake) -> None:
    """It is nobody's row: it stays while somebody's readings of the device do, and the receipt says that it differs."""
    before = index_rows(lake, SHARING)
    receipt = erase(lake, SHARING)
    after = index_rows(lake, SHARING)
    assert [row for row in before if row[0] == email(SHARING)]
    assert {row[0] for row in after} == {"serial-shared"}
    stored = Counter(
        (serial, "step_trainer_landing", day)
        for serial, day in lake.rows("step_trainer_landing", '"serialNumber", landing_date')
    )
    landed = [row for row in after if row[1] == "step_trainer_landing"]
    assert {row[:3]: row[3] for row in landed} == {
        key: number for key, number in stored.items() if key in dict.fromkeys(row[:3] for row in landed)
    }
    assert sum(row[3] for row in landed) < sum(
        row[3] for row in before if row[:2] == ("serial-shared", "step_trainer_landing")
    )
    assert {row["table"] for row in receipt["partitions"] if not row["others_identical"]} == {"readings_index"}


@pytest.mark.slow
def test_the_index_of_a_run_that_was_killed_before_it_was_written_is_mended(
    lake: SmallLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a day without any reading left nothing is stale, so no later run would write the index."""
    day = DAYS[-1] + timedelta(days=1)
    lake.land("accelerometer_landing", lines(movement("bob", at(day, 0))), day=day)
    lake.materialize()
    # The file was archived, so that the day is not one of a rewritten file, which is rebuilt in any case.
    lake.path("accelerometer_landing", day=day).unlink()
    asked = request(lake, "bob")
    steps = erasure(lake, asked)
    steps.begin()
    steps.forget()
    with monkeypatch.context() as killed:
        killed.setattr("stedi_assets.staleness.index.write", lambda *_: False)
        steps.rebuild()
    assert [row for row in index_rows(lake, "bob") if row[2] == day]
    carry_out(lake, asked)
    assert index_rows(lake, "bob") == []
    assert nothing_differs(lake)


ADDRESSES = [
    "ann@example.com",
    "ann@example.co",
    "ann@example.com.au",
    "xann@example.com",
    "ann.b@example.com",
    "a.b@example.com",
    "axb@example.com",
    "a_n@example.com",
    "%@example.com",
    "o@example.com",
    "o'brien@example.com",
    "'or'1'='1@example.com",
    "x@example.com",
    "[x]+(y)*@example.com",
    "zoe@example.com",
    "zo\u00eb@example.com",
    "ann+1@example.com",
    "c:\\d@example.com",
]
"""Prefixes, SQL and regular expressions, letters that are alike."""


@pytest.fixture(scope="session")
def alike(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallLake]:
    """A lake of people whose addresses are alike, with a good and a broken line each; not to be changed."""
    lake = SmallLake.at(tmp_path_factory.mktemp("alike"))
    people = [person(f"p{n}", DAYS[0], email=address) for n, address in enumerate(ADDRESSES)]
    lake.land("customer_landing", lines(*people), day=DAYS[0])
    moves = [movement("x", at(DAYS[0], n)) | {"user": address} for n, address in enumerate(ADDRESSES)]
    lake.land("accelerometer_landing", lines(*moves), day=DAYS[0])
    broken = "".join(json.dumps({"user": address, "timestamp": "x"}) + "\n" for address in ADDRESSES)
    lake.land("accelerometer_landing", broken, "broken.json", DAYS[0])
    lake.materialize_directly()
    yield lake
    lake.close()


IN_EACH = ["customer_landing", "accelerometer_landing", "landing_quarantine"]
IN_EACH += ["customer_trusted", "accelerometer_trusted", "customers_curated", "consent_history"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_email_means_its_own_person_only(alike: SmallLake, address: str) -> None:
    who = Person.of(alike.resources, address)
    places = find_places(alike.resources, Subjects.of(alike.resources, who))
    folder = f"landing_date={DAYS[0]}"
    assert {(place.kind, place.location): place.number for place in places} == {
        ("raw file", f"customer_landing/{folder}/part.json"): 1,
        ("raw file", f"accelerometer_landing/{folder}/part.json"): 1,
        ("raw file", f"accelerometer_landing/{folder}/broken.json"): 1,
        **{("table", name): 1 for name in IN_EACH},
        ("table", "readings_index"): len(["accelerometer_landing", "accelerometer_trusted"]),
    }


@pytest.mark.parametrize(
    "address",
    [
        "o'brien@example.com",
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("ann@example.co", "[x]+(y)*@example.com")),
    ],
)
@pytest.mark.usefixtures("without_dagster")
def test_an_odd_email_erases_its_own_person_only(alike: SmallLake, tmp_path: Path, address: str) -> None:
    lake = copied(alike, tmp_path)
    carry_out(lake, Requests(lake.resources.privacy).file(address, "", NOW))
    left = sorted(other for other in ADDRESSES if other != address)
    assert sorted(row[1] for row in lake.rows("customer_landing")) == left
    assert sorted(row[0] for row in lake.rows("accelerometer_landing")) == left
    assert sorted(json.loads(row[3])["user"] for row in lake.rows("landing_quarantine")) == left
    lake.close()


def test_case_and_spaces_do_not_matter(lake: SmallLake) -> None:
    asked = Person.of(lake.resources, "\t ANN@Example.Com \n")
    assert asked == Person.of(lake.resources, email("ann"))
    assert asked.serials == ("serial-ann",)


def test_somebody_who_is_nowhere_gets_a_receipt_too(lake: SmallLake) -> None:
    before = tables(lake)
    receipt = erase(lake, "nobody")
    assert receipt["found"] == {}
    assert receipt["partitions"] == []
    assert tables(lake) == before


# ---- never again -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("runs", ["without_dagster", pytest.param("with_checks", marks=pytest.mark.slow)])
def test_what_lands_later_is_ingested_without_the_person(
    checked: SmallLake, runs: str, request: pytest.FixtureRequest
) -> None:
    lake = checked
    if runs == "without_dagster":
        request.getfixturevalue(runs)
    erase(lake, "ann")
    erase(lake, SHARING)
    before = tables(lake)
    day = DAYS[-1] + timedelta(days=2)
    lake.land("customer_landing", lines(person("ann", DAYS[1]), person("zed", day)), day=day)
    lake.land(
        "accelerometer_landing",
        lines(movement("ann", at(DAYS[0], 0)), movement("zed", at(day, 0)))
        + '{"user":"ann@example.com"}\n{"user":"zed@x"}\n',
        day=day,
    )
    of_sam = at(DAYS[0], moved_at_first().index(SHARING))
    steps = [step("ann", at(day, 0)), step("zed", at(day, 0)), step("shared", of_sam), step("shared", at(day, 5))]
    lake.land("step_trainer_landing", lines(*steps), day=day)
    outcome = lake.materialize()
    after = tables(lake)
    new = {name: [row for row in after[name] if row not in before[name]] for name in after}
    assert not any(names_one(row, ["ann"]) for rows in new.values() for row in rows)
    assert len(new["customer_landing"]) == len(new["accelerometer_landing"]) == len(new["landing_quarantine"]) == 1
    assert sorted((row[1], row[0]) for row in new["step_trainer_landing"]) == [
        ("serial-shared", at(day, 5)),
        ("serial-zed", at(day, 0)),
    ]
    said = lake.rows("landing_files", "landing_table, lines, rows, rejected, erased, erased_under")
    said = [row for row in said if row[4]]
    assert [row[:5] for row in said] == [
        ("accelerometer_landing", 4, 1, 1, 2),
        ("customer_landing", 2, 1, 0, 1),
        ("step_trainer_landing", 4, 2, 0, 2),
    ]
    assert all("@" not in row[5] for row in said)
    assert not [said for said in outcome.warnings if said[1] == "nothing_lost"]
    assert nothing_differs(lake)


@pytest.mark.slow
def test_rows_of_files_that_are_gone_are_kept_without_the_person(lake: SmallLake) -> None:
    """The raw files were archived: what they gave stays, but for the person's."""
    before = tables(lake)
    for table in LANDING_TABLES:
        for path in (lake.root / "landing" / table.name).rglob("*.json*"):
            path.unlink()
    erase(lake, "ann")
    assert tables(lake) == without(before, lake, ["ann"])


@pytest.mark.slow
def test_who_registers_anew_is_a_new_customer(lake: SmallLake, monkeypatch: pytest.MonkeyPatch) -> None:
    erased_at = at(DAYS[-1], 50_000)
    monkeypatch.setattr("stedi_assets.subject_requests.erasure.now_ms", lambda: erased_at)
    erase(lake, "ann")
    day = DAYS[-1] + timedelta(days=1)
    # The old record, one that registered no later than the erasure, and an old reading land again, and readings from
    # after the new registration before it does.
    old = [person("ann", DAYS[2]), person("ann", day, registrationDate=erased_at)]
    lake.land("customer_landing", lines(*old), "old.json", day=day)
    again = at(day, 0)
    lake.land(
        "accelerometer_landing",
        lines(movement("ann", at(DAYS[0], 0)), movement("ann", again - 1), movement("ann", again + 1)),
        day=day,
    )
    lake.land("step_trainer_landing", lines(step("ann", again - 1), step("ann", again + 1)), day=day)
    lake.materialize()
    assert not any(names_one(row, ["ann"]) for rows in tables(lake).values() for row in rows)
    later = day + timedelta(days=1)
    lake.land("customer_landing", lines(person("ann", later, registrationDate=again)), day=later)
    lake.materialize()
    mine = {name: [row for row in rows if names_one(row, ["ann"])] for name, rows in tables(lake).items()}
    assert [row[1] for row in mine["accelerometer_landing"]] == [again + 1]
    assert [row[0] for row in mine["step_trainer_landing"]] == [again + 1]
    assert len(mine["customer_landing"]) == len(mine["customer_trusted"]) == len(mine["customers_curated"]) == 1
    assert nothing_differs(lake)


@pytest.mark.slow
def test_a_landing_run_that_began_before_does_not_bring_the_person_back(
    lake: SmallLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run has read the raw files; then the person is erased; then the run commits."""
    other = SmallLake.at(lake.root, instance=lake.instance)
    erased: list[Any] = []
    copy = type(lake.resources.engine).copy

    def slow(engine: Any, query: str, *more: Any) -> Any:
        new = copy(engine, query, *more)
        if engine is lake.resources.engine and not erased:
            erased.append(None)
            erased[0] = erase(other, "ann")
        return new

    monkeypatch.setattr(type(lake.resources.engine), "copy", slow)
    moves = lines(movement("ann", at(DAYS[-1], 70)), movement("kim", at(DAYS[-1], 71)))
    lake.land("accelerometer_landing", moves, "new.json", DAYS[-1])
    assert lake.run(["accelerometer_landing"], DAYS[-1]).success
    monkeypatch.undo()
    assert erased[0]["number"] == 1
    lake.materialize()
    assert not any(names_one(row, ["ann"]) for rows in tables(lake).values() for row in rows)
    assert nothing_differs(lake)
    other.close()


# ---- requests ------------------------------------------------------------------------------------------


def test_a_request_is_filed_once(lake: SmallLake) -> None:
    requests = Requests(lake.resources.privacy)
    first = request(lake, "ann")
    assert request(lake, "ann") == first
    assert first.state(NOW.date()) == "open"
    assert first.days_left(NOW.date()) == 30
    assert replace(first, due=NOW.date() - timedelta(days=1)).state(NOW.date()) == "overdue"
    with pytest.raises(RequestError, match=r"There is no erasure request '\.\./x'"):
        requests.get("../x")


def test_a_done_request_forgets_whose_it_was_and_is_not_done_again(without_ann: Forgotten, tmp_path: Path) -> None:
    lake = copied(without_ann.lake, tmp_path)
    done = Requests(lake.resources.privacy).get(without_ann.request)
    assert done.is_done
    assert done.email is None
    assert b"ann@" not in everything_stored(lake.root / "privacy")
    assert b"serial-ann" not in everything_stored(lake.root / "privacy")
    assert carry_out(lake, done) == without_ann.receipt
    assert request(lake, "ann").id != done.id
    lake.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "steps", [["begin"], ["begin", "forget", "rebuild"], ["begin", "forget", "rebuild", "vacuum", "prove"]]
)
def test_two_that_carry_out_the_same_request_agree(
    lake: SmallLake, monkeypatch: pytest.MonkeyPatch, steps: list[str]
) -> None:
    """`stedi erase --now` while the sensor's run is about the same request: it has got so far when the other begins."""
    asked = request(lake, "bob")
    quicker = erasure(lake, asked)
    left = list(steps)  # until the other has begun

    def slow(*given: Any) -> Any:
        todo, left[:] = list(left), []
        for one in todo:
            getattr(quicker, one)()
        return find_places(*given)

    monkeypatch.setattr("stedi_assets.subject_requests.erasure.find_places", slow)
    receipt = carry_out(lake, asked)
    assert left == []
    assert receipt["found"]["raw files"]
    assert sum(row["removed"] for row in receipt["partitions"]) > 0
    assert quicker.prove() == [receipt]
    assert Receipts(lake.resources.privacy).names() == [f"000001-{asked.id}"]
    assert Receipts(lake.resources.privacy).faults() == []
    assert Requests(lake.resources.privacy).get(asked.id).is_done
    assert b"bob@" not in everything_stored(lake.root / "privacy")
    assert nothing_differs(lake)


# ---- proof ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_line_of_somebody_else_that_names_the_person_is_told_and_left(lake: SmallLake) -> None:
    """It is not the person's line, and erasing it would lose another customer's record."""
    record = person("mia", DAYS[1]) | {"friend": "bob@example.com"}
    path = lake.land("customer_landing", lines(record), "mia.json", day=DAYS[1])
    lake.materialize()
    asked = request(lake, "bob")
    with pytest.raises(
        ErasureError, match=r"still in 1 place.*\n.*landing zone, customer_landing/.*mia.json: 1"
    ) as caught:
        carry_out(lake, asked)
    assert "bob" not in str(caught.value)
    assert Receipts(lake.resources.privacy).names() == []
    assert not Requests(lake.resources.privacy).get(asked.id).is_done
    path.write_text(lines(person("mia", DAYS[1])))
    receipt = carry_out(lake, Requests(lake.resources.privacy).get(asked.id))
    assert receipt["searched"]["found"] == 0


@pytest.mark.slow
def test_a_linked_raw_file_is_an_open_place(lake: SmallLake) -> None:
    """A copy without the person's lines in place of the link would leave them in the file behind it."""
    day = DAYS[1]
    elsewhere = lake.root / "elsewhere.json"
    elsewhere.write_text(lines(movement("bob", at(day, 80)), movement("kim", at(day, 81))))
    link = lake.path("accelerometer_landing", "linked.json", day)
    link.symlink_to(elsewhere)
    lake.materialize()
    asked = request(lake, "bob")
    with pytest.raises(ErasureError, match=r"still in 2 place") as caught:
        carry_out(lake, asked)
    said = str(caught.value)
    assert f"linked raw file accelerometer_landing/landing_date={day}/linked.json {day}: 1" in said
    assert "Expected raw files; 1 of these are symbolic links" in said
    assert "Move each of these files to where its link is" in said
    assert "bob" not in said
    assert link.is_symlink()
    assert "bob" in elsewhere.read_text()
    assert Receipts(lake.resources.privacy).names() == []
    assert not Requests(lake.resources.privacy).get(asked.id).is_done
    assert not any(names_one(row, ["bob"]) for rows in tables(lake).values() for row in rows)

    elsewhere.replace(link)
    receipt = carry_out(lake, asked)
    assert receipt["found"]["linked raw files"] == {"accelerometer_landing": 1}
    assert link.read_text().splitlines()[0] == ""
    assert nothing_differs(lake)


@pytest.mark.slow
def test_a_raw_file_in_a_linked_folder_is_rewritten_where_it_lies(lake: SmallLake) -> None:
    day = DAYS[1]
    elsewhere = lake.root / "elsewhere"
    elsewhere.mkdir()
    moves = elsewhere / "moves.json"
    moves.write_text(lines(movement("bob", at(day, 80)), movement("kim", at(day, 81)) | {"friend": "bob@example.com"}))
    lake.path("accelerometer_landing", "linked", day).symlink_to(elsewhere)
    lake.materialize()
    asked = request(lake, "bob")
    # Also the search enters it: the line of somebody else that mentions the person is found.
    with pytest.raises(ErasureError, match=r"still in 1 place.*\n.*landing zone, .*/linked/moves.json: 1"):
        carry_out(lake, asked)
    assert moves.read_text().splitlines()[0] == ""
    moves.write_text(lines(movement("kim", at(day, 81))))
    assert carry_out(lake, asked)["searched"]["found"] == 0


@pytest.mark.slow
def test_the_proof_looks_everywhere(lake: SmallLake) -> None:
    """Text beside the raw files, Parquet that no table uses, Dagster's storage, compressed files."""
    places = ["landing/notes.txt", "lake/curated/old.parquet", "home/storage/run.log", "lake/x.json.gz"]
    paths = [lake.root / place for place in places]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    notes, old, log, packed = paths
    notes.write_text("x" * (8 << 20) + " Bob Invented ")
    lake.resources.engine.connection.sql("SELECT 'Say hello to BOB@example.com.' AS note").write_parquet(str(old))
    log.write_text(lake.resources.pseudonyms.subject_id(email("bob")))
    packed.write_bytes(gzip.compress(b"x" * 1000 + b' "serial-bob"'))
    with pytest.raises(ErasureError, match="still in 4 place") as caught:
        erase(lake, "bob")
    assert all(path.name in str(caught.value) for path in paths)
    for path in paths:
        path.unlink()
    erase(lake, "bob")


def test_a_receipt_names_nobody(without_ann: Forgotten) -> None:
    receipt = without_ann.receipt
    text = json.dumps(receipt).lower()
    subject = without_ann.lake.resources.pseudonyms.subject_id(email("ann"))
    assert not [value for value in ("ann", "serial-", "@", subject) if value in text.replace("annot", "")]
    assert receipt["tool"].startswith("stedi-assets ")
    assert receipt["requested_at"] <= receipt["done_at"]
    assert receipt["searched"]["files"]["landing zone"] > 0
    assert set(receipt["versions"]) == set(TABLES)
    assert receipt["versions"]["accelerometer_landing"][0] < receipt["versions"]["accelerometer_landing"][1]


@pytest.mark.slow
def test_old_versions_are_gone(lake: SmallLake) -> None:
    lake.spoil("accelerometer_trusted", DAYS[0], "SELECT * FROM rows WHERE x = 1")
    assert lake.resources.lakehouse.unused_files(contract("accelerometer_trusted"))
    who = Person.of(lake.resources, email("ann"))
    kinds = {place.kind for place in find_places(lake.resources, Subjects.of(lake.resources, who))}
    assert kinds == {"raw file", "table", "old version"}
    erase(lake, "ann")
    assert not lake.resources.lakehouse.unused_files(contract("accelerometer_trusted"))
    assert '"ann@example.com"' not in stored_texts(lake)


@pytest.fixture
def three(tmp_path: Path) -> Receipts:
    """Three receipts, of requests that are done."""
    folder = PrivacyFolder(tmp_path / "privacy")
    requests, receipts = Requests(folder), Receipts(folder)
    for number in range(3):
        asked = requests.file(f"p{number}@example.com", "", NOW + timedelta(seconds=number))
        receipts.add(asked.id, {"done_at": number})
        requests.close(asked, number)
    assert receipts.faults() == []
    return receipts


def files_of(receipts: Receipts) -> list[Path]:
    return [receipts._folder.path / "receipts" / f"{name}.json" for name in receipts.names()]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_receipt_that_is_removed_shows(three: Receipts, number: int) -> None:
    files_of(three)[number].unlink()
    assert three.faults()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_receipt_that_is_altered_shows(three: Receipts, number: int) -> None:
    path = files_of(three)[number]
    path.write_text(path.read_text().replace('"done_at": ', '"done_at": 9'))
    assert any("was altered" in fault for fault in three.faults())


def test_receipts_that_change_places_show(three: Receipts) -> None:
    first, second, _ = files_of(three)
    one, other = first.read_text(), second.read_text()
    first.write_text(other)
    second.write_text(one)
    assert three.faults()


def test_all_receipts_gone_shows(three: Receipts) -> None:
    for path in (three._folder.path / "receipts").iterdir():
        path.unlink()
    assert len([fault for fault in three.faults() if "its receipt is missing" in fault]) == 3


# ---- permissions ---------------------------------------------------------------------------------------


def test_everything_private_is_its_owners(without_ann: Forgotten) -> None:
    lake = without_ann.lake
    for path in [lake.root / "privacy", *(lake.root / "privacy").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert stat.S_IMODE((lake.root / ".lake-pseudonym-key").stat().st_mode) == 0o600


def test_a_folder_that_others_can_enter_is_refused(lake: SmallLake) -> None:
    request(lake, "ann")
    (lake.root / "privacy").chmod(0o755)
    with pytest.raises(PrivacyFolderError, match=r"can be entered by others \(mode 0755.*chmod 700"):
        Requests(lake.resources.privacy).all()


def test_a_privacy_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    PrivacyFolder(tmp_path / "privacy").hash("email", "x")
    (tmp_path / "privacy" / "key").chmod(0o644)
    with pytest.raises(SecretKeyError, match=r"privacy key .* can be read by others \(mode 0644.*chmod 600"):
        PrivacyFolder(tmp_path / "privacy").hash("email", "x")


def test_a_lost_privacy_key_is_not_replaced(without_ann: Forgotten, tmp_path: Path) -> None:
    lake = copied(without_ann.lake, tmp_path)
    (lake.root / "privacy" / "key").unlink()
    with pytest.raises(SecretKeyError, match=r"privacy key .* is gone\. The erased are known by it only"):
        lake.resources.erased().tombstones.of_email("x@y")
    lake.close()


def test_a_lost_pseudonym_key_is_not_replaced(lake: SmallLake) -> None:
    (lake.root / ".lake-pseudonym-key").unlink()
    with pytest.raises(SecretKeyError, match="every one of them would change"):
        _ = SmallLake.at(lake.root).resources.pseudonyms.key_id


# ---- what killed processes left --------------------------------------------------------------------------


@pytest.mark.slow
def test_what_killed_processes_left_does_not_stop_an_erasure(lake: SmallLake) -> None:
    """Half of a Parquet file, a raw file that was being written anew, and half of a request of the same person."""
    stored = lake.resources.lakehouse.snapshot(contract("customer_landing")).files[0]
    torn = Path(stored.uri).with_name("0123456789abcdef-00000000-0000-4000-8000-000000000000.parquet")
    torn.write_bytes(Path(stored.uri).read_bytes()[:-20])
    raw = lake.path("customer_landing", day=DAYS[0])
    aside = raw.with_name(f".{raw.name}.stedi-{'0' * 32}")
    aside.write_text(raw.read_text())
    asked = request(lake, "bob")
    half = lake.root / "privacy" / "requests" / f".{asked.id}.json.01234567"
    half.write_text('{"email": "bob@example.com"')
    receipt = carry_out(lake, asked)
    assert receipt["searched"]["found"] == 0
    assert not [path for path in (torn, aside, half) if path.exists()]


@pytest.mark.slow
def test_a_half_written_parquet_file_is_no_proof(lake: SmallLake) -> None:
    """It lies beside the tables, where no vacuum comes."""
    path = lake.root / "lake" / "backup.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(ErasureError, match=r"lake, backup\.parquet: 1"):
        erase(lake, "bob")
    path.unlink()
    erase(lake, "bob")


@pytest.mark.slow
def test_the_head_of_the_chain_is_mended_where_its_writer_was_killed(
    lake: SmallLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = PrivacyFolder.write

    def dying(folder: PrivacyFolder, kind: str, name: str, document: Any) -> str:
        if name == "head":
            raise KeyboardInterrupt
        return write(folder, kind, name, document)

    monkeypatch.setattr(PrivacyFolder, "write", dying)
    asked = request(lake, "bob")
    with pytest.raises(KeyboardInterrupt):
        carry_out(lake, asked)
    monkeypatch.undo()
    receipts = Receipts(lake.resources.privacy)
    assert receipts.faults()
    carry_out(lake, Requests(lake.resources.privacy).get(asked.id))
    assert receipts.faults() == []
    assert len(receipts.names()) == 1


@pytest.mark.slow
def test_a_registration_that_lies_ahead_by_mistake_goes_too(lake: SmallLake) -> None:
    ahead = 4_000_000_000_000
    lake.land("customer_landing", lines(person("bob", DAYS[1], registrationDate=ahead)), "ahead.json", day=DAYS[1])
    lake.materialize()
    erase(lake, "bob")
    assert not any(names_one(row, ["bob"]) for rows in tables(lake).values() for row in rows)


@pytest.mark.slow
def test_files_that_become_copies_of_each_other_stop_nothing(lake: SmallLake) -> None:
    """They differed by the person's lines only; what they have in common counts once from then on."""
    day = DAYS[1]
    for name, distance in (("one.json", 1), ("two.json", 2)):
        theirs = step("bob", at(day, 90)) | {"distanceFromObject": distance}
        lake.land("step_trainer_landing", lines(theirs, step("kim", at(day, 91))), name, day)
    lake.materialize()
    erase(lake, "bob")
    assert nothing_differs(lake)
    assert [row[:2] for row in lake.rows("step_trainer_landing") if row[0] == at(day, 91)] == [
        (at(day, 91), "serial-kim")
    ]
