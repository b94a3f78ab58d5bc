"""Delta tables: create, snapshot, replace partitions in one commit, vacuum.

What the tables mean is in their contracts; what computes and writes their Parquet files is an
engine. Here lies only the protocol between the two: which files a table consists of, and how a
partition changes from one set of files to another without a reader seeing anything between.

**Fingerprints.** Every data file's name starts with the fingerprint of the inputs that its
partition was made from (``<fingerprint>-<uuid>.parquet``), and a partition that was made but has
no rows holds one file without rows. So the Delta log itself says, atomically with the data, what
each partition was made from; reconciliation compares that with what it should be made from. A
file that some other tool wrote has no such name, which makes its partition differ.
"""

from __future__ import annotations

import json
import posixpath
import random
import re
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Schema, Transaction
from deltalake.exceptions import CommitFailedError, TableNotFoundError
from deltalake.transaction import AddAction
from filelock import FileLock
from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs

from stedi_assets.contracts import Table
from stedi_assets.contracts.render import arrow_schema

Result = TypeVar("Result")

_ATTEMPTS = 30
_LOCK = ".committing"
_MAGIC = b"PAR1"
_FINGERPRINT = re.compile(r"^([0-9a-f]{16}(?:\.[0-9a-f]{4})*)-[0-9a-f-]{36}\.parquet$")


class LakehouseError(RuntimeError):
    """A table is not what the lakehouse can work with; the message says what to do."""


class WriteConflictError(LakehouseError):
    """Other writers kept changing the same partitions; nothing was changed, and a rerun is safe."""


class VacuumedError(LakehouseError):
    """Files were deleted before they became part of the table, which is as it was; a rerun is safe."""


@dataclass(frozen=True)
class NewFile:
    """A Parquet file that an engine wrote below a table's folder and that is not part of it yet.

    Args:
        path: below the table's folder.
        partition: value of each partition column, as text.
        rows: how many rows it has.
        size: in bytes.
        minimum, maximum: per column with statistics; never of a column that could identify a person.
        nulls: per column, how many rows lack it.
    """

    path: str
    partition: Mapping[str, str]
    rows: int
    size: int
    minimum: Mapping[str, int]
    maximum: Mapping[str, int]
    nulls: Mapping[str, int]


@dataclass(frozen=True)
class DataFile:
    """A Parquet file that a table consists of."""

    path: str
    uri: str
    landing_date: date
    partition: Mapping[str, str]
    rows: int
    size: int
    fingerprint: str | None
    minimum: Mapping[str, int]
    maximum: Mapping[str, int]


