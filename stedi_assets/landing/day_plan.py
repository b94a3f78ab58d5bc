"""The plan of one landing day: which raw files count, which are duplicates, and which are gone.

Files are profiled here (one pass over their bytes), not parsed.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from enum import Enum

from stedi_assets.contracts import Table
from stedi_assets.lakehouse.fingerprint import fingerprint
from stedi_assets.landing.context import IngestContext
from stedi_assets.landing.decode import too_large
from stedi_assets.landing.files import LandingFile, LandingZone
from stedi_assets.landing.manifest import ManifestEntry, add_first_copies
from stedi_assets.landing.profile import FileProfile, profile_file
from stedi_assets.privacy.identity import CUSTOMERS

READING_RULES_VERSION = 3
"""Raise it when the same raw files give other rows or rejected texts, so that every landing day is read anew."""

MOST_KEYS = 20
"""Keys that mean no field of which a raw file's entry says how often they occur."""

OTHER_KEYS = "other keys"
"""What keys are counted as that do not look like names."""

_NAME = re.compile(r"(?=.{1,40}\Z)[A-Za-z_][A-Za-z_.-]*[0-9]{0,3}")
"""What looks like the name of a field, and not like a serial number."""


class MissingFiles(str, Enum):
    """The policy for rows of raw files that were ingested and are gone."""

    FAIL = "fail"
    KEEP = "keep"
    DROP = "drop"


class MissingFilesError(RuntimeError):
    """Raw files that were ingested are gone, so that a run of their day would take their rows along.

    The table is as it was.

    Remedy: put them back, or say what to do with their rows: see [raw files that are
    gone](operations.md#raw-files-that-are-gone).
    """


class UnconfirmedDropError(RuntimeError):
    """A run is to drop the rows of raw files that are gone, and its ``rows_to_drop`` is not their number.

    Every table is as it was.

    Remedy: look at what the message names; if these rows are to go, run it again with the number in ``rows_to_drop``:
    see [raw files that are gone](operations.md#raw-files-that-are-gone).
    """


@dataclass(frozen=True)
class PlannedFile:
    """A raw file of a day.

    Args:
        file: the file as listed.
        profile: its digest and counts.
        duplicate_of: the path of the file with the same bytes that counts in its place.
    """

    file: LandingFile
    profile: FileProfile
    duplicate_of: str | None = None

    def entry(
        self, lines: int, rows: int = 0, rejected: int = 0, unknown_keys: Mapping[str, int] | None = None
    ) -> ManifestEntry:
        """The file's manifest entry.

        Args:
            lines: how many texts it has.
            rows: how many of them became rows.
            rejected: how many of them were rejected.
            unknown_keys: how often keys occur that mean no field.
        """
        return ManifestEntry(
            source_file=self.file.path,
            size=self.file.size,
            stamp=self.file.stamp,
            digest=self.profile.digest,
            lines=lines,
            rows=rows,
            rejected=rejected,
            duplicate_of=self.duplicate_of,
            landing_table=self.file.table,
            landing_date=self.file.landing_date,
            unknown_keys=_as_json(unknown_keys or {}),
        )


def _as_json(unknown_keys: Mapping[str, int]) -> str | None:
    """How often keys occur, of those that look like names; what people wrote where a key stands is none."""
    counts: Counter[str] = Counter()
    for key, number in unknown_keys.items():
        counts[key if _NAME.fullmatch(key) else OTHER_KEYS] += number
    return json.dumps(dict(counts.most_common(MOST_KEYS)), sort_keys=True) if counts else None


@dataclass(frozen=True)
class DayPlan:
    """The inputs that one landing day of a table is to be made from.

    Args:
        landing_date: the day.
        fingerprint: the fingerprint of all that follows.
        files: the raw files that are there.
        kept: manifest entries of files that are gone and whose rows stay.
    """

    landing_date: date
    fingerprint: str
    files: tuple[PlannedFile, ...]
    kept: tuple[ManifestEntry, ...] = ()


