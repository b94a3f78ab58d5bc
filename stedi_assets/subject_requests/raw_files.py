"""Redaction of raw files: the lines of data subjects in them are found, counted and made empty.

A line becomes empty instead of going, so that every other line keeps its number, by which rows and quarantined lines
are known. Every other byte stays, and so does the modification time, which may give the file its landing day.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from stedi_assets.contracts import LANDING_TABLES, Table
from stedi_assets.landing.files import SUFFIXES, LandingZone, walk
from stedi_assets.landing.profile import CutOff, chunks, unreadable
from stedi_assets.subject_requests.matching import Subjects

PIECE = 4 << 20
"""Bytes of a raw file that are read at once, about."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_TRIES = 10
_LEFTOVER = re.compile(r"\..+\.stedi-[0-9a-f]{32}")


class BusyFileError(RuntimeError):
    """An erasure cannot write a raw file anew, because the file keeps changing; the message names it.

    Remedy: wait until the file is whole, and run the erasure again.
    """


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


def list_raw_files(zone: LandingZone, dated: Mapping[str, date], today: date) -> Iterator[RawFile]:
    """List every raw file below the landing tables' folders, also those that ingestion ignores.

    Args:
        zone: the landing zone.
        dated: the landing days of the files that have one.
        today: the landing day of the others.
    """
    fs, root = zone.filesystem()
    fs.invalidate_cache()
    for table in LANDING_TABLES:
        for full, info in walk(fs, f"{root}/{table.name}"):
            path = full[len(root) + 1 :]
            if info["type"] != "directory" and path.endswith(SUFFIXES):
                yield RawFile(table, path, dated.get(path, today))


class LineFilter:
    """A filter that tells the lines of data subjects from all others.

    Args:
        subjects: whose lines are found.
    """

    def __init__(self, subjects: Subjects) -> None:
        self._suppression = subjects.suppression
        self._hints = [hint.encode() for hint in subjects.hints if hint.isascii()]

    def redact(self, piece: bytes, file: RawFile) -> tuple[list[bytes], int]:
        """Redact a piece of a raw file.

        Args:
            piece: whole lines.
            file: the raw file.

        Returns:
            The lines with their ends, those of the data subjects empty, and the number of these.
        """
        if not self._may_match(piece):
            return [piece], 0
        lines, redacted = [], 0
        for line in _lines(piece):
            if self._matches(line, file):
                redacted += 1
                lines.append(_emptied(line))
            else:
                lines.append(line)
        return lines, redacted

    def select(self, piece: bytes, file: RawFile) -> Iterator[bytes]:
        """Select the lines of the data subjects from a piece of a raw file.

        Args:
            piece: whole lines.
            file: the raw file.

        Yields:
            Each line, without its end.
        """
        if self._may_match(piece):
            yield from (line.removesuffix(b"\n") for line in _lines(piece) if self._matches(line, file))

    def _may_match(self, text: bytes) -> bool:
        # One of the hints stands in every line of theirs, unless it is spelt with escapes, or in letters whose lower
        # case bytes do not show.
        if b"\\" in text or not text.isascii():
            return True
        lower = text.lower()
        return any(hint in lower for hint in self._hints)

    def _matches(self, line: bytes, file: RawFile) -> bool:
        text = line.removeprefix(_BYTE_ORDER_MARK).removesuffix(b"\n")
        return self._may_match(line) and self._suppression.of_line(file.table, text, file.landing_date) is not None


def _emptied(line: bytes) -> bytes:
    return (_BYTE_ORDER_MARK if line.startswith(_BYTE_ORDER_MARK) else b"") + (b"\n" if line.endswith(b"\n") else b"")


def _lines(piece: bytes) -> list[bytes]:
    *lines, last = piece.split(b"\n")
    return [*(line + b"\n" for line in lines), *([last] if last else [])]