class Snapshot:
    """One version of one table: its files, as they were when it was taken.

    Whatever is read through it is of that version, however many writers go on meanwhile (until a
    vacuum removes the files).
    """

    def __init__(self, table: Table, root: str, delta: DeltaTable | None, commit: _Commit | None = None) -> None:
        self.table = table
        self.root = root
        self._delta = delta
        self._commit = commit
        self._remembered: dict[str, Any] = {}

    @property
    def version(self) -> int:
        """The Delta version; -1 for a table that does not exist yet."""
        return -1 if self._delta is None else int(self._delta.version())

    @cached_property
    def identity(self) -> str:
        """Tells this version of this table from every other, and from a table that was made anew in its place."""
        if self._delta is None:
            return "none"
        # Who restores a log by hand may reuse a version; the commit's file is another one then.
        stamp = None if self._commit is None else self._commit.stamp
        return f"{self._delta.metadata().id} {self.version} {stamp}"

    @property
    def schema(self) -> pa.Schema | None:
        """The stored schema, or none where there is no table yet."""
        return None if self._delta is None else pa.schema(self._delta.schema().to_arrow())

    def remember(self, what: str, compute: Callable[[], Result]) -> Result:
        """What ``compute`` gives of this version, computed once."""
        if what not in self._remembered:
            self._remembered[what] = compute()
        found: Result = self._remembered[what]
        return found

    @cached_property
    def files(self) -> tuple[DataFile, ...]:
        """All the files, ordered by path."""
        if self._delta is None:
            return ()
        actions = pa.table(self._delta.get_add_actions(flatten=True)).to_pylist()
        return tuple(sorted((self._file(action) for action in actions), key=lambda file: file.path))

    def _file(self, action: Mapping[str, object]) -> DataFile:
        path = str(action["path"])
        partition = {name: str(action[f"partition.{name}"]) for name in self.table.partition_by}
        matched = _FINGERPRINT.match(posixpath.basename(path))
        return DataFile(
            path=path,
            uri=f"{self.root}/{path}",
            landing_date=date.fromisoformat(partition["landing_date"]),
            partition=partition,
            rows=int(str(action["num_records"] or 0)),
            size=int(str(action["size_bytes"])),
            fingerprint=matched[1] if matched else None,
            minimum=_bounds(action, "min."),
            maximum=_bounds(action, "max."),
        )

    @cached_property
    def _by_day(self) -> dict[date, list[DataFile]]:
        by_day: dict[date, list[DataFile]] = {}
        for file in self.files:
            by_day.setdefault(file.landing_date, []).append(file)
        return by_day

    def days(self) -> Mapping[date, Sequence[DataFile]]:
        """The files of each landing day that has any."""
        return self._by_day

    @cached_property
    def contents(self) -> Mapping[date, tuple[str, ...]]:
        """Of each landing day that has files, their names: while they are the same, its rows are."""
        return {day: tuple(file.uri for file in files) for day, files in self._by_day.items()}

    @cached_property
    def _fingerprints(self) -> dict[date, str | None]:
        said = {day: {file.fingerprint for file in files} for day, files in self._by_day.items()}
        return {day: found.pop() if len(found) == 1 else None for day, found in said.items()}

    def fingerprints(self) -> dict[date, str | None]:
        """What each landing day says that it was made from; none where its files do not agree or say nothing."""
        return dict(self._fingerprints)

    def rows(self, days: Collection[date] | None = None) -> int:
        """How many rows the table has, or those ``days`` of it, by its log."""
        return sum(file.rows for file in self.select(days))

    def select(self, days: Collection[date] | None = None) -> list[DataFile]:
        """The files of ``days``; of all days where none are named."""
        if days is None:
            return list(self.files)
        return [file for day in sorted(set(days)) for file in self._by_day.get(day, ())]

    def overlapping(self, column: str, bounds: tuple[int, int]) -> list[DataFile]:
        """The files that may hold values of ``column`` within ``bounds`` (inclusive)."""
        low, high = bounds
        return [
            file
            for file in self.files
            if file.rows and file.minimum.get(column, low) <= high and file.maximum.get(column, high) >= low
        ]

    def bounds(self, column: str, days: Collection[date]) -> tuple[int, int] | None:
        """The smallest and the greatest value of ``column`` in ``days``, by the log; none without rows.

        A file that another tool wrote without statistics may hold any.
        """
        known = self.ranges(column)
        found = [known[day] for day in set(days) if day in known]
        return (min(low for low, _ in found), max(high for _, high in found)) if found else None

    def ranges(self, column: str) -> Mapping[date, tuple[int, int]]:
        """The same of each landing day that has rows."""
        return self.remember(f"ranges of {column}", lambda: self._ranges(column))

    def _ranges(self, column: str) -> dict[date, tuple[int, int]]:
        low, high = -(2**63), 2**63 - 1
        ranges = {}
        for day, files in self._by_day.items():
            filled = [file for file in files if file.rows]
            if filled:
                ranges[day] = (
                    min(f.minimum.get(column, low) for f in filled),
                    max(f.maximum.get(column, high) for f in filled),
                )
        return ranges


@dataclass(frozen=True)
class _Commit:
    """A commit of a table in a folder, to see whether it is still the last one without reading the log anew.

    Versions follow each other without a gap, so the last one is the one that has no next. A table that was removed
    and made anew has other files under the same names.
    """

    path: Path
    following: Path
    stamp: tuple[int, int]

    @classmethod
    def of(cls, root: str, version: int) -> _Commit | None:
        """The commit of a version; none in an object store, or if its file is gone."""
        if "://" in root:
            return None
        path, following = (Path(root) / "_delta_log" / f"{number:020}.json" for number in (version, version + 1))
        stamp = _stamp(path)
        return None if stamp is None else cls(path, following, stamp)

    def is_last(self) -> bool:
        """Whether there is no later one."""
        return _stamp(self.following) is None and _stamp(self.path) == self.stamp


