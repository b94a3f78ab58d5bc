"""What an erasure cannot prove, or finds in unusual places, and that two runs of it agree."""

from __future__ import annotations

import bz2
import gzip
import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stedi_assets.contracts import table as contract
from stedi_assets.privacy.folder import PrivacyFolder
from stedi_assets.subject_requests.matching import Subjects
from stedi_assets.subject_requests.places import find_places
from stedi_assets.subject_requests.progress import ErasureError
from stedi_assets.subject_requests.raw_files import RESTED
from stedi_assets.subject_requests.receipts import Receipts
from stedi_assets.subject_requests.requests import Requests
from stedi_assets.subject_requests.subject import Person
from stedi_assets_tests.kit.lake import SmallLake
from stedi_assets_tests.kit.people import (
    DAYS,
    at,
    carry_out,
    email,
    erase,
    erasure,
    everything_stored,
    names_one,
    nothing_differs,
    person,
    request,
    stored_texts,
    tables,
)
from stedi_assets_tests.kit.records import lines, movement, step


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
def test_what_is_read_through_a_symbolic_link_is_rewritten_where_it_lies(lake: SmallLake) -> None:
    day = DAYS[1]
    elsewhere = lake.root / "elsewhere.json"
    elsewhere.write_text(lines(movement("bob", at(day, 80)), movement("kim", at(day, 81))))
    link = lake.path("accelerometer_landing", "linked.json", day)
    link.symlink_to(elsewhere)
    lake.materialize()
    erase(lake, "bob")
    assert link.is_symlink()
    assert elsewhere.read_text() == "\n" + lines(movement("kim", at(day, 81)))
    assert nothing_differs(lake)


@pytest.mark.slow
def test_a_raw_file_with_another_name_is_an_open_place(lake: SmallLake) -> None:
    """A copy without the person's lines in its place would leave them under the other name."""
    day = DAYS[1]
    file = lake.land("accelerometer_landing", lines(movement("bob", at(day, 80))), "linked.json", day)
    other = lake.root / "elsewhere.json"
    other.hardlink_to(file)
    lake.materialize()
    asked = request(lake, "bob")
    with pytest.raises(ErasureError, match=r"still in 2 place") as caught:
        carry_out(lake, asked)
    said = str(caught.value)
    assert f"linked raw file accelerometer_landing/landing_date={day}/linked.json {day}: 1" in said
    assert "1 of these are files that have another name too" in said
    assert "bob" not in said
    assert Receipts(lake.resources.privacy).names() == []
    assert not any(names_one(row, ["bob"]) for rows in tables(lake).values() for row in rows)
    other.unlink()
    receipt = carry_out(lake, asked)
    assert receipt["found"]["linked raw files"] == {"accelerometer_landing": 1}
    assert file.read_text() == "\n"


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


# ---- what a raw file may be, and what cannot be decoded -------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("without_dagster")
def test_a_person_in_compressed_and_encoded_files_is_gone(lake: SmallLake) -> None:
    """A gzip stream named `.json`, bzip2 and UTF-16, of several objects on a line."""
    day, record = DAYS[1], json.dumps
    texts = {
        "customer_landing": [person("bob", day), person("mia", day)],
        "accelerometer_landing": [movement("bob", at(day, 80)), movement("mia", at(day, 80))],
        "step_trainer_landing": [step("bob", at(day, 80)), step("mia", at(day, 80))],
    }
    forms: dict[str, Callable[[bytes], bytes]] = {
        "customer_landing": gzip.compress,
        "accelerometer_landing": bz2.compress,
        "step_trainer_landing": lambda data: data.decode().encode("utf-16"),
    }
    for table, records in texts.items():
        path = lake.path(table, "more.json", day)
        path.write_bytes(forms[table]("".join(map(record, records)).encode()))
    lake.materialize_directly()
    receipt = erase(lake, "bob")
    assert "not_proven_for" not in receipt
    assert receipt["found"]["raw files"]["customer_landing"] >= 2
    left = {table: lake.path(table, "more.json", day).read_bytes() for table in texts}
    assert gzip.decompress(left["customer_landing"]).decode() == record(texts["customer_landing"][1])
    assert bz2.decompress(left["accelerometer_landing"]).decode() == record(texts["accelerometer_landing"][1])
    assert left["step_trainer_landing"].decode("utf-16") == record(texts["step_trainer_landing"][1])
    # Which of the texts of its line a row comes from is nobody's data, so the others are as they were.
    assert all(row["others_identical"] for row in receipt["partitions"]), receipt["partitions"]
    assert nothing_differs(lake)


@pytest.mark.slow
@pytest.mark.usefixtures("without_dagster")
def test_a_receipt_says_for_what_it_is_no_proof(lake: SmallLake) -> None:
    asked, noise = request(lake, "bob"), random.Random(7).randbytes(3000)
    for place in ("landing/customer_landing/_x.bin", "lake/x.bin", "privacy/x.bin", "home/x.bin"):
        (lake.root / place).parent.mkdir(parents=True, exist_ok=True)
        (lake.root / place).write_bytes(noise)
    said: list[str] = []
    steps = erasure(lake, asked)
    steps._log = said.append
    (receipt,) = steps.run()
    assert receipt["not_proven_for"] == [
        "Dagster's storage, x.bin",
        "lake, x.bin",
        "landing zone, customer_landing/_x.bin",
        "privacy folder, x.bin",
    ]
    assert said[-1] == "receipt 1 was written, not proven for 4 files"
    assert Receipts(lake.resources.privacy).faults() == []


@pytest.mark.slow
@pytest.mark.usefixtures("without_dagster")
def test_a_file_that_may_be_half_written_is_named_and_then_rewritten(lake: SmallLake) -> None:
    path = lake.path("accelerometer_landing", "_x.json", DAYS[1])
    path.write_text(lines(movement("bob", at(DAYS[1], 80)), movement("kim", at(DAYS[1], 81))))
    asked = request(lake, "bob")
    with pytest.raises(ErasureError, match=r"raw file accelerometer_landing/.*/_x.json .*: 1\n") as caught:
        carry_out(lake, asked)
    assert "1 of these may be half written, by their names. They are written anew 10 minutes after" in str(caught.value)
    os.utime(path, (time.time() - RESTED - 60,) * 2)
    receipt = carry_out(lake, asked)
    assert path.read_text() == "\n" + lines(movement("kim", at(DAYS[1], 81)))
    assert "not_proven_for" not in receipt
