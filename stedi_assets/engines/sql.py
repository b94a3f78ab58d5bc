"""Texts, names and paths as DuckDB's SQL takes them."""

from __future__ import annotations

import re
from collections.abc import Iterable


def quoted(text: str) -> str:
    """``text`` as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def named(name: str) -> str:
    """``name`` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def as_named(path: str) -> str:
    """``path`` as a pattern that only this one path matches: DuckDB's readers take every path for a pattern."""
    return _PATTERN.sub(r"[\g<0>]", path)


_PATTERN = re.compile(r"[*?\[]")


def list_of(values: Iterable[str]) -> str:
    """``values`` as an SQL list literal."""
    return "[" + ", ".join(quoted(value) for value in values) + "]"
