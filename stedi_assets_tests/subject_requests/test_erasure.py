"""Erasure: who is forgotten, what is left, that it stays so, and what the receipt says."""

from __future__ import annotations

import dataclasses
import gzip
import json
import shutil
import stat
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from stedi_assets.contracts import LANDING_TABLES, READINGS_TABLES, TABLES
from stedi_assets.privacy.folder import PrivacyFolderError
from stedi_assets.privacy.keys import SecretKeyError
from stedi_assets.privacy.ledger import Ledger
from stedi_assets.resources import Resources
from stedi_assets.subject_requests.receipts import Receipts
from stedi_assets.subject_requests.requests import Requests
from stedi_assets.subject_requests.subject import Person
from stedi_assets_tests.kit.lake import SmallLake, copied
from stedi_assets_tests.kit.people import (
    DAYS,
    IN_QUARANTINE,
    NEVER_CONSENTED,
    ON_SEVERAL_DAYS,
    SHARED_WITH,
    SHARING,
    Forgotten,
    at,
    carry_out,
    email,
    erase,
    erase_directly,
    erasure,
    everything_stored,
    moved_at_first,
    names_one,
    nothing_differs,
    person,
    request,
    tables,
    without,
)
from stedi_assets_tests.kit.records import lines, movement, step

# ---- who is forgotten, and what is left ------------------------------------------------------------


def test_nothing_of_the_people_is_left_and_everything_else_is_as_it_was(
    made: SmallLake, without_some: Forgotten
) -> None:
    """A1 = A0 - B0, B1 = 0, and untouched rows identical."""
    before, after, names = tables(made), tables(without_some.lake), list(without_some.receipts)
    assert after == without(before, without_some.lake, names)
    for name, receipt in without_some.receipts.items():
        others = [other for other in names if other != name]
        assert after != without(before, without_some.lake, others), f"there was nothing of {name}"
        assert receipt["partitions"]
        for row in receipt["partitions"]:
            assert row["others_identical"], row
            assert row["after"] == row["before"] - row["removed"]
    assert nothing_differs(without_some.lake)


def test_a_receipt_says_where_its_person_was(without_some: Forgotten) -> None:
    found = {name: receipt["found"] for name, receipt in without_some.receipts.items()}
    assert all(set(places) == {"raw files", "tables"} for places in found.values())
    assert set(found[ON_SEVERAL_DAYS]["tables"]) == set(TABLES) - {"landing_files"}
    assert set(found[NEVER_CONSENTED]["tables"]) == {*(table.name for table in LANDING_TABLES), "readings_index"}
    assert set(found[IN_QUARANTINE]["tables"]) == {"landing_quarantine"}


def test_raw_files_lose_the_lines_of_the_people_and_nothing_else(made: SmallLake, without_some: Forgotten) -> None:
    folder, other = made.root / "landing", without_some.lake.root / "landing"
    emptied = 0
    for old in sorted(folder.rglob("*.json*")):
        new = other / old.relative_to(folder)
        lines_before, lines_after = read(old), read(new)
        assert new.stat().st_mtime_ns == old.stat().st_mtime_ns
        assert len(lines_after) == len(lines_before)
        for was, now in zip(lines_before, lines_after, strict=True):
            theirs = names_one([was.replace("\\u0040", "@")], without_some.receipts)
            assert now == ("" if theirs else was)
            emptied += theirs
    assert emptied >= 3 * 3
    assert not list(other.rglob(".*"))


def read(path: Path) -> list[str]:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode().split("\n")


def test_of_a_shared_device_only_what_is_the_persons_goes(without_some: Forgotten, without_sharing: Forgotten) -> None:
    lake = without_sharing.lake
    before, after = tables(without_some.lake), tables(lake)
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


def test_the_readings_index_loses_the_rows_of_the_person(made: SmallLake, without_some: Forgotten) -> None:
    tables_with_ann = {row[1] for row in index_rows(made, ON_SEVERAL_DAYS)}
    assert tables_with_ann == {table.name for table in READINGS_TABLES if table.name != "machine_learning_curated"}
    assert index_rows(without_some.lake, ON_SEVERAL_DAYS) == []


def test_the_index_row_of_a_shared_device_counts_what_is_left(
    without_some: Forgotten, without_sharing: Forgotten
) -> None:
    """It is nobody's row: it stays while somebody's readings of the device do, and the receipt says that it differs."""
    lake, receipt = without_sharing.lake, without_sharing.receipts[SHARING]
    before, after = index_rows(without_some.lake, SHARING), index_rows(lake, SHARING)
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


def test_case_and_spaces_do_not_matter(made: SmallLake) -> None:
    asked = Person.of(made.resources, "\t ANN@Example.Com \n")
    assert asked == Person.of(made.resources, email("ann"))
    assert asked.serials == ("serial-ann",)


def test_somebody_who_is_nowhere_gets_a_receipt_too(lake: SmallLake) -> None:
    before = tables(lake)
    receipt = erase(lake, "nobody")
    assert receipt["found"] == {}
    assert receipt["partitions"] == []
    assert tables(lake) == before


# ---- never again -------------------------------------------------------------------------------------


@pytest.mark.parametrize("directly", [True, pytest.param(False, marks=pytest.mark.slow, id="by Dagster, with checks")])
def test_what_lands_later_is_ingested_without_the_person(
    without_sharing: Forgotten, tmp_path: Path, directly: bool
) -> None:
    lake = copied(without_sharing.lake, tmp_path)
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
    outcome = lake.materialize_directly() if directly else lake.materialize()
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
    lake.close()