def plan_day(
    context: IngestContext,
    day: date,
    files: Sequence[LandingFile],
    ingested: Sequence[ManifestEntry],
    others: Mapping[str, tuple[date, str]],
    missing: MissingFiles,
) -> DayPlan:
    """Plan one landing day.

    Args:
        context: the landing table and where it lies.
        day: the landing day.
        files: its raw files, as listed.
        ingested: its manifest entries.
        others: of each digest of a file of another day, the day and path of the one that counts.
        missing: what to do with the rows of files that are gone.

    Returns:
        The plan.

    Raises:
        MissingFilesError: files are gone, and ``missing`` says to fail.
        UnreadableFileError: a file cannot be read, or is larger than it may be.
    """
    absent = _absent(context.zone, files, ingested)
    profiled = _profiled(context, files, absent)
    grown = _grown(absent, profiled)
    gone = [entry for entry in _taking_something(absent) if entry.source_file not in grown]
    if gone and missing is MissingFiles.FAIL:
        msg = (
            f"{len(gone)} raw file(s) of {context.table.name} that landed on {day} are gone, and running the day "
            f"would take their {_rows(gone)} rows with them. The table is as it was. Put the files back, or run the "
            "day with missing_files: KEEP (their rows stay), or with DROP and rows_to_drop: "
            f"{_dropped(gone)} (they go)."
        )
        raise MissingFilesError(msg)
    kept = absent if missing is MissingFiles.KEEP else [entry for entry in absent if entry.source_file in grown]
    kept = [_replaced(entry, grown[entry.source_file]) if entry.source_file in grown else entry for entry in kept]
    first: dict[str, tuple[date, str]] = {}
    add_first_copies(first, [*kept, *(one.entry(lines=int(not one.profile.blank)) for one in profiled)])
    first = {digest: min(others.get(digest, copy), copy) for digest, copy in first.items()}
    planned = tuple(replace(one, duplicate_of=_duplicate_of(one, first)) for one in profiled)
    kept = [_kept(entry, first) for entry in kept]
    entries = [*(one.entry(0) for one in planned), *kept]
    name = day_fingerprint(context.table, entries, context.zone.limits.longest_text)
    return DayPlan(day, name, planned, tuple(kept))


def confirm_drop(
    context: IngestContext,
    files: Mapping[date, Sequence[LandingFile]],
    ingested: Mapping[date, Sequence[ManifestEntry]],
    rows_to_drop: int | None,
) -> None:
    """Make sure that whoever has a run drop the rows of files that are gone knows how many these are.

    Args:
        context: the landing table and where it lies.
        files: the raw files of each landing day, as listed.
        ingested: the manifest entries of each landing day of the run.
        rows_to_drop: how many rows, those of ``landing_quarantine`` included, the run is to drop on all of its days.

    Raises:
        UnconfirmedDropError: it is another number, or there is none though files are gone.
    """
    gone: dict[date, list[ManifestEntry]] = {}
    for day, those in ingested.items():
        absent = _taking_something(_absent(context.zone, files.get(day, ()), those))
        grown = _grown(absent, _profiled(context, files.get(day, ()), absent)) if absent else {}
        gone[day] = [entry for entry in absent if entry.source_file not in grown]
    entries = [entry for those in gone.values() for entry in those]
    number = _dropped(entries)
    if rows_to_drop == number or (rows_to_drop is None and not entries):
        return
    days = ", ".join(str(day) for day in sorted(gone) if gone[day]) or "these days"
    asked = "rows_to_drop is not given" if rows_to_drop is None else f"rows_to_drop is {rows_to_drop}"
    msg = (
        f"missing_files: DROP would drop {_rows(entries)} row(s) and {sum(entry.rejected for entry in entries)} "
        f"rejected text(s) of {len(entries)} raw file(s) of {context.table.name} that landed on {days} and are gone, "
        f"and {asked}. Every table is as it was. If all of them are to go, set rows_to_drop: {number}."
    )
    raise UnconfirmedDropError(msg)


