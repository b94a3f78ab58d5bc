"""Unused files of a table: which lie below its folder and belong to no current version, and their removal."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date

from deltalake import DeltaTable
from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs

from stedi_assets.contracts import Table
from stedi_assets.lakehouse.files import DataFile
from stedi_assets.lakehouse.snapshot import Snapshot

_MAGIC = b"PAR1"


def delete_unused_files(delta: DeltaTable) -> int:
    """Delete every file below a table's folder that its version does not use.

    Args:
        delta: the table at its newest version.

    Returns:
        How many files were deleted.
    """
    return len(delta.vacuum(0, dry_run=False, enforce_retention_duration=False, full=True))


def unused_files(snapshot: Snapshot, storage_options: Mapping[str, str]) -> list[DataFile]:
    """The whole Parquet files below a table's folder that a version of it does not use.

    Args:
        snapshot: the version.
        storage_options: for the store.

    Returns:
        The files, without what only a log knows of them.
    """
    fs, root = url_to_fs(snapshot.root, **storage_options)
    if not fs.exists(root):
        return []
    used = {file.path for file in snapshot.files}
    paths = (full[len(root) + 1 :] for full in fs.find(root) if full.endswith(".parquet"))
    return [
        _unused_file(snapshot.root, path)
        for path in sorted(paths)
        if _is_unused(snapshot.table, path, used) and _is_whole(fs, f"{root}/{path}")
    ]


def _is_unused(table: Table, path: str, used: Collection[str]) -> bool:
    # Checkpoints of the log are Parquet too, and hold no rows.
    return path not in used and all(f"{name}=" in path for name in table.partition_by)


def _is_whole(fs: AbstractFileSystem, path: str) -> bool:
    # A Parquet file ends with its magic number, which is written last.
    try:
        return bool(fs.tail(path, len(_MAGIC)) == _MAGIC)
    except FileNotFoundError:
        return False


def _unused_file(root: str, path: str) -> DataFile:
    partition = dict(part.split("=", 1) for part in path.split("/")[:-1])
    day = date.fromisoformat(partition["landing_date"])
    return DataFile(path, f"{root}/{path}", day, partition, 0, 0, None, {}, {})
