"""A lake in memory: what lands in it are the oracle's landing tables, and nothing is written.

It takes less than a tenth of the time of a lake in a folder. What is tested on it are the transforms, the fingerprints
and reconciliation.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any

import narwhals.stable.v2 as nw
import pyarrow as pa
import pyarrow.compute as pc

from stedi_assets.contracts import LANDING_TABLES, Table
from stedi_assets.contracts import table as contract
from stedi_assets.contracts.render import arrow_schema
from stedi_assets.engines.duckdb import DuckDBEngine
from stedi_assets.lakehouse import DataFile, Lakehouse, NewFile, Snapshot
from stedi_assets.lakehouse.fingerprint import fingerprint
from stedi_assets.reference import (
    COLUMNS,
    LandedFile,
    Landing,
    land,
)
from stedi_assets.settings import Settings
from stedi_assets_tests.kit.driven import DrivenLake, MortalLakehouse
from stedi_assets_tests.oracle.histories import (
    History,
)


class MemoryLakehouse(MortalLakehouse):
    """A lakehouse whose files nobody else can see."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.held: dict[str, tuple[DataFile, ...]] = {}

    def committing(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def snapshot(self, table: Table) -> Snapshot:
        snapshot = Snapshot(table, self.root(table), None)
        snapshot.__dict__["files"] = self.held.get(table.name, ())
        return snapshot

    def _replace(self, table: Table, days: Collection[date], files: Sequence[NewFile], **how: Any) -> int:
        kept = [file for file in self.held.get(table.name, ()) if file.landing_date not in days]
        self.held[table.name] = (*kept, *(self._file(table, file) for file in files))
        return 0

    def _file(self, table: Table, new: NewFile) -> DataFile:
        return DataFile(
            path=new.path,
            uri=f"{self.root(table)}/{new.path}",
            landing_date=date.fromisoformat(new.partition["landing_date"]),
            partition=new.partition,
            rows=new.rows,
            size=new.size,
            fingerprint=new.path.rpartition("/")[2][:-45],
            minimum=new.minimum,
            maximum=new.maximum,
        )


class MemoryEngine(DuckDBEngine):
    """Frames are PyArrow's, files are kept in memory; DuckDB computes only what is written in SQL."""

    def __init__(self) -> None:
        super().__init__(threads=1)
        self.stored: dict[str, pa.Table] = {}
        self._scanned: dict[object, Any] = {}

    def relation(self, table: Table, files: Sequence[DataFile]) -> Any:
        return self.connection.from_arrow(self._rows(table, files))

    def _rows(self, table: Table, files: Sequence[DataFile]) -> pa.Table:
        return pa.concat_tables([arrow_schema(table).empty_table(), *(self.stored[file.uri] for file in files)])

    def scan(self, table: Table, files: Sequence[DataFile]) -> Any:
        key = (table.name, *(file.uri for file in files))
        if key not in self._scanned:
            self._scanned[key] = self.frame(self._rows(table, files))
        return self._scanned[key]

    def forget(self) -> None:
        """Make room for another lake."""
        self.stored.clear()
        self._scanned.clear()

    def frame(self, rows: pa.Table) -> Any:
        return nw.from_native(rows).lazy()

    def collect(self, frame: Any) -> pa.Table:
        return frame.to_native()

    def write(
        self,
        frame: Any,
        lakehouse: Lakehouse,
        table: Table,
        fingerprints: Mapping[date, str],
        within: Mapping[str, str] | None = None,
    ) -> list[NewFile]:
        rows = self.collect(frame).cast(arrow_schema(table))
        written = []
        for day, name in fingerprints.items():
            partition = {**(within or {}), "landing_date": day.isoformat()}
            path = lakehouse.new_path(partition, name)
            part = rows.filter(pc.equal(rows["landing_date"], day))
            self.stored[f"{lakehouse.root(table)}/{path}"] = part
            told = [column.name for column in table.data_columns if column.statistics and part.num_rows]
            least, most = ({c: f(part[c]).as_py() for c in told} for f in (pc.min, pc.max))
            written.append(NewFile(path, partition, part.num_rows, 0, least, most, {}))
        return written


def rejected_rows(landing: Landing) -> pa.Table:
    """The rows of ``landing_quarantine`` of the customer records that could not be read."""
    rows = [
        {
            "line": one.content.decode("utf-8", "backslashreplace"),
            "reason": "",
            "landing_table": "customer_landing",
            "landing_date": one.landing_date,
            "source_file": one.path,
            "source_line": one.line,
            "source_object": one.number,
        }
        for one in landing.rejected
    ]
    return pa.Table.from_pylist(rows, arrow_schema(contract("landing_quarantine")))


@dataclasses.dataclass(frozen=True)
class Saved:
    """What a lake in memory holds.

    Args:
        rows: of each stored file.
        files: of each table.
        lying: the raw files.
    """

    rows: Mapping[str, pa.Table]
    files: Mapping[str, tuple[DataFile, ...]]
    lying: Sequence[LandedFile]


class MemoryLake(DrivenLake):
    """A lake in memory. What lands in it are the oracle's landing tables."""

    lakehouse: MemoryLakehouse
    engine: MemoryEngine
    shared = MemoryEngine()
    """Opening DuckDB takes longer than most examples."""

    def _parts(self, settings: Settings) -> tuple[MortalLakehouse, DuckDBEngine]:
        self.shared.forget()
        return MemoryLakehouse(settings.lake_uri), self.shared

    def close(self) -> None:
        pass

    def arrive(self, history: History, count: int | None, start: int) -> None:
        self.lying += history.files[start:count]

    def _landing(self, name: str) -> dict[date, list[LandedFile]]:
        """The files of each day that count, and are not copies of such."""
        first: dict[bytes, LandedFile] = {}
        for file in sorted(self.lying, key=lambda file: (file.landing_date, file.path)):
            if file.table == name:
                first.setdefault(file.content, file)
        days: dict[date, list[LandedFile]] = {file.landing_date: [] for file in self.lying if file.table == name}
        for file in first.values():
            days[file.landing_date].append(file)
        return days

    def land(self, name: str, days: Sequence[date]) -> None:
        table, lying = contract(name), self._landing(name)
        names = {day: fingerprint(name, lying.get(day, [])) for day in days}
        landed = land(file for day in days for file in lying.get(day, ()))
        rows = [dict(zip(COLUMNS[name], row, strict=False)) for row in landed.tables[name].elements()]
        frame = self.engine.frame(pa.Table.from_pylist(rows, arrow_schema(table)))
        self.lakehouse.replace(table, days, self.engine.write(frame, self.lakehouse, table, names))
        if name == "customer_landing":
            quarantine, within = contract("landing_quarantine"), {"landing_table": name}
            frame = self.engine.frame(rejected_rows(landed))
            files = self.engine.write(frame, self.lakehouse, quarantine, names, within)
            self.lakehouse.replace(quarantine, days, files, within=within)

    def landed(self) -> dict[str, list[date]]:
        todo: dict[str, list[date]] = {}
        for table in LANDING_TABLES:
            stored = self.lakehouse.snapshot(table).fingerprints()
            for day, files in self._landing(table.name).items():
                if stored.get(day) != fingerprint(table.name, files):
                    todo.setdefault(table.name, []).append(day)
        return todo

    def saved(self) -> Saved:
        """What it holds, to be restored into another one."""
        return Saved(dict(self.engine.stored), dict(self.lakehouse.held), list(self.lying))

    def restore(self, saved: Saved) -> None:
        """Hold what another one held."""
        self.engine.stored.update(saved.rows)
        self.lakehouse.held.update(saved.files)
        self.lying = list(saved.lying)
