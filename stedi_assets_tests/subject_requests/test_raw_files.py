"""One raw file that is written anew, or not."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stedi_assets.contracts import table as contract
from stedi_assets.subject_requests import raw_files
from stedi_assets.subject_requests.export import export_subject
from stedi_assets.subject_requests.matching import Subjects
from stedi_assets.subject_requests.raw_files import BusyFileError, redact
from stedi_assets.subject_requests.redaction import RawFile, TextFilter
from stedi_assets.subject_requests.subject import Person
from stedi_assets_tests.kit.lake import SmallLake
from stedi_assets_tests.kit.records import DAY, STAMP, lines, movement

ANN = Person("ann@example.com", "")
MOVES = lines(movement("ann"), movement("bob"))
LATER = lines(movement("ann", STAMP + 1), movement("bob", STAMP + 1))
REDACTED, REDACTED_LATER = ("\n" + lines(movement("bob", at)) for at in (STAMP, STAMP + 1))


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[SmallLake]:
    small = SmallLake.at(tmp_path)
    small.land("accelerometer_landing", MOVES)
    yield small
    small.close()


def redacted(lake: SmallLake, path: Path) -> int:
    below = path.relative_to(lake.root / "landing").as_posix()
    file = RawFile(contract("accelerometer_landing"), below, DAY)
    return redact(lake.resources.landing, file, TextFilter(Subjects.of(lake.resources, ANN), lake.resources.session))


def appending(monkeypatch: pytest.MonkeyPatch, path: Path, times: int) -> None:
    """Have another process append to a file, some times, while it is written anew."""
    write = raw_files._write_redacted

    def slow(*arguments: Any) -> int:
        nonlocal times
        found = write(*arguments)
        if times:
            times -= 1
            with path.open("a") as file:
                file.write(LATER)
        return found

    monkeypatch.setattr(raw_files, "_write_redacted", slow)


def test_what_is_appended_meanwhile_is_not_lost(lake: SmallLake, monkeypatch: pytest.MonkeyPatch) -> None:
    path = lake.path("accelerometer_landing")
    appending(monkeypatch, path, 1)
    assert redacted(lake, path) == 2
    assert path.read_text() == REDACTED + REDACTED_LATER
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_keeps_changing_is_left(lake: SmallLake, monkeypatch: pytest.MonkeyPatch) -> None:
    path = lake.path("accelerometer_landing")
    appending(monkeypatch, path, 1000)
    with pytest.raises(BusyFileError, match="keeps changing"):
        redacted(lake, path)
    assert path.read_text().startswith(MOVES + LATER)
    assert list(path.parent.iterdir()) == [path]


def test_times_and_permissions_stay(lake: SmallLake) -> None:
    path = lake.path("accelerometer_landing")
    path.chmod(0o640)
    os.utime(path, ns=(STAMP, STAMP))
    assert redacted(lake, path) == 1
    assert path.read_text() == REDACTED
    assert (path.stat().st_mtime_ns, stat.S_IMODE(path.stat().st_mode)) == (STAMP, 0o640)


def test_what_lies_behind_a_link_is_rewritten_where_it_lies(lake: SmallLake) -> None:
    elsewhere = lake.root / "elsewhere.json"
    elsewhere.write_text(MOVES)
    link = lake.path("accelerometer_landing", "link.json")
    link.symlink_to(elsewhere)
    assert redacted(lake, link) == 1
    assert link.is_symlink()
    assert elsewhere.read_text().count("ann@") == 0
    assert elsewhere.read_text() != MOVES


def test_a_file_with_another_name_is_left_as_it_is(lake: SmallLake) -> None:
    path = lake.land("accelerometer_landing", MOVES, "one.json")
    (lake.root / "another.json").hardlink_to(path)
    assert redacted(lake, path) == 0
    assert path.read_text() == MOVES


def test_half_an_export_is_not_left(lake: SmallLake, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> str:
        raise OSError(28, "No space left on device")

    target = lake.root / "ann.zip"
    with monkeypatch.context() as patch:
        patch.setattr("stedi_assets.subject_requests.export._readme", full)
        with pytest.raises(OSError, match="No space left"):
            export_subject(lake.resources, ANN, target)
    assert not target.exists()
    assert export_subject(lake.resources, ANN, target)["raw_files.json"] == 1