@pytest.mark.slow
def test_two_erasures_whose_steps_alternate_are_both_proven(lake: SmallLake) -> None:
    """A sensor's run and a command, say: each counted the other's person among the others."""
    before = tables(lake)
    one, other = (erasure(lake, request(lake, name)) for name in ("ann", "bob"))
    for name in ("begin", "forget", "rebuild", "vacuum"):
        getattr(one, name)()
        getattr(other, name)()
    (first,), (second,) = one.prove(), other.prove()
    assert first["interleaved_with"] == [second["request"]]
    assert second["interleaved_with"] == [first["request"]]
    assert tables(lake) == without(before, lake, ["ann", "bob"])


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


def test_a_done_request_forgets_whose_it_was_and_is_not_done_again(without_some: Forgotten, tmp_path: Path) -> None:
    lake = copied(without_some.lake, tmp_path)
    done = Requests(lake.resources.privacy).get(without_some.receipts[ON_SEVERAL_DAYS]["request"])
    assert done.is_done
    assert done.email is None
    assert b"ann@" not in everything_stored(lake.root / "privacy")
    assert b"serial-ann" not in everything_stored(lake.root / "privacy")
    assert carry_out(lake, done) == without_some.receipts[ON_SEVERAL_DAYS]
    assert request(lake, "ann").id != done.id
    lake.close()


def test_a_receipt_names_nobody(without_some: Forgotten) -> None:
    receipt = without_some.receipts[ON_SEVERAL_DAYS]
    text = json.dumps(receipt).lower()
    subject = without_some.lake.resources.pseudonyms.subject_id(email("ann"))
    assert not [value for value in ("ann", "serial-", "@", subject) if value in text.replace("annot", "")]
    assert receipt["tool"].startswith("stedi-assets ")
    assert receipt["requested_at"] <= receipt["done_at"]
    assert receipt["searched"]["files"]["landing zone"] > 0
    assert set(receipt["versions"]) == set(TABLES)
    assert receipt["versions"]["accelerometer_landing"][0] < receipt["versions"]["accelerometer_landing"][1]


# ---- permissions ---------------------------------------------------------------------------------------


def test_everything_private_is_its_owners(without_some: Forgotten) -> None:
    lake = without_some.lake
    for path in [lake.root / "privacy", *(lake.root / "privacy").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert stat.S_IMODE((lake.root / ".lake-pseudonym-key").stat().st_mode) == 0o600


@pytest.mark.parametrize("lost", ["folder", "tombstones", "another key", "a shorter key"])
def test_nothing_lands_where_the_lake_knows_of_more_erasures(
    without_some: Forgotten, tmp_path: Path, lost: str
) -> None:
    lake = copied(without_some.lake, tmp_path)
    privacy = lake.root / "privacy"
    key = privacy / "key"
    if lost == "folder":
        shutil.rmtree(privacy)
    elif lost == "tombstones":
        for path in (privacy / "tombstones").iterdir():
            path.unlink()
    else:
        key.write_text("k" * 64 if lost == "another key" else key.read_text()[:40])
    day = DAYS[-1] + timedelta(days=2)
    lake.land("customer_landing", lines(person("ann", DAYS[1]), person("zed", day)), day=day)
    with pytest.raises(PrivacyFolderError, match=r"The lake knows of .* people who were erased"):
        lake.materialize_directly()
    assert not any(names_one(row, ["ann"]) for rows in tables(lake).values() for row in rows)
    assert Receipts(lake.resources.privacy).faults(Ledger(lake.resources.lakehouse).seals())
    lake.close()


def test_a_lost_privacy_key_is_not_replaced(without_some: Forgotten, tmp_path: Path) -> None:
    lake = copied(without_some.lake, tmp_path)
    (lake.root / "privacy" / "key").unlink()
    with pytest.raises(SecretKeyError, match=r"privacy key .* is gone\. The erased are known by it only"):
        lake.resources.erased().tombstones.of_email("x@y")
    lake.close()


@pytest.mark.slow
def test_the_privacy_key_may_be_kept_elsewhere(without_some: Forgotten, tmp_path: Path) -> None:
    lake = copied(without_some.lake, tmp_path)
    path = lake.root / "privacy" / "key"
    settings = dataclasses.replace(lake.resources.settings, privacy_key=path.read_text().strip())
    path.unlink()
    lake.close()
    lake = SmallLake(lake.root, Resources.of(settings))
    (receipt,) = erase_directly(lake, "kim")
    assert receipt["number"] == len(without_some.receipts) + 1
    assert not Receipts(lake.resources.privacy).faults(Ledger(lake.resources.lakehouse).seals())
    assert not path.exists()
    # Whoever was erased under one key would not be recognised with another: so nobody is erased under another.
    before, rows = raw_files(lake), tables(lake)
    other = SmallLake(lake.root, Resources.of(dataclasses.replace(settings, privacy_key="another key, long enough")))
    with pytest.raises(PrivacyFolderError, match="under another privacy key than STEDI_PRIVACY_KEY"):
        other.resources.erased()
    with pytest.raises(PrivacyFolderError, match="under another privacy key than STEDI_PRIVACY_KEY"):
        erase_directly(other, "lou")
    assert (raw_files(lake), tables(lake)) == (before, rows)
    assert len(Ledger(lake.resources.lakehouse).requests()) == receipt["number"]
    other.close()
    lake.close()


def raw_files(lake: SmallLake) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (lake.root / "landing").rglob("*") if path.is_file()}


def test_a_lost_pseudonym_key_is_not_replaced(checked: SmallLake) -> None:
    lake = checked
    (lake.root / ".lake-pseudonym-key").unlink()
    with pytest.raises(SecretKeyError, match="every one of them would change"):
        _ = SmallLake.at(lake.root).resources.pseudonyms.key_id