def day_fingerprint(table: Table, entries: Iterable[ManifestEntry], longest_text: int) -> str:
    """The fingerprint of a day of a landing table: of the raw files that it is made from, and how they are read.

    The other limits are not in it: a file that goes beyond them is refused, and so is its day.

    Args:
        table: the landing table.
        entries: the manifest entries of the day's files.
        longest_text: the bytes that a text may have.
    """
    inputs = sorted([(entry.source_file, entry.digest, entry.duplicate_of) for entry in entries], key=str)
    return fingerprint(READING_RULES_VERSION, longest_text, table.name, table.column_names, inputs)


def _absent(zone: LandingZone, files: Sequence[LandingFile], ingested: Sequence[ManifestEntry]) -> list[ManifestEntry]:
    """The manifest entries of files that lie nowhere any more."""
    listed = {file.path for file in files}
    return [entry for entry in ingested if entry.source_file not in listed and not _has_moved(zone, entry)]


def _taking_something(absent: Iterable[ManifestEntry]) -> list[ManifestEntry]:
    """Of files that lie nowhere any more, those that take something along: not the empty ones, and no copies."""
    return [entry for entry in absent if entry.rows or entry.rejected]


def _rows(entries: Iterable[ManifestEntry]) -> int:
    return sum(entry.rows for entry in entries)


def _dropped(entries: Iterable[ManifestEntry]) -> int:
    """The rows that go with files, those of ``landing_quarantine`` included: a rejected text may be a withdrawal."""
    return sum(entry.rows + entry.rejected for entry in entries)


def _has_moved(zone: LandingZone, entry: ManifestEntry) -> bool:
    """Whether a file that is not listed on its day lies on another day now."""
    day = zone.day_by_time(entry.source_file)
    return day is not None and day != entry.landing_date


def _profiled(
    context: IngestContext, files: Sequence[LandingFile], absent: Sequence[ManifestEntry]
) -> list[PlannedFile]:
    """The profiles of files, with the beginnings that tell whether one continues a file that is gone."""
    limits, sizes = context.zone.limits, {entry.size for entry in absent if entry.lines}
    for file in files:
        if file.size > limits.largest_file:
            # Said before anything is read: a file of nothing but a length takes no disk, and minutes.
            raise too_large(context.path(file), limits.largest_file)
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        profiles = list(pool.map(lambda file: profile_file(context.fs, context.path(file), limits, sizes), files))
    return [PlannedFile(file, profile) for file, profile in zip(files, profiles, strict=True)]


def _continues(profile: FileProfile, gone: ManifestEntry) -> bool:
    """Whether a file is one that is gone, which grew and got another name, as the rotation of logs does.

    A customer record that could not be read may be a withdrawal, and what follows its bytes in another file may be the
    record of somebody else's: so no file with one is taken for the beginning of another.
    """
    keeps_doubts = gone.landing_table == CUSTOMERS.name and gone.rejected > 0
    is_beginning = gone.size < profile.size and profile.beginnings.get(gone.size) == gone.digest
    return gone.lines > 0 and not keeps_doubts and is_beginning


def _grown(absent: Iterable[ManifestEntry], profiled: Iterable[PlannedFile]) -> dict[str, str]:
    """Of files that lie nowhere under their names any more, those that grew, each with its name now."""
    there = list(profiled)
    return {entry.source_file: one.file.path for entry in absent for one in there if _continues(one.profile, entry)}


def _replaced(entry: ManifestEntry, by: str) -> ManifestEntry:
    """The entry of a file whose rows go, because another file has the same texts."""
    return replace(entry, rows=0, rejected=0, duplicate_of=by)


def _duplicate_of(one: PlannedFile, first: Mapping[str, tuple[date, str]]) -> str | None:
    """The path of the file that counts in place of this one; none where this one does."""
    if one.profile.blank:
        return None
    counts = first[one.profile.digest]
    return counts[1] if counts < (one.file.landing_date, one.file.path) else None


def _kept(entry: ManifestEntry, first: Mapping[str, tuple[date, str]]) -> ManifestEntry:
    """The entry of a file that is gone: its rows go after all where the same bytes count elsewhere."""
    if entry.duplicate_of is not None or not entry.lines:
        return entry
    counts = first[entry.digest]
    if counts < (entry.landing_date, entry.source_file):
        return _replaced(entry, counts[1])
    return entry
