"""The listing of raw files, with the landing day and the stamp of each.

Nothing here reads a file's content or knows the manifest.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

import fsspec
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from stedi_assets.contracts import LANDING_TABLES, Table
from stedi_assets.contracts.names import printable
from stedi_assets.settings import Limits

_NO_DATA = re.compile(r"[._].*|.*\.(?:crc|tmp|part|swp)|.*~|thumbs\.db|desktop\.ini", re.IGNORECASE | re.DOTALL)
"""Names of what nobody means as data: unfinished files, those of file managers, editors and checksums."""
_DAY_IN_FOLDER = re.compile(r"(?:^|/)landing_date=([0-9]{4})-([0-9]{2})-([0-9]{2})(?=/)")
_DAY_IN_FOLDERS = re.compile(r"(?:^|/)([0-9]{4})/([0-9]{2})/([0-9]{2})(?=/)")
_EPOCH_MS_IN_NAME = re.compile(r"(?<![0-9])([0-9]{13})(?![0-9])")


@dataclass(frozen=True)
class LandingFile:
    """A raw file as the store lists it.

    Args:
        table: the landing table that it is meant for.
        path: below the landing root, with ``/``; the ``source_file`` of its rows.
        landing_date: the UTC day on which it landed.
        size: in bytes, as stored.
        stamp: changes when the content does, as far as the store can tell without reading it.
    """

    table: str
    path: str
    landing_date: date
    size: int
    stamp: str


@dataclass(frozen=True)
class Listing:
    """The raw files in the landing folders.

    Args:
        files: those with a landing day that the lake takes, ordered by table, day and path.
        ignored: path and reason of those that are left alone: files dated outside the lake's days, and what is no
            file.
    """

    files: tuple[LandingFile, ...]
    ignored: tuple[tuple[str, str], ...] = ()

    def by_day(self, table: str) -> dict[date, list[LandingFile]]:
        """The files of one landing table, by landing day.

        Args:
            table: its name.
        """
        days: dict[date, list[LandingFile]] = {}
        for file in self.files:
            if file.table == table:
                days.setdefault(file.landing_date, []).append(file)
        return days


@dataclass(frozen=True)
class LandingZone:
    """The folder or object-store prefix in which raw files land.

    Args:
        uri: below it one folder per landing table.
        storage_options: for the store, as fsspec takes them.
        limits: what of a raw file is read.
    """

    uri: str
    storage_options: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)

    def filesystem(self) -> tuple[fsspec.AbstractFileSystem, str]:
        """The file system and the root path in it."""
        fs, root = url_to_fs(self.uri, **self.storage_options)
        return fs, str(root).rstrip("/")

    def is_there(self) -> bool:
        """Whether the folder is there; an object store has no folders that could be missing."""
        fs, root = self.filesystem()
        return not isinstance(fs, LocalFileSystem) or Path(root).is_dir()

    def list(
        self,
        first_day: date,
        last_day: date,
        tables: Iterable[Table] = LANDING_TABLES,
        only: frozenset[date] | None = None,
    ) -> Listing:
        """List the raw files.

        Args:
            first_day: files that landed before are reported and left alone.
            last_day: files that landed after are, too.
            tables: the landing tables to list.
            only: keep these landing days only. Folders on this machine that name another day
                (``landing_date=YYYY-MM-DD``) are not looked into, and what is ignored in them is not reported.

        Returns:
            The files, whatever their names; see :func:`is_data` for those that are not listed. A missing folder has
            none.
        """
        fs, root = self.filesystem()
        fs.invalidate_cache()
        files: list[LandingFile] = []
        ignored: list[tuple[str, str]] = []
        # As text: a folder may name a day that no calendar has, and is none of these then.
        names = None if only is None else {day.isoformat() for day in only}
        skips = None if names is None else lambda folder: _names_other_day(folder[len(root) + 1 :], names)
        for table in tables:
            for full, info in walk(fs, f"{root}/{table.name}", skips):
                path = full[len(root) + 1 :]
                try:
                    day = self._day(path, info, first_day, last_day)
                except ValueError as error:
                    ignored.append((printable(path), str(error)))
                    continue
                if day is not None and (only is None or day in only):
                    stamp = str(info.get("ETag") or repr(modification_time(info)))
                    files.append(LandingFile(table.name, path, day, int(info["size"] or 0), stamp))
        files.sort(key=lambda file: (file.table, file.landing_date, file.path))
        return Listing(tuple(files), tuple(sorted(ignored)))

    @staticmethod
    def _day(path: str, info: Mapping[str, Any], first_day: date, last_day: date) -> date | None:
        """The landing day of a file; none for a folder.

        Raises:
            ValueError: it is left alone; the message says why.
        """
        if info["type"] == "directory":
            return None
        if path != path.encode("utf-8", "ignore").decode():
            msg = "its name is not UTF-8; rename it"
            raise ValueError(msg)
        if info["type"] == "unreadable":
            msg = f"it cannot be looked at ({info['reason']})"
            raise ValueError(msg)
        if info["type"] == "other":
            msg = "not a file (a pipe, a socket or a device)"
            raise ValueError(msg)
        day = landing_day(path, modification_time(info))
        if not first_day <= day <= last_day:
            msg = f"dated {day}, which is not between {first_day} (STEDI_FIRST_DAY) and {last_day}"
            raise ValueError(msg)
        return day

    def day_by_time(self, path: str) -> date | None:
        """The landing day of a file by its modification time; none where its path says the day, or it is gone.

        Args:
            path: below the landing root.
        """
        if _day_in_path(path) is not None:
            return None
        fs, root = self.filesystem()
        try:
            return landing_day(path, modification_time(fs.info(f"{root}/{path}")))
        except OSError:
            return None


def is_data(name: str) -> bool:
    """Whether somebody may mean a file or folder of this name as data.

    Not if it starts with a dot or an underscore, ends with ``.crc``, ``.tmp``, ``.part``, ``.swp`` or ``~``, or is
    ``Thumbs.db`` or ``desktop.ini``.

    Args:
        name: without the folders that it lies in.
    """
    return _NO_DATA.fullmatch(name) is None


def landing_day(path: str, modified: float | datetime) -> date:
    """The UTC day on which a raw file landed.

    It is taken from the path (``…/landing_date=YYYY-MM-DD/…`` or ``…/YYYY/MM/DD/…``), else from the
    epoch milliseconds in the file's name, else from its modification time.

    Args:
        path: below the landing root.
        modified: seconds since 1970, or a datetime.

    Raises:
        ValueError: the path names a day that no calendar has.
    """
    day = _day_in_path(path)
    if day is not None:
        return day
    try:
        if isinstance(modified, datetime):
            return modified.astimezone(timezone.utc).date()
        return datetime.fromtimestamp(float(modified), timezone.utc).date()
    except (OverflowError, OSError):
        msg = "its modification time is no date"
        raise ValueError(msg) from None


def _day_in_path(path: str) -> date | None:
    folder, _, name = path.rpartition("/")
    day = _day_in_folder(f"{folder}/")
    if day is None and (matched := _EPOCH_MS_IN_NAME.search(name)):
        day = datetime.fromtimestamp(int(matched[1]) / 1000, timezone.utc).date()
    return day


@lru_cache(maxsize=4096)
def _day_in_folder(folder: str) -> date | None:
    matched = _DAY_IN_FOLDER.search(folder) or _DAY_IN_FOLDERS.search(folder)
    if not matched:
        return None
    year, month, day = (int(part) for part in matched.groups())
    try:
        return date(year, month, day)
    except ValueError:
        msg = f"the path names the day {year:04}-{month:02}-{day:02}, which does not exist"
        raise ValueError(msg) from None


def modification_time(info: Mapping[str, Any]) -> float | datetime:
    """The modification time of a file.

    Args:
        info: what its store says of it.
    """
    modified: float | datetime = info.get("mtime", info.get("LastModified", info.get("created", 0)))
    return modified


def walk(
    fs: fsspec.AbstractFileSystem,
    folder: str,
    skips: Callable[[str], bool] | None = None,
    *,
    everything: bool = False,
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The files and folders below a folder at any depth, but for what nobody means as data.

    Args:
        fs: the file system.
        folder: a path in it; a missing one has nothing below it.
        skips: tells folders by their path that need not be looked into; an object store lists them all the same.
        everything: whatever the names; see :func:`is_data`.

    Yields:
        The path of each, and what the store says of it.
    """
    if isinstance(fs, LocalFileSystem):
        yield from _walk_local(folder, skips, everything=everything)
    elif fs.exists(folder):
        for full, info in fs.find(folder, withdirs=True, detail=True).items():
            if everything or all(map(is_data, full[len(folder) + 1 :].split("/"))):
                yield full, info


