"""Search for values in everything that is stored: the bytes of every file, and what they decode to.

Compressions and encodings are decoded as ingestion decodes them, by what a file begins with and not by its name;
archives, databases and Parquet are looked into. What can be decoded no further and is no text may hold anything, so it
is reported by name.

The search knows no rule and no table: it is the second opinion on what the rules removed.
"""

from __future__ import annotations

import itertools
import json
import lzma
import re
import sqlite3
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from stedi_assets.contracts.names import STAND_INS
from stedi_assets.engines.session import Session
from stedi_assets.engines.sql import as_named, list_of, named, quoted
from stedi_assets.landing.decode import LAYERS, CutOff, Damaged, is_plain, opened
from stedi_assets.subject_requests.formats import HEAD, PARQUET, SEALED, SQLITE, ZIP, TextSigns, format_of

SHORTEST = 5
"""Characters below which a value stands in too many places by chance to be looked for."""

_BLOCK = 8 << 20
_OVERLAP = 1 << 10
_LOOKAHEAD = 2
"""Bytes after a value that decide whether it is one."""
_SCALAR = re.compile(r"bool|u?int|float|halffloat|double|decimal|date|time|duration|null")
"""Types of columns whose values hold no text."""
_BESIDE_DATABASE = ("-wal", "-shm", "-journal")
_PART = re.compile("[0-9a-z]{3,}")
_LONGEST_SPELLING = 12
"""Bytes of one character, at the most: two escapes."""
# The letter of an escape is none of the word that follows.
_BEFORE = rb"(?:(?<![a-z0-9_.+-])|(?<=[^\\]\\[bfnrt])|(?<=\\u[0-9a-f]{4})|(?<=%[0-9a-f]{2}))"
_AFTER = rb"(?![a-z0-9_+-]|\.[a-z0-9_])"


@dataclass
class Findings:
    """The findings of a search.

    Args:
        files: the number of files that were read, per kind of place.
        size: the number of bytes that were read.
        found: kind of place, file and number of hits, for each file that holds a value.
        undecodable: kind of place and file, for each of which a part cannot be decoded, so that it may hold anything.
    """

    files: dict[str, int] = field(default_factory=dict)
    size: int = 0
    found: list[tuple[str, str, int]] = field(default_factory=list)
    undecodable: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Hits:
    """The hits in some bytes.

    Args:
        number: how many there are.
        is_all: whether all of the bytes could be decoded.
    """

    number: int = 0
    is_all: bool = True

    def __add__(self, other: _Hits) -> _Hits:
        return _Hits(self.number + other.number, self.is_all and other.is_all)

    def __or__(self, other: _Hits) -> _Hits:
        """Those of the same bytes, looked at in another way."""
        return _Hits(max(self.number, other.number), self.is_all and other.is_all)


