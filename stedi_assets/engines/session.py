"""The control plane's SQL: what asks DuckDB by itself, on whichever engine the tables are computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import duckdb
import pyarrow as pa

from stedi_assets.contracts import Table
from stedi_assets.engines.base import Engine
from stedi_assets.lakehouse import DataFile, Lakehouse, NewFile


class Session(Engine, Protocol):
    """An engine that also answers DuckDB's SQL, in this process.

    Staleness, checks and subject requests ask for small aggregates, and digests that must be the same on every
    engine; landing reads files in one query that it proves afterwards. See decision record 15.
    """

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The connection that every frame of this session belongs to."""
        ...

    def relation(self, table: Table, files: Sequence[DataFile]) -> duckdb.DuckDBPyRelation:
        """Return the rows of some files of a table, for what is written in SQL."""
        ...

    def cached_relation(self, table: Table, files: Sequence[DataFile]) -> duckdb.DuckDBPyRelation:
        """Return the same, from memory where a small table of many files was read before.

        Not for what must see whether the files are still there.
        """
        ...

    def rows(self, query: str, **frames: duckdb.DuckDBPyRelation | pa.Table) -> list[tuple[Any, ...]]:
        """Answer a query over named frames; for results that are small."""
        ...

    def arrow(self, query: str, **frames: duckdb.DuckDBPyRelation | pa.Table) -> pa.Table:
        """Answer the same way, in memory as columns."""
        ...

    def copy(
        self, query: str, lakehouse: Lakehouse, table: Table, partition: Mapping[str, str], fingerprint: str
    ) -> NewFile:
        """Write the rows of a query, in the order of the table's data columns, to one new file."""
        ...

    def in_order(self, wanted: bool = True) -> AbstractContextManager[None]:
        """Have queries within the block give rows in the order of what they read, where that is wanted."""
        ...
