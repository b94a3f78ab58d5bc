"""Redaction of raw files: the texts of data subjects in them are found, counted and removed.

A rewritten file keeps its compressions, its encoding and byte-order mark, its mode, and its modification time, which
may give it its landing day. What goes of the text, and what stays, is said in ``redaction``.

Also files that ingestion leaves alone, by their names, are rewritten, where they are text and nobody has written to
them for a while: they may be half written, and whoever writes them would go on in a file that is gone.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import BinaryIO, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from stedi_assets.contracts import LANDING_TABLES
from stedi_assets.landing.decode import CutOff, Damaged, Form, opened, unreadable
from stedi_assets.landing.errors import UnreadableFileError
from stedi_assets.landing.files import LandingZone, is_data, modification_time, walk
from stedi_assets.subject_requests.formats import HEAD, TextSigns, format_of
from stedi_assets.subject_requests.recode import TextWriter
from stedi_assets.subject_requests.redaction import Piece, RawFile, TextFilter

PIECE = 4 << 20
"""Bytes of a raw file that are read at once, about."""

RESTED = 600
"""Seconds for which a file that may be half written must not have changed before it is rewritten."""

_TRIES = 10
_LEFTOVER = re.compile(r"\.(?:.+\.)?stedi-[0-9a-f]{32}")


class BusyFileError(RuntimeError):
    """An erasure cannot write a raw file anew, because the file keeps changing; the message names it.

    Remedy: wait until the file is whole, and run the erasure again.
    """


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
        folder = f"{root}/{table.name}"
        for full, info in walk(fs, folder, everything=True):
            path = full[len(root) + 1 :]
            means_data = all(map(is_data, full[len(folder) + 1 :].split("/")))
            # Reading a link that leads nowhere says so; editors leave such links beside what they edit.
            if info["type"] == "file" or (info["type"] == "link" and means_data):
                yield RawFile(table, path, dated.get(path, today), means_data)


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


def removed(zone: LandingZone, file: RawFile, texts: TextFilter) -> Iterator[bytes]:
    """The texts of data subjects in a raw file, or the objects in rejected texts that are theirs.

    Args:
        zone: the landing zone.
        file: the raw file.
        texts: the filter that finds them.

    Raises:
        UnreadableFileError: it cannot be read.
    """
    fs, root = zone.filesystem()
    path = f"{root}/{file.path}"
    try:
        if _may_match(fs, path, file, texts):
            for piece in _redacted(fs, path, file, texts)[1]:
                yield from piece.removed
    except CutOff:
        return  # Those in what there is of it were found.
    except Damaged:
        return  # What is there of its text cannot be told from what is not; the search names the file.
    except UnreadableFileError:
        if file.is_data or fs.exists(path):
            raise


def count_texts(zone: LandingZone, file: RawFile, texts: TextFilter) -> int:
    """Count the texts of data subjects in a raw file.

    Args:
        zone: the landing zone.
        file: the raw file.
        texts: the filter that finds them.

    Raises:
        UnreadableFileError: it cannot be read.
    """
    return sum(1 for _ in removed(zone, file, texts))


def has_other_names(zone: LandingZone, file: RawFile) -> bool:
    """Whether a raw file has another name (a hard link): a rewritten copy would leave the texts under that one.

    Args:
        zone: the landing zone.
        file: the raw file.
    """
    fs, root = zone.filesystem()
    return isinstance(fs, LocalFileSystem) and Path(f"{root}/{file.path}").stat().st_nlink > 1


def redact(zone: LandingZone, file: RawFile, texts: TextFilter) -> int:
    """Rewrite a raw file without the texts of data subjects, if it has any.

    A reader sees the file before or after. What is appended to it meanwhile is not lost. What lies behind a symbolic
    link is rewritten where it lies. A file that has another name (a hard link) is left as it is, and so is one that may
    be half written, until it has rested.

    Args:
        zone: the landing zone.
        file: the raw file.
        texts: the filter that finds the texts.

    Returns:
        How many texts were removed.

    Raises:
        UnreadableFileError: it cannot be read.
        BusyFileError: it kept changing.
    """
    fs, root = zone.filesystem()
    path = f"{root}/{file.path}"
    if isinstance(fs, LocalFileSystem):
        path = str(Path(path).resolve())
    total = 0
    for _ in range(_TRIES):
        # Again after it was rewritten: what is left of a rejected text may be several texts now.
        if not count_texts(zone, file, texts) or has_other_names(zone, file) or not _may_be_replaced(fs, path, file):
            return total
        before = _stamp(fs, path)
        # Not with the file's own name in it, which may be as long as names can be.
        aside = f"{path.rpartition('/')[0]}/.stedi-{uuid.uuid4().hex}"
        try:
            number = _write_redacted(fs, path, aside, file, texts)
            if _stamp(fs, path) == before:
                _replace(fs, aside, path)
                total += number
        finally:
            if fs.exists(aside):
                fs.rm_file(aside)
    msg = f"The raw file {path} keeps changing, so it cannot be written anew. Wait until it is whole, and run it again."
    raise BusyFileError(msg)


def _may_be_replaced(fs: fsspec.AbstractFileSystem, path: str, file: RawFile) -> bool:
    if file.is_data:
        return True
    modified = modification_time(fs.info(path))
    return time.time() - (modified.timestamp() if isinstance(modified, datetime) else modified) >= RESTED


def _write_redacted(fs: fsspec.AbstractFileSystem, path: str, aside: str, file: RawFile, texts: TextFilter) -> int:
    redacted = 0
    with _open_private(fs, aside) as raw:
        form, pieces = _redacted(fs, path, file, texts)
        target = TextWriter(raw, form)
        is_whole = True
        try:
            for piece in pieces:
                redacted += len(piece.removed)
                target.write(piece.kept)
        except CutOff:
            is_whole = False  # And so must it stay: who stood in what is missing is still in doubt.
        target.close(is_whole=is_whole)
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
    with contextlib.suppress(PermissionError):  # Who may not give a file away keeps it.
        os.chown(aside, stat.st_uid, stat.st_gid)
    os.utime(aside, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    Path(aside).replace(path)


def _stamp(fs: fsspec.AbstractFileSystem, path: str) -> object:
    if isinstance(fs, LocalFileSystem):
        stat = Path(path).stat()
        return stat.st_ino, stat.st_size, stat.st_mtime_ns
    return fs.checksum(path)


def _may_match(fs: fsspec.AbstractFileSystem, path: str, file: RawFile, texts: TextFilter) -> bool:
    """Whether a raw file may have texts of data subjects and can be written anew without them."""
    head = b"".join(_blocks(fs, path, HEAD))
    if format_of(head) is not None:
        return False  # An archive or a database would be destroyed; the search looks into it.
    signs = TextSigns()
    try:
        blocks = opened(_blocks(fs, path), PIECE)[1]
        found = texts.may_match(blocks if file.is_data else signs.watch(blocks))
    except CutOff:
        found = True
    return found and (file.is_data or signs.is_text)


def _redacted(
    fs: fsspec.AbstractFileSystem, path: str, file: RawFile, texts: TextFilter
) -> tuple[Form, Iterator[Piece]]:
    """How the text of a raw file is stored, and the text without what is the data subjects'."""
    try:
        form, blocks = opened(_blocks(fs, path), PIECE)
    except CutOff:
        return Form(), iter(())  # It ends before its text begins, so nobody's is in it.
    return form, texts.redacted(blocks, file)


def _blocks(fs: fsspec.AbstractFileSystem, path: str, most: int | None = None) -> Iterator[bytes]:
    """The bytes of a raw file, or the first of them."""
    try:
        with fs.open(path, "rb") as raw:
            if most is not None:
                yield raw.read(most)
                return
            while block := raw.read(PIECE):
                yield block
    except OSError as error:
        raise unreadable(path, error) from error
