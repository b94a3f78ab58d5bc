"""DuckDB, the embedded engine: it streams, spills to disk and is small.

It keeps small tables of many files in memory (``cached_relation``), until it is closed.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import narwhals.stable.v2 as nw
import numpy as np
import pyarrow as pa
from filelock import FileLock, Timeout

from stedi_assets.contracts import LandingSource, Table
from stedi_assets.contracts.render import arrow_schema, sql_type
from stedi_assets.engines import json_lines
from stedi_assets.engines.base import Frame, Keys, ParsedLines
from stedi_assets.engines.sql import as_named, list_of, named, quoted
from stedi_assets.lakehouse import DataFile, Lakehouse, NewFile, other_columns
from stedi_assets.lakehouse.partition_cache import PartitionCache
from stedi_assets.lakehouse.snapshot import by_landing_day

__all__ = ["DuckDBEngine", "as_named", "list_of", "named", "quoted", "sweep_spilled"]

_files = itertools.count()
_SPILL = "stedi-spill-"
_IN_USE = ".in-use"
_UNLOCKED = ".stedi-new-"
"""What a folder is called until its lock is held, so that every other folder without a lock is abandoned."""

_FEWEST_CACHED_FILES = 20
"""Fewer are opened in a few milliseconds."""
_MOST_CACHED_ROWS = 200_000
"""More take longer to read than their files to open."""
_MOST_CACHED_BYTES = 16 << 20
"""On disk, whatever another tool's log says of the rows."""


def sweep_spilled(folder: Path | None = None) -> int:
    """Remove what engines spilled whose processes were killed: it may hold rows of people.

    Args:
        folder: where it lies; the system's folder for temporary files by default.

    Returns:
        How many engines' it was.
    """
    swept = 0
    for abandoned in (folder or Path(tempfile.gettempdir())).glob(f"{_SPILL}*"):
        try:
            if abandoned.is_symlink() or abandoned.stat().st_uid != os.getuid():
                continue
            # The lock is its process's for as long as that lives.
            with FileLock(abandoned / _IN_USE, timeout=0):
                shutil.rmtree(abandoned, ignore_errors=True)
            swept += 1
        except (OSError, Timeout):
            continue
    return swept


def _columns(table: Table, found: Collection[str]) -> str:
    """The columns of a table as a ``SELECT`` takes them from files: of added ones, also from older files."""
    taken = []
    for column in table.columns:
        name = named(column.name)
        value = column.added_value
        before = "NULL" if value is None else quoted(value) if isinstance(value, str) else str(value)
        if not column.added:
            taken.append(name)
        elif column.name in found:
            taken.append(name if value is None else f"coalesce({name}, {before}) AS {name}")
        else:
            taken.append(f"CAST({before} AS {sql_type(column)}) AS {name}")
    return ", ".join(taken)