class Search:
    """A search for values.

    Args:
        needles: the values, in lower case; too short ones are left out.
        engine: the engine that decodes Parquet.
        others: e-mails of others that end with one of the values: ``o'brien@example.com`` does not name ``brien``.
    """

    def __init__(self, needles: Sequence[str], engine: Session, others: Iterable[str] = ()) -> None:
        self.needles = [needle for needle in needles if len(needle) >= SHORTEST]
        self.too_short = len(needles) - len(self.needles)
        self._engine = engine
        longer = list(others)
        spelt = b"|".join(sorted({_not_within(needle, longer) + _spelt(needle) for needle in self.needles}))
        self._pattern = re.compile(_BEFORE + b"(?:" + spelt + b")" + _AFTER) if spelt else None
        # Of each value, the parts that nothing spells in another way.
        self._parts = [[part.encode() for part in _PART.findall(needle)] for needle in self.needles]
        self._width = max((_LONGEST_SPELLING * len(needle) for needle in self.needles), default=0) + _LOOKAHEAD

    def folder(self, kind: str, folder: Path, findings: Findings, leave_out: Iterable[Path] = ()) -> None:
        """Search every file below a folder, whatever its name.

        Symbolic links are followed, to files and to folders.

        Args:
            kind: the kind of place, as the findings name it.
            folder: the folder; a missing one holds nothing.
            findings: the findings so far, which are added to.
            leave_out: files and folders that are not searched.
        """
        parquet: dict[Path, _Hits] = {}
        for path in _files(folder, set(leave_out)):
            findings.files[kind] = findings.files.get(kind, 0) + 1
            hits = _Hits(self._count([_named(path.relative_to(folder)).lower().encode()]))
            if not path.is_file():
                self._report(kind, path.relative_to(folder), hits, findings)
                continue
            try:
                findings.size += path.stat().st_size
                with path.open("rb") as file:
                    if path.suffix == ".parquet" or format_of(_head(file)) == PARQUET:
                        parquet[path] = hits + self._raw(file)
                        continue
                    hits += self._file(path, file)
            except FileNotFoundError:
                continue  # Somebody else's, gone since it was listed.
            self._report(kind, path.relative_to(folder), hits, findings)
        for path, found in self._parquet(parquet):
            self._report(kind, path.relative_to(folder), parquet[path] | found, findings)

    @staticmethod
    def _report(kind: str, path: Path, hits: _Hits, findings: Findings) -> None:
        if hits.number:
            findings.found.append((kind, _named(path), hits.number))
        if not hits.is_all:
            findings.undecodable.append((kind, _named(path)))

    def _file(self, path: Path, file: IO[bytes]) -> _Hits:
        """The hits in a file that is no Parquet."""
        if format_of(_head(file)) == SQLITE:
            return self._raw(file) | self._database(path)
        if _is_beside_database(path):
            return self._raw(file)
        return self._content(file, LAYERS)

    def _content(self, file: IO[bytes], depth: int) -> _Hits:
        """The hits in bytes of any kind, and in what they decode to.

        Args:
            file: the bytes, of which any can be read again.
            depth: how many archives may still stand within each other.
        """
        head = _head(file)
        kind = format_of(head)
        if kind == ZIP and depth:
            return self._raw(file) | self._archive(file, depth - 1)
        if kind in {ZIP, SEALED, PARQUET, SQLITE}:
            return self._raw(file) | _Hits(is_all=False)
        signs = TextSigns()
        if is_plain(head):
            number = self._count(signs.watch(_read(file)))
            return _Hits(number, signs.is_text)
        found = self._raw(file)
        is_whole = True

        def decoded() -> Iterator[bytes]:
            nonlocal is_whole
            try:
                yield from opened(_read(file), _BLOCK)[1]
            except (CutOff, Damaged):
                is_whole = False

        file.seek(0)
        number = self._count(signs.watch(decoded()))
        return found | _Hits(number, is_whole and signs.is_text)

    def _raw(self, file: IO[bytes]) -> _Hits:
        """The hits in bytes as they are."""
        file.seek(0)
        return _Hits(self._count(_read(file)))

    def _archive(self, file: IO[bytes], depth: int) -> _Hits:
        """The hits in the members of a zip archive, and in their names."""
        hits = _Hits()
        try:
            with zipfile.ZipFile(file) as packed:
                hits += _Hits(self._count([packed.comment]))
                for member in packed.infolist():
                    name = member.filename.encode("utf-8", "surrogateescape")
                    hits += _Hits(self._count([name, b"\n", member.comment]))
                    if member.flag_bits & 1:
                        hits += _Hits(is_all=False)
                    elif not member.is_dir():
                        with packed.open(member) as content:
                            hits += self._content(content, depth)
        except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, zlib.error, lzma.LZMAError):
            return hits + _Hits(is_all=False)
        return hits

    def _database(self, path: Path) -> _Hits:
        """The hits in the rows of an SQLite database: its pages may hold a value in parts."""

        def values() -> Iterator[bytes]:
            for (table,) in tables:
                for row in database.execute(f"SELECT * FROM {named(table)}"):
                    for value in row:
                        if isinstance(value, (str, bytes)):
                            yield value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")
                            yield b"\n"

        try:
            with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
                database.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
                tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
                return _Hits(self._count(_together(values())))
        except sqlite3.Error:
            return _Hits(is_all=False)

    def _count(self, blocks: Iterable[bytes]) -> int:
        if self._pattern is None:
            return sum(0 for _ in blocks)  # Whoever gives them may look at them too.
        hits = 0
        text, searched = b"", 0
        for block in itertools.chain(filter(None, blocks), [b""]):
            text += block.lower()
            # A hit at the end of a block may go on in the next, and be another value then.
            until = len(text) - _LOOKAHEAD if block else len(text)
            hits += sum(searched < end <= until for end in self._ends(text))
            cut = max(0, len(text) - _OVERLAP)
            text, searched = text[cut:], max(0, until - cut)
        return hits

    def _ends(self, text: bytes) -> Iterator[int]:
        """The end of each hit in lower-cased bytes.

        The pattern is slow, so it looks only around the rarest part of each value.
        """
        if self._pattern is None:
            return
        if not all(self._parts):
            yield from (match.end() for match in self._pattern.finditer(text))
            return
        rarest = {min(parts, key=text.count) for parts in self._parts}
        places = sorted(match.start() for part in rarest for match in re.finditer(re.escape(part), text))
        stretches: list[list[int]] = []
        for place in places:
            start, end = max(0, place - self._width), min(len(text), place + self._width)
            if stretches and start <= stretches[-1][1]:
                stretches[-1][1] = end
            else:
                stretches.append([start, end])
        for start, end in stretches:
            for match in self._pattern.finditer(text, start, end):
                # What follows the stretch is not seen, and decides whether it is a hit.
                if match.end() + _LOOKAHEAD <= end or end == len(text):
                    yield match.end()

    def _parquet(self, paths: Iterable[Path]) -> Iterator[tuple[Path, _Hits]]:
        """The hits in the decoded values of Parquet files, those with the same columns together."""
        by_columns: dict[tuple[tuple[str, str], ...], list[Path]] = {}
        for path in paths:
            try:
                schema = pq.read_schema(path)
            except FileNotFoundError:
                continue
            except pa.ArrowInvalid:
                # Half written; what is in it cannot be known.
                yield path, _Hits(1)
                continue
            texts = tuple((one.name, str(one.type)) for one in schema if not _SCALAR.match(str(one.type)))
            by_columns.setdefault(texts, []).append(path)
        for texts, found in by_columns.items():
            for start in range(0, len(found), 200):
                yield from self._in_columns([name for name, _ in texts], found[start : start + 200])

    def _in_columns(self, texts: Sequence[str], paths: Sequence[Path]) -> Iterator[tuple[Path, _Hits]]:
        hits: dict[str, int] = {}
        if self.needles and texts:
            # Also lists, structures and binary values, as text.
            columns = [f"CAST({named(name)} AS VARCHAR)" for name in texts]
            condition = " OR ".join(
                f"contains(lower({column}), {quoted(needle)})" for column in columns for needle in self.needles
            )
            rows = self._engine.rows(
                f"SELECT filename, concat_ws(chr(10), {', '.join(columns)}) FROM read_parquet("
                f"{list_of(as_named(str(path)) for path in paths)}, filename = true, hive_partitioning = false) "
                f"WHERE {condition}"
            )
            for name, text in rows:
                if self._count([text.encode()]):
                    hits[name] = hits.get(name, 0) + 1
        for path in paths:
            yield path, _Hits(hits.get(str(path), 0))


