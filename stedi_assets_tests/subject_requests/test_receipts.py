"""Requests, receipts and their chain; who may read what is private. Without a lake."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from stedi_assets.privacy.folder import PrivacyFolder, PrivacyFolderError
from stedi_assets.privacy.keys import SecretKeyError
from stedi_assets.subject_requests.receipts import Receipts
from stedi_assets.subject_requests.requests import RequestError, Requests
from stedi_assets_tests.kit.lake import SmallLake
from stedi_assets_tests.kit.people import (
    NOW,
    request,
)


def test_a_request_is_filed_once(tmp_path: Path) -> None:
    lake = SmallLake.at(tmp_path)
    requests = Requests(lake.resources.privacy)
    first = request(lake, "ann")
    assert request(lake, "ann") == first
    assert first.state(NOW.date()) == "open"
    assert first.days_left(NOW.date()) == 30
    assert replace(first, due=NOW.date() - timedelta(days=1)).state(NOW.date()) == "overdue"
    with pytest.raises(RequestError, match=r"There is no erasure request '\.\./x'"):
        requests.get("../x")


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


def test_a_folder_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    lake = SmallLake.at(tmp_path)
    request(lake, "ann")
    (lake.root / "privacy").chmod(0o755)
    with pytest.raises(PrivacyFolderError, match=r"can be entered by others \(mode 0755.*chmod 700"):
        Requests(lake.resources.privacy).all()


def test_a_privacy_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    PrivacyFolder(tmp_path / "privacy").hash("email", "x")
    (tmp_path / "privacy" / "key").chmod(0o644)
    with pytest.raises(SecretKeyError, match=r"privacy key .* can be read by others \(mode 0644.*chmod 600"):
        PrivacyFolder(tmp_path / "privacy").hash("email", "x")


# ---- what only the due day, the head and the links tell ------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> PrivacyFolder:
    return PrivacyFolder(tmp_path / "privacy")


def complete(folder: PrivacyFolder, name: str) -> str:
    """File a request, write its receipt and close it; the id."""
    asked = Requests(folder).file(f"{name}@example.com", "", NOW)
    Receipts(folder).add(asked.id, {"done_at": 0})
    Requests(folder).close(asked, 0)
    return asked.id


def test_a_request_is_overdue_on_the_day_after_it_is_due(folder: PrivacyFolder) -> None:
    asked = Requests(folder).file("ann@example.com", "", NOW, due_days=3)
    states = [asked.state(NOW.date() + timedelta(days=day)) for day in (0, 2, 3, 4)]
    assert states == ["open", "open", "open", "overdue"]


def test_the_last_receipt_that_goes_with_its_request_shows(folder: PrivacyFolder) -> None:
    for name in ("ann", "bob"):
        last = complete(folder, name)
    (folder.path / "requests" / f"{last}.json").unlink()
    (folder.path / "receipts" / f"000002-{last}.json").unlink()
    assert Receipts(folder).faults() == ["there should be 2 receipts; 1 are there"]


def test_the_last_receipt_that_goes_with_its_request_and_a_forged_head_shows(folder: PrivacyFolder) -> None:
    """The seal of the one before can be read in its receipt; that of the head only the key makes."""
    complete(folder, "ann")
    last = complete(folder, "bob")
    (folder.path / "requests" / f"{last}.json").unlink()
    (folder.path / "receipts" / f"000002-{last}.json").unlink()
    first = Receipts(folder).names()[0]
    seal = json.loads((folder.path / "receipts" / f"{first}.json").read_text())["seal"]
    head = folder.path / "receipts" / "head.json"
    head.write_text(json.dumps({**json.loads(head.read_text()), "receipts": 1, "seal": seal}))
    assert Receipts(folder).faults() == ["the head of the receipts is not as it was written"]


def test_an_erasure_that_the_lake_or_a_tombstone_knows_must_have_a_receipt(folder: PrivacyFolder) -> None:
    assert Receipts(folder).faults({"erasure-1": None}) == [
        "request erasure-1 is in the lake's ledger, and its tombstone is missing",
        "request erasure-1 is in the lake's ledger, and neither a receipt nor an open request",
    ]
    asked = Requests(folder).file("ann@example.com", "", NOW)
    folder.write("tombstones", asked.id, {})
    assert Receipts(folder).faults({asked.id: None}) == [], "it is under way"
    (folder.path / "requests" / f"{asked.id}.json").unlink()
    assert [fault.split(",")[0] for fault in Receipts(folder).faults()] == [f"request {asked.id} has a tombstone"]


def test_a_chain_that_was_written_anew_with_the_key_shows_in_the_lakes_ledger(folder: PrivacyFolder) -> None:
    request = complete(folder, "ann")
    folder.write("tombstones", request, {})
    receipt = Receipts(folder).of(request)
    assert receipt is not None
    assert Receipts(folder).faults({request: receipt["seal"]}) == []
    shutil.rmtree(folder.path / "receipts")
    Receipts(folder).add(request, {"done_at": 1})
    assert Receipts(folder).faults() == []
    assert Receipts(folder).faults({request: receipt["seal"]}) == [
        f"receipt 000001-{request} is not the one that the lake's ledger has the seal of"
    ]


def test_a_receipt_of_another_history_shows(folder: PrivacyFolder) -> None:
    """One that was written after the same first one, with the same key: from a backup, say."""
    complete(folder, "ann")
    head = (folder.path / "receipts" / "head.json").read_text()
    other = complete(folder, "bob")
    receipt, request = folder.path / "receipts" / f"000002-{other}.json", folder.path / "requests" / f"{other}.json"
    kept = receipt.read_text()
    receipt.unlink()
    request.unlink()
    (folder.path / "receipts" / "head.json").write_text(head)
    replaced = complete(folder, "cat")
    last = complete(folder, "dee")
    assert Receipts(folder).faults() == []
    (folder.path / "receipts" / f"000002-{replaced}.json").unlink()
    (folder.path / "requests" / f"{replaced}.json").unlink()
    receipt.write_text(kept)
    assert Receipts(folder).faults() == [f"receipt 000003-{last} does not follow the one before it"]