class DuckDBEngine:
    """An engine on an in-memory DuckDB database.

    Args:
        memory_limit: what DuckDB may hold before it spills, as in ``'1GB'``.
        threads: how many it uses; all the machine's by default.
    """

    def __init__(self, memory_limit: str = "1GB", threads: int | None = None) -> None:
        self._memory_limit = memory_limit
        self._threads = threads
        self._held: list[str] = []
        self._partitions: dict[Hashable, PartitionCache[pa.Table]] = {}
        self._names = (f"held_{number}" for number in itertools.count())

    @cached_property
    def _spill(self) -> Path:
        # Rows of people may be spilled: a folder that only its owner can enter, gone with the engine, or, if that is
        # killed, when the next one comes.
        sweep_spilled()
        made = Path(tempfile.mkdtemp(prefix=_UNLOCKED))
        self._in_use = FileLock(made / _IN_USE)
        self._in_use.acquire()
        return made.rename(made.with_name(made.name.replace(_UNLOCKED, _SPILL)))

    @cached_property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The connection that every frame of this engine belongs to."""
        config: dict[str, Any] = {
            "memory_limit": self._memory_limit,
            "temp_directory": str(self._spill),
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        if self._threads:
            config["threads"] = self._threads
        connection = duckdb.connect(":memory:", config=config)
        connection.execute("SET enable_progress_bar = false")
        # Joins run as they are written: the large side streams past the small one. Of pairs the planner has no
        # idea how many there are, and built its hash tables of millions of them: twice the time and the memory.
        connection.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
        return connection

    def scan(self, table: Table, files: Sequence[DataFile]) -> Frame:
        """See :meth:`Engine.scan`."""
        return nw.from_native(self.cached_relation(table, files)).lazy()

    def cached_relation(self, table: Table, files: Sequence[DataFile]) -> duckdb.DuckDBPyRelation:
        """The same as :meth:`relation`, where a small table has many files: of those, each is opened once.

        Opening a file takes 0.3 ms, however little is in it, and nearly every step reads the customers of all days.
        """
        rows, size = sum(file.rows for file in files), sum(file.size for file in files)
        if len(files) < _FEWEST_CACHED_FILES or rows > _MOST_CACHED_ROWS or size > _MOST_CACHED_BYTES:
            return self.relation(table, files)

        def read(some: Sequence[DataFile]) -> dict[date, pa.Table]:
            found = self.relation(table, some).order("landing_date").to_arrow_table()
            days = found["landing_date"].to_numpy().astype("datetime64[D]")
            wanted = sorted({file.landing_date for file in some})
            first = [*np.searchsorted(days, np.array(wanted, "datetime64[D]")).tolist(), len(days)]
            return {day: found.slice(first[n], first[n + 1] - first[n]) for n, day in enumerate(wanted)}

        others = [name for name in table.partition_by if name != "landing_date"]
        parts = frozenset(tuple(file.partition[name] for name in others) for file in files)
        key = table.name, table.column_names, parts
        cache = self._partitions.setdefault(key, PartitionCache(_MOST_CACHED_ROWS))
        return self.connection.from_arrow(pa.concat_tables(cache.get(by_landing_day(files), read).values()))

    def relation(self, table: Table, files: Sequence[DataFile]) -> duckdb.DuckDBPyRelation:
        """The rows of ``files`` as a relation, for what is written in SQL.

        Raises:
            LakehouseError: they were written by a version with another contract.
        """
        if not files:
            return self.connection.from_arrow(arrow_schema(table).empty_table())
        paths = ", ".join(quoted(as_named(file.uri)) for file in files)
        types = ", ".join(f"{named(name)}: {sql_type(table.column(name))}" for name in table.partition_by)
        # Of tables that grew by a column, files of both kinds may be read together.
        by_name = ", union_by_name = true" if any(column.added for column in table.columns) else ""
        stored = f"read_parquet([{paths}], hive_partitioning = true, hive_types = {{{types}}}{by_name})"
        try:
            return self.connection.sql(f"SELECT {_columns(table, table.column_names)} FROM {stored}")
        except duckdb.BinderException:
            found = self.connection.sql(f"SELECT * FROM {stored}").columns
            lacking = [column for column in table.columns if column.name not in found]
            if not lacking:
                raise
            if all(column.added for column in lacking):
                return self.connection.sql(f"SELECT {_columns(table, found)} FROM {stored}")
            raise other_columns(table, found) from None

    def frame(self, rows: pa.Table) -> Frame:
        """See :meth:`Engine.frame`."""
        return nw.from_native(self.connection.from_arrow(rows)).lazy()

    def cache(self, frame: Frame, /, **keys: str) -> Frame:
        """See :meth:`Engine.cache`."""
        relation: duckdb.DuckDBPyRelation = frame.to_native()
        if keys:
            # Every name is another, and the rows stay as they are from here on: their numbers will do.
            numbers = ", ".join(f"row_number() OVER () AS {named(key)}" for key in keys)
            relation = relation.project(f"*, {numbers}")
        name = next(self._names)
        relation.create(name)
        self._held.append(name)
        return nw.from_native(self.connection.table(name)).lazy()

    def _let_go(self) -> None:
        while self._held:
            self.connection.execute(f"DROP TABLE IF EXISTS {self._held.pop()}")

    def collect(self, frame: Frame) -> pa.Table:
        """See :meth:`Engine.collect`."""
        relation: duckdb.DuckDBPyRelation = frame.to_native()
        return relation.to_arrow_table()

    def write(
        self,
        frame: Frame,
        lakehouse: Lakehouse,
        table: Table,
        fingerprints: Mapping[date, str],
        within: Mapping[str, str] | None = None,
    ) -> list[NewFile]:
        """See :meth:`Engine.write`."""
        relation: duckdb.DuckDBPyRelation = frame.to_native()
        relation.create_view("rows_to_write", replace=True)
        try:
            # Day by day, so that no more than a day's rows are on their way; what days share is held (see ``cache``).
            return [
                self._copy_day(lakehouse, table, day, fingerprint, within) for day, fingerprint in fingerprints.items()
            ]
        finally:
            self._let_go()

    def _copy_day(
        self, lakehouse: Lakehouse, table: Table, day: date, fingerprint: str, within: Mapping[str, str] | None
    ) -> NewFile:
        columns = ", ".join(f"CAST({named(c.name)} AS {sql_type(c)}) AS {named(c.name)}" for c in table.data_columns)
        query = f"SELECT {columns} FROM rows_to_write WHERE landing_date = DATE {quoted(day.isoformat())}"
        return self.copy(query, lakehouse, table, {**(within or {}), "landing_date": day.isoformat()}, fingerprint)

    def copy(
        self, query: str, lakehouse: Lakehouse, table: Table, partition: Mapping[str, str], fingerprint: str
    ) -> NewFile:
        """Write the rows of an SQL query, in the order of the table's data columns, to one new file."""
        path = lakehouse.new_path(partition, fingerprint)
        target = f"{lakehouse.root(table)}/{path}"
        if "://" not in target:
            Path(target).parent.mkdir(parents=True, exist_ok=True)
        written = self.connection.execute(f"COPY ({query}) TO {quoted(target)} (FORMAT parquet, RETURN_STATS)")
        row = written.fetchone()
        if row is None:
            msg = f"DuckDB did not say what it wrote to {table.name}."
            raise RuntimeError(msg)
        _, rows, size, _, statistics, *_ = row
        by_column = {c.name: statistics.get(named(c.name), {}) for c in table.data_columns}
        public = [c.name for c in table.data_columns if c.statistics]
        return NewFile(
            path=path,
            partition=dict(partition),
            rows=rows,
            size=size,
            minimum={name: int(by_column[name]["min"]) for name in public if "min" in by_column[name]},
            maximum={name: int(by_column[name]["max"]) for name in public if "max" in by_column[name]},
            nulls={name: int(one["null_count"]) for name, one in by_column.items() if "null_count" in one},
        )

    def parse_lines(
        self,
        lines: Sequence[bytes],
        source: LandingSource,
        landing_date: date,
        keys: Keys,
    ) -> ParsedLines | None:
        """See :meth:`Engine.parse_lines`; none where the reader does not give one row per line."""
        if not lines:
            return None
        # In memory only: a file of people's lines must not be left behind by a killed process.
        memory = fsspec.filesystem("memory")
        name = f"/stedi-lines-{next(_files)}.json"
        if not self.connection.filesystem_is_registered("memory"):
            self.connection.register_filesystem(memory)
        memory.pipe_file(name, b"\n".join(lines) + b"\n")
        fewest = json_lines.marks(source, keys)
        unknown = json_lines.unknown_columns(keys)
        columns = [
            json_lines.values(source),
            f"coalesce({json_lines.good(source, landing_date, keys)}, false) AS good",
            *(f"{expression} AS {mark}" for mark, expression in fewest.items()),
            *(f"{named(column)} IS NOT NULL AS {named(column)}" for column in unknown),
        ]
        try:
            with self.in_order():
                found = self.connection.sql(
                    f"SELECT {', '.join(columns)} FROM {json_lines.reader(source, ['memory://' + name], keys)}"
                ).to_arrow_table()
        except duckdb.Error:
            return None
        finally:
            memory.rm_file(name)
        if found.num_rows != len(lines):
            return None
        good = found["good"].to_numpy(zero_copy_only=False)
        for mark, words in ((b'"', "quotes"), (b",", "commas")):
            there = np.fromiter((line.count(mark) for line in lines), np.int64, len(lines))
            good = good & (found[words].to_numpy() == there)
        if unknown:  # Else the caller has left out the lines with truth values.
            there = np.fromiter((line.count(b"true") + line.count(b"false") for line in lines), np.int64, len(lines))
            good = good & (found["truths"].to_numpy() == there)
        found = found.filter(pa.array(good))
        has = {key: found[name].to_numpy(zero_copy_only=False) for key, name in zip(keys.unknown, unknown, strict=True)}
        return ParsedLines(found.select([one.name for one in source.fields]), good, has)

    @contextmanager
    def in_order(self, wanted: bool = True) -> Iterator[None]:
        """Have queries within the block give rows in the order of what they read, where that is wanted."""
        if not wanted:
            yield
            return
        self.connection.execute("SET preserve_insertion_order = true")
        try:
            yield
        finally:
            self.connection.execute("SET preserve_insertion_order = false")

    def rows(self, query: str, **frames: duckdb.DuckDBPyRelation | pa.Table) -> list[tuple[Any, ...]]:
        """The result of an SQL query over named frames; for results that are small."""
        self._name(frames)
        return self.connection.execute(query).fetchall()

    def arrow(self, query: str, **frames: duckdb.DuckDBPyRelation | pa.Table) -> pa.Table:
        """The same, in memory as columns."""
        self._name(frames)
        return self.connection.sql(query).to_arrow_table()

    def _name(self, frames: Mapping[str, duckdb.DuckDBPyRelation | pa.Table]) -> None:
        for name, relation in frames.items():
            # What is registered would hide a view of the same name that is made later.
            self.connection.unregister(name)
            if isinstance(relation, pa.Table):
                self.connection.register(name, relation)
            else:
                relation.create_view(name, replace=True)

    def close(self) -> None:
        """See :meth:`Engine.close`."""
        if "connection" in self.__dict__:
            self.connection.close()
            del self.__dict__["connection"]
            self._held.clear()
            self._partitions.clear()
            shutil.rmtree(self.__dict__.pop("_spill"), ignore_errors=True)
            self._in_use.release()

    def __enter__(self) -> DuckDBEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
