"""The copy of raw files into the landing zone, from a folder that is laid out like one.

It never overwrites and never shows half a file. The content of the files is not its business.
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
from stedi_assets.landing.files import LandingZone, modification_time, walk

BLOCK = 1 << 20

_FOLDERS = {
    folder: table.name
    for table in LANDING_TABLES
    for folder in (table.name, f"{table.name.removesuffix('_landing')}/landing")
}
"""Where a source may keep the files of each landing table."""


class LandError(RuntimeError):
    """Not every file could be copied to the landing zone; the message names those that were not.

    Remedy: mend what it says of each and copy again. A file that is there with other bytes is never overwritten: rename
    it or remove the one that is there.
    """


@dataclass(frozen=True)
class LandReport:
    """The outcome of a copy.

    Args:
        copied: how many files are there now that were not.
        skipped: how many were there already.
        ignored: the files in the source's folders that are not named like raw files.
    """

    copied: int = 0
    skipped: int = 0
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class _SourceFile:
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
        zone: where they are copied to.
        progress: called with the bytes done and the bytes in all.

    Returns:
        How many files were copied and skipped.

    Raises:
        LandError: the source has none of these folders; or some files could not be copied, and the
            others were.
    """
    origin, root = url_to_fs(str(source))
    target, landing = zone.filesystem()
    root = str(root).rstrip("/")
    sources, ignored = _source_files(origin, root)
    total = sum(one.size for one in sources)
    copied = skipped = done = 0
    failed: list[str] = []
    for one in sources:
        destination = f"{landing}/{one.path}"
        try:
            if _copy(origin, one, target, destination):
                copied += 1
            elif _has_same_bytes(origin, one, target, destination):
                skipped += 1
            else:
                failed.append(f"{destination} is there already with other bytes; move one of the two away")
        except OSError as error:
            failed.append(f"{destination}: {type(error).__name__}; cannot copy {one.origin}")
        done += one.size
        if progress is not None:
            progress(done, total)
    if failed:
        msg = (
            f"{len(failed)} of {len(sources)} files were not copied ({copied} were, {skipped} were there already); "
            "nothing was overwritten:\n" + "\n".join(failed)
        )
        raise LandError(msg)
    return LandReport(copied, skipped, tuple(ignored))


def _source_files(fs: fsspec.AbstractFileSystem, root: str) -> tuple[list[_SourceFile], list[str]]:
    folders = [folder for folder in _FOLDERS if fs.isdir(f"{root}/{folder}")]
    if not folders:
        names = (
            sorted(name.rstrip("/").rpartition("/")[2] for name in fs.ls(root, detail=False)) if fs.isdir(root) else []
        )
        listed = ", ".join([*names[:10], *(["…"] if len(names) > 10 else [])])
        msg = (
            f"{root} holds no raw files of any table. Expected one of the folders {', '.join(_FOLDERS)} in it; "
            f"found {listed or 'nothing'}."
        )
        raise LandError(msg)
    sources: list[_SourceFile] = []
    ignored: list[str] = []
    for folder in folders:
        top = f"{root}/{folder}"
        for full, info in walk(fs, top):
            below = full[len(top) + 1 :]
            if info["type"] == "directory":
                continue
            if info["type"] == "other":
                ignored.append(f"{folder}/{below}")
                continue
            sources.append(
                _SourceFile(full, f"{_FOLDERS[folder]}/{below}", int(info["size"] or 0), modification_time(info))
            )
    return sorted(sources, key=lambda one: one.path), sorted(ignored)


def _copy(
    origin: fsspec.AbstractFileSystem, one: _SourceFile, target: fsspec.AbstractFileSystem, destination: str
) -> bool:
    """Copy a file to where none is; false if one is there."""
    if target.exists(destination):
        return False
    folder, _, name = destination.rpartition("/")
    target.makedirs(folder, exist_ok=True)
    # Names that start with a dot are not listed, so half a file never is.
    half = f"{folder}/.{name}.{uuid.uuid4().hex}"
    try:
        with origin.open(one.origin, "rb") as read, target.open(half, "wb") as write:
            for block in _blocks(read):
                write.write(block)
        if not isinstance(target, LocalFileSystem):
            target.mv(half, destination)
            return True
        _keep_modification_time(origin, one, half)
        try:
            # Unlike renaming, linking fails where someone else put a file meanwhile.
            os.link(half, destination)
        except FileExistsError:
            return False
        return True
    finally:
        if target.exists(half):
            target.rm_file(half)


def _keep_modification_time(origin: fsspec.AbstractFileSystem, one: _SourceFile, path: str) -> None:
    if isinstance(origin, LocalFileSystem):
        nanoseconds = Path(one.origin).stat().st_mtime_ns
    else:
        seconds = one.modified.timestamp() if isinstance(one.modified, datetime) else float(one.modified)
        nanoseconds = int(seconds * 1_000_000_000)
    os.utime(path, ns=(nanoseconds, nanoseconds))


def _has_same_bytes(
    origin: fsspec.AbstractFileSystem, one: _SourceFile, target: fsspec.AbstractFileSystem, destination: str
) -> bool:
    """Whether two files have the same bytes."""
    if target.isdir(destination) or target.size(destination) != one.size:
        return False
    with origin.open(one.origin, "rb") as source_file, target.open(destination, "rb") as destination_file:
        while block := source_file.read(BLOCK):
            if destination_file.read(BLOCK) != block:
                return False
        return not destination_file.read(1)


def _blocks(file: Any) -> Iterator[bytes]:
    while block := file.read(BLOCK):
        yield block
