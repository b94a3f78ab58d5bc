"""The ingestion of landing days: their raw files become partitions of a landing table.

Each step has a module of its own: ``day_plan`` (which files count), ``reading``, ``suppress`` (lines of erased people),
``quarantine`` (rejected lines) and ``commit``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from stedi_assets.contracts import Table
from stedi_assets.contracts.render import arrow_schema
from stedi_assets.engines.session import Session
from stedi_assets.lakehouse import Lakehouse, Snapshot, VacuumedError
from stedi_assets.landing.commit import StagedDay, commit_days
from stedi_assets.landing.context import IngestContext
from stedi_assets.landing.day_plan import DayPlan, MissingFiles, MissingFilesError, confirm_drop, plan_day
from stedi_assets.landing.errors import UnreadableFileError
from stedi_assets.landing.files import LandingFile, LandingZone
from stedi_assets.landing.manifest import ManifestEntry, add_first_copies, manifest_entries
from stedi_assets.landing.quarantine import DayQuarantine
from stedi_assets.landing.reading import DayReader
from stedi_assets.landing.suppress import DaySuppression
from stedi_assets.privacy.suppression import Suppression

ATTEMPTS = 5
"""Times that days are read: new files may be vacuumed away before they are committed."""


@dataclass
class DayReport:
    """The counts of one ingested day of a landing table.

    Args:
        files: how many raw files it has, kept ones included.
        duplicates: how many of them have the same bytes as another.
        kept: how many of them are gone.
        lines: how many lines of files that count are not blank.
        rows: how many of them are rows.
        rejected: how many are in the quarantine.
        erased: how many were suppressed.
        reasons: how many were rejected for each reason.
    """

    files: int = 0
    duplicates: int = 0
    kept: int = 0
    lines: int = 0
    rows: int = 0
    rejected: int = 0
    erased: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


class Ingestion:
    """The ingestion of raw files into one landing table.

    Args:
        engine: reads and writes.
        lakehouse: where the tables lie.
        zone: where the raw files lie.
        table: the landing table.
        missing: what to do with the rows of files that are gone.
        rows_to_drop: where they are to be dropped, how many they are on all days of a run.
        erased: gives the people who were erased by now, whose lines are left out; nobody by default.
    """

    def __init__(
        self,
        engine: Session,
        lakehouse: Lakehouse,
        zone: LandingZone,
        table: Table,
        *,
        missing: MissingFiles = MissingFiles.FAIL,
        rows_to_drop: int | None = None,
        erased: Callable[[], Suppression] | None = None,
    ) -> None:
        self._context = IngestContext(engine, lakehouse, zone, table)
        self._missing = missing
        self._rows_to_drop = rows_to_drop
        self._erased = erased

    def run(self, days: Collection[date], files: Mapping[date, Sequence[LandingFile]]) -> dict[date, DayReport]:
        """Replace the partitions of some landing days by the content of their raw files.

        Somebody who is erased meanwhile is left out: the days are read again then. Days that cannot be run stay as
        they were; the others are committed before the error is raised.

        Args:
            days: the landing days.
            files: the raw files of each, as listed.

        Returns:
            The counts of each day.

        Raises:
            MissingFilesError: files of a day are gone, and ``missing`` is to fail.
            UnconfirmedDropError: their rows are to be dropped, and are not as many as ``rows_to_drop``.
            UnreadableFileError: a file cannot be read.
        """
        attempt = 0
        while True:
            attempt += 1
            suppression = self._erased() if self._erased is not None else None
            try:
                committed = self._attempt(days, files, suppression)
            except Exception as error:
                # The vacuum of an erasure takes files that are written and not committed yet.
                swept = isinstance(error, VacuumedError) or self._is_outdated(suppression)
                if not swept or attempt >= ATTEMPTS:
                    raise
            else:
                if committed is not None:
                    return {day.landing_date: _report(day) for day in committed}

    def _attempt(
        self,
        days: Collection[date],
        files: Mapping[date, Sequence[LandingFile]],
        suppression: Suppression | None,
    ) -> list[StagedDay] | None:
        """Read days and commit them; none, and nothing is changed, if somebody was erased meanwhile."""
        staged, failures = self._stage(days, files, suppression)
        if staged:
            with self._context.lakehouse.committing():
                if self._is_outdated(suppression):
                    return None
                commit_days(self._context, staged)
        if len(failures) == 1:
            raise failures[0]
        if failures:
            raise type(failures[0])("\n".join(str(error) for error in failures))
        return staged

    def _stage(
        self,
        days: Collection[date],
        files: Mapping[date, Sequence[LandingFile]],
        suppression: Suppression | None,
    ) -> tuple[list[StagedDay], list[UnreadableFileError | MissingFilesError]]:
        """Read days into new files; of those that cannot be read, an error each."""
        context = self._context
        stored = context.lakehouse.snapshot(context.table)
        manifest = manifest_entries(context.engine, context.lakehouse, context.table)
        # Copies on days that are not run now may still be the ones that count of equal files, unless the
        # file has moved: its modification time made another day of it.
        listed = {file.path for day in days for file in files.get(day, ())}
        first: dict[str, tuple[date, str]] = {}
        add_first_copies(
            first, (entry for entry in manifest if entry.landing_date not in days and entry.source_file not in listed)
        )
        ingested: dict[date, list[ManifestEntry]] = {day: [] for day in days}
        for entry in manifest:
            if entry.landing_date in ingested:
                ingested[entry.landing_date].append(entry)
        if self._missing is MissingFiles.DROP:
            confirm_drop(context, files, ingested, self._rows_to_drop)
        staged: list[StagedDay] = []
        failures: list[UnreadableFileError | MissingFilesError] = []
        for day in sorted(days):
            entries: Sequence[ManifestEntry] = ingested[day]
            try:
                plan = plan_day(context, day, files.get(day, ()), entries, first, self._missing)
                read = _read_day(context, plan, stored, suppression)
            except (UnreadableFileError, MissingFilesError) as error:
                failures.append(error)
            else:
                staged.append(read)
                entries = read.entries
            add_first_copies(first, entries)
        return staged, failures

    def _is_outdated(self, suppression: Suppression | None) -> bool:
        """Whether somebody was erased since ``suppression`` was asked for."""
        if self._erased is None or suppression is None:
            return False
        return suppression.tombstones.state != self._erased().tombstones.state


def _read_day(context: IngestContext, plan: DayPlan, stored: Snapshot, suppression: Suppression | None) -> StagedDay:
    """Read one planned day into new files of the landing table and of the quarantine."""
    day_suppression = DaySuppression(context, suppression, plan.fingerprint)
    quarantine = DayQuarantine(context, plan, day_suppression)
    reader = DayReader(context, plan, quarantine)
    reader.read_files()
    reader.carry_over(stored)
    files = [day_suppression.filtered(new) for new in reader.files]
    if not files:
        # A day that was run has a file: its name says what it was made from.
        no_rows = arrow_schema(context.table).empty_table()
        files = context.write_rows(no_rows, plan.landing_date, plan.fingerprint)
    quarantine.flush()
    return StagedDay(
        landing_date=plan.landing_date,
        fingerprint=plan.fingerprint,
        files=files,
        quarantine=quarantine.files,
        entries=day_suppression.counted(reader.entries),
        reasons=quarantine.reasons,
        kept=len(plan.kept),
    )


def _report(day: StagedDay) -> DayReport:
    return DayReport(
        files=len(day.entries),
        duplicates=sum(entry.duplicate_of is not None for entry in day.entries),
        kept=day.kept,
        lines=sum(entry.lines for entry in day.entries if entry.duplicate_of is None),
        rows=sum(entry.rows for entry in day.entries),
        rejected=sum(entry.rejected for entry in day.entries),
        erased=sum(entry.erased for entry in day.entries),
        reasons=dict(sorted(day.reasons.items())),
    )
