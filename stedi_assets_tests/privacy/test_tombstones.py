"""Tombstones: what they recognise once they are read from the folder that they were written to."""

from __future__ import annotations

from pathlib import Path

import pytest

from stedi_assets.privacy.folder import PrivacyFolder
from stedi_assets.privacy.tombstones import Tombstone, Tombstones, write_tombstone

EMAIL, SERIAL, SHARED, MARK = "ann@example.com", "serial-ann", "serial-shared", "ann invented"


@pytest.fixture
def folder(tmp_path: Path) -> PrivacyFolder:
    return PrivacyFolder(tmp_path / "privacy")


def erase(folder: PrivacyFolder, request: str, erased_at: int) -> Tombstone:
    tombstone = Tombstone(
        request,
        erased_at,
        folder.hash("email", EMAIL),
        serials=frozenset({folder.hash("serial", SERIAL)}),
        shared=frozenset({folder.hash("serial", SHARED)}),
        readings=frozenset({folder.hash("reading", f"{SHARED}\0{7}")}),
        marks=frozenset({folder.hash("mark", MARK)}),
    )
    write_tombstone(folder, tombstone)
    return tombstone


def test_everything_is_recognised_as_what_it_is(folder: PrivacyFolder) -> None:
    written = erase(folder, "r1", 1)
    read = Tombstones.read(folder)
    assert list(read) == [written]
    assert read.of_email(EMAIL) == read.of_serial(SERIAL) == read.of_mark(MARK) == written
    assert read.is_shared(SHARED)
    assert not read.is_shared(SERIAL)
    assert read.of_reading(SHARED, 7) == written
    # Nothing is recognised as something else.
    assert read.of_reading(SHARED, 8) is None
    assert read.of_reading(SERIAL, 7) is None
    assert {read.of_email(SERIAL), read.of_serial(EMAIL), read.of_serial(SHARED), read.of_mark(EMAIL)} == {None}


@pytest.mark.parametrize("times", [(1, 2), (2, 1)])
def test_of_several_erasures_of_a_person_the_latest_counts(folder: PrivacyFolder, times: tuple[int, int]) -> None:
    latest = max((erase(folder, f"r{number}", at) for number, at in enumerate(times)), key=lambda one: one.erased_at)
    read = Tombstones.read(folder)
    assert read.of_email(EMAIL) == read.of_serial(SERIAL) == read.of_mark(MARK) == read.of_reading(SHARED, 7) == latest


def test_the_state_is_another_after_each_erasure(folder: PrivacyFolder) -> None:
    states = [Tombstones.read(folder).state]
    for number in range(3):
        erase(folder, f"r{number}", 1)
        states.append(Tombstones.read(folder).state)
    assert len(set(states)) == 4
    assert Tombstones.read(folder).state == states[-1]
