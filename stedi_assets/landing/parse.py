"""Any raw file to rows and rejected texts, piece by piece, most of it at the speed of the engine's JSON reader.

``texts`` says what a text is. The reader coerces, so an object is taken as the engine reads it only where what it reads
and the object's own quotes and commas prove it good (``fast_path`` says why they do); each of the others goes to
``contracts.line.validate_object``. Any sequence of objects is read, in any encoding and compression that ``decode``
knows, with keys in any case, at a third or so of the speed of ``fast_path``. What is judged one by one (an object in an
object, an escape, a null) takes ten times as long.

The property test in ``stedi_assets_tests/landing/test_parse.py`` holds this to the rule.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

import fsspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stedi_assets.contracts import Table
from stedi_assets.contracts.line import Rejected, Value, decode_object, spelling_of, unknown_keys, validate_object
from stedi_assets.contracts.render import arrow_schema
from stedi_assets.engines.base import Engine, Keys, ParsedLines
from stedi_assets.engines.json_lines import LONG_LINE
from stedi_assets.landing.decode import CutOff, text_blocks, unreadable
from stedi_assets.landing.texts import (
    TOO_LONG,
    Positions,
    Text,
    TextFinder,
    are_separators,
    flat_objects,
    rest_of_text,
    skip_separators,
)
from stedi_assets.settings import Limits

PIECE_BYTES = 8 << 20
"""Bytes that ``read_texts`` reads at once."""

MOST_TEXTS = 200_000
"""Texts of which each costs far more than its bytes, that are in memory at once."""

CUT_OFF_REASON = "the compressed stream is cut off"
"""Why the end of a file is quarantined that lost its own end."""

INCOMPLETE = (CUT_OFF_REASON, TOO_LONG)
"""The reasons of texts of which only a part is in the quarantine, so that they may speak of anybody."""

KEPT_OF_LONG = 64 << 10
"""Bytes of a text that is too long that are kept: enough to see what it is."""

_COERCED_BY_READER = (b"\v", b"\f")
_TRUTHS = (b"true", b"false")
"""The reader makes numbers of these; where an unknown key has one, the engine counts them."""
_SAMPLED = 16
"""Objects of a buffer whose keys are looked at."""
_MOST_UNKNOWN = 50
"""Keys that mean no field that are worth columns."""
_KEY = re.compile(r'[^",\\]+')
"""A key that has no mark that the engine counts, and no escape."""


class Reject(NamedTuple):
    r"""A text that is rejected.

    Args:
        line: the line on which it begins, from 1.
        number: which of the texts that begin on that line it is, from 1.
        reason: why.
        text: the text itself, or the beginning of one that is too long; bytes that are not UTF-8 as ``\xNN``.
    """

    line: int
    number: int
    reason: str
    text: str


@dataclass(frozen=True)
class ParsedTexts:
    """The rows and the rejected texts of a piece of a file.

    Args:
        rows: the good texts' values, in the table's data columns.
        rejects: the bad ones.
        texts: how many there were.
        unknown_keys: how often keys occurred that mean no field.
    """

    rows: pa.Table
    rejects: tuple[Reject, ...]
    texts: int
    unknown_keys: Mapping[str, int] = field(default_factory=dict)


def read_texts(
    engine: Engine,
    fs: fsspec.AbstractFileSystem,
    path: str,
    table: Table,
    source_file: str,
    landing_date: date,
    limits: Limits | None = None,
) -> Iterator[ParsedTexts]:
    """Read one raw file text by text, whatever is in it.

    Args:
        engine: parses the texts that look good.
        fs: the file system of the file.
        path: where the file lies in it.
        table: the landing table that it is meant for.
        source_file: its path below the landing root, for its rows.
        landing_date: the day it landed.
        limits: what of it is read; how many texts may be rejected is for whoever asks.

    Yields:
        Pieces of at most about 8 MiB (or one text), in the order of the file.

    Raises:
        UnreadableFileError: the store does not give the bytes, or there are too many of them.
    """
    limits = limits or Limits()
    reader = _TextReader(engine, table, source_file, landing_date, limits.longest_text)
    rest, needed = b"", 0
    started = False
    try:
        for block in text_blocks(fs, path, PIECE_BYTES, limits.largest_file):
            started = True
            rest += block
            if len(rest) < needed:
                continue
            for piece, read in reader.read_all(rest, final=False):
                rest = rest[read:]
                yield piece
            needed = bytes_needed(rest, limits.longest_text)
    except CutOff as error:
        if not started:
            raise unreadable(path, error) from error
        yield reader.cut_off(rest)
        return
    for piece, _ in reader.read_all(rest, final=True):
        yield piece


def bytes_needed(rest: bytes, longest: int) -> int:
    """How long a buffer must be before it is worth looking again for the end of the text that it begins with.

    A text that comes in many pieces would take time that grows with the square of its length.

    Args:
        rest: what is left of the buffer.
        longest: the bytes that a text may have.
    """
    return min(2 * len(rest), longest + 1)


@dataclass(frozen=True)
class Segments:
    """The texts of a buffer.

    Args:
        starts: of the objects that the engine proved to be good, the first byte.
        ends: the byte after the last one.
        values: their values.
        texts: the others, and the part of one that is too long.
        read: how many bytes of the buffer were read.
        more: whether more can be read of it at once.
        is_within: whether it ends within a text that is too long.
        unknown: of the proven objects, how often keys occur that mean no field.
    """

    starts: Positions
    ends: Positions
    values: pa.Table | None
    texts: Sequence[Text]
    read: int
    more: bool
    is_within: bool
    unknown: Mapping[str, int]


class TextParser:
    """Finds the texts of a raw file, most of them at the speed of the engine.

    Args:
        engine: parses the texts that look good.
        table: the landing table that the file is meant for.
        landing_date: the day it landed.
        longest: the bytes that a text may have.
    """

    def __init__(self, engine: Engine, table: Table, landing_date: date, longest: int) -> None:
        self._longest = longest
        self._engine = engine
        self._source = table.landing_source
        self._landing_date = landing_date

    def segments(self, buffer: bytes, *, final: bool, is_within: bool = False) -> Segments:
        """Find the texts of a buffer that begins between two of them, or within one that is too long.

        Args:
            buffer: the bytes.
            final: nothing follows.
            is_within: whether it begins within a text that is too long.
        """
        if is_within:
            part = rest_of_text(buffer, final=final)
            none = np.zeros(0, np.int64)
            return Segments(none, none, None, [part], part.next, part.next < len(buffer), not part.ends, {})
        starts, ends, clean = flat_objects(buffer)
        proven, parsed = self._parse(buffer, starts, ends)
        unproven = np.flatnonzero(~(proven & clean))
        accepted = np.zeros(len(starts), bool)
        texts: list[Text] = []
        at = index = 0
        more = is_within = False
        finder = TextFinder(buffer, final=final, longest=self._longest)
        while True:
            if index < len(starts) and proven[index] and are_separators(buffer, at, int(starts[index])):
                # So is everything up to the next one that is not.
                after = np.searchsorted(unproven, index + 1)
                until = int(unproven[after]) if after < len(unproven) else len(starts)
                accepted[index:until] = True
                at, index = int(ends[until - 1]), until
                continue
            more = len(texts) >= MOST_TEXTS
            text = None if more else finder.next(at)
            if text is None:
                break
            texts.append(text)
            at, is_within = text.next, not text.ends
            index = int(np.searchsorted(starts, at))
        # What is left of separators is read as well; what begins a text and has no end yet is not.
        read = len(buffer) if are_separators(buffer, at, len(buffer)) else at
        taken = accepted[proven]
        values = None if parsed is None else parsed.values.filter(pa.array(taken))
        unknown = {} if parsed is None else {key: int((has & taken).sum()) for key, has in parsed.unknown.items()}
        return Segments(starts[accepted], ends[accepted], values, texts, read, more, is_within, unknown)

    def _parse(
        self, buffer: bytes, starts: Positions, ends: Positions
    ) -> tuple[npt.NDArray[np.bool_], ParsedLines | None]:
        """Which stretches the engine proves to be good objects, and what it read of those."""
        proven = np.zeros(len(starts), bool)
        fewest = sum(len(one.name) for one in self._source.fields if one.required)
        likely = (ends - starts < min(LONG_LINE, self._longest)) & (ends - starts > fewest)
        some = np.flatnonzero(likely)[:: max(1, int(likely.sum()) // _SAMPLED)][:_SAMPLED]
        keys = self._keys([buffer[starts[one] : ends[one]] for one in some])
        for word in _COERCED_BY_READER if keys.unknown else (*_COERCED_BY_READER, *_TRUTHS):
            within = np.searchsorted(ends, list(_positions(buffer, word)))
            likely[within[within < len(starts)]] = False
        where = np.flatnonzero(likely)
        if not len(where):
            return proven, None
        # A line feed within an object becomes a carriage return: that is white space too, and no character of a text
        # either, and the engine takes it for no end of a line.
        feeds = np.searchsorted(starts, _line_feeds(buffer), side="right") - 1
        if (feeds >= 0).any() and (_line_feeds(buffer)[feeds >= 0] < ends[feeds[feeds >= 0]]).any():
            buffer = buffer.replace(b"\n", b"\r")
        lines = [buffer[start:end] for start, end in zip(starts[where].tolist(), ends[where].tolist(), strict=True)]
        read = self._engine.parse_lines(lines, self._source, self._landing_date, keys)
        if read is None:
            return proven, None
        proven[where[read.good]] = True
        return proven, read

    def _keys(self, lines: Sequence[bytes]) -> Keys:
        """The keys of some objects of a file; the others are likely to have the same."""
        spelt: dict[str, str] = {}
        unknown: set[str] = set()
        for line in lines:
            try:
                found, _ = decode_object(line.decode())
            except (ValueError, RecursionError):
                continue
            spelt = spelling_of(found, self._source) | spelt
            scalars = {key for key, value in found if isinstance(value, (str, int, float)) and _KEY.fullmatch(key)}
            unknown |= scalars.intersection(unknown_keys(found, self._source))
        return Keys(spelt, tuple(sorted(unknown)) if len(unknown) <= _MOST_UNKNOWN else ())


class _TextReader:
    """Reads the texts of one raw file, buffer by buffer.

    Args:
        engine: parses the texts that look good.
        table: the landing table.
        source_file: for its rows.
        landing_date: the day it landed.
        longest: the bytes that a text may have.
    """

    def __init__(self, engine: Engine, table: Table, source_file: str, landing_date: date, longest: int) -> None:
        self._parser = TextParser(engine, table, landing_date, longest)
        self._is_within = False
        """Whether the buffer begins within a text that is too long."""
        self._table = table
        self._source = table.landing_source
        self._source_file = source_file
        self._landing_date = landing_date
        self._line = 1
        """The line at which the buffer begins."""
        self._begun = 0
        """How many texts began on that line already."""

    def read_all(self, buffer: bytes, *, final: bool) -> Iterator[tuple[ParsedTexts, int]]:
        """Read a buffer that begins where the one before was read to.

        Args:
            buffer: the bytes.
            final: nothing follows.

        Yields:
            What was read, and how many bytes that were.
        """
        more = True
        while more:
            piece, read, more = self._read(buffer, final=final)
            buffer = buffer[read:]
            yield piece, read

    def _read(self, buffer: bytes, *, final: bool) -> tuple[ParsedTexts, int, bool]:
        """Read some of a buffer: what was read, how many bytes that were, and whether more can be."""
        found = self._parser.segments(buffer, final=final, is_within=self._is_within)
        self._is_within = found.is_within
        unknown = Counter(found.unknown)
        judged = [(text, self._validated(buffer, text, unknown)) for text in found.texts if text.begins]
        return self._piece(buffer, found, judged, unknown), found.read, found.more

    def cut_off(self, rest: bytes) -> ParsedTexts:
        """The end of a file that lost its own end: one rejected text, be it empty.

        Args:
            rest: what was not read yet.
        """
        if self._is_within:
            rest = b""  # The text that it is the end of is in the quarantine.
        start = skip_separators(rest, 0)
        passed = rest.count(b"\n", 0, start)
        place = self._line + passed, 1 if passed else self._begun + 1
        reject = Reject(*place, CUT_OFF_REASON, rest[start:].decode("utf-8", "backslashreplace"))
        return ParsedTexts(_data_schema(self._table).empty_table(), (reject,), 1)

    def _validated(self, buffer: bytes, text: Text, unknown: Counter[str]) -> tuple[Value, ...] | Rejected:
        if text.reason == TOO_LONG:
            return Rejected(text.reason)
        try:
            written = buffer[text.start : text.end].decode()
        except UnicodeDecodeError:
            return Rejected("not UTF-8")
        if text.pairs is None:
            return Rejected(text.reason)
        unknown.update(unknown_keys(text.pairs, self._source))
        return validate_object(text.pairs, written, self._source, self._landing_date)

    def _piece(
        self,
        buffer: bytes,
        found: Segments,
        judged: Sequence[tuple[Text, tuple[Value, ...] | Rejected]],
        unknown: Mapping[str, int],
    ) -> ParsedTexts:
        """What was read of a buffer.

        Args:
            buffer: the bytes.
            found: the texts in it.
            judged: those that the engine did not prove to be good, and what they are.
            unknown: how often keys occur that mean no field.
        """
        starts = np.concatenate((found.starts, np.array([text.start for text, _ in judged], np.int64)))
        lines, objects = self._places(buffer, found.read, starts)
        count, values = len(found.starts), found.values
        tables = []
        if values is not None and count:
            tables.append(
                self._as_table(
                    dict(zip(values.column_names, values.columns, strict=True)), lines[:count], objects[:count]
                )
            )
        good = [
            (place, verdict) for place, (_, verdict) in enumerate(judged, count) if not isinstance(verdict, Rejected)
        ]
        if good:
            columns = zip(*(verdict for _, verdict in good), strict=True)
            places = [place for place, _ in good]
            fields = dict(zip((field.name for field in self._source.fields), columns, strict=True))
            tables.append(self._as_table(fields, lines[places], objects[places]))
        rejects = tuple(
            Reject(
                int(lines[place]),
                int(objects[place]),
                verdict.reason,
                _kept(buffer, text),
            )
            for place, (text, verdict) in enumerate(judged, count)
            if isinstance(verdict, Rejected)
        )
        rows = pa.concat_tables(tables) if tables else _data_schema(self._table).empty_table()
        return ParsedTexts(rows, rejects, count + len(judged), unknown)

    def _places(self, buffer: bytes, read: int, starts: Positions) -> tuple[Positions, Positions]:
        """The line on which each text begins, and which of the texts of that line it is; both from 1."""
        feeds = _line_feeds(buffer)
        order = np.argsort(starts, kind="stable")
        line = np.searchsorted(feeds, starts[order])
        first = np.searchsorted(line, line)
        nth = np.arange(1, len(line) + 1) - first
        nth[line == 0] += self._begun
        lines, objects = np.empty(len(line), np.int64), np.empty(len(line), np.int64)
        lines[order], objects[order] = line + self._line, nth
        # Where the next buffer begins.
        passed = int(np.searchsorted(feeds, read))
        begun = int(np.count_nonzero(line == passed))
        self._begun = begun + (self._begun if passed == 0 else 0)
        self._line += passed
        return lines, objects

    def _as_table(self, fields: Mapping[str, Any], lines: Positions, objects: Positions) -> pa.Table:
        schema = _data_schema(self._table)
        source_file = pa.repeat(pa.scalar(self._source_file, pa.string()), len(lines))
        columns = {**fields, "source_file": source_file, "source_line": lines, "source_object": objects}
        return pa.table({one.name: _as_column(columns[one.name], one.type) for one in schema}, schema=schema)


def _kept(buffer: bytes, text: Text) -> str:
    """What of a rejected text goes to the quarantine."""
    end = min(text.end, text.start + KEPT_OF_LONG) if text.reason == TOO_LONG else text.end
    return buffer[text.start : end].decode("utf-8", "backslashreplace")


def _as_column(values: Any, kind: pa.DataType) -> Any:
    return values.cast(kind) if isinstance(values, (pa.Array, pa.ChunkedArray)) else pa.array(values, kind)


def _line_feeds(buffer: bytes) -> Positions:
    return np.flatnonzero(np.frombuffer(buffer, np.uint8) == ord("\n"))


def _positions(text: bytes, word: bytes) -> Iterator[int]:
    at = text.find(word)
    while at >= 0:
        yield at
        at = text.find(word, at + 1)


def _data_schema(table: Table) -> pa.Schema:
    schema = arrow_schema(table)
    return pa.schema([schema.field(column.name) for column in table.data_columns])
