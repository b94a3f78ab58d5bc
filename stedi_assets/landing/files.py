"""Raw files: listing them, and the landing day and stamp of each.

Nothing here reads a file's content or knows what was ingested.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from typing import Any

import fsspec
from fsspec.core import url_to_fs

from stedi_assets.contracts import LANDING_TABLES, Table

SUFFIXES = (".json", ".json.gz")
_DAY_IN_FOLDER = re.compile(r"(?:^|/)landing_date=(\d{4})-(\d{2})-(\d{2})(?=/)")
_DAY_IN_FOLDERS = re.compile(r"(?:^|/)(\d{4})/(\d{2})/(\d{2})(?=/)")
_EPOCH_MS_IN_NAME = re.compile(r"(?<!\d)(\d{13})(?!\d)")


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
    """What lies in the landing folders.

    Args:
        files: those with a landing day that the lake takes, ordered by table, day and path.
        ignored: path and reason of what is left alone: files dated outside the lake's days, and
            folders that are named like a file.
    """

    files: tuple[LandingFile, ...]
    ignored: tuple[tuple[str, str], ...] = ()

    def by_day(self, table: str) -> dict[date, list[LandingFile]]:
        """The files of one landing table, by landing day."""
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
    """

    uri: str
    storage_options: Mapping[str, Any] = field(default_factory=dict)

    def filesystem(self) -> tuple[fsspec.AbstractFileSystem, str]:
        """The file system and the root path in it."""
        fs, root = url_to_fs(self.uri, **self.storage_options)
        return fs, str(root).rstrip("/")

    def list(
        self,
        first_day: date,
        last_day: date,
        tables: Iterable[Table] = LANDING_TABLES,
        only: frozenset[date] | None = None,
    ) -> Listing:
        """List the raw files.

        Args:
            first_day, last_day: files dated outside are reported and left alone.
            tables: the landing tables to list.
            only: keep these landing days only (cheaper to handle, not cheaper to list).

        A missing folder holds no files. Names that start with a dot or an underscore are
        unfinished by convention and not seen.
        """
        fs, root = self.filesystem()
        fs.invalidate_cache()
        files: list[LandingFile] = []
        ignored: list[tuple[str, str]] = []
        for table in tables:
            folder = f"{root}/{table.name}"
            if not fs.exists(folder):
                continue
            for full, info in fs.find(folder, withdirs=True, detail=True).items():
                path = full[len(root) + 1 :]
                name = path.rpartition("/")[2]
                if not name.endswith(SUFFIXES) or name.startswith((".", "_")):
                    continue
                if info["type"] == "directory":
                    ignored.append((path, "a folder that is named like a raw file; what lies in it is read"))
                    continue
                modified = info.get("mtime", info.get("LastModified", info.get("created", 0)))
                try:
                    day = landing_day(path, modified)
                except ValueError as error:
                    ignored.append((path, str(error)))
                    continue
                if not first_day <= day <= last_day:
                    ignored.append(
                        (path, f"dated {day}, which is not between {first_day} (STEDI_FIRST_DAY) and {last_day}")
                    )
                elif only is None or day in only:
                    stamp = str(info.get("ETag") or repr(modified))
                    files.append(LandingFile(table.name, path, day, int(info["size"] or 0), stamp))
        files.sort(key=lambda file: (file.table, file.landing_date, file.path))
        return Listing(tuple(files), tuple(sorted(ignored)))


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
    folder = _DAY_IN_FOLDER.search(path) or _DAY_IN_FOLDERS.search(path)
    if folder:
        year, month, day = (int(part) for part in folder.groups())
        try:
            return date(year, month, day)
        except ValueError:
            msg = f"the path names the day {year:04}-{month:02}-{day:02}, which does not exist"
            raise ValueError(msg) from None
    named = _EPOCH_MS_IN_NAME.search(path.rpartition("/")[2])
    if named:
        return datetime.fromtimestamp(int(named[1]) / 1000, timezone.utc).date()
    if isinstance(modified, datetime):
        return modified.astimezone(timezone.utc).date()
    return datetime.fromtimestamp(float(modified), timezone.utc).date()
