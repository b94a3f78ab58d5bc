"""Every use of Dagster's private modules, and of its other packages, is listed, with the reason, in one place."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import stedi_assets

PACKAGE = Path(stedi_assets.__file__).parent
PAGE = PACKAGE.parent / "docs" / "dagster-internals.md"


INSIDE = ("dagster._", "dagster_")
"""How the names of modules begin of which Dagster promises nothing."""


def used() -> set[tuple[str, str]]:
    """Private module and the file of the package that imports it."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            elif isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            else:
                continue
            file = path.relative_to(PACKAGE.parent).as_posix()
            found |= {(module, file) for module in modules if module.startswith(INSIDE)}
    return found


def listed() -> set[tuple[str, str]]:
    rows = re.findall(r"^\| `(dagster\.?_[\w.]+)` \| `([\w/.]+)` \| \S", PAGE.read_text(), re.MULTILINE)
    return {(re.sub(r"\.[A-Z]\w*$", "", name), file) for name, file in rows}


def test_each_use_is_listed_and_each_entry_is_used() -> None:
    assert used()
    assert listed() == used()


def test_the_version_is_bounded_while_there_is_any() -> None:
    assert '"dagster>=1.13,<1.14"' in (PACKAGE.parent / "pyproject.toml").read_text()
