"""Raw landing files: finding the lines of the erased in them, and writing the files anew without these.

A line of theirs becomes an empty one, so that every other line keeps its number, by which rows and quarantined lines
are known. Every other byte stays, and so does the modification time, by which a file may be known to its landing day.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from stedi_assets.contracts import LANDING_TABLES, Table
from stedi_assets.landing.files import SUFFIXES, LandingZone, walk
from stedi_assets.landing.profile import CutOff, chunks, unreadable
from stedi_assets.privacy.suppression import Suppression

_PIECE = 4 << 20
_MARK = b"\xef\xbb\xbf"
_TRIES = 10
_ASIDE = re.compile(r"\..+\.stedi-[0-9a-f]{32}")


class BusyFileError(RuntimeError):
    """A raw file kept changing while it was to be written anew; the message names it."""


@dataclass(frozen=True)
class RawFile:
    """A raw file, dated or not.

    Args:
        table: the landing table that it is meant for.
        path: below the landing root.
        landing_date: the day it landed; today's where it has none that the lake takes.
    """

    table: Table
    path: str
    landing_date: date


def raw_files(zone: LandingZone, dated: Mapping[str, date], today: date) -> Iterator[RawFile]:
    """Every raw file below the landing tables' folders, those that the lake leaves alone too.

    Args:
        zone: the landing zone.
        dated: the landing days of the files that have one.
        today: for the others.
    """
    fs, root = zone.filesystem()
    fs.invalidate_cache()
    for table in LANDING_TABLES:
        for full, info in walk(fs, f"{root}/{table.name}"):
            path = full[len(root) + 1 :]
            if info["type"] != "directory" and path.endswith(SUFFIXES):
                yield RawFile(table, path, dated.get(path, today))


class Lines:
    """Finds the lines of the erased.

    Args:
        erased: the rules.
        hints: lower-case values one of which stands in every such line, however a line is spelt but for escapes.
    """

    def __init__(self, erased: Suppression, hints: Iterable[str]) -> None:
        self._erased = erased
        self._hints = [hint.encode() for hint in hints if hint.isascii()]

    def split(self, piece: bytes, file: RawFile) -> tuple[list[bytes], int]:
        """The lines, with their ends, those of the erased empty, and how many these are."""
        if not self._suspicious(piece):
            return [piece], 0
        kept, gone = [], 0
        for line in _lines(piece):
            if self._suspicious(line) and self._is_theirs(line, file):
                gone += 1
                kept.append(_emptied(line))
            else:
                kept.append(line)
        return kept, gone

    def theirs(self, piece: bytes, file: RawFile) -> Iterator[bytes]:
        """The lines of the erased, without their ends."""
        if self._suspicious(piece):
            for line in _lines(piece):
                if self._suspicious(line) and self._is_theirs(line, file):
                    yield line.removesuffix(b"\n")

    def _suspicious(self, text: bytes) -> bool:
        # A value may be spelt with escapes, or in letters whose lower case bytes do not show.
        if b"\\" in text or not text.isascii():
            return True
        lower = text.lower()
        return any(hint in lower for hint in self._hints)

    def _is_theirs(self, line: bytes, file: RawFile) -> bool:
        text = line.removeprefix(_MARK).removesuffix(b"\n")
        return self._erased.of_line(file.table, text, file.landing_date) is not None


def _emptied(line: bytes) -> bytes:
    return (_MARK if line.startswith(_MARK) else b"") + (b"\n" if line.endswith(b"\n") else b"")


def _lines(piece: bytes) -> list[bytes]:
    *lines, last = piece.split(b"\n")
    return [*(line + b"\n" for line in lines), *([last] if last else [])]


def tidy(zone: LandingZone) -> None:
    """Delete what killed processes left of raw files that they wrote anew; nobody may do so meanwhile."""
    fs, root = zone.filesystem()
    for table in LANDING_TABLES:
        folder = f"{root}/{table.name}"
        for full in fs.find(folder) if fs.exists(folder) else ():
            if _ASIDE.fullmatch(full.rpartition("/")[2]):
                fs.rm_file(full)


def count(zone: LandingZone, file: RawFile, lines: Lines) -> int:
    """How many lines of the erased a raw file has.

    Raises:
        UnreadableFileError: it cannot be read.
    """
    fs, root = zone.filesystem()
    return sum(lines.split(piece, file)[1] for piece in _pieces(fs, f"{root}/{file.path}"))


def scrub(zone: LandingZone, file: RawFile, lines: Lines) -> int:
    """Write a raw file anew with the lines of the erased empty, if it has any.

    A reader sees the file before or after. What is appended to it meanwhile is not lost.

    Returns:
        How many lines went.

    Raises:
        UnreadableFileError: it cannot be read.
        BusyFileError: it kept changing.
    """
    fs, root = zone.filesystem()
    path = f"{root}/{file.path}"
    if not count(zone, file, lines):
        return 0
    for _ in range(_TRIES):
        before = _stamp(fs, path)
        folder, _, name = path.rpartition("/")
        aside = f"{folder}/.{name}.stedi-{uuid.uuid4().hex}"
        try:
            gone = _write_without(fs, path, aside, file, lines)
            if _stamp(fs, path) != before:
                continue
            _take_place(fs, aside, path)
            return gone
        finally:
            if fs.exists(aside):
                fs.rm_file(aside)
    msg = f"The raw file {path} keeps changing, so it cannot be written anew. Wait until it is whole, and run it again."
    raise BusyFileError(msg)


def _write_without(fs: fsspec.AbstractFileSystem, path: str, aside: str, file: RawFile, lines: Lines) -> int:
    gone = 0
    with _private(fs, aside) as raw:
        # The time in the header of a gzip file would make equal content differ.
        packed = gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) if path.endswith(".gz") else None
        target: Any = packed or raw
        for piece in _pieces(fs, path, with_mark=True):
            kept, emptied = lines.split(piece, file)
            gone += emptied
            target.writelines(kept)
        if packed is not None:
            packed.close()
        if isinstance(fs, LocalFileSystem):
            raw.flush()
            os.fsync(raw.fileno())
    return gone


def _private(fs: fsspec.AbstractFileSystem, path: str) -> BinaryIO:
    if isinstance(fs, LocalFileSystem):
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    return cast("BinaryIO", fs.open(path, "wb"))


def _take_place(fs: fsspec.AbstractFileSystem, aside: str, path: str) -> None:
    if not isinstance(fs, LocalFileSystem):
        fs.mv(aside, path)
        return
    stat = Path(path).stat()
    shutil.copymode(path, aside)
    os.utime(aside, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    Path(aside).replace(path)


def _stamp(fs: fsspec.AbstractFileSystem, path: str) -> object:
    if isinstance(fs, LocalFileSystem):
        stat = Path(path).stat()
        return stat.st_ino, stat.st_size, stat.st_mtime_ns
    return fs.checksum(path)


def _pieces(fs: fsspec.AbstractFileSystem, path: str, *, with_mark: bool = False) -> Iterator[bytes]:
    """The lines of a raw file, in pieces of whole ones."""
    mark = b""
    try:
        if with_mark:
            with fs.open(path, "rb", compression="gzip" if path.endswith(".gz") else None) as start:
                mark = _MARK if start.read(len(_MARK)) == _MARK else b""
    except EOFError:
        mark = b""
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    for piece in chunks(fs, path, _PIECE):
        found = piece.rest if isinstance(piece, CutOff) else piece
        yield mark + found
        mark = b""
    if mark:
        yield mark
