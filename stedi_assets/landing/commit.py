"""The commit of ingested days to three tables.

The landing table changes first, then ``landing_quarantine`` (its rejected lines), then ``landing_files`` (what became
of each file). So a run that is killed between the commits leaves a table that is not what the manifest says, and the
day is found and run again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from stedi_assets.contracts import table as contract
from stedi_assets.lakehouse import NewFile
from stedi_assets.landing.context import IngestContext
from stedi_assets.landing.manifest import ManifestEntry, as_rows


@dataclass(frozen=True)
class StagedDay:
    """A landing day that was read and is not committed yet.

    Args:
        landing_date: the day.
        fingerprint: of its inputs.
        files: new files of the landing table.
        quarantine: new files of ``landing_quarantine``.
        entries: its rows of ``landing_files``.
        reasons: how many lines were rejected for each reason.
        kept: how many files are gone and kept.
    """

    landing_date: date
    fingerprint: str
    files: Sequence[NewFile]
    quarantine: Sequence[NewFile]
    entries: Sequence[ManifestEntry]
    reasons: Mapping[str, int]
    kept: int


def commit_days(context: IngestContext, days: Sequence[StagedDay]) -> None:
    """Replace the partitions of staged days in all three tables, one commit per table.

    Args:
        context: the landing table and where it lies.
        days: the days; those that the tables have besides stay.

    Raises:
        WriteConflictError: other writers kept coming first.
        VacuumedError: new files were deleted meanwhile.
    """
    lakehouse, within = context.lakehouse, context.within
    landing_days = [day.landing_date for day in days]
    quarantine, manifest = contract("landing_quarantine"), contract("landing_files")
    lakehouse.replace(context.table, landing_days, [file for day in days for file in day.files])
    lakehouse.replace(quarantine, landing_days, [file for day in days for file in day.quarantine], within=within)
    entries = as_rows(entry for day in days for entry in day.entries)
    new = context.write(manifest, entries, {day.landing_date: day.fingerprint for day in days}, within)
    lakehouse.replace(manifest, landing_days, new, within=within)
