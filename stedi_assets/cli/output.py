"""Printing of results: tables on a terminal, plain CSV or JSON in a pipe."""

from __future__ import annotations

import csv
import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import click
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from stedi_assets.contracts.names import printable

OK, DIFFERS, FAILED = 0, 1, 2
"""Exit codes."""

FORMATS = ("table", "csv", "json")

FORMAT = click.option(
    "--format", "form", type=click.Choice(FORMATS), help="How to print; a table on a terminal, CSV in a pipe."
)
"""The option of every command that prints rows."""


_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-][0-9 ().,/eE+-]*")
"""A number or a phone number."""


class Failure(click.ClickException):
    """Something that the user can mend; printed without a traceback."""

    exit_code = FAILED

    def show(self, file: Any = None) -> None:  # noqa: ARG002 - click asks for it
        """Print it."""
        Console(stderr=True).print(f"[red]Error:[/red] {escape(self.message)}", highlight=False, soft_wrap=True)


def say(text: str, style: str | None = None) -> None:
    """One line for people, on standard error, so that a pipe gets results only."""
    shown = "\n".join(map(printable, text.split("\n")))
    Console(stderr=True, highlight=False, soft_wrap=True).print(escape(shown), style=style)


def chosen(wanted: str | None) -> str:
    """The format asked for; else a table on a terminal and CSV in a pipe."""
    return wanted or ("table" if sys.stdout.isatty() else "csv")


def show(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], wanted: str | None = None, unbroken: str | None = None
) -> int:
    """Print rows.

    Args:
        columns: their names.
        rows: in order of the columns; read once, and for CSV and JSON lines never held.
        wanted: one of :data:`FORMATS`.
        unbroken: the column whose values a table does not break, so that they can be copied, however wide it gets.

    Returns:
        How many rows there were; 0 where the reader of a pipe had enough.
    """
    try:
        count = _print(columns, rows, chosen(wanted), unbroken)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read has enough, as `head` does; Python must not complain about it while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return count


def _print(columns: Sequence[str], rows: Iterable[Sequence[Any]], form: str, unbroken: str | None) -> int:
    count = 0
    if form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow(["" if value is None else _harmless(value) for value in row])
            count += 1
        return count
    if form == "json":
        for row in rows:
            sys.stdout.write(json.dumps(dict(zip(columns, row, strict=True)), default=str, ensure_ascii=False) + "\n")
            count += 1
        return count
    table = Table(header_style="bold", box=None, pad_edge=False)
    numeric: set[int] = set()
    listed = [list(row) for row in rows]
    for index in range(len(columns)):
        values = [row[index] for row in listed if row[index] is not None]
        if values and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
            numeric.add(index)
    for index, name in enumerate(columns):
        justify: Literal["left", "right"] = "right" if index in numeric else "left"
        table.add_column(name, justify=justify, overflow="fold", no_wrap=name == unbroken)
    for row in listed:
        table.add_row(*(Text(_cell(value)) for value in row))
    console, endless = Console(), Console(width=100_000)
    needed = Measurement.get(endless, endless.options, table).minimum
    console.print(table, width=max(needed, console.width) if unbroken else None, crop=not unbroken)
    return len(listed)


def _cell(value: Any) -> str:
    if value is None:
        return "–"  # noqa: RUF001 - a dash, for people
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return printable(str(value))


def _harmless(value: Any) -> Any:
    """A cell of CSV; text that a spreadsheet would run as a formula after an apostrophe, as spreadsheets write it."""
    runs = isinstance(value, str) and value[:1] in _FORMULA and not _NUMBER.fullmatch(value)
    return f"'{value}" if runs else value
