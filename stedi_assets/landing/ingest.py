"""Makes the partitions of a landing table out of the raw files of their days.

Three tables change: the landing table, ``landing_quarantine`` (its rejected lines) and
``landing_files`` (what became of each file). The record is committed last, so a run that is killed
between the commits leaves a record that differs from the landing folders or from the table, and the
day is found and run again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from enum import Enum

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from stedi_assets.contracts import Table
from stedi_assets.contracts import table as contract
from stedi_assets.contracts.render import arrow_schema
from stedi_assets.engines.duckdb import DuckDBEngine
from stedi_assets.fingerprint import fingerprint
from stedi_assets.lakehouse import Lakehouse, NewFile, Snapshot
from stedi_assets.landing.files import LandingFile, LandingZone
from stedi_assets.landing.parse import quotes_per_row, read_lines, whole_query
from stedi_assets.landing.record import IngestedFile, as_rows, first_copies, record
from stedi_assets.landing.survey import Survey, survey

BATCH = 256 << 20
"""Bytes of raw files that are read in one query; if one line of them is bad, they are read again."""

FLUSH_ROWS = 1_000_000
"""Rows of slowly read lines that are held before they are written."""


class MissingFiles(str, Enum):
    """What to do with the rows of raw files that were ingested and are gone."""

    FAIL = "fail"
    KEEP = "keep"
    DROP = "drop"


class MissingFilesError(RuntimeError):
    """Raw files of a day are gone, so that running it would take their rows away."""


@dataclass
class DayReport:
    """What running one day of a landing table did, in numbers."""

    files: int = 0
    duplicates: int = 0
    kept: int = 0
    lines: int = 0
    rows: int = 0
    rejected: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


@dataclass
class _Day:
    """One landing day on its way into the table."""

    landing_date: date
    fingerprint: str
    files: list[tuple[LandingFile, Survey, str | None]]
    kept: list[IngestedFile]
    written: list[NewFile] = field(default_factory=list)
    ingested: list[IngestedFile] = field(default_factory=list)
    rejects: list[dict[str, object]] = field(default_factory=list)


class Ingestion:
    """Brings raw files of some days into one landing table.

    Args:
        engine: reads and writes.
        lakehouse: where the tables lie.
        zone: where the raw files lie.
        table: the landing table.
        missing: what to do with the rows of files that are gone.
        progress: called with the bytes done and the bytes in all.
    """

    def __init__(
        self,
        engine: DuckDBEngine,
        lakehouse: Lakehouse,
        zone: LandingZone,
        table: Table,
        *,
        missing: MissingFiles = MissingFiles.FAIL,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.engine = engine
        self.lakehouse = lakehouse
        self.table = table
        self.missing = missing
        self.fs, self.root = zone.filesystem()
        self._progress = progress or (lambda done, total: None)

    def run(self, days: Collection[date], files: Mapping[date, Sequence[LandingFile]]) -> dict[date, DayReport]:
        """Replace the partitions of ``days`` by what ``files`` hold.

        Args:
            days: the landing days.
            files: the raw files of each, as listed.

        Returns:
            What became of each day.

        Raises:
            MissingFilesError: files of a day are gone and nobody said what to do with their rows.
            UnreadableFileError: a file cannot be read.
        """
        stored = self.lakehouse.snapshot(self.table)
        before = ingested_files(self.engine, self.lakehouse, self.table)
        total = sum(file.size for day in days for file in files.get(day, ()))
        done = 0
        # Copies on days that are not run now keep their say on which of equal files counts.
        known = [file for file in before if file.landing_date not in days]
        finished: list[_Day] = []
        for day in sorted(days):
            at = self._day(day, files.get(day, ()), [f for f in before if f.landing_date == day], known)
            self._read(at, stored)
            known += at.ingested
            finished.append(at)
            done += sum(file.size for file in files.get(day, ()))
            self._progress(done, total)
        self._commit(finished)
        return {day.landing_date: _report(day) for day in finished}

    def _day(
        self, day: date, files: Sequence[LandingFile], before: Iterable[IngestedFile], known: Iterable[IngestedFile]
    ) -> _Day:
        listed = {file.path for file in files}
        gone = [file for file in before if file.source_file not in listed]
        if gone and self.missing is MissingFiles.FAIL:
            msg = (
                f"{len(gone)} raw file(s) of {self.table.name} that landed on {day} are gone, and running the day "
                f"would take their {sum(f.rows for f in gone)} rows with them. The table is as it was. Put the files "
                "back, or run the day with missing_files: keep (their rows stay) or drop (their rows go)."
            )
            raise MissingFilesError(msg)
        kept = gone if self.missing is MissingFiles.KEEP else []
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            surveys = list(pool.map(lambda file: survey(self.fs, f"{self.root}/{file.path}"), files))
        found = [
            IngestedFile(f.path, f.size, f.stamp, s.digest, s.lines, 0, 0, None, self.table.name, day)
            for f, s in zip(files, surveys)
        ]
        first = first_copies([*known, *kept, *found])
        counted = []
        for file, surveyed in zip(files, surveys):
            at = first.get(surveyed.digest, (day, file.path))
            counted.append((file, surveyed, at[1] if at < (day, file.path) else None))
        inputs = [(file.path, surveyed.digest, duplicate) for file, surveyed, duplicate in counted]
        inputs += [(file.source_file, file.digest, file.duplicate_of) for file in kept]
        return _Day(day, fingerprint(self.table.name, self.table.column_names, sorted(inputs, key=str)), counted, kept)

    def _read(self, day: _Day, stored: Snapshot) -> None:
        counting = [(file, found) for file, found, duplicate in day.files if duplicate is None]
        for batch in _batches(counting):
            if not self._read_whole(day, batch):
                for file, found in batch:
                    self._read_lines(day, file, found)
        for file, found, duplicate in day.files:
            if duplicate is not None:
                day.ingested.append(_ingested(file, found.digest, found.lines, 0, 0, duplicate))
        if day.kept:
            self._keep(day, stored)
        if not day.written:
            self._write(day, arrow_schema(self.table).empty_table())

    def _read_whole(self, day: _Day, batch: Sequence[tuple[LandingFile, Survey]]) -> bool:
        """Read a batch at full speed; false if that does not prove every line good."""
        source = self.table.source
        quotes = quotes_per_row(source) if source is not None else None
        lines = sum(found.lines for _, found in batch)
        numbered = any(column.name == "source_line" for column in self.table.columns)
        if not quotes or numbered or not lines or not all(found.plain for _, found in batch):
            return False
        if sum(found.quotes for _, found in batch) != quotes * lines:
            return False
        paths = [f"{self.root}/{file.path}" for file, _ in batch]
        query = whole_query(self.table, day.landing_date, paths, self.root)
        partition = {"landing_date": day.landing_date.isoformat()}
        try:
            new = self.engine.copy(query, self.lakehouse, self.table, partition, day.fingerprint)
        except duckdb.Error:
            # A line that is too long, or a file that changed or went: the slow way says which.
            return False
        if new.rows != lines:
            # Some line is suspect. The new file is no part of the table; vacuuming removes it.
            return False
        day.written.append(new)
        day.ingested += [_ingested(file, found.digest, found.lines, found.lines, 0, None) for file, found in batch]
        return True

    def _read_lines(self, day: _Day, file: LandingFile, found: Survey) -> None:
        """Read one file line by line."""
        lines = rows = rejected = 0
        held: list[pa.Table] = []
        path = f"{self.root}/{file.path}"
        for piece in read_lines(self.engine, self.fs, path, self.table, file.path, day.landing_date):
            lines += piece.lines
            rows += piece.rows.num_rows
            rejected += len(piece.rejects)
            day.rejects += [
                {"source_file": file.path, "source_line": number, "reason": reason, "line": line}
                for number, reason, line in piece.rejects
            ]
            held.append(piece.rows)
            if sum(part.num_rows for part in held) >= FLUSH_ROWS:
                self._write(day, pa.concat_tables(held))
                held = []
        if any(part.num_rows for part in held):
            self._write(day, pa.concat_tables(held))
        day.ingested.append(_ingested(file, found.digest, lines, rows, rejected, None))

    def _keep(self, day: _Day, stored: Snapshot) -> None:
        """Carry over what files that are gone gave."""
        gone = pa.array([file.source_file for file in day.kept])
        rows = self.engine.relation(self.table, stored.select({day.landing_date})).to_arrow_table()
        self._write(day, rows.filter(pc.is_in(rows["source_file"], gone)))
        quarantine = contract("landing_quarantine")
        snapshot = self.lakehouse.snapshot(quarantine)
        files = [f for f in snapshot.select({day.landing_date}) if f.partition["landing_table"] == self.table.name]
        lines = self.engine.relation(quarantine, files).to_arrow_table()
        day.rejects += (
            lines.filter(pc.is_in(lines["source_file"], gone))
            .select(["source_file", "source_line", "reason", "line"])
            .to_pylist()
        )
        day.ingested += day.kept

    def _write(self, day: _Day, rows: pa.Table) -> None:
        columns = {name: rows[name] for name in rows.column_names if name != "landing_date"}
        dated = pa.table({**columns, "landing_date": pa.repeat(pa.scalar(day.landing_date), rows.num_rows)})
        day.written += self.engine.write(
            self.engine.frame(dated), self.lakehouse, self.table, {day.landing_date: day.fingerprint}
        )

    def _commit(self, days: Sequence[_Day]) -> None:
        within = {"landing_table": self.table.name}
        landing_days = [day.landing_date for day in days]
        quarantine, files = contract("landing_quarantine"), contract("landing_files")
        rejects = [
            {**reject, "landing_table": self.table.name, "landing_date": day.landing_date}
            for day in days
            for reject in day.rejects
        ]
        with_rejects = {day.landing_date: day.fingerprint for day in days if day.rejects}
        new = self._new(quarantine, pa.Table.from_pylist(rejects, arrow_schema(quarantine)), with_rejects, within)
        self.lakehouse.replace(quarantine, landing_days, new, within=within)
        self.lakehouse.replace(self.table, landing_days, [file for day in days for file in day.written])
        ingested = as_rows(file for day in days for file in day.ingested)
        new = self._new(files, ingested, {day.landing_date: day.fingerprint for day in days}, within)
        self.lakehouse.replace(files, landing_days, new, within=within)

    def _new(
        self, table: Table, rows: pa.Table, fingerprints: Mapping[date, str], within: Mapping[str, str]
    ) -> list[NewFile]:
        if not fingerprints:
            return []
        return self.engine.write(self.engine.frame(rows), self.lakehouse, table, fingerprints, within)


def ingested_files(engine: DuckDBEngine, lakehouse: Lakehouse, table: Table) -> list[IngestedFile]:
    """The record of one landing table: its rows of ``landing_files``."""
    files = contract("landing_files")
    snapshot = lakehouse.snapshot(files)
    mine = [file for file in snapshot.files if file.partition["landing_table"] == table.name]
    return record(engine.relation(files, mine).to_arrow_table())


def recorded_fingerprints(snapshot: Snapshot, table: Table) -> dict[date, str | None]:
    """What the record of one landing table says that each day was made from.

    Args:
        snapshot: of ``landing_files``.
        table: the landing table.
    """
    return {f.landing_date: f.fingerprint for f in snapshot.files if f.partition["landing_table"] == table.name}


def _batches(files: Sequence[tuple[LandingFile, Survey]]) -> Iterator[list[tuple[LandingFile, Survey]]]:
    batch: list[tuple[LandingFile, Survey]] = []
    size = 0
    for file in files:
        if batch and size + file[0].size > BATCH:
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file[0].size
    if batch:
        yield batch


def _ingested(
    file: LandingFile, digest: str, lines: int, rows: int, rejected: int, duplicate_of: str | None
) -> IngestedFile:
    return IngestedFile(
        source_file=file.path,
        size=file.size,
        stamp=file.stamp,
        digest=digest,
        lines=lines,
        rows=rows,
        rejected=rejected,
        duplicate_of=duplicate_of,
        landing_table=file.table,
        landing_date=file.landing_date,
    )


def _report(day: _Day) -> DayReport:
    reasons: dict[str, int] = {}
    for reject in day.rejects:
        reason = str(reject["reason"])
        reasons[reason] = reasons.get(reason, 0) + 1
    return DayReport(
        files=len(day.ingested),
        duplicates=sum(file.duplicate_of is not None for file in day.ingested),
        kept=len(day.kept),
        lines=sum(file.lines for file in day.ingested if file.duplicate_of is None),
        rows=sum(file.rows for file in day.ingested),
        rejected=sum(file.rejected for file in day.ingested),
        reasons=dict(sorted(reasons.items())),
    )
