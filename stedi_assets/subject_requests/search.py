"""Search for values in everything that is stored: bytes of files and decoded Parquet, used by a table or not.

The search knows no rule and no table: it is the second opinion on what the rules removed.
"""

from __future__ import annotations

import gzip
import itertools
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from stedi_assets.engines.session import Session
from stedi_assets.engines.sql import as_named, list_of, named, quoted

SHORTEST = 5
"""Characters below which a value stands in too many places by chance to be looked for."""

_BLOCK = 8 << 20
_OVERLAP = 1 << 10
_LOOKAHEAD = 2
"""Bytes after a value that decide whether it is one."""
_BEFORE, _AFTER = rb"(?<![a-z0-9_.+-])", rb"(?![a-z0-9_+-]|\.[a-z0-9_])"


@dataclass
class Findings:
    """The findings of a search.

    Args:
        files: the number of files that were read, per kind of place.
        size: the number of bytes that were read.
        found: kind of place, file and number of hits, for each file that holds a value.
    """

    files: dict[str, int] = field(default_factory=dict)
    size: int = 0
    found: list[tuple[str, str, int]] = field(default_factory=list)


class Search:
    """A search for values.

    Args:
        needles: the values, in lower case; too short ones are left out.
        engine: the engine that decodes Parquet.
    """

    def __init__(self, needles: Sequence[str], engine: Session) -> None:
        self.needles = [needle for needle in needles if len(needle) >= SHORTEST]
        self.too_short = len(needles) - len(self.needles)
        self._engine = engine
        spelt = "|".join(sorted({re.escape(spelling) for needle in self.needles for spelling in _spellings(needle)}))
        self._pattern = re.compile(_BEFORE + b"(?:" + spelt.encode() + b")" + _AFTER) if spelt else None

    def folder(self, kind: str, folder: Path, findings: Findings, leave_out: Iterable[Path] = ()) -> None:
        """Search every file below a folder; Parquet decoded, gzip inflated, everything else as it is.

        Symbolic links are followed, to files and to folders.

        Args:
            kind: the kind of place, as the findings name it.
            folder: the folder; a missing one holds nothing.
            findings: the findings so far, which are added to.
            leave_out: files and folders that are not searched.
        """
        skipped = set(leave_out)
        parquet: list[Path] = []
        for path in _files(folder, skipped):
            findings.files[kind] = findings.files.get(kind, 0) + 1
            hits = self._count([path.name.lower().encode()])
            try:
                findings.size += path.stat().st_size
                if path.suffix == ".parquet":
                    parquet.append(path)
                else:
                    hits += self._count(_blocks(path))
            except FileNotFoundError:
                continue  # Somebody else's, gone since it was listed.
            if hits:
                findings.found.append((kind, path.relative_to(folder).as_posix(), hits))
        for path, hits in self._parquet(parquet):
            findings.found.append((kind, path.relative_to(folder).as_posix(), hits))

    def _count(self, blocks: Iterable[bytes]) -> int:
        if self._pattern is None:
            return 0
        hits = 0
        text, searched = b"", 0
        for block in itertools.chain(blocks, [b""]):
            text += block.lower()
            # A hit at the end of a block may go on in the next, and be another value then.
            until = len(text) - _LOOKAHEAD if block else len(text)
            hits += sum(searched < match.end() <= until for match in self._pattern.finditer(text))
            cut = max(0, len(text) - _OVERLAP)
            text, searched = text[cut:], max(0, until - cut)
        return hits

    def _parquet(self, paths: Sequence[Path]) -> Iterator[tuple[Path, int]]:
        """The decoded texts of Parquet files, those with the same columns together."""
        by_columns: dict[tuple[str, ...], list[Path]] = {}
        for path in paths:
            try:
                schema = pq.read_schema(path)
            except FileNotFoundError:
                continue
            except pa.ArrowInvalid:
                # Half written; what is in it cannot be known.
                yield path, 1
                continue
            texts = tuple(one.name for one in schema if str(one.type) in {"string", "large_string", "string_view"})
            if texts:
                by_columns.setdefault(texts, []).append(path)
        for texts, found in by_columns.items():
            for start in range(0, len(found), 200):
                yield from self._in_columns(texts, found[start : start + 200])

    def _in_columns(self, texts: Sequence[str], paths: Sequence[Path]) -> Iterator[tuple[Path, int]]:
        if not self.needles:
            return
        condition = " OR ".join(
            f"contains(lower({named(name)}), {quoted(needle)})" for name in texts for needle in self.needles
        )
        columns = ", ".join(f"coalesce({named(name)}, '')" for name in texts)
        rows = self._engine.rows(
            f"SELECT filename, concat_ws(chr(10), {columns}) FROM read_parquet("
            f"{list_of(as_named(str(path)) for path in paths)}, filename = true, hive_partitioning = false) "
            f"WHERE {condition}"
        )
        hits: dict[str, int] = {}
        for name, text in rows:
            if self._count([text.encode()]):
                hits[name] = hits.get(name, 0) + 1
        for path in paths:
            if str(path) in hits:
                yield path, hits[str(path)]


def _spellings(needle: str) -> Iterator[str]:
    """A value as it is, and as JSON writes it."""
    yield needle
    escaped = needle.encode("ascii", "backslashreplace").decode()
    yield re.sub(r"\\x([0-9a-f]{2})", r"\\u00\1", escaped)
    yield needle.replace("/", "\\/")


def _files(folder: Path, leave_out: set[Path], above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    if not folder.is_dir():
        return
    here = folder.resolve()
    if here in above:
        return  # A link to a folder that it lies in.
    for path in sorted(folder.iterdir()):
        if path in leave_out:
            continue
        if path.is_dir():
            yield from _files(path, leave_out, above | {here})
        elif path.is_file():
            yield path


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as raw:
        if path.suffix != ".gz":
            yield from _read(raw)
            return
        try:
            with gzip.open(raw) as file:
                yield from _read(file)
        except (EOFError, OSError, zlib.error):
            # Cut off or no gzip at all: its bytes are what there is.
            raw.seek(0)
            yield from _read(raw)


def _read(file: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block
