"""The commands for privacy officers, as they have them: their output and their exit codes."""

from __future__ import annotations

import csv
import io
import json
import random
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from stedi_assets_tests.kit.commands import Done, stedi, stedi_process
from stedi_assets_tests.kit.driven import leave_out_dagster
from stedi_assets_tests.kit.lake import SmallLake
from stedi_assets_tests.kit.records import DAY, customer, lines, movement, step


class Desk:
    """A folder with a small lake, in which commands are run."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def stedi(self, *arguments: str, given: str = "", run: Callable[..., Done] = stedi) -> tuple[int, str, str]:
        """Run ``stedi``: exit code, output, messages."""
        places = {
            "STEDI_LANDING_URI": str(self.root / "landing"),
            "STEDI_LAKE_URI": str(self.root / "lake"),
            "STEDI_PRIVACY_URI": str(self.root / "privacy"),
        }
        done = run(self.root, *arguments, given=given, **places)
        return done.code, done.out, done.err


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Ann and bob consent and moved twice each, once before ann consented; cid withdrew; one line is broken."""
    root = tmp_path_factory.mktemp("desk")
    lake = SmallLake.at(root)
    withdrawn = customer("cid", updated=1_691_299_999_500, consents=False)
    people = [*map(customer, ["ann", "bob", "cid"]), withdrawn]
    lake.land("customer_landing", lines(*people))
    moves = [movement(name, 1_691_300_000_000 + n) for n, name in enumerate(["ann", "ann", "bob", "cid"])]
    lake.land("accelerometer_landing", lines(*moves, moves[0]) + '{"user":"Ann@example.com","timestamp":null}\n')
    lake.land("step_trainer_landing", lines(step("ann"), step("bob", 1_691_300_000_002)))
    lake.materialize_directly()
    lake.close()
    return Desk(root)


@pytest.fixture
def own_desk(desk: Desk, tmp_path: Path) -> Desk:
    """A copy of it, to change."""
    shutil.copytree(desk.root, tmp_path, dirs_exist_ok=True)
    return Desk(tmp_path)


def test_why_somebody_is_there(desk: Desk) -> None:
    code, out, _ = desk.stedi("explain", "-", given=" ANN@Example.com\n")
    assert code == 0
    told = {row["table"]: (int(row["rows"]), row["why"]) for row in rows(out)}
    assert told["customer_trusted"] == (1, f"consent given on 2023-08-06 by the record landed on {DAY}")
    assert told["accelerometer_landing"] == (3, "")
    assert told["accelerometer_trusted"] == (2, "1 readings are left out as exact duplicates within a landing day")
    assert told["landing_quarantine"][0] == 1
    assert told["machine_learning_curated"][0] == 1
    assert told["consent_history"][0] == 1


def test_why_somebody_is_not_there(desk: Desk) -> None:
    code, out, _ = desk.stedi("explain", "-", given="cid@example.com")
    assert code == 0
    told = {row["table"]: (int(row["rows"]), row["why"]) for row in rows(out)}
    reasons = [
        f"consent given on 2023-08-06 by the record landed on {DAY}",
        f"withdrawn on 2023-08-06 by the record landed on {DAY}",
        "the latest record does not consent",
    ]
    assert told["customer_trusted"] == (0, "; ".join(reasons))
    assert told["accelerometer_trusted"] == (0, "1 readings are left out: the latest record does not consent")
    assert told["customers_curated"] == (0, "the latest record does not consent")
    code, out, _ = desk.stedi("explain", "-", given="nobody@example.com")
    told = {row["table"]: (int(row["rows"]), row["why"]) for row in rows(out)}
    assert told["customer_landing"] == (0, "no customer record landed")
    assert told["customer_trusted"] == (0, "no customer record of theirs is there")


def test_everything_held_about_somebody(desk: Desk) -> None:
    code, out, said = desk.stedi("export-subject", "-", "--to", "ann.zip", given="ann@example.com")
    assert (code, out) == (0, "")
    path = desk.root / "ann.zip"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with zipfile.ZipFile(path) as packed:
        files = {name: packed.read(name).decode() for name in packed.namelist()}
    readme = files.pop("README.txt")
    assert "ann@example.com" in readme
    assert "customer_landing.json: 1 rows." in readme
    held = {name.removesuffix(".json"): json.loads(text) for name, text in files.items()}
    assert len(held["accelerometer_landing"]) == 3
    assert len(held["landing_quarantine"]) == 1
    assert len(held["raw_files"]) == 1 + 4 + 1
    assert {row["email"] for row in held["customers_curated"]} == {"ann@example.com"}
    assert "bob" not in "".join(files.values())
    assert f"Wrote {sum(map(len, held.values()))} rows and lines to ann.zip." in said
    code, _, said = desk.stedi("export-subject", "-", "--to", "ann.zip", given="ann@example.com")
    assert code == 2
    assert "ann.zip is there already" in said


def test_what_differs_is_said_and_left(desk: Desk) -> None:
    code, out, said = desk.stedi("reconcile", "--dry-run")
    # One line of three could not be read, which is said until it is mended.
    assert (code, out) == (1, "")
    assert "accelerometer_landing.few_rejected: On 1 landing days" in said
    assert "2023-08-06 (1 of 6)" in said
    assert "up to date" not in said
    code, _, said = desk.stedi("reconcile")
    assert code == 1
    assert "Every trusted and curated table is made (0 runs" in said
    assert "up to date" not in said


