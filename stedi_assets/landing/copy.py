"""Brings raw files into the landing zone, from a folder that is laid out like one.

It never overwrites and never shows half a file. What the files say is not its business.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import fsspec
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from stedi_assets.contracts import LANDING_TABLES
from stedi_assets.landing.files import SUFFIXES, LandingZone, modified_of, walk

BLOCK = 1 << 20

_FOLDERS = {
    folder: table.name
    for table in LANDING_TABLES
    for folder in (table.name, f"{table.name.removesuffix('_landing')}/landing")
}
"""Where a source may keep the files of each landing table."""


class LandError(RuntimeError):
    """Not every file could be copied; the message names those that were not and says what to do."""


@dataclass(frozen=True)
class LandReport:
    """What copying did.

    Args:
        copied, skipped: how many files are there now that were not, and how many were there already.
        ignored: what lies in the source's folders and is no raw file, by its name.
    """

    copied: int = 0
    skipped: int = 0
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Copy:
    origin: str
    path: str
    """Below the landing root."""
    size: int
    modified: float | datetime


def land(source: str | Path, zone: LandingZone, progress: Callable[[int, int], None] | None = None) -> LandReport:
    """Copy raw files into the landing zone.

    A file keeps its path below the folder of its table, and, where the landing zone is a folder, its
    modification time, which makes its landing day if its path does not. A file that is there already is
    skipped if its bytes are the same, and is an error if they are not.

    Args:
        source: a folder (or fsspec URI) with ``customer_landing/…`` or ``customer/landing/…`` in it, and
            the same of the other landing tables.
        zone: where to.
        progress: called with the bytes done and the bytes in all.

    Raises:
        LandError: the source has none of these folders; or some files could not be copied, and the
            others were.
    """
    origin, root = url_to_fs(str(source))
    target, landing = zone.filesystem()
    root = str(root).rstrip("/")
    wanted, ignored = _look(origin, root)
    total = sum(one.size for one in wanted)
    copied = skipped = done = 0
    failed: list[str] = []
    for one in wanted:
        place = f"{landing}/{one.path}"
        try:
            if _copy(origin, one, target, place):
                copied += 1
            elif _same(origin, one, target, place):
                skipped += 1
            else:
                failed.append(f"{place} is there already with other bytes; move one of the two away")
        except OSError as error:
            failed.append(f"{place}: {type(error).__name__}; cannot copy {one.origin}")
        done += one.size
        if progress is not None:
            progress(done, total)
    if failed:
        msg = (
            f"{len(failed)} of {len(wanted)} files were not copied ({copied} were, {skipped} were there already); "
            "nothing was overwritten:\n" + "\n".join(failed)
        )
        raise LandError(msg)
    return LandReport(copied, skipped, tuple(ignored))


def _look(fs: fsspec.AbstractFileSystem, root: str) -> tuple[list[_Copy], list[str]]:
    folders = [folder for folder in _FOLDERS if fs.isdir(f"{root}/{folder}")]
    if not folders:
        found = (
            sorted(name.rstrip("/").rpartition("/")[2] for name in fs.ls(root, detail=False)) if fs.isdir(root) else []
        )
        held = ", ".join([*found[:10], *(["…"] if len(found) > 10 else [])])
        msg = (
            f"{root} holds no raw files of any table. Expected one of the folders {', '.join(_FOLDERS)} in it; "
            f"found {held or 'nothing'}."
        )
        raise LandError(msg)
    wanted: list[_Copy] = []
    ignored: list[str] = []
    for folder in folders:
        top = f"{root}/{folder}"
        for full, info in walk(fs, top):
            below = full[len(top) + 1 :]
            if info["type"] == "directory":
                continue
            if not below.endswith(SUFFIXES) or info["type"] == "other":
                ignored.append(f"{folder}/{below}")
                continue
            wanted.append(_Copy(full, f"{_FOLDERS[folder]}/{below}", int(info["size"] or 0), modified_of(info)))
    return sorted(wanted, key=lambda one: one.path), sorted(ignored)


def _copy(origin: fsspec.AbstractFileSystem, one: _Copy, target: fsspec.AbstractFileSystem, place: str) -> bool:
    """Copy a file to where none is; false if one is there."""
    if target.exists(place):
        return False
    folder, _, name = place.rpartition("/")
    target.makedirs(folder, exist_ok=True)
    # Names that start with a dot are not listed, so that half a file is never seen.
    half = f"{folder}/.{name}.{uuid.uuid4().hex}"
    try:
        with origin.open(one.origin, "rb") as read, target.open(half, "wb") as write:
            for block in _blocks(read):
                write.write(block)
        if not isinstance(target, LocalFileSystem):
            target.mv(half, place)
            return True
        _keep_time(origin, one, half)
        try:
            # Unlike renaming, linking fails where someone else put a file meanwhile.
            os.link(half, place)
        except FileExistsError:
            return False
        return True
    finally:
        if target.exists(half):
            target.rm_file(half)


def _keep_time(origin: fsspec.AbstractFileSystem, one: _Copy, path: str) -> None:
    if isinstance(origin, LocalFileSystem):
        nanoseconds = Path(one.origin).stat().st_mtime_ns
    else:
        seconds = one.modified.timestamp() if isinstance(one.modified, datetime) else float(one.modified)
        nanoseconds = int(seconds * 1_000_000_000)
    os.utime(path, ns=(nanoseconds, nanoseconds))


def _same(origin: fsspec.AbstractFileSystem, one: _Copy, target: fsspec.AbstractFileSystem, place: str) -> bool:
    """Whether two files have the same bytes."""
    if target.isdir(place) or target.size(place) != one.size:
        return False
    with origin.open(one.origin, "rb") as mine, target.open(place, "rb") as theirs:
        while block := mine.read(BLOCK):
            if theirs.read(BLOCK) != block:
                return False
        return not theirs.read(1)


def _blocks(file: Any) -> Iterator[bytes]:
    while block := file.read(BLOCK):
        yield block
