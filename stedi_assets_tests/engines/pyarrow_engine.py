"""A second engine, of PyArrow, for data that fits into memory: what the protocol asks of an engine, and no more.

What belongs here: the methods of ``stedi_assets.engines.Engine``. What does not: SQL, and any rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import narwhals.stable.v2 as nw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stedi_assets.contracts import DataType, LandingSource, Table
from stedi_assets.contracts.line import decode_object, validate_line
from stedi_assets.contracts.render import arrow_schema
from stedi_assets.engines import Frame
from stedi_assets.engines.base import Keys, ParsedLines
from stedi_assets.lakehouse import DataFile, Lakehouse, NewFile


def _keys_of(line: bytes) -> set[str]:
    try:
        return {key for key, _ in decode_object(line.decode())[0]}
    except (ValueError, RecursionError):
        return set()


_ARROW = {DataType.TEXT: pa.string(), DataType.INTEGER: pa.int64(), DataType.NUMBER: pa.float64()}


class PyArrowEngine:
    """An engine whose frames are PyArrow's tables: everything is computed where it is written down."""

    def parse_lines(
        self,
        lines: Sequence[bytes],
        source: LandingSource,
        landing_date: date,
        keys: Keys,
    ) -> ParsedLines | None:
        """Judge every line by the rule itself; lines with keys that mean no field are left to the caller."""
        verdicts = [
            validate_line(line, source, landing_date) if _keys_of(line) <= source.spellings.keys() else None
            for line in lines
        ]
        good = np.array([isinstance(verdict, tuple) for verdict in verdicts], bool)
        values = [verdict for verdict in verdicts if isinstance(verdict, tuple)]
        columns = {
            field.name: pa.array([row[position] for row in values], _ARROW[field.type])
            for position, field in enumerate(source.fields)
        }
        return ParsedLines(pa.table(columns), good)

    def scan(self, table: Table, files: Sequence[DataFile]) -> Frame:
        """Read files; the columns of the partition stand in their paths only."""
        return self.frame(pa.concat_tables([arrow_schema(table).empty_table(), *(_read(table, one) for one in files)]))

    def frame(self, rows: pa.Table) -> Frame:
        """Rows that are in memory."""
        return nw.from_native(rows).lazy()

    def cache(self, frame: Frame, /, **keys: str) -> Frame:
        """The frame is computed already; its rows have an order, so a key is a row's number."""
        rows = self.collect(frame)
        for key in keys:
            rows = rows.append_column(key, pa.array(np.arange(rows.num_rows)))
        return self.frame(rows)

    def collect(self, frame: Frame) -> pa.Table:
        """The table of a frame."""
        return frame.collect("pyarrow").to_native()

    def write(
        self,
        frame: Frame,
        lakehouse: Lakehouse,
        table: Table,
        fingerprints: Mapping[date, str],
        within: Mapping[str, str] | None = None,
    ) -> list[NewFile]:
        """Write one file for each day."""
        rows = self.collect(frame)
        return [_write(rows, lakehouse, table, day, name, within or {}) for day, name in fingerprints.items()]

    def close(self) -> None:
        """Nothing is held."""


def _read(table: Table, file: DataFile) -> pa.Table:
    schema = arrow_schema(table)
    stored = pq.read_table(file.uri, columns=[column.name for column in table.data_columns], partitioning=None)
    columns = {
        field.name: pa.repeat(pa.scalar(file.partition[field.name]).cast(field.type), stored.num_rows)
        if field.name in table.partition_by
        else stored[field.name].cast(field.type)
        for field in schema
    }
    return pa.table(columns, schema=schema)


def _write(
    rows: pa.Table, lakehouse: Lakehouse, table: Table, day: date, fingerprint: str, within: Mapping[str, str]
) -> NewFile:
    partition = {**within, "landing_date": day.isoformat()}
    path = lakehouse.new_path(partition, fingerprint)
    target = Path(lakehouse.root(table), path)
    target.parent.mkdir(parents=True, exist_ok=True)
    mine = rows.filter(pc.equal(rows["landing_date"], pa.scalar(day)))
    schema = pa.schema([arrow_schema(table).field(column.name) for column in table.data_columns])
    stored = mine.select(schema.names).cast(schema)
    pq.write_table(stored, target)
    public = [column.name for column in table.data_columns if column.statistics and stored.num_rows]
    return NewFile(
        path=path,
        partition=partition,
        rows=stored.num_rows,
        size=target.stat().st_size,
        minimum={name: pc.min(stored[name]).as_py() for name in public},
        maximum={name: pc.max(stored[name]).as_py() for name in public},
        nulls={name: stored[name].null_count for name in schema.names},
    )
