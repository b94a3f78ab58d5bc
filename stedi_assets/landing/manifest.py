"""The manifest: what became of each raw file, as the rows of ``landing_files`` say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import date

import pyarrow as pa

from stedi_assets.contracts import Table
from stedi_assets.contracts import table as contract
from stedi_assets.contracts.render import arrow_schema
from stedi_assets.engines.session import Session
from stedi_assets.lakehouse import DataFile, Lakehouse, Snapshot
from stedi_assets.lakehouse.snapshot import by_landing_day, common_fingerprints

CACHED_ENTRIES = 200_000
"""Manifest entries of a landing table that a process keeps: about 100 MB."""


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """A raw file as it was when it was ingested: a row of ``landing_files``.

    Args:
        source_file: its path below the landing root.
        size: in bytes, as stored.
        stamp: changes when the content does; see ``LandingFile``.
        digest: SHA-256 of its bytes.
        lines: how many objects it has, and texts that are none; of a duplicate, how many lines are not blank.
        rows: how many of them are rows.
        rejected: how many are in the quarantine.
        duplicate_of: the path of the file with the same bytes that counts in its place.
        landing_table: the name of its table.
        landing_date: the day that it landed.
        erased: how many lines were suppressed.
        erased_under: JSON: per erasure request under which lines were, who had registered anew by then.
        unknown_keys: JSON: how often keys occur that mean no field.
    """

    source_file: str
    size: int
    stamp: str
    digest: str
    lines: int
    rows: int
    rejected: int
    duplicate_of: str | None
    landing_table: str
    landing_date: date
    erased: int = 0
    erased_under: str | None = None
    unknown_keys: str | None = None


_COLUMNS = tuple(one.name for one in fields(ManifestEntry))


def from_rows(rows: pa.Table) -> list[ManifestEntry]:
    """The manifest entries of rows of ``landing_files``.

    Args:
        rows: the rows.
    """
    # By column: a lake has 100,000 of them.
    return [ManifestEntry(*row) for row in zip(*(rows[name].to_pylist() for name in _COLUMNS), strict=True)]


def as_rows(entries: Iterable[ManifestEntry]) -> pa.Table:
    """The rows of ``landing_files`` for manifest entries.

    Args:
        entries: the entries.
    """
    schema, listed = arrow_schema(contract("landing_files")), list(entries)
    return pa.table({name: [getattr(entry, name) for entry in listed] for name in schema.names}, schema=schema)


def add_first_copies(first: dict[str, tuple[date, str]], entries: Iterable[ManifestEntry]) -> None:
    """Add manifest entries to the files that count; see :func:`first_copies`.

    Args:
        first: changed in place.
        entries: more files; those without a line count nowhere.
    """
    for entry in entries:
        if entry.lines:
            copy = (entry.landing_date, entry.source_file)
            first[entry.digest] = min(first.get(entry.digest, copy), copy)


def first_copies(entries: Iterable[ManifestEntry]) -> dict[str, tuple[date, str]]:
    """The day and the path of the file that counts of each digest: the earliest landed, then the first by name.

    Args:
        entries: the files.
    """
    first: dict[str, tuple[date, str]] = {}
    add_first_copies(first, entries)
    return first


def manifest_entries(engine: Session, lakehouse: Lakehouse, table: Table) -> list[ManifestEntry]:
    """The manifest of one landing table: its rows of ``landing_files``.

    After a commit only the partitions that it replaced are read again.

    Args:
        engine: reads them.
        lakehouse: where they lie.
        table: the landing table.
    """
    manifest = contract("landing_files")
    stored = by_landing_day(lakehouse.snapshot(manifest).part("landing_table", table.name))

    def read(files: Sequence[DataFile]) -> dict[date, tuple[ManifestEntry, ...]]:
        entries: dict[date, list[ManifestEntry]] = {file.landing_date: [] for file in files}
        for entry in from_rows(engine.relation(manifest, files).to_arrow_table()):
            entries[entry.landing_date].append(entry)
        return {day: tuple(of_day) for day, of_day in entries.items()}

    cache = lakehouse.partition_cache(f"manifest of {table.name}", CACHED_ENTRIES)
    return [entry for entries in cache.get(stored, read).values() for entry in entries]


def recorded_fingerprints(snapshot: Snapshot, table: Table) -> dict[date, str | None]:
    """The fingerprints of one landing table's days by a side table; none where a day's files do not agree.

    Args:
        snapshot: of ``landing_files``, or of ``landing_quarantine``, which has only days with rejected lines.
        table: the landing table.
    """
    return common_fingerprints(snapshot.part("landing_table", table.name))
