"""The search for values in bytes: whole values, wherever the blocks of a file end."""

from __future__ import annotations

from pathlib import Path

import pytest

from stedi_assets.engines.duckdb import DuckDBEngine
from stedi_assets.subject_requests.search import Findings, Search

TEXT = b'x ann@example.co, Ann@Example.Co. ann@example.com ann@example.co.uk xann@example.co-y "ann@example.co"\n'


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 17, 1000])
def test_a_value_counts_once_and_only_by_itself(size: int) -> None:
    search = Search(["ann@example.co", "ann"], DuckDBEngine())
    assert search.too_short == 1
    blocks = [TEXT[at : at + size] for at in range(0, len(TEXT), size)]
    assert search._count(blocks) == 3


def test_a_value_at_the_very_end() -> None:
    assert Search(["ann@example.co"], DuckDBEngine())._count([b"ann@exam", b"ple.co"]) == 1
    assert Search(["ann@example.co"], DuckDBEngine())._count([b"ann@example.co", b"m"]) == 0
    assert Search(["ann@example.co"], DuckDBEngine())._count([]) == 0


def test_no_values() -> None:
    assert Search([], DuckDBEngine())._count([b"anything"]) == 0


def test_as_json_writes_it() -> None:
    assert Search(["zo\u00eb/x@example.co"], DuckDBEngine())._count([rb"zo\u00eb/x@example.co"]) == 1
    assert Search(["a/b@example.co"], DuckDBEngine())._count([rb"a\/b@example.co"]) == 1


def test_linked_folders_are_entered_once(tmp_path: Path) -> None:
    elsewhere, here = tmp_path / "elsewhere", tmp_path / "here"
    elsewhere.mkdir()
    here.mkdir()
    (elsewhere / "note.txt").write_text("ann@example.com")
    (elsewhere / "back").symlink_to(here)
    (here / "linked").symlink_to(elsewhere)
    (here / "self").symlink_to(here)
    findings = Findings()
    Search(["ann@example.com"], DuckDBEngine()).folder("folder", here, findings)
    assert findings.found == [("folder", "linked/note.txt", 1)]
