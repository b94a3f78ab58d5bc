"""Requests and receipts in a privacy folder, without a lake."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from stedi_assets.privacy.folder import PrivacyFolder
from stedi_assets.subject_requests.receipts import Receipts
from stedi_assets.subject_requests.requests import Requests

NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)


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
