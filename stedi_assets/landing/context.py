"""The context of an ingestion: one landing table, its raw files, and the parts that read and write them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import fsspec
import pyarrow as pa

from stedi_assets.contracts import Table
from stedi_assets.engines.session import Session
from stedi_assets.lakehouse import Lakehouse, NewFile
from stedi_assets.landing.files import LandingFile, LandingZone


@dataclass(frozen=True)
class IngestContext:
    """One landing table, its landing zone, its lake, and the engine. Nothing of it changes while days are ingested.

    Args:
        engine: reads and writes.
        lakehouse: where the tables lie.
        zone: where the raw files lie.
        table: the landing table.
    """

    engine: Session
    lakehouse: Lakehouse
    zone: LandingZone
    table: Table

    @cached_property
    def _location(self) -> tuple[fsspec.AbstractFileSystem, str]:
        return self.zone.filesystem()

    @property
    def fs(self) -> fsspec.AbstractFileSystem:
        """The file system of the raw files."""
        return self._location[0]

    @property
    def root(self) -> str:
        """The path of the landing zone in its file system."""
        return self._location[1]

    @property
    def within(self) -> Mapping[str, str]:
        """The partition value by which the side tables tell this landing table's rows from those of the others."""
        return {"landing_table": self.table.name}

    def path(self, file: LandingFile) -> str:
        """The path of a raw file in its file system."""
        return f"{self.root}/{file.path}"

    def write(
        self, table: Table, rows: pa.Table, fingerprints: Mapping[date, str], within: Mapping[str, str] | None = None
    ) -> list[NewFile]:
        """Write rows to new files that are not part of their table yet.

        Args:
            table: the table that they are for.
            rows: its rows, with their partition columns.
            fingerprints: of each landing day to write, the fingerprint of its inputs.
            within: values of the partition columns besides ``landing_date``.

        Returns:
            At least one file for each day.
        """
        return self.engine.write(self.engine.frame(rows), self.lakehouse, table, fingerprints, within)

    def write_rows(self, rows: pa.Table, landing_date: date, fingerprint: str) -> list[NewFile]:
        """Write rows of one day of the landing table; see :meth:`write`.

        Args:
            rows: the rows; a ``landing_date`` that they have is replaced.
            landing_date: the day.
            fingerprint: the fingerprint of its inputs.

        Returns:
            The new files.
        """
        columns = {name: rows[name] for name in rows.column_names if name != "landing_date"}
        dated = pa.table({**columns, "landing_date": pa.repeat(pa.scalar(landing_date), rows.num_rows)})
        return self.write(self.table, dated, {landing_date: fingerprint})
