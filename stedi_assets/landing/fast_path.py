"""Many raw files in one query, at the speed of the engine's JSON reader, with a proof that every line is good as read.

The reader coerces (``"123"`` and ``1.5`` become integers, ``true`` a number) and takes one of two equal keys, so by
itself it cannot be trusted with what ``contracts.line.validate_line`` must reject. The caller *proves* afterwards, with
what ``profile`` counted, that it gave what the rule gives:

* The reader gives at most one row per line, and none for a blank one. So where as many rows look
  good as there are lines, each line is one object, and its row looks good.
* A row that looks good has every required field, each text field a JSON string that is not blank, each
  number finite, each integer without a fraction. So its line has at least ``2 x fields + 2 x text fields``
  double quotes and ``fields - 1`` commas, of the fields that it has. If the files have exactly that many in
  all, no line has more: none has a second key, an unknown key, a null, a number in quotes, or a comma before
  its brace (which the reader takes).
* What else the reader takes leaves a byte behind: ``true`` and ``false`` as numbers, vertical tabs and
  form feeds around a line. Files with such bytes are not read this way.

What cannot be proven is read by ``parse``. The property test in ``stedi_assets_tests/landing/test_fast_path.py`` holds
this to the rule.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import date

from stedi_assets.contracts import DataType, LandingSource, Table
from stedi_assets.engines.json_lines import good, reader, values
from stedi_assets.engines.sql import quoted
from stedi_assets.landing.profile import FileProfile


def allows_fast_path(table: Table, profiles: Sequence[FileProfile], paths: Sequence[str]) -> bool:
    """Whether files may be read by :func:`fast_path_query`: their bytes leave room for good lines only.

    Args:
        table: the landing table.
        profiles: the profiles of the files.
        paths: where the files lie.
    """
    source = table.landing_source
    marks = _marks(profiles)
    optional = {field.name: sum(one.lines for one in profiles) for field in source.fields if not field.required}
    fewest, most = (_fewest_marks(source, profiles, nulls) for nulls in (optional, {}))
    return (
        any(one.lines for one in profiles)
        and all(one.plain and not one.long for one in profiles)
        and all(low <= number <= high for low, number, high in zip(fewest, marks, most, strict=True))
        # The engine cannot be told to take a path with a backslash as it is.
        and not any("\\" in path for path in paths)
    )


def proves_fast_path(table: Table, profiles: Sequence[FileProfile], rows: int, nulls: Mapping[str, int]) -> bool:
    """Whether the result of :func:`fast_path_query` proves that every line is good as read.

    Args:
        table: the landing table.
        profiles: the profiles of the files.
        rows: how many rows it gave.
        nulls: of each column, how many of them lack it.
    """
    return rows == sum(one.lines for one in profiles) and _marks(profiles) == _fewest_marks(
        table.landing_source, profiles, nulls
    )


def _marks(profiles: Sequence[FileProfile]) -> tuple[int, int]:
    """The double quotes and the commas in files."""
    return sum(one.quotes for one in profiles), sum(one.commas for one in profiles)


def _fewest_marks(source: LandingSource, profiles: Sequence[FileProfile], nulls: Mapping[str, int]) -> tuple[int, int]:
    """The fewest double quotes and commas that files of good lines can have.

    Args:
        source: the fields.
        profiles: the profiles of the files.
        nulls: of each field, how many lines lack it.
    """
    lines = sum(one.lines for one in profiles)
    present = {field: lines - nulls.get(field.name, 0) for field in source.fields}
    quotes = sum(number * (4 if field.type is DataType.TEXT else 2) for field, number in present.items())
    return quotes, sum(present.values()) - lines


def fast_path_query(
    table: Table, landing_date: date, paths: Sequence[str], profiles: Sequence[FileProfile], root: str
) -> str:
    """The query that reads whole files at once: their rows that look good, in data column order.

    Where the table numbers its lines, it must run with insertion order preserved; the numbers are right if
    :func:`proves_fast_path`.

    Args:
        table: the landing table.
        landing_date: the day the files landed.
        paths: readable by the engine.
        profiles: the profiles of the files.
        root: the landing root, which ``source_file`` leaves out.
    """
    source = table.landing_source
    columns = f"{values(source)}, substr(filename, {len(root) + 2}) AS source_file"
    if has_line_numbers(table):
        before = itertools.accumulate((one.lines for one in profiles), initial=0)
        lines_before = ", ".join(f"{quoted(path)}: {lines}" for path, lines in zip(paths, before, strict=False))
        # A line is one object where all of them are proven good.
        columns += f", row_number() OVER () - MAP {{{lines_before}}}[filename] AS source_line, 1 AS source_object"
    return f"SELECT {columns} FROM {reader(source, paths)} WHERE {good(source, landing_date)}"


def has_line_numbers(table: Table) -> bool:
    """Whether the rows of a landing table have the number of the line that they come from.

    Args:
        table: the landing table.
    """
    return "source_line" in table.column_names
