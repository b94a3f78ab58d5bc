"""Commits: replacing partitions of a table in one transaction, and the lock of a machine's writers."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Transaction
from deltalake.transaction import AddAction
from filelock import FileLock

from stedi_assets.contracts import Table
from stedi_assets.lakehouse.errors import VacuumedError
from stedi_assets.lakehouse.files import NewFile

_LOCK = ".committing"


@contextmanager
def commit_lock(uri: str) -> Iterator[None]:
    """The lock that writers of one machine hold while they commit or vacuum; none in an object store.

    Args:
        uri: the lake.
    """
    if "://" in uri:
        yield
        return
    Path(uri).mkdir(parents=True, exist_ok=True)
    with FileLock(f"{uri}/{_LOCK}", is_singleton=True):
        yield


def partitions_to_replace(
    table: Table, days: Collection[date], files: Sequence[NewFile], within: Mapping[str, str]
) -> list[dict[str, str]]:
    """The partitions that a commit replaces, by the values of their columns.

    Args:
        table: the contract.
        days: the landing days to replace.
        files: the new files.
        within: values of the partition columns besides ``landing_date``.

    Returns:
        One partition per day, in order.

    Raises:
        ValueError: a file lies outside them.
    """
    partitions = [{**within, "landing_date": day.isoformat()} for day in sorted(days)]
    outside = [file.path for file in files if dict(file.partition) not in partitions]
    if outside:
        msg = f"{table.name}: {len(outside)} new file(s) lie outside the partitions to replace, as {outside[0]}."
        raise ValueError(msg)
    return partitions


def transactions(partitions: Sequence[Mapping[str, str]]) -> list[Transaction]:
    """An application transaction per partition.

    Two writers that both find a partition empty remove nothing, so Delta lets both add. The transaction makes the
    second one fail, and so come again.

    Args:
        partitions: the partitions to replace.
    """
    return [Transaction("/".join(partition.values()), time.time_ns()) for partition in partitions]


def commit(
    delta: DeltaTable,
    table: Table,
    files: Sequence[NewFile],
    partitions: Sequence[Mapping[str, str]],
    marks: Sequence[Transaction],
) -> None:
    """Replace partitions by new files, in one commit.

    Args:
        delta: the table at the version that the commit follows; at its own version afterwards.
        table: the contract.
        files: the new files.
        partitions: the partitions that they replace; alike but for ``landing_date``.
        marks: see :func:`transactions`.

    Raises:
        CommitFailedError: another writer changed the same partitions first.
    """
    within = {name: value for name, value in partitions[0].items() if name != "landing_date"}
    delta.create_write_transaction(
        [_add_action(table, file) for file in files],
        mode="overwrite",
        schema=delta.schema(),
        partition_by=list(table.partition_by),
        partition_filters=[
            *((name, "=", value) for name, value in within.items()),
            ("landing_date", "in", [partition["landing_date"] for partition in partitions]),
        ],
        commit_properties=CommitProperties(app_transactions=list(marks)),
        post_commithook_properties=PostCommitHookProperties(cleanup_expired_logs=True),
    )
    # The object still is of the version that it was opened at.
    delta.update_incremental()


def check_new_files(table: Table, root: str, files: Sequence[NewFile]) -> None:
    """Make sure that new files were not vacuumed away; a no-op in an object store.

    Args:
        table: the contract.
        root: where the table lies.
        files: the new files.

    Raises:
        VacuumedError: some were.
    """
    if "://" in root:
        return
    missing = sum(not Path(root, file.path).exists() for file in files)
    if missing:
        msg = f"{missing} new file(s) of {table.name} were vacuumed away before they were committed; run it again."
        raise VacuumedError(msg)


def _add_action(table: Table, file: NewFile) -> AddAction:
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