def _names_other_day(folder: str, only: Container[str]) -> bool:
    """Whether a folder's path says of every file below it that it landed on another day than ``only``."""
    matched = _DAY_IN_FOLDER.search(f"{folder}/")
    return matched is not None and "-".join(matched.groups()) not in only


def _walk_local(
    folder: str, skips: Callable[[str], bool] | None, *, everything: bool
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The files and folders below a folder of this machine, also behind symbolic links, three times as fast.

    Each folder is entered once, whatever links lead to it, and what cannot be looked at is given as ``unreadable``.
    """
    seen: set[tuple[int, int]] = set()
    folders, linked = [folder], list[str]()
    while folders or linked:
        if not folders:
            # Whatever is no link was entered by its own path.
            linked.sort(reverse=True)
            folders.append(linked.pop())
        inner = folders.pop()
        try:
            status = Path(inner).stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = os.scandir(inner)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            yield inner, _unreadable(error)
            continue
        with entries:
            for entry in entries:
                if not everything and not is_data(entry.name):
                    continue
                try:
                    entry_status = entry.stat()
                except FileNotFoundError:
                    if not entry.is_symlink():
                        continue  # It is gone since.
                    # Reading it will fail and say so.
                    yield entry.path, {"type": "link", "size": 0, "mtime": entry.stat(follow_symlinks=False).st_mtime}
                    continue
                except OSError as error:
                    yield entry.path, _unreadable(error)
                    continue
                mode = entry_status.st_mode
                kind = "directory" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"
                yield entry.path, {"type": kind, "size": entry_status.st_size, "mtime": entry_status.st_mtime}
                if kind == "directory" and not (skips is not None and skips(entry.path)):
                    (linked if entry.is_symlink() else folders).append(entry.path)


def _unreadable(error: OSError) -> Mapping[str, Any]:
    return {"type": "unreadable", "size": 0, "mtime": 0, "reason": error.strerror}
