"""Writing landing files: their names, their size, and a landing zone that is nobody else's.

Here: everything that touches the file system, through fsspec.  Not here: what the lines say.
"""

from __future__ import annotations

import datetime as dt
import gzip
import json
from typing import IO, TYPE_CHECKING, Final

import fsspec
import numpy as np
from fsspec.implementations.local import LocalFileSystem

from stedi_assets.reference import LANDING_TABLES
from stedi_assets.sample.report import DETAILS, EXPECTED_COUNTS, SampleArguments, SampleReport
from stedi_assets.sample.schedule import DAY, MINUTE, Schedule

if TYPE_CHECKING:
    import pyarrow as pa

_LARGEST_FILE: Final = 120 * 2**20
_SMALLEST_FILE: Final = 2**18
_FILES_PER_DAY: Final = 3
_FILE_NAMES_APART: Final = 50
UNFINISHED: Final = "expected_counts.unfinished.json"
"""Lies beside the data while a sample is written, so that an interrupted one can be told from someone's data."""


class SampleError(Exception):
    """The sample cannot be written there, because other data lies there; the message says which.

    Remedy: name an empty folder in `STEDI_LANDING_URI`, or empty this one.
    """


class LandingZone:
    """A landing zone that is being written.

    Files of a day and table are filled one after the other, up to a size, and appear under their final name when
    they are complete: a folder's file is written as `….part` and renamed, an object store shows whole objects only.
    """

    def __init__(self, target: str, schedule: Schedule, seed: int) -> None:
        self._fs, self._root = fsspec.core.url_to_fs(target)
        self._root = self._root.rstrip("/")
        self._target = target
        self._schedule = schedule
        self._names = np.random.default_rng([seed, 3])
        self._last_name: dict[tuple[str, int], int] = {}
        self._open: dict[tuple[str, int], LandingFile] = {}
        # Only there is renaming a file one step, and does not copy it.
        self._renames = isinstance(self._fs, LocalFileSystem)
        self.files: dict[str, int] = {}
        # About 8 kB of readings per customer; a small sample still gets a few files a day, as the public data has.
        per_day = schedule.customers * 8_000 // schedule.days
        self._file_size = min(max(per_day // _FILES_PER_DAY, _SMALLEST_FILE), _LARGEST_FILE)

    @staticmethod
    def last_day(target: str) -> dt.date | None:
        """Return the last landing day of the sample at a target, complete or unfinished; None where there is none."""
        fs, root = fsspec.core.url_to_fs(target)
        for name in (DETAILS, UNFINISHED):
            path = f"{root.rstrip('/')}/{name}"
            if fs.exists(path):
                return dt.date.fromisoformat(json.loads(fs.cat_file(path))["last_day"])
        return None

    def find(self, arguments: SampleArguments) -> SampleReport | None:
        """Return the report of the sample of these arguments if it lies here complete; None where there is nothing.

        `arguments` are the generator's arguments.  A complete sample has its details file and exactly the files named
        there, by name and size; their content is not read.  An unfinished sample of the same arguments may be
        written again.  Raises SampleError where anything else lies.
        """
        there = self._there()
        if self._fs.exists(self._path(DETAILS)):
            report = SampleReport.from_json(self._fs.cat_file(self._path(DETAILS)).decode(), self._target)
            if {key: getattr(report, key) for key in arguments} != arguments:
                self._refuse("another sample (of other customers, days, seed, faults or last day)")
            if there != report.files:
                self._refuse("this sample, with files added, changed or missing since")
            return report
        unfinished = self._path(UNFINISHED)
        if self._fs.exists(unfinished):
            if json.loads(self._fs.cat_file(unfinished)) != arguments:
                self._refuse("an unfinished sample (of other customers, days, seed, faults or last day)")
        elif there:
            self._refuse(f"{len(there):,} landing files that the generator did not write")
        self._make_folder(self._root)
        self._fs.pipe_file(unfinished, json.dumps(arguments).encode())
        return None

    def write(self, table: str, day: int, lines: pa.StringArray) -> None:
        """Append lines, each of which ends in a line feed, to the files of a table and landing day."""
        if not len(lines):
            return
        _, offsets_buffer, data = lines.buffers()
        offsets = np.frombuffer(offsets_buffer, dtype=np.int32, count=len(lines) + 1, offset=lines.offset * 4)
        done = 0
        while done < len(lines):
            file = self._open.get((table, day))
            if file is None:
                file = self._open[table, day] = self.create(table, day)
            room = self._file_size - file.size
            upto = max(int(np.searchsorted(offsets, offsets[done] + room, side="right")) - 1, done + 1)
            file.write(memoryview(data)[offsets[done] : offsets[upto]])
            done = upto
            if file.size >= self._file_size or done < len(lines):
                self._open.pop((table, day)).close()

    def create(self, table: str, day: int, *, compressed: bool = False, suffix: str = ".json") -> LandingFile:
        """Open a new file of a table and landing day, whose name ends in `suffix`."""
        # Uploads run in the last minute of the day, some milliseconds apart.
        last = self._last_name.get((table, day), self._schedule.start(day) + DAY - MINUTE)
        self._last_name[table, day] = name = last + int(self._names.integers(1, _FILE_NAMES_APART))
        folder = f"{table}/landing_date={self._schedule.date(day)}"
        self._make_folder(self._path(folder))
        return LandingFile(self, f"{folder}/{table.removesuffix('_landing')}-{name}{suffix}", compressed=compressed)

    def close(self, before: int) -> None:
        """Complete the files of the landing days before the day number `before`."""
        for table, day in [key for key in self._open if key[1] < before]:
            self._open.pop((table, day)).close()

    def finish(self, report: SampleReport) -> None:
        """Write the expected counts; the details come last, and say that all is complete."""
        if self._there() != self.files:
            self._refuse("files that the generator did not write")
        self._fs.pipe_file(self._path(EXPECTED_COUNTS), (json.dumps(report.expected, indent=2) + "\n").encode())
        self._fs.pipe_file(self._path(DETAILS), report.to_json().encode())
        self._fs.rm_file(self._path(UNFINISHED))

    def _there(self) -> dict[str, int]:
        """Return the files below the landing tables' folders with their sizes, abandoned parts aside."""
        found: dict[str, int] = {}
        for table in LANDING_TABLES:
            folder = self._path(table)
            if self._fs.exists(folder):
                for path, info in self._fs.find(folder, detail=True).items():
                    if not path.endswith(".part"):
                        found[path.removeprefix(self._root + "/")] = int(info["size"])
        return found

    def _make_folder(self, path: str) -> None:
        if self._renames:  # object stores have none, and some would take it for an order to make a bucket
            self._fs.makedirs(path, exist_ok=True)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _refuse(self, what: str) -> None:
        msg = (
            f"{self._target} already holds {what}, and sample data does not mix with other data. "
            "Name an empty folder, or empty this one."
        )
        raise SampleError(msg)

    def _begin(self, name: str) -> IO[bytes]:
        path = self._path(name) + (".part" if self._renames else "")
        file: IO[bytes] = self._fs.open(path, "wb")
        return file

    def _complete(self, name: str, size: int) -> None:
        if self._renames:
            self._fs.mv(self._path(name) + ".part", self._path(name))
        self.files[name] = size


class LandingFile:
    """One landing file that is being written; `size` is in bytes, before compression."""

    def __init__(self, zone: LandingZone, name: str, *, compressed: bool) -> None:
        self._zone = zone
        self._name = name
        self._raw = zone._begin(name)  # noqa: SLF001 - the two classes are one thing
        # Neither name nor time in the header: equal samples have equal bytes.
        self._zip = gzip.GzipFile("", "wb", fileobj=self._raw, mtime=0) if compressed else None
        self.size = 0

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes."""
        (self._zip or self._raw).write(data)
        self.size += len(data)

    def close(self) -> None:
        """Complete the file."""
        if self._zip is not None:
            self._zip.close()
        stored = self._raw.tell()
        self._raw.close()
        self._zone._complete(self._name, stored)  # noqa: SLF001 - the two classes are one thing