def _not_within(needle: str, others: Iterable[str]) -> bytes:
    """The pattern that a value is not the end of any of some longer ones."""
    before = sorted(other.removesuffix(needle) for other in others if other.endswith(needle) and other != needle)
    return b"".join(b"(?<!" + re.escape(one.encode()) + b")" for one in before)


def _spelt(needle: str) -> bytes:
    """The pattern of a value in lower-cased bytes, as it is and as JSON, URLs and HTML may escape it."""
    return b"".join(map(_character, needle))


def _character(character: str) -> bytes:
    if character.isascii() and character.isalnum():
        return character.encode()
    spellings = set()
    # Only ASCII is in lower case by now, and a letter that has a stand-in stands there itself.
    letters = {letter for letter, stand_in in STAND_INS.items() if stand_in == character}
    for case in {character, character.lower(), character.upper(), *letters}:
        units = case.encode("utf-16-be", "surrogatepass")
        escaped = "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
        spellings |= {case, escaped, json.dumps(case, ensure_ascii=False)[1:-1], case.replace("/", "\\/")}
        in_url = "".join(f"%{byte:02x}" for byte in case.encode("utf-8", "surrogatepass"))
        spellings |= {in_url, f"&#{ord(case[0])};", f"&#x{ord(case[0]):x};"}
    spelt = sorted({re.escape(one.encode("utf-8", "surrogatepass").lower()) for one in spellings})
    return b"(?:" + b"|".join(spelt) + b")"


def _files(folder: Path, leave_out: set[Path], seen: set[tuple[int, int]] | None = None) -> Iterator[Path]:
    """The files below a folder, and what has a name only: empty folders and links that lead nowhere."""
    if not folder.is_dir():
        return
    seen = set() if seen is None else seen
    status = folder.stat()
    if (status.st_dev, status.st_ino) in seen:
        return  # Links lead to it by several paths, or from within it.
    seen.add((status.st_dev, status.st_ino))
    for path in sorted(folder.iterdir()):
        if path in leave_out:
            continue
        if path.is_dir():
            yield from _files(path, leave_out, seen)
            if next(path.iterdir(), None) is None:
                yield path
        elif path.is_file() or path.is_symlink():
            yield path


def _is_beside_database(path: Path) -> bool:
    """Whether a file is one that SQLite keeps beside a database."""
    for ending in _BESIDE_DATABASE:
        database = path.with_name(path.name.removesuffix(ending))
        if path.name.endswith(ending) and database.is_file():
            with database.open("rb") as file:
                return format_of(_head(file)) == SQLITE
    return False


def _named(path: Path) -> str:
    """A path as text, also where it is not UTF-8."""
    return path.as_posix().encode("utf-8", "backslashreplace").decode()


def _head(file: IO[bytes]) -> bytes:
    file.seek(0)
    head = file.read(HEAD)
    file.seek(0)
    return head


def _read(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block


def _together(values: Iterable[bytes]) -> Iterator[bytes]:
    """Values in blocks that are worth a search."""
    block: list[bytes] = []
    size = 0
    for value in values:
        block.append(value)
        size += len(value)
        if size >= _BLOCK:
            yield b"".join(block)
            block, size = [], 0
    yield b"".join(block)
