"""Suppression while a day is ingested: the lines of erased people stay out of its rows and of its quarantine.

Whose lines those are is ``privacy.suppression``'s to say; here they are left out and counted per raw file.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from stedi_assets.engines.sql import as_named, named
from stedi_assets.lakehouse import NewFile
from stedi_assets.landing.context import IngestContext
from stedi_assets.landing.manifest import ManifestEntry
from stedi_assets.landing.parse import INCOMPLETE, Reject
from stedi_assets.privacy.suppression import Return, Suppression


class DaySuppression:
    """The suppressed lines of one landing day, counted as they are left out.

    Args:
        context: the landing table and where it lies.
        suppression: the people who were erased by now; none, or an empty one, suppresses nothing.
        fingerprint: of the day's inputs, for the files that are written anew.
    """

    def __init__(self, context: IngestContext, suppression: Suppression | None, fingerprint: str) -> None:
        self._context = context
        self._suppression = suppression or None
        self._fingerprint = fingerprint
        self._rows: Counter[tuple[str, str]] = Counter()
        """How many rows were left out of a file under an erasure request."""
        self._rejected: Counter[tuple[str, str]] = Counter()
        """How many rejected lines were, likewise."""

    def kept(self, source_file: str, reject: Reject) -> Reject | None:
        """What stays of a rejected text: of one that names somebody who was erased, whom else it may speak of.

        Args:
            source_file: the raw file that the text stands in.
            reject: the text.

        Returns:
            None where nothing stays; the text is counted then. That a part of a text is not there is always said.
        """
        tombstone = self._suppression.of_rejected(reject.text) if self._suppression else None
        if self._suppression is None or tombstone is None:
            return reject
        left = self._suppression.left_of_rejected(reject.text)
        if left or reject.reason in INCOMPLETE:
            return reject._replace(text=left)
        self._rejected[source_file, tombstone.request] += 1
        return None

    def filtered(self, new: NewFile) -> NewFile:
        """A new file without the rows of erased people; the same file where it has none.

        Args:
            new: a file that is not part of the table yet; it is deleted if another takes its place.
        """
        if self._suppression is None:
            return new
        engine, lakehouse, table = self._context.engine, self._context.lakehouse, self._context.table
        path = f"{lakehouse.root(table)}/{new.path}"
        marked = self._suppression.marked(table, engine.connection.read_parquet(as_named(path)))
        if marked is None:
            return new
        counted = engine.rows(
            "SELECT source_file, request, count(*) FROM marked WHERE request IS NOT NULL GROUP BY ALL", marked=marked
        )
        if not counted:
            return new
        for source_file, request, number in counted:
            self._rows[source_file, request] += number
        marked.create_view("marked", replace=True)
        columns = ", ".join(named(column.name) for column in table.data_columns)
        query = f"SELECT {columns} FROM marked WHERE request IS NULL"
        rewritten = engine.copy(query, lakehouse, table, new.partition, self._fingerprint)
        # It is no part of the table yet, and must not wait for a vacuum.
        lakehouse.discard(table, new)
        return rewritten

    def counted(self, entries: Iterable[ManifestEntry]) -> list[ManifestEntry]:
        """Manifest entries that count the lines which were left out as erased.

        Args:
            entries: the day's entries, which count them as rows or as rejected.
        """
        if self._suppression is None:
            return list(entries)
        returns = self._suppression.returns()
        requests: dict[str, set[str]] = {}
        for source_file, request in [*self._rows, *self._rejected]:
            requests.setdefault(source_file, set()).add(request)
        return [
            self._count(entry, {request: returns.get(request, Return()) for request in requests[entry.source_file]})
            if entry.source_file in requests
            else entry
            for entry in entries
        ]

    def _count(self, entry: ManifestEntry, returns: dict[str, Return]) -> ManifestEntry:
        rows = sum(self._rows[entry.source_file, request] for request in returns)
        rejected = sum(self._rejected[entry.source_file, request] for request in returns)
        under = json.loads(entry.erased_under) if entry.erased_under else {}
        under |= {request: str(when) for request, when in returns.items()}
        return replace(
            entry,
            rows=entry.rows - rows,
            rejected=entry.rejected - rejected,
            erased=entry.erased + rows + rejected,
            erased_under=json.dumps(under, sort_keys=True),
        )