def _stamp(path: Path) -> tuple[int, int] | None:
    """What tells a file from another that takes its place."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_mtime_ns


class Lakehouse:
    """The tables below one URI.

    Args:
        uri: a folder or an object store's URI.
        storage_options: for the store, as delta-rs takes them.
    """

    def __init__(self, uri: str, storage_options: Mapping[str, str] | None = None) -> None:
        self.uri = uri.rstrip("/")
        self.storage_options = dict(storage_options or {})
        self._latest: dict[str, tuple[_Commit, Snapshot]] = {}

    @contextmanager
    def committing(self) -> Iterator[None]:
        """No other writer of this machine commits, or vacuums, within the block.

        For whoever must know, at the moment of a commit, that what it was made from still holds. In an object store
        there is no such lock; commits are atomic there too, but may follow a check by a moment.
        """
        if "://" in self.uri:
            yield
            return
        Path(self.uri).mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self.uri}/{_LOCK}", is_singleton=True):
            yield

    def root(self, table: Table) -> str:
        """Where the table lies."""
        return f"{self.uri}/{table.path}"

    def snapshot(self, table: Table) -> Snapshot:
        """The table as it is now; an empty one if it was never written."""
        root = self.root(table)
        if table.name in self._latest:
            last, known = self._latest[table.name]
            if known.table == table and last.is_last():
                return known
        try:
            delta = DeltaTable(root, storage_options=self.storage_options)
        except TableNotFoundError:
            return Snapshot(table, root, None)
        commit = _Commit.of(root, int(delta.version()))
        snapshot = Snapshot(table, root, delta, commit)
        if commit is not None:
            self._latest[table.name] = commit, snapshot
        return snapshot

    def new_path(self, partition: Mapping[str, str], fingerprint: str) -> str:
        """A path, below a table's folder, that no file ever had.

        Args:
            partition: value of each partition column.
            fingerprint: names the inputs of the partition: 16 hexadecimal digits, and four more behind a point for
                each part.
        """
        folders = [f"{name}={value}" for name, value in partition.items()]
        return posixpath.join(*folders, f"{fingerprint}-{uuid.uuid4()}.parquet")

    def replace(
        self,
        table: Table,
        days: Collection[date],
        files: Sequence[NewFile],
        *,
        within: Mapping[str, str] | None = None,
    ) -> int:
        """Replace the partitions of ``days`` by ``files``, in one commit.

        A reader sees all the old files or all the new ones. Writers of other days do not disturb
        each other; of two writers of the same day one waits for the other, and the later one wins.

        Args:
            table: the contract.
            days: the landing days to replace; those without a file become empty.
            files: written below the table's folder already.
            within: values of the partition columns besides ``landing_date``.

        Returns:
            A version of the table that has the commit; others' commits may have come since.

        Raises:
            WriteConflictError: other writers kept coming first; the table is as they left it.
            LakehouseError: the stored table's schema is not the contract's, or new files were vacuumed away.
            ValueError: a file lies outside the partitions that are replaced.
        """
        fixed = dict(within or {})
        wanted = [{**fixed, "landing_date": day.isoformat()} for day in days]
        outside = [file.path for file in files if dict(file.partition) not in wanted]
        if outside:
            msg = f"{table.name}: {len(outside)} new file(s) lie outside the partitions to replace, as {outside[0]}."
            raise ValueError(msg)
        if not days:
            # No filter at all would be every partition.
            return self._open(table).version()
        # Two writers that both find a partition empty remove nothing, so Delta lets both add. An
        # application transaction per partition makes the second one fail, and so come again.
        transactions = [
            Transaction("/".join([*fixed.values(), day.isoformat()]), time.time_ns()) for day in sorted(days)
        ]
        for attempt in range(_ATTEMPTS):
            with self.committing():
                delta = self._open(table)
                self._must_be_there(table, files)
                try:
                    delta.create_write_transaction(
                        [_add(table, file) for file in files],
                        mode="overwrite",
                        schema=delta.schema(),
                        partition_by=list(table.partition_by),
                        partition_filters=[
                            *((name, "=", value) for name, value in fixed.items()),
                            ("landing_date", "in", [day.isoformat() for day in sorted(days)]),
                        ],
                        commit_properties=CommitProperties(app_transactions=transactions),
                        post_commithook_properties=PostCommitHookProperties(cleanup_expired_logs=True),
                    )
                except CommitFailedError:
                    pass
                else:
                    # The object still is of the version that it was opened at.
                    delta.update_incremental()
                    return int(delta.version())
            # Full jitter: writers that collided once should not collide again.
            time.sleep(random.uniform(0, min(1.0, 0.02 * 2**attempt)))  # noqa: S311 - not a secret
        msg = (
            f"Could not replace {len(days)} day(s) of {table.name}: other writers came first {_ATTEMPTS} times. "
            "Nothing was changed; run it again when fewer runs write the same days."
        )
        raise WriteConflictError(msg)

    def vacuum(self, table: Table) -> int:
        """Delete every file below the table's folder that its current version does not use.

        Readers of older versions lose them. A writer of this machine that has not committed yet loses its new files
        too; it notices, and its run is tried again. In an object store, do not run it while something writes.

        Returns:
            How many files were deleted.
        """
        with self.committing():
            try:
                delta = DeltaTable(self.root(table), storage_options=self.storage_options)
            except TableNotFoundError:
                return 0
            return len(delta.vacuum(0, dry_run=False, enforce_retention_duration=False, full=True))

    def unused_files(self, table: Table) -> list[DataFile]:
        """The Parquet files below the table's folder that its current version does not use: what vacuuming deletes.

        Not those that a killed writer left half written, or that somebody writes now: they cannot be read.
        """
        fs, root = url_to_fs(self.root(table), **self.storage_options)
        if not fs.exists(root):
            return []
        used = {file.path for file in self.snapshot(table).files}
        found = (full[len(root) + 1 :] for full in fs.find(root) if full.endswith(".parquet"))
        return [
            _unused(table, self.root(table), path)
            for path in sorted(found)
            if _is_unused(table, path, used) and _is_whole(fs, f"{root}/{path}")
        ]

    def discard(self, table: Table, file: NewFile) -> None:
        """Delete a new file that is not to become part of the table."""
        fs, path = url_to_fs(f"{self.root(table)}/{file.path}", **self.storage_options)
        fs.rm_file(path)

    def _must_be_there(self, table: Table, files: Sequence[NewFile]) -> None:
        if "://" in self.uri:
            return
        gone = sum(not Path(self.root(table), file.path).exists() for file in files)
        if gone:
            msg = f"{gone} new file(s) of {table.name} were vacuumed away before they were committed; run it again."
            raise VacuumedError(msg)

    def _open(self, table: Table) -> DeltaTable:
        root = self.root(table)
        schema = Schema.from_arrow(arrow_schema(table))
        try:
            delta = DeltaTable(root, storage_options=self.storage_options)
        except TableNotFoundError:
            statistics = [column.name for column in table.data_columns if column.statistics]
            delta = DeltaTable.create(
                root,
                schema=schema,
                mode="ignore",
                name=table.name,
                description=table.description,
                partition_by=list(table.partition_by),
                # Names that exist are needed for "no statistics" too: an empty list means the default.
                configuration={"delta.dataSkippingStatsColumns": ",".join(statistics or ["landing_date"])},
                storage_options=self.storage_options,
            )
            # Of two processes that create it at once, one does; both go on from what is there.
            delta = DeltaTable(root, storage_options=self.storage_options)
        if delta.schema() != schema:
            raise other_columns(table, [field.name for field in delta.schema().fields])
        return delta


def other_columns(table: Table, found: Sequence[str]) -> LakehouseError:
    """The error of a stored table that another version of this project wrote.

    Args:
        table: its contract now.
        found: the stored columns.
    """
    return LakehouseError(
        f"Table {table.name} is stored with other columns than its contract has: expected "
        f"{', '.join(table.column_names)}; found {', '.join(found)}. "
        "Use a new lake, or migrate this one (docs/operations.md)."
    )


def _is_unused(table: Table, path: str, used: Collection[str]) -> bool:
    # Checkpoints of the log are Parquet too, and hold no rows.
    return path not in used and all(f"{name}=" in path for name in table.partition_by)


def _is_whole(fs: AbstractFileSystem, path: str) -> bool:
    # A Parquet file ends with its magic number, which is written last.
    try:
        return bool(fs.tail(path, len(_MAGIC)) == _MAGIC)
    except FileNotFoundError:
        return False


def _unused(table: Table, root: str, path: str) -> DataFile:
    partition = dict(part.split("=", 1) for part in path.split("/")[:-1])
    day = date.fromisoformat(partition["landing_date"])
    return DataFile(path, f"{root}/{path}", day, partition, 0, 0, None, {}, {})


def _bounds(action: Mapping[str, object], prefix: str) -> dict[str, int]:
    return {
        name.removeprefix(prefix): value
        for name, value in action.items()
        if name.startswith(prefix) and isinstance(value, int)
    }


def _add(table: Table, file: NewFile) -> AddAction:
    statistics = {
        "numRecords": file.rows,
        "minValues": dict(file.minimum),
        "maxValues": dict(file.maximum),
        "nullCount": {
            column.name: file.nulls[column.name]
            for column in table.data_columns
            if column.statistics and column.name in file.nulls
        },
    }
    return AddAction(
        path=file.path,
        size=file.size,
        partition_values=dict(file.partition),
        modification_time=int(time.time() * 1000),
        data_change=True,
        stats=json.dumps(statistics),
    )


def uris(files: Iterable[DataFile]) -> list[str]:
    """Where the files lie."""
    return [file.uri for file in files]
