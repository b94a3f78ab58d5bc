"""Reading one planned landing day: raw files become new Parquet files, rejected texts go to the quarantine.

Files are read in batches at full speed; a batch of which that does not prove every line good is read again, text by
text. Of files that are gone and kept, the rows and rejected texts are carried over.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from stedi_assets.contracts import table as contract
from stedi_assets.lakehouse import NewFile, Snapshot
from stedi_assets.landing.context import IngestContext
from stedi_assets.landing.day_plan import DayPlan, PlannedFile
from stedi_assets.landing.errors import UnreadableFileError
from stedi_assets.landing.fast_path import allows_fast_path, fast_path_query, has_line_numbers, proves_fast_path
from stedi_assets.landing.manifest import ManifestEntry
from stedi_assets.landing.parse import Reject, read_texts
from stedi_assets.landing.profile import count_lines
from stedi_assets.landing.quarantine import DayQuarantine

BATCH = 256 << 20
"""Bytes of raw files that are read in one query; if one line of them is bad, they are read again."""

REJECTED_BYTES = 2_000
"""Characters that the rejected texts of a file may have on average, where it has as many of them as it may."""

FLUSH_ROWS = 1_000_000
"""Rows of texts, read one by one, that are kept in memory before they are written."""


class DayReader:
    """Reads what one landing day is planned to be made from.

    Args:
        context: the landing table and where it lies.
        plan: the day.
        quarantine: takes in the rejected lines.
    """

    def __init__(self, context: IngestContext, plan: DayPlan, quarantine: DayQuarantine) -> None:
        self._context = context
        self._plan = plan
        self._quarantine = quarantine
        self.files: list[NewFile] = []
        """The new files with the day's rows; none of them is part of the table yet."""
        self.entries: list[ManifestEntry] = []
        """The manifest entries of the raw files that were read."""

    def read_files(self) -> None:
        """Read every raw file that counts, and count the lines of the duplicates.

        Raises:
            UnreadableFileError: a file cannot be read, or goes beyond a limit.
        """
        for batch in _batches([one for one in self._plan.files if one.duplicate_of is None]):
            if not self.read_fast(batch):
                for one in batch:
                    self._read_texts(one)
        for one in self._plan.files:
            if one.duplicate_of is not None:
                lines = count_lines(self._context.fs, self._context.path(one.file))
                self.entries.append(one.entry(lines))

    def read_fast(self, batch: Sequence[PlannedFile]) -> bool:
        """Read some files at full speed.

        Args:
            batch: the files.

        Returns:
            Whether that proves every line of them good; nothing is kept of them otherwise.
        """
        context, plan = self._context, self._plan
        paths = [context.path(one.file) for one in batch]
        profiles = [one.profile for one in batch]
        if not allows_fast_path(context.table, profiles, paths):
            return False
        query = fast_path_query(context.table, plan.landing_date, paths, profiles, context.root)
        partition = {"landing_date": plan.landing_date.isoformat()}
        try:
            with context.engine.in_order(has_line_numbers(context.table)):
                new = context.engine.copy(query, context.lakehouse, context.table, partition, plan.fingerprint)
        except duckdb.Error:
            # A line that is too long, or a file that changed or went: the slow way says which.
            return False
        if not proves_fast_path(context.table, profiles, new.rows, new.nulls):
            # Some line is suspect. The new file is no part of the table.
            context.lakehouse.discard(context.table, new)
            return False
        self.files.append(new)
        self.entries += [one.entry(one.profile.lines, rows=one.profile.lines) for one in batch]
        return True

    def _read_texts(self, one: PlannedFile) -> None:
        """Read one file text by text.

        Raises:
            UnreadableFileError: it cannot be read, or more of its texts are rejected than may be.
        """
        context, most = self._context, self._context.zone.limits.most_rejected
        path, day = context.path(one.file), self._plan.landing_date
        texts = rows = rejected = size = 0
        unknown: Counter[str] = Counter()
        pending: list[pa.Table] = []
        for piece in read_texts(
            context.engine, context.fs, path, context.table, one.file.path, day, context.zone.limits
        ):
            texts += piece.texts
            unknown.update(piece.unknown_keys)
            rows += piece.rows.num_rows
            rejected += len(piece.rejects)
            size += sum(len(reject.text) for reject in piece.rejects)
            if rejected > most or size > most * REJECTED_BYTES + context.zone.limits.longest_text:
                raise _too_many_rejected(path, most)
            self._quarantine.add(one.file.path, piece.rejects)
            pending.append(piece.rows)
            if sum(part.num_rows for part in pending) >= FLUSH_ROWS:
                self._write(pa.concat_tables(pending))
                pending = []
        if any(part.num_rows for part in pending):
            self._write(pa.concat_tables(pending))
        self.entries.append(one.entry(texts, rows, rejected, unknown))

    def carry_over(self, stored: Snapshot) -> None:
        """Take over what files that are gone gave, where the plan keeps it.

        Args:
            stored: the landing table as it is.
        """
        kept, day = self._plan.kept, self._plan.landing_date
        if not kept:
            return
        engine, lakehouse = self._context.engine, self._context.lakehouse
        source_files = pa.array([entry.source_file for entry in kept if entry.duplicate_of is None], pa.string())
        rows = engine.relation(self._context.table, stored.select({day})).to_arrow_table()
        self._write(rows.filter(pc.is_in(rows["source_file"], source_files)))
        quarantine = contract("landing_quarantine")
        files = lakehouse.snapshot(quarantine).part("landing_table", self._context.table.name, {day})
        lines = engine.relation(quarantine, files).to_arrow_table()
        lines = lines.filter(pc.is_in(lines["source_file"], source_files))
        for source_file in lines["source_file"].unique().to_pylist():
            rejects = lines.filter(pc.equal(lines["source_file"], source_file))
            columns = (rejects[name].to_pylist() for name in ("source_line", "source_object", "reason", "line"))
            self._quarantine.add(source_file, itertools.starmap(Reject, zip(*columns, strict=True)))
        self.entries += kept

    def _write(self, rows: pa.Table) -> None:
        self.files += self._context.write_rows(rows, self._plan.landing_date, self._plan.fingerprint)


def _too_many_rejected(path: str, most: int) -> UnreadableFileError:
    msg = (
        f"Of the raw file {path} more than {most} texts (or {most * REJECTED_BYTES} bytes of them) cannot be read, "
        "and none of it was taken in: that is the most that STEDI_MOST_REJECTED allows to be kept one by one. Look at "
        "what the file holds; mend it, move it out of the landing folder or raise the limit, then run the day again; "
        "the table is as it was."
    )
    return UnreadableFileError(msg)


def _batches(files: Sequence[PlannedFile]) -> Iterator[list[PlannedFile]]:
    batch: list[PlannedFile] = []
    size = 0
    for one in files:
        if batch and size + one.file.size > BATCH:
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += one.file.size
    if batch:
        yield batch
