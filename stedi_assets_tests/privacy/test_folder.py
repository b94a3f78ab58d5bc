"""The privacy folder: whom it keeps out, and that its documents are whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from stedi_assets.privacy.folder import PrivacyFolder, PrivacyFolderError


@pytest.mark.parametrize("mode", [0o710, 0o720, 0o740, 0o701, 0o704])
def test_a_folder_that_the_group_or_others_can_enter_is_refused(tmp_path: Path, mode: int) -> None:
    folder = PrivacyFolder(tmp_path / "privacy")
    folder.write("requests", "one", {})
    folder.path.chmod(mode)
    for use in (lambda: folder.names("requests"), lambda: folder.write("requests", "two", {})):
        with pytest.raises(PrivacyFolderError, match=f"mode {mode:04o}"):
            use()


def test_what_a_killed_process_left_half_written_goes_with_the_next_document(tmp_path: Path) -> None:
    folder = PrivacyFolder(tmp_path / "privacy")
    folder.write("requests", "one", {"email": "ann@example.com"})
    half = folder.path / "requests" / ".two.json.01234567"
    half.write_text('{"email": "bob@')
    assert folder.names("requests") == ["one"]
    folder.write("requests", "three", {})
    assert not half.exists()
    assert folder.read("requests", "one") == {"email": "ann@example.com"}


def test_a_document_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = PrivacyFolder(tmp_path / "privacy")
    folder.write("requests", "one", {"state": "old"})

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("stedi_assets.privacy.folder.os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            folder.write("requests", "one", {"state": "new"})
    assert folder.read("requests", "one") == {"state": "old"}
    assert [path.name for path in (folder.path / "requests").iterdir()] == ["one.json"]