@pytest.mark.parametrize("given", ["", "ann", "ann@example.com bob@example.com", "a@b\nc@d"])
def test_what_is_no_email_is_not_said_back(desk: Desk, given: str) -> None:
    code, out, said = desk.stedi("erase", "-", "--dry-run", given=given)
    assert (code, out) == (2, "")
    assert "Expected one e-mail address" in said
    assert "bob" not in said


def test_one_thing_at_a_time(desk: Desk) -> None:
    code, _, said = desk.stedi("erase", "--list", "--verify")
    assert code == 2
    assert "give one" in said


def test_an_erasure_from_the_first_look_to_the_request(own_desk: Desk) -> None:
    desk = own_desk
    (desk.root / "who.txt").write_text("Bob@example.com\n")
    code, out, said = desk.stedi("erase", "who.txt", "--dry-run")
    assert code == 0
    found = {(row["kind"], row["where"].split("/")[0]): int(row["lines or rows"]) for row in rows(out)}
    assert found["raw file", "accelerometer_landing"] == found["table", "accelerometer_trusted"] == 1
    assert "Serial numbers of this person alone: 1; shared with others: 0" in said
    assert not (desk.root / "privacy").exists()

    code, out, said = desk.stedi("erase", "who.txt", "--reason", "by letter", "--due", "3")
    assert code == 0
    request = said.split()[1]
    assert f"Request {request} is filed" in said
    code, out, _ = desk.stedi("erase", "--list")
    (listed,) = rows(out)
    assert (listed["request"], listed["state"], listed["days left"]) == (request, "open", "3")
    assert listed["reason"] == "by letter"


class Erased(NamedTuple):
    """A folder in which somebody was erased by command, the name of the request, and what the command said."""

    desk: Desk
    request: str
    said: str


@pytest.fixture(scope="module")
def erased(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Erased:
    root = tmp_path_factory.mktemp("erased")
    shutil.copytree(desk.root, root, dirs_exist_ok=True)
    (root / "who.txt").write_text("Bob@example.com\n")
    desk = Desk(root)
    code, _, said = desk.stedi("erase", "who.txt", "--reason", "by letter")
    assert code == 0
    request = said.split()[1]
    with pytest.MonkeyPatch.context() as patch:
        leave_out_dagster(patch)
        code, _, said = desk.stedi("erase", "--open")
    assert code == 0
    return Erased(desk, request, said)


@pytest.mark.slow
def test_what_nothing_can_decode_is_said_and_is_no_success(own_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive with a password, and bytes that may be anything."""
    desk = own_desk
    leave_out_dagster(monkeypatch)
    with zipfile.ZipFile(desk.root / "landing" / "backup.zip", "w") as packed:
        packed.writestr("people.json", lines(customer("bob")))
    archive = bytearray((desk.root / "landing" / "backup.zip").read_bytes())
    start = archive.index(b"{")
    archive[start : archive.index(b"\n") + 1] = random.Random(1).randbytes(archive.index(b"\n") + 1 - start)
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        archive[archive.index(header) + flags] |= 1  # encrypted
    (desk.root / "landing" / "backup.zip").write_bytes(archive)
    (desk.root / "lake" / "noise").write_bytes(random.Random(2).randbytes(1000))
    code, out, said = desk.stedi("erase", "-", "--now", given="bob@example.com")
    assert (code, out) == (1, "")
    assert "is done: it was in" in said
    assert "It is not proven for 2 files" in said
    assert "\n  not proven for lake, noise\n" in said
    assert "\n  not proven for landing zone, backup.zip\n" in said
    (receipt,) = (desk.root / "privacy" / "receipts").glob("*-erasure-*.json")
    assert json.loads(receipt.read_text())["not_proven_for"] == ["lake, noise", "landing zone, backup.zip"]
    assert desk.stedi("erase", "--verify")[0] == 0


def test_an_erasure_from_the_request_to_the_receipt(erased: Erased) -> None:
    desk, request, said = erased
    assert f"{request} is done" in said
    assert "is in none of" in said
    assert "not proven" not in said
    code, out, _ = desk.stedi("erase", "--list")
    assert [(row["state"], row["days left"]) for row in rows(out)] == [("done", "")]
    code, out, _ = desk.stedi("erase", "who.txt", "--dry-run")
    assert (code, rows(out)) == (0, [])
    code, out, _ = desk.stedi("explain", "who.txt")
    assert f"erased under request {request}" in rows(out)[0]["why"]

    code, _, said = desk.stedi("erase", "--verify")
    assert code == 0
    assert "1 receipt: all there" in said
    (receipt,) = (desk.root / "privacy" / "receipts").glob("0*.json")
    receipt.write_text(receipt.read_text().replace('"removed": 1', '"removed": 0'))
    code, _, said = desk.stedi("erase", "--verify")
    assert code == 1
    assert "was altered" in said


@pytest.mark.process
def test_an_email_from_a_pipe(desk: Desk) -> None:
    asked = ("explain", "-")
    piped = desk.stedi(*asked, given="ann@example.com\n", run=stedi_process)
    assert piped == desk.stedi(*asked, given="ann@example.com\n")
    assert piped[0] == 0


def test_a_typed_email(desk: Desk) -> None:
    code, _, said = desk.stedi("erase", "--dry-run", given="ann@example.com\n")
    assert code == 0
    assert "E-mail" in said
