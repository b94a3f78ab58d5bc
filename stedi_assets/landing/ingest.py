"""Makes the partitions of a landing table out of the raw files of their days.

Three tables change: the landing table, ``landing_quarantine`` (its rejected lines) and
``landing_files`` (what became of each file), in this order. So a run that is killed between the commits
leaves a table that is not what the record says, and the day is found and run again.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date
from enum import Enum

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from stedi_assets.contracts import Table
from stedi_assets.contracts import table as contract
from stedi_assets.contracts.render import arrow_schema
from stedi_assets.engines.session import Session
from stedi_assets.engines.sql import as_named, named
from stedi_assets.lakehouse import Lakehouse, NewFile, Snapshot, VacuumedError
from stedi_assets.lakehouse.fingerprint import fingerprint
from stedi_assets.landing.files import LandingFile, LandingZone
from stedi_assets.landing.manifest import ManifestEntry, as_rows, first_copies, record
from stedi_assets.landing.parse import Parsed, may_be_whole, numbers_lines, proves_whole, read_lines, whole_query
from stedi_assets.landing.profile import FileProfile, UnreadableFileError, count_lines, profile_file
from stedi_assets.privacy.suppression import Return, Suppression

BATCH = 256 << 20
"""Bytes of raw files that are read in one query; if one line of them is bad, they are read again."""

FLUSH_ROWS = 1_000_000
"""Rows of slowly read lines that are held before they are written."""

ATTEMPTS = 5
"""Times that days are read again, because what was written of them was vacuumed away before it was committed."""

FLUSH_BYTES = 64 << 20
"""Bytes of rejected lines that are held before they are written."""


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
    erased: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


@dataclass
class _Day:
    """One landing day on its way into the table."""

    landing_date: date
    fingerprint: str
    files: list[tuple[LandingFile, FileProfile, str | None]]
    kept: list[ManifestEntry]
    written: list[NewFile] = field(default_factory=list)
    ingested: list[ManifestEntry] = field(default_factory=list)
    rejects: list[pa.Table] = field(default_factory=list)
    quarantined: list[NewFile] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)
    erased: Counter[tuple[str, str, bool]] = field(default_factory=Counter)
    """Left out: file, erasure request, whether the lines were rejected."""


class Ingestion:
    """Brings raw files of some days into one landing table.

    Args:
        engine: reads and writes.
        lakehouse: where the tables lie.
        zone: where the raw files lie.
        table: the landing table.
        missing: what to do with the rows of files that are gone.
        erased: gives the people who were erased by now, whose lines are left out; nobody by default.
        progress: called with the bytes done and the bytes in all.
    """

    def __init__(
        self,
        engine: Session,
        lakehouse: Lakehouse,
        zone: LandingZone,
        table: Table,
        *,
        missing: MissingFiles = MissingFiles.FAIL,
        erased: Callable[[], Suppression] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.engine = engine
        self.lakehouse = lakehouse
        self.table = table
        self.missing = missing
        self.zone = zone
        self.fs, self.root = zone.filesystem()
        self._progress = progress or (lambda done, total: None)
        self._erased_now = erased

    def run(self, days: Collection[date], files: Mapping[date, Sequence[LandingFile]]) -> dict[date, DayReport]:
        """Replace the partitions of ``days`` by what ``files`` hold.

        Somebody who is erased meanwhile is left out: the days are read again then. Days that cannot be run stay as
        they were; the others are committed before the error is raised.

        Args:
            days: the landing days.
            files: the raw files of each, as listed.

        Returns:
            What became of each day.

        Raises:
            MissingFilesError: files of a day are gone and nobody said what to do with their rows.
            UnreadableFileError: a file cannot be read.
        """
        attempt = 0
        while True:
            attempt += 1
            erased = self._erased_now() if self._erased_now is not None else None
            try:
                reports = self._run(days, files, erased)
            except Exception as error:
                # The vacuum of an erasure takes files that are written and not committed yet.
                swept = isinstance(error, VacuumedError) or (
                    erased is not None and erased.tombstones.state != self._erased_state()
                )
                if not swept or attempt == ATTEMPTS:
                    raise
            else:
                if reports is not None:
                    return reports

    def _run(
        self, days: Collection[date], files: Mapping[date, Sequence[LandingFile]], erased: Suppression | None
    ) -> dict[date, DayReport] | None:
        """Do it; none, and nothing is changed, if somebody was erased meanwhile."""
        self._erased = erased
        stored = self.lakehouse.snapshot(self.table)
        before = manifest_entries(self.engine, self.lakehouse, self.table)
        total = sum(file.size for day in days for file in files.get(day, ()))
        done = 0
        # Copies on days that are not run now keep their say on which of equal files counts, unless the
        # file has moved: its modification time made another day of it.
        here = {file.path for day in days for file in files.get(day, ())}
        known = [file for file in before if file.landing_date not in days and file.source_file not in here]
        finished: list[_Day] = []
        failed: list[UnreadableFileError | MissingFilesError] = []
        for day in sorted(days):
            ingested = [file for file in before if file.landing_date == day]
            try:
                at = self._day(day, files.get(day, ()), ingested, known)
                self._read(at, stored)
            except (UnreadableFileError, MissingFilesError) as error:
                failed.append(error)
                known += ingested
            else:
                known += at.ingested
                finished.append(at)
            done += sum(file.size for file in files.get(day, ()))
            self._progress(done, total)
        if finished:
            with self.lakehouse.committing():
                if erased is not None and erased.tombstones.state != self._erased_state():
                    return None
                self._commit(finished)
        if len(failed) == 1:
            raise failed[0]
        if failed:
            raise type(failed[0])("\n".join(str(error) for error in failed))
        return {day.landing_date: _report(day) for day in finished}

    def _day(
        self, day: date, files: Sequence[LandingFile], before: Sequence[ManifestEntry], known: Sequence[ManifestEntry]
    ) -> _Day:
        listed = {file.path for file in files}
        absent = [file for file in before if file.source_file not in listed and not self._has_moved(file)]
        # What gave nothing (it was empty, or a copy) takes nothing with it.
        gone = [file for file in absent if file.rows or file.rejected]
        if gone and self.missing is MissingFiles.FAIL:
            msg = (
                f"{len(gone)} raw file(s) of {self.table.name} that landed on {day} are gone, and running the day "
                f"would take their {sum(f.rows for f in gone)} rows with them. The table is as it was. Put the files "
                "back, or run the day with missing_files: keep (their rows stay) or drop (their rows go)."
            )
            raise MissingFilesError(msg)
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            profiles = list(pool.map(lambda file: profile_file(self.fs, f"{self.root}/{file.path}"), files))
        found = [_ingested(file, one.digest, int(not one.blank), 0, 0, None) for file, one in zip(files, profiles)]
        kept = absent if self.missing is MissingFiles.KEEP else []
        first = first_copies([*known, *kept, *found])
        counted = []
        for file, profile in zip(files, profiles):
            at = first.get(profile.digest, (day, file.path))
            duplicate = not profile.blank and at < (day, file.path)
            counted.append((file, profile, at[1] if duplicate else None))
        # Rows of a file that is gone go where the same bytes count elsewhere.
        kept = [
            replace(file, rows=0, rejected=0, duplicate_of=first[file.digest][1])
            if file.duplicate_of is None and file.lines and first[file.digest] < (day, file.source_file)
            else file
            for file in kept
        ]
        inputs = [(file.path, profile.digest, duplicate) for file, profile, duplicate in counted]
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
                lines = count_lines(self.fs, f"{self.root}/{file.path}")
                day.ingested.append(_ingested(file, found.digest, lines, 0, 0, duplicate))
        if day.kept:
            self._keep(day, stored)
        self._leave_out(day)
        if not day.written:
            self._write(day, arrow_schema(self.table).empty_table())
        self._flush_rejects(day)

    def _leave_out(self, day: _Day) -> None:
        """Leave out the rows of people who were erased, and note how many lines of which file were."""
        if not self._erased:
            return
        day.written = [self._without_erased(day, new) for new in day.written]
        returns = self._erased.returns()
        by_file: dict[str, list[tuple[str, bool, int]]] = {}
        for (file, request, rejected), number in day.erased.items():
            by_file.setdefault(file, []).append((request, rejected, number))
        for position, one in enumerate(day.ingested):
            if one.source_file not in by_file:
                continue
            left_out = by_file[one.source_file]
            rows = sum(number for _, rejected, number in left_out if not rejected)
            lines = sum(number for *_, number in left_out)
            under = json.loads(one.erased_under) if one.erased_under else {}
            under |= {request: str(returns.get(request, Return())) for request, *_ in left_out}
            day.ingested[position] = replace(
                one,
                rows=one.rows - rows,
                rejected=one.rejected - (lines - rows),
                erased=one.erased + lines,
                erased_under=json.dumps(under, sort_keys=True),
            )

    def _without_erased(self, day: _Day, new: NewFile) -> NewFile:
        """The same file, or one without the rows of people who were erased."""
        if self._erased is None:
            return new
        path = f"{self.lakehouse.root(self.table)}/{new.path}"
        marked = self._erased.marked(self.table, self.engine.connection.read_parquet(as_named(path)))
        if marked is None:
            return new
        counted = self.engine.rows(
            "SELECT source_file, request, count(*) FROM marked WHERE request IS NOT NULL GROUP BY ALL", marked=marked
        )
        if not counted:
            return new
        for source_file, request, number in counted:
            day.erased[source_file, request, False] += number
        marked.create_view("marked", replace=True)
        columns = ", ".join(named(column.name) for column in self.table.data_columns)
        query = f"SELECT {columns} FROM marked WHERE request IS NULL"
        left = self.engine.copy(query, self.lakehouse, self.table, new.partition, day.fingerprint)
        # It is no part of the table yet, and must not wait for a vacuum.
        self.lakehouse.discard(self.table, new)
        return left

    def _erased_state(self) -> str:
        return self._erased_now().tombstones.state if self._erased_now is not None else ""

    def _has_moved(self, file: ManifestEntry) -> bool:
        """Whether a file that is not listed on its day lies on another day now."""
        day = self.zone.day_by_time(file.source_file)
        return day is not None and day != file.landing_date

    def _read_whole(self, day: _Day, batch: Sequence[tuple[LandingFile, FileProfile]]) -> bool:
        """Read a batch at full speed; false if that does not prove every line good."""
        paths = [f"{self.root}/{file.path}" for file, _ in batch]
        profiles = [found for _, found in batch]
        if not may_be_whole(self.table, profiles, paths):
            return False
        query = whole_query(self.table, day.landing_date, paths, profiles, self.root)
        partition = {"landing_date": day.landing_date.isoformat()}
        try:
            with self.engine.in_order(numbers_lines(self.table)):
                new = self.engine.copy(query, self.lakehouse, self.table, partition, day.fingerprint)
        except duckdb.Error:
            # A line that is too long, or a file that changed or went: the slow way says which.
            return False
        if not proves_whole(self.table, profiles, new.rows, new.nulls):
            # Some line is suspect. The new file is no part of the table.
            self.lakehouse.discard(self.table, new)
            return False
        day.written.append(new)
        day.ingested += [_ingested(file, found.digest, found.lines, found.lines, 0, None) for file, found in batch]
        return True

    def _read_lines(self, day: _Day, file: LandingFile, found: FileProfile) -> None:
        """Read one file line by line."""
        lines = rows = rejected = 0
        held: list[pa.Table] = []
        path = f"{self.root}/{file.path}"
        for piece in read_lines(self.engine, self.fs, path, self.table, file.path, day.landing_date):
            lines += piece.lines
            rows += piece.rows.num_rows
            rejected += len(piece.rejects)
            self._reject(day, file, piece)
            held.append(piece.rows)
            if sum(part.num_rows for part in held) >= FLUSH_ROWS:
                self._write(day, pa.concat_tables(held))
                held = []
        if any(part.num_rows for part in held):
            self._write(day, pa.concat_tables(held))
        day.ingested.append(_ingested(file, found.digest, lines, rows, rejected, None))

    def _reject(self, day: _Day, file: LandingFile, piece: Parsed) -> None:
        rejects = [reject for reject in piece.rejects if not self._names_erased(day, file.path, reject[2])]
        if not rejects:
            return
        numbers, reasons, lines = zip(*rejects)
        for reason in reasons:
            day.reasons[reason] = day.reasons.get(reason, 0) + 1
        source = pa.repeat(pa.scalar(file.path), len(lines))
        day.rejects.append(pa.table({"source_file": source, "source_line": numbers, "reason": reasons, "line": lines}))
        if sum(part.nbytes for part in day.rejects) >= FLUSH_BYTES:
            self._flush_rejects(day)

    def _names_erased(self, day: _Day, source_file: str, line: str) -> bool:
        """Whether a rejected line names somebody who was erased; noted, if it does."""
        stone = self._erased.of_rejected(line) if self._erased else None
        if stone is not None:
            day.erased[source_file, stone.request, True] += 1
        return stone is not None

    def _flush_rejects(self, day: _Day) -> None:
        if not day.rejects:
            return
        rows = pa.concat_tables(day.rejects)
        day.rejects = []
        within = {"landing_table": self.table.name}
        for name, value in (*within.items(), ("landing_date", day.landing_date)):
            rows = rows.append_column(name, pa.repeat(pa.scalar(value), rows.num_rows))
        fingerprints = {day.landing_date: day.fingerprint}
        day.quarantined += self._new(contract("landing_quarantine"), rows, fingerprints, within)

    def _keep(self, day: _Day, stored: Snapshot) -> None:
        """Carry over what files that are gone gave."""
        gone = pa.array([file.source_file for file in day.kept if file.duplicate_of is None], pa.string())
        rows = self.engine.relation(self.table, stored.select({day.landing_date})).to_arrow_table()
        self._write(day, rows.filter(pc.is_in(rows["source_file"], gone)))
        quarantine = contract("landing_quarantine")
        snapshot = self.lakehouse.snapshot(quarantine)
        files = [f for f in snapshot.select({day.landing_date}) if f.partition["landing_table"] == self.table.name]
        lines = self.engine.relation(quarantine, files).to_arrow_table()
        lines = lines.filter(pc.is_in(lines["source_file"], gone))
        if self._erased:
            named_erased = [
                self._names_erased(day, one["source_file"], one["line"])
                for one in lines.select(["source_file", "line"]).to_pylist()
            ]
            lines = lines.filter(pa.array([not one for one in named_erased], pa.bool_()))
        if lines.num_rows:
            for reason in lines["reason"].to_pylist():
                day.reasons[reason] = day.reasons.get(reason, 0) + 1
            day.rejects.append(lines.select(["source_file", "source_line", "reason", "line"]))
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
        self.lakehouse.replace(self.table, landing_days, [file for day in days for file in day.written])
        rejects = [file for day in days for file in day.quarantined]
        self.lakehouse.replace(quarantine, landing_days, rejects, within=within)
        ingested = as_rows(file for day in days for file in day.ingested)
        new = self._new(files, ingested, {day.landing_date: day.fingerprint for day in days}, within)
        self.lakehouse.replace(files, landing_days, new, within=within)

    def _new(
        self, table: Table, rows: pa.Table, fingerprints: Mapping[date, str], within: Mapping[str, str]
    ) -> list[NewFile]:
        return self.engine.write(self.engine.frame(rows), self.lakehouse, table, fingerprints, within)


def manifest_entries(engine: Session, lakehouse: Lakehouse, table: Table) -> list[ManifestEntry]:
    """The record of one landing table: its rows of ``landing_files``."""
    files = contract("landing_files")
    snapshot = lakehouse.snapshot(files)

    def read() -> list[ManifestEntry]:
        mine = [file for file in snapshot.files if file.partition["landing_table"] == table.name]
        return record(engine.relation(files, mine).to_arrow_table())

    return list(snapshot.remember(f"record of {table.name}", read))


def recorded_fingerprints(snapshot: Snapshot, table: Table) -> dict[date, str | None]:
    """What the record of one landing table says that each day was made from; none where its files do not agree.

    Args:
        snapshot: of ``landing_files``, or of ``landing_quarantine``, which has only days with rejected lines.
        table: the landing table.
    """
    said: dict[date, set[str | None]] = {}
    for file in snapshot.files:
        if file.partition["landing_table"] == table.name:
            said.setdefault(file.landing_date, set()).add(file.fingerprint)
    return {day: prints.pop() if len(prints) == 1 else None for day, prints in said.items()}


def _batches(files: Sequence[tuple[LandingFile, FileProfile]]) -> Iterator[list[tuple[LandingFile, FileProfile]]]:
    batch: list[tuple[LandingFile, FileProfile]] = []
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
) -> ManifestEntry:
    return ManifestEntry(
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
    return DayReport(
        files=len(day.ingested),
        duplicates=sum(file.duplicate_of is not None for file in day.ingested),
        kept=len(day.kept),
        lines=sum(file.lines for file in day.ingested if file.duplicate_of is None),
        rows=sum(file.rows for file in day.ingested),
        rejected=sum(file.rejected for file in day.ingested),
        erased=sum(file.erased for file in day.ingested),
        reasons=dict(sorted(day.reasons.items())),
    )
