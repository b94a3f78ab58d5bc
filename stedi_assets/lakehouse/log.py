"""The Delta log of a table: one version of it, and whether that is still the newest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable


@dataclass(frozen=True)
class Commit:
    """A commit of a table in a folder, to see whether it is still the newest one without reading the log anew.

    Versions follow each other without a gap, so the newest one is the one that has no next. A table that was removed
    and made anew has other files under the same names.

    Args:
        path: its file.
        following: the file that the next commit will have.
        stamp: tells its file from another that takes its place.
    """

    path: Path
    following: Path
    stamp: tuple[int, int]

    @classmethod
    def of(cls, root: str, version: int) -> Commit | None:
        """The commit of a version; none in an object store, or if its file is gone.

        Args:
            root: the table's folder.
            version: the Delta version.
        """
        if "://" in root:
            return None
        path, following = (Path(root) / "_delta_log" / f"{number:020}.json" for number in (version, version + 1))
        stamp = _stamp(path)
        return None if stamp is None else cls(path, following, stamp)

    def is_there(self) -> bool:
        """Whether it still is a commit of the table."""
        return _stamp(self.path) == self.stamp

    def is_newest(self) -> bool:
        """Whether there is no later one."""
        return _stamp(self.following) is None and self.is_there()


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_mtime_ns


@dataclass(frozen=True)
class TableVersion:
    """One version of a table, as its log has it.

    Args:
        number: the Delta version.
        table_id: tells the table from another that was made anew in its place.
        schema: the stored schema.
        adds: one row per data file.
        commit: its newest commit, where the lake is a folder.
    """

    number: int
    table_id: str
    schema: pa.Schema
    adds: pa.Table
    commit: Commit | None

    @classmethod
    def of(cls, delta: DeltaTable, root: str) -> TableVersion:
        """The version that a table was opened at.

        Args:
            delta: the table.
            root: its folder.
        """
        number = int(delta.version())
        return cls(
            number=number,
            table_id=str(delta.metadata().id),
            schema=pa.schema(delta.schema().to_arrow()),
            adds=pa.table(delta.get_add_actions(flatten=True)),
            commit=Commit.of(root, number),
        )
