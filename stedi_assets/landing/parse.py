"""Raw lines to rows, at the speed of the engine's JSON reader.

DuckDB's reader coerces (``"123"`` and ``1.5`` become integers, ``true`` a number) and takes one of
two equal keys, so by itself it cannot be trusted with what ``contracts.line.validate_line`` must reject. Two ways to
have both its speed and the rule:

``fast_path_query`` reads many files in one query, and its caller *proves* afterwards, with what
``profile`` counted, that every line is good as read:

* The reader gives at most one row per line, and none for a blank one. So where as many rows look
  good as there are lines, each line is one object, and its row looks good.
* A row that looks good has every required field, each text field a JSON string that is not blank, each
  number finite, each integer without a fraction. So its line has at least ``2 x fields + 2 x text fields``
  double quotes and ``fields - 1`` commas, of the fields that it has. If the files have exactly that many in
  all, no line has more: none has a second key, an unknown key, a null, a number in quotes, or a comma before
  its brace (which the reader takes).
* What else the reader takes leaves a byte behind: ``true`` and ``false`` as numbers, vertical tabs and
  form feeds around a line. Files with such bytes are not read this way.

``read_lines`` reads a file in pieces and decides line by line: a line that the same signs do not
prove good goes to ``validate_line``. It is slower (a third or so), and takes anything.

The property test in ``stedi_assets_tests/landing/test_parse.py`` holds both to ``validate_line``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import fsspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stedi_assets.contracts import DataType, LandingSource, Table
from stedi_assets.contracts.line import Rejected, validate_line
from stedi_assets.contracts.render import arrow_schema
from stedi_assets.engines.base import Engine
from stedi_assets.engines.json_lines import LONG_LINE, good, reader, values
from stedi_assets.engines.sql import quoted
from stedi_assets.landing.profile import CutOff, FileProfile, chunks

PIECE_BYTES = 16 << 20
"""Bytes that ``read_lines`` has in memory at once."""

PIECE_LINES = 1 << 18
"""Lines that it has in memory at once: of very short ones each costs far more than its bytes."""

CUT_OFF_REASON = "the gzip stream is cut off"
"""Why the end of a file is quarantined that lost its own end."""

_COERCED_BY_READER = (b"true", b"false", b"\v", b"\f")


@dataclass(frozen=True)
class ParsedLines:
    """The rows and the rejected lines of a piece of a file.

    Args:
        rows: the good lines' values, in the table's data columns.
        rejects: line number, reason and text of each bad line.
        lines: how many lines were not blank.
    """

    rows: pa.Table
    rejects: tuple[tuple[int, str, str], ...]
    lines: int


def allows_fast_path(table: Table, profiles: Sequence[FileProfile], paths: Sequence[str]) -> bool:
    """Whether files may be read by :func:`fast_path_query`: their bytes leave room for good lines only.

    Args:
        table: the landing table.
        profiles: the profiles of the files.
        paths: where the files lie.
    """
    source = _source(table)
    marks = _marks(profiles)
    optional = {field.name: sum(one.lines for one in profiles) for field in source.fields if not field.required}
    fewest, most = (_fewest_marks(source, profiles, nulls) for nulls in (optional, {}))
    return (
        any(one.lines for one in profiles)
        and all(one.plain for one in profiles)
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
        _source(table), profiles, nulls
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
    source = _source(table)
    columns = f"{values(source)}, substr(filename, {len(root) + 2}) AS source_file"
    if has_line_numbers(table):
        before = itertools.accumulate((one.lines for one in profiles), initial=0)
        lines_before = ", ".join(f"{quoted(path)}: {lines}" for path, lines in zip(paths, before, strict=False))
        columns += f", row_number() OVER () - MAP {{{lines_before}}}[filename] AS source_line"
    return f"SELECT {columns} FROM {reader(source, paths)} WHERE {good(source, landing_date)}"


def has_line_numbers(table: Table) -> bool:
    """Whether the rows of a landing table have the number of the line that they come from.

    Args:
        table: the landing table.
    """
    return "source_line" in table.column_names


def read_lines(
    engine: Engine, fs: fsspec.AbstractFileSystem, path: str, table: Table, source_file: str, landing_date: date
) -> Iterator[ParsedLines]:
    """Read one raw file line by line, whatever is in it.

    Args:
        engine: parses the lines that look good.
        fs: the file system of the file.
        path: where the file lies in it.
        table: the landing table that it is meant for.
        source_file: its path below the landing root, for its rows.
        landing_date: the day it landed.

    Yields:
        Pieces of at most about 16 MiB (or one line), in the order of the file.

    Raises:
        UnreadableFileError: the store does not give the bytes.
    """
    number = 1
    for piece in chunks(fs, path, PIECE_BYTES):
        if isinstance(piece, CutOff):
            reject = (number, CUT_OFF_REASON, piece.rest.decode("utf-8", "backslashreplace"))
            yield ParsedLines(_data_schema(table).empty_table(), (reject,), 1)
            return
        for part in _parts(piece):
            yield _read_piece(engine, part, table, source_file, landing_date, number)
            number += part.count(b"\n")


def _parts(piece: bytes) -> Iterator[bytes]:
    """A piece in parts of not too many lines."""
    if piece.count(b"\n") <= PIECE_LINES:
        yield piece
        return
    ends = np.flatnonzero(np.frombuffer(piece, np.uint8) == ord("\n")) + 1
    cuts = [0, *ends[PIECE_LINES - 1 :: PIECE_LINES].tolist()]
    yield from (piece[start:end] for start, end in itertools.pairwise(cuts))
    if cuts[-1] < len(piece):
        yield piece[cuts[-1] :]


def _read_piece(
    engine: Engine, piece: bytes, table: Table, source_file: str, landing_date: date, number: int
) -> ParsedLines:
    source = _source(table)
    text = np.frombuffer(piece, np.uint8)
    ends = np.flatnonzero(text == ord("\n"))
    if not piece.endswith(b"\n"):
        ends = np.append(ends, len(text))
    starts = np.concatenate(([0], ends[:-1] + 1))
    # Only lines that start like an object, and are of a reasonable length, are worth the reader.
    likely = (ends > starts) & (text[np.minimum(starts, len(text) - 1)] == ord("{")) & (ends - starts < LONG_LINE)
    for word in _COERCED_BY_READER:
        likely[np.searchsorted(ends, list(_positions(piece, word)))] = False

    lines = [piece[start:end] for start, end in zip(starts[likely].tolist(), ends[likely].tolist(), strict=True)]
    read = engine.parse_lines(lines, source, landing_date)
    numbers = np.arange(number, number + len(starts))
    proven = np.zeros(len(lines), bool) if read is None else read.good
    tables = []
    if read is not None:
        extra = _origin(table, source_file, numbers[likely][proven])
        tables.append(_as_table(table, {**{n: read.values.column(n) for n in read.values.column_names}, **extra}))

    doubtful = np.ones(len(starts), bool)
    doubtful[np.flatnonzero(likely)[proven]] = False
    validated: list[tuple[int, tuple[object, ...]]] = []
    rejects: list[tuple[int, str, str]] = []
    blank = 0
    for index in np.flatnonzero(doubtful).tolist():
        line = piece[starts[index] : ends[index]]
        verdict = validate_line(line, source, landing_date)
        if verdict is None:
            blank += 1
        elif isinstance(verdict, Rejected):
            rejects.append((number + index, verdict.reason, line.decode("utf-8", "backslashreplace")))
        else:
            validated.append((number + index, verdict))
    if validated:
        columns = {
            field.name: [values[position] for _, values in validated] for position, field in enumerate(source.fields)
        }
        extra = _origin(table, source_file, np.array([line_number for line_number, _ in validated]))
        tables.append(_as_table(table, {**columns, **extra}))
    rows = pa.concat_tables(tables) if tables else _data_schema(table).empty_table()
    return ParsedLines(rows, tuple(rejects), len(starts) - blank)


def _positions(text: bytes, word: bytes) -> Iterator[int]:
    at = text.find(word)
    while at >= 0:
        yield at
        at = text.find(word, at + 1)


def _origin(table: Table, source_file: str, numbers: npt.NDArray[np.int64]) -> dict[str, pa.Array]:
    origin = {"source_file": pa.repeat(pa.scalar(source_file, pa.string()), len(numbers))}
    if has_line_numbers(table):
        origin["source_line"] = pa.array(numbers, pa.int64())
    return origin


def _data_schema(table: Table) -> pa.Schema:
    schema = arrow_schema(table)
    return pa.schema([schema.field(column.name) for column in table.data_columns])


def _as_table(table: Table, columns: dict[str, object]) -> pa.Table:
    schema = _data_schema(table)
    return pa.table(
        {
            field.name: columns[field.name].cast(field.type)  # type: ignore[attr-defined]
            if isinstance(columns[field.name], (pa.Array, pa.ChunkedArray))
            else pa.array(columns[field.name], field.type)
            for field in schema
        },
        schema=schema,
    )


def _source(table: Table) -> LandingSource:
    if table.source is None:
        msg = f"{table.name} is not a landing table: its contract has no source."
        raise ValueError(msg)
    return table.source
