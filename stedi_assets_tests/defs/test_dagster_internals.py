"""Every use of Dagster's private modules is listed, with the reason, in one place."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import stedi_assets

PACKAGE = Path(stedi_assets.__file__).parent
PAGE = PACKAGE.parent / "docs" / "dagster-internals.md"


def used() -> set[tuple[str, str]]:
    """Private module and the file of the package that imports it."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dagster._"):
                found.add((node.module, path.relative_to(PACKAGE.parent).as_posix()))
    return found


def listed() -> set[tuple[str, str]]:
    rows = re.findall(r"^\| `(dagster\._[\w.]+)` \| `([\w/.]+)` \| \S", PAGE.read_text(), re.MULTILINE)
    return {(re.sub(r"\.[A-Z]\w*$", "", name), file) for name, file in rows}


def test_each_use_is_listed_and_each_entry_is_used() -> None:
    assert used()
    assert listed() == used()


def test_the_version_is_bounded_while_there_is_any() -> None:
    assert '"dagster>=1.13,<1.14"' in (PACKAGE.parent / "pyproject.toml").read_text()