def delete_leftovers(zone: LandingZone) -> None:
    """Delete the half-written files that killed processes left beside raw files.

    Args:
        zone: the landing zone, in which nobody else may rewrite raw files meanwhile.
    """
    fs, root = zone.filesystem()
    for table in LANDING_TABLES:
        folder = f"{root}/{table.name}"
        for full in fs.find(folder) if fs.exists(folder) else ():
            if _LEFTOVER.fullmatch(full.rpartition("/")[2]):
                fs.rm_file(full)


def count_lines(zone: LandingZone, file: RawFile, lines: LineFilter) -> int:
    """Count the lines of data subjects in a raw file.

    Args:
        zone: the landing zone.
        file: the raw file.
        lines: the filter that finds the lines.

    Raises:
        UnreadableFileError: it cannot be read.
    """
    fs, root = zone.filesystem()
    return sum(lines.redact(piece, file)[1] for piece in _pieces(fs, f"{root}/{file.path}"))


def is_link(zone: LandingZone, file: RawFile) -> bool:
    """Whether a raw file is a symbolic link. Files in linked folders are not: they are rewritten where they lie.

    Args:
        zone: the landing zone.
        file: the raw file.
    """
    fs, root = zone.filesystem()
    return isinstance(fs, LocalFileSystem) and Path(f"{root}/{file.path}").is_symlink()


def redact(zone: LandingZone, file: RawFile, lines: LineFilter) -> int:
    """Rewrite a raw file with the lines of data subjects empty, if it has any.

    A reader sees the file before or after. What is appended to it meanwhile is not lost. A symbolic link is left as it
    is: a rewritten copy in its place would leave the lines in the file behind it.

    Args:
        zone: the landing zone.
        file: the raw file.
        lines: the filter that finds the lines.

    Returns:
        How many lines were made empty: none of a symbolic link.

    Raises:
        UnreadableFileError: it cannot be read.
        BusyFileError: it kept changing.
    """
    fs, root = zone.filesystem()
    path = f"{root}/{file.path}"
    if not count_lines(zone, file, lines):
        return 0
    for _ in range(_TRIES):
        if is_link(zone, file):
            return 0
        before = _stamp(fs, path)
        folder, _, name = path.rpartition("/")
        aside = f"{folder}/.{name}.stedi-{uuid.uuid4().hex}"
        try:
            redacted = _write_redacted(fs, path, aside, file, lines)
            if _stamp(fs, path) != before:
                continue
            _replace(fs, aside, path)
            return redacted
        finally:
            if fs.exists(aside):
                fs.rm_file(aside)
    msg = f"The raw file {path} keeps changing, so it cannot be written anew. Wait until it is whole, and run it again."
    raise BusyFileError(msg)


def _write_redacted(fs: fsspec.AbstractFileSystem, path: str, aside: str, file: RawFile, lines: LineFilter) -> int:
    redacted = 0
    with _open_private(fs, aside) as raw:
        # The time in the header of a gzip file would make equal content differ.
        packed = gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) if path.endswith(".gz") else None
        target: Any = packed or raw
        for piece in _pieces(fs, path, with_mark=True):
            rewritten, number = lines.redact(piece, file)
            redacted += number
            target.writelines(rewritten)
        if packed is not None:
            packed.close()
        if isinstance(fs, LocalFileSystem):
            raw.flush()
            os.fsync(raw.fileno())
    return redacted


def _open_private(fs: fsspec.AbstractFileSystem, path: str) -> BinaryIO:
    if isinstance(fs, LocalFileSystem):
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    return cast("BinaryIO", fs.open(path, "wb"))


def _replace(fs: fsspec.AbstractFileSystem, aside: str, path: str) -> None:
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
                mark = _BYTE_ORDER_MARK if start.read(len(_BYTE_ORDER_MARK)) == _BYTE_ORDER_MARK else b""
    except EOFError:
        mark = b""
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    for piece in chunks(fs, path, PIECE):
        found = piece.rest if isinstance(piece, CutOff) else piece
        yield mark + found
        mark = b""
    if mark:
        yield mark
