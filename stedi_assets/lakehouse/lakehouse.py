"""The lakehouse: the tables below one URI, as snapshots to read and as partitions to replace.

What the tables mean is in their contracts; what computes and writes their Parquet files is an
engine. Here lies only the protocol between the two: which files a table consists of, and how a
partition changes from one set of files to another without a reader seeing anything between.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date
from typing import Any

from deltalake import DeltaTable, Schema
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from fsspec.core import url_to_fs

from stedi_assets.contracts import Table
from stedi_assets.contracts.render import arrow_schema
from stedi_assets.lakehouse import commits, vacuum
from stedi_assets.lakehouse.errors import WriteConflictError, other_columns
from stedi_assets.lakehouse.files import DataFile, NewFile, new_path
from stedi_assets.lakehouse.log import Commit, TableVersion
from stedi_assets.lakehouse.partition_cache import PartitionCache
from stedi_assets.lakehouse.snapshot import Snapshot

_ATTEMPTS = 30


class Lakehouse:
    """The tables below one URI.

    Args:
        uri: a folder or an object store's URI.
        storage_options: for the store, as delta-rs takes them.
    """

    def __init__(self, uri: str, storage_options: Mapping[str, str] | None = None) -> None:
        self.uri = uri.rstrip("/")
        self.storage_options = dict(storage_options or {})
        self._newest: dict[str, tuple[Commit, Snapshot]] = {}
        self._opened: dict[str, tuple[Commit, DeltaTable]] = {}
        self._caches: dict[str, PartitionCache[Any]] = {}

    def committing(self) -> AbstractContextManager[None]:
        """The lock under which no other writer of this machine commits or vacuums.

        A writer that checks, right before its commit, that the inputs are still the same takes it for both. In an
        object store there is no such lock; commits are atomic there too, but may follow a check by a moment.
        """
        return commits.commit_lock(self.uri)

    def root(self, table: Table) -> str:
        """The folder or prefix of a table.

        Args:
            table: the contract.
        """
        return f"{self.uri}/{table.path}"

    def snapshot(self, table: Table) -> Snapshot:
        """The newest version of a table; an empty one if it was never written.

        Args:
            table: the contract.
        """
        root, known = self.root(table), None
        if table.name in self._newest:
            commit, newest = self._newest[table.name]
            if newest.table == table:
                if commit.is_newest():
                    return newest
                known = newest.known_files()
        delta = self._take(table)
        if delta is None:
            return Snapshot(table, root, None)
        pinned = TableVersion.of(delta, root)
        self._give_back(table, delta, pinned.commit)
        snapshot = Snapshot(table, root, pinned, known)
        if pinned.commit is not None:
            self._newest[table.name] = pinned.commit, snapshot
        return snapshot

    def partition_cache(self, name: str, limit: int) -> PartitionCache[Any]:
        """The cache of that name, which lives as long as this object.

        Args:
            name: names what is kept, and of which table.
            limit: how many elements it may keep, where it is new.
        """
        return self._caches.setdefault(name, PartitionCache(limit))

    def new_path(self, partition: Mapping[str, str], fingerprint: str) -> str:
        """A path, below a table's folder, that no file ever had; see :func:`files.new_path`.

        Args:
            partition: value of each partition column.
            fingerprint: names the inputs of the partition.
        """
        return new_path(partition, fingerprint)

    def replace(
        self,
        table: Table,
        days: Collection[date],
        files: Sequence[NewFile],
        *,
        within: Mapping[str, str] | None = None,
    ) -> int:
        """Replace the partitions of some landing days by new files, in one commit.

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
        partitions = commits.partitions_to_replace(table, days, files, within or {})
        if not partitions:
            # No filter at all would be every partition.
            return int(self._take_or_create(table).version())
        marks = commits.transactions(partitions)
        for attempt in range(_ATTEMPTS):
            with self.committing():
                delta = self._take_or_create(table)
                commits.check_new_files(table, self.root(table), files)
                try:
                    commits.commit(delta, table, files, partitions, marks)
                except CommitFailedError:
                    pass
                else:
                    version = int(delta.version())
                    self._give_back(table, delta, Commit.of(self.root(table), version))
                    return version
            # Full jitter: writers that collided once should not collide again.
            time.sleep(random.uniform(0, min(1.0, 0.02 * 2**attempt)))  # noqa: S311 - not a secret
        msg = (
            f"Could not replace {len(partitions)} day(s) of {table.name}: other writers came first {_ATTEMPTS} times. "
            "Nothing was changed; run it again when fewer runs write the same days."
        )
        raise WriteConflictError(msg)

    def vacuum(self, table: Table) -> int:
        """Delete every file below a table's folder that its current version does not use.

        Readers of older versions lose them. A writer of this machine that has not committed yet loses its new files
        too; it notices, and its run is tried again. In an object store, do not run it while something writes.

        Args:
            table: the contract.

        Returns:
            How many files were deleted.
        """
        with self.committing():
            try:
                delta = DeltaTable(self.root(table), storage_options=self.storage_options)
            except TableNotFoundError:
                return 0
            return vacuum.delete_unused_files(delta)

    def unused_files(self, table: Table) -> list[DataFile]:
        """The Parquet files below a table's folder that its current version does not use, which a vacuum deletes.

        Files that a killed writer left half written, or that somebody writes now, are not among them: they cannot be
        read.

        Args:
            table: the contract.
        """
        return vacuum.unused_files(self.snapshot(table), self.storage_options)

    def discard(self, table: Table, file: NewFile) -> None:
        """Delete a new file that is not to become part of the table.

        Args:
            table: the contract.
            file: the new file.
        """
        fs, path = url_to_fs(f"{self.root(table)}/{file.path}", **self.storage_options)
        fs.rm_file(path)

    def _take(self, table: Table) -> DeltaTable | None:
        """The table at its newest version, for the caller alone until it is given back; none where there is none.

        One that was opened before reads only the commits that came since: opening reads the log of all files.
        """
        opened = self._opened.pop(table.name, None)
        if opened is not None:
            commit, delta = opened
            if commit.is_newest():
                return delta
            if commit.is_there():
                with contextlib.suppress(DeltaError):
                    delta.update_incremental()
                    return delta
        try:
            return DeltaTable(self.root(table), storage_options=self.storage_options)
        except TableNotFoundError:
            return None

    def _give_back(self, table: Table, delta: DeltaTable, commit: Commit | None) -> None:
        if commit is not None:
            self._opened[table.name] = commit, delta

    def _take_or_create(self, table: Table) -> DeltaTable:
        schema = Schema.from_arrow(arrow_schema(table))
        delta = self._take(table)
        if delta is None:
            delta = self._create(table, schema)
        stored = {field.name: field for field in delta.schema().fields}
        wanted = {field.name: field for field in schema.fields}
        added = [wanted[column.name] for column in table.columns if column.added and column.name not in stored]
        if stored | {field.name: field for field in added} != wanted:
            raise other_columns(table, list(stored))
        if added:
            delta.alter.add_columns(added)
        return delta

    def _create(self, table: Table, schema: Schema) -> DeltaTable:
        statistics = [column.name for column in table.data_columns if column.statistics]
        DeltaTable.create(
            self.root(table),
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
        return DeltaTable(self.root(table), storage_options=self.storage_options)
