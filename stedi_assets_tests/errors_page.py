"""The page of errors, ``docs/errors.md``, from the docstrings of the classes.

Where a class or what it says of itself has changed, write the page anew: ``make docs``. Only the text of the modules is
read. ``test_docs.py`` holds that the page is what the classes say, and that each says what it means and what to do.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "errors.md"

HEAD = """# Errors

<!-- Written by `make docs` from the docstrings of the classes. Change those. -->

Every class of errors that the package defines: what it means, and what to do. An error names what was expected, what came, and what to do. No error holds a value of a row. [Operations](operations.md#errors) says what happens after a run has failed.

| error | means | do |
| --- | --- | --- |
"""  # noqa: E501 - a line of a page is a paragraph.


@dataclass(frozen=True)
class ErrorClass:
    """A public class of errors.

    Args:
        name: its name.
        meaning: what its docstring says of it.
        remedy: what its docstring says to do; empty if it says nothing.
    """

    name: str
    meaning: str
    remedy: str


@cache
def error_classes() -> list[ErrorClass]:
    """Every public class of the package that is an exception, by name."""
    parsed = (ast.parse(path.read_text()) for path in sorted((ROOT / "stedi_assets").rglob("*.py")))
    classes = [node for module in parsed for node in ast.walk(module) if isinstance(node, ast.ClassDef)]
    names = {"Exception", "BaseException"} | {name for name in dir(builtins) if name.endswith("Error")}
    found: dict[str, ErrorClass] = {}
    while new := [node for node in classes if node.name not in names and names & set(_bases(node))]:
        names |= {node.name for node in new}
        found |= {node.name: _described(node) for node in new if not node.name.startswith("_")}
    return [found[name] for name in sorted(found)]


def _bases(node: ast.ClassDef) -> Iterator[str]:
    for base in node.bases:
        yield ast.unparse(base).rpartition(".")[2]


def _described(node: ast.ClassDef) -> ErrorClass:
    meaning, _, remedy = (ast.get_docstring(node) or "").partition("\n\nRemedy: ")
    return ErrorClass(node.name, _in_one_line(meaning), _in_one_line(remedy.partition("\n\n")[0]))


def _in_one_line(text: str) -> str:
    return re.sub(r"``(.+?)``", r"`\1`", " ".join(text.split()))


def page() -> str:
    """The page as it should be."""
    return HEAD + "".join(f"| `{error.name}` | {error.meaning} | {error.remedy} |\n" for error in error_classes())


if __name__ == "__main__":
    PAGE.write_text(page())
