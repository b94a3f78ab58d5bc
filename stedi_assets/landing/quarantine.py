"""The quarantine of one landing day: its rejected texts, with their raw file, their place in it and the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pyarrow as pa

from stedi_assets.contracts import table as contract
from stedi_assets.lakehouse import NewFile
from stedi_assets.landing.context import IngestContext
from stedi_assets.landing.day_plan import DayPlan
from stedi_assets.landing.parse import Reject
from stedi_assets.landing.suppress import DaySuppression

FLUSH_BYTES = 64 << 20
"""Bytes of rejected lines that are kept in memory before they are written."""


class DayQuarantine:
    """Collects the rejected lines of one landing day, and writes them to new files.

    Args:
        context: the landing table and where it lies.
        plan: the day.
        suppression: leaves out the lines that name erased people.
    """

    def __init__(self, context: IngestContext, plan: DayPlan, suppression: DaySuppression) -> None:
        self._context = context
        self._plan = plan
        self._suppression = suppression
        self._pending: list[pa.Table] = []
        self.files: list[NewFile] = []
        """What was written; complete after :meth:`flush`."""
        self.reasons: Counter[str] = Counter()
        """How many lines were rejected for each reason."""

    def add(self, source_file: str, rejects: Iterable[Reject]) -> None:
        """Take in rejected texts of a raw file.

        Args:
            source_file: the raw file.
            rejects: the texts.
        """
        kept = [one for one in (self._suppression.kept(source_file, reject) for reject in rejects) if one is not None]
        if not kept:
            return
        lines, numbers, reasons, texts = zip(*kept, strict=True)
        self.reasons.update(reasons)
        source = pa.repeat(pa.scalar(source_file), len(kept))
        self._pending.append(
            pa.table(
                {
                    "source_file": source,
                    "source_line": lines,
                    "source_object": numbers,
                    "reason": reasons,
                    "line": texts,
                }
            )
        )
        if sum(part.nbytes for part in self._pending) >= FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what was taken in since the last time."""
        if not self._pending:
            return
        rows = pa.concat_tables(self._pending)
        self._pending = []
        day, within = self._plan.landing_date, self._context.within
        for name, value in (*within.items(), ("landing_date", day)):
            rows = rows.append_column(name, pa.repeat(pa.scalar(value), rows.num_rows))
        self.files += self._context.write(contract("landing_quarantine"), rows, {day: self._plan.fingerprint}, within)
