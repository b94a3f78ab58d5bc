"""Snapshots: one version of one table, pinned."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date
from functools import cached_property
from typing import Any, TypeVar

import pyarrow as pa

from stedi_assets.contracts import Table
from stedi_assets.lakehouse.files import DataFile, fingerprint_in
from stedi_assets.lakehouse.log import TableVersion

Result = TypeVar("Result")


class Snapshot:
    """One version of one table: its files, as they were when it was taken.

    Whatever is read through it is of that version, however many writers go on meanwhile (until a
    vacuum removes the files).

    Args:
        table: the contract.
        root: where the table lies.
        pinned: the version; none for a table that does not exist yet.
        known: data files of another version of it, by path; those that this one has too are not made again.
    """

    def __init__(
        self, table: Table, root: str, pinned: TableVersion | None, known: Mapping[str, DataFile] | None = None
    ) -> None:
        self.table = table
        self.root = root
        self._pinned = pinned
        self._known = known or {}
        self._remembered: dict[str, Any] = {}

    @property
    def version(self) -> int:
        """The Delta version; -1 for a table that does not exist yet."""
        return -1 if self._pinned is None else self._pinned.number

    @property
    def identity(self) -> str:
        """A text that no other version of this table has, nor a table that was made anew in its place."""
        if self._pinned is None:
            return "none"
        # Who restores a log by hand may reuse a version; the commit's file is another one then.
        stamp = None if self._pinned.commit is None else self._pinned.commit.stamp
        return f"{self._pinned.table_id} {self.version} {stamp}"

    @property
    def schema(self) -> pa.Schema | None:
        """The stored schema, or none where there is no table yet."""
        return None if self._pinned is None else self._pinned.schema

    def remember(self, what: str, compute: Callable[[], Result]) -> Result:
        """A result of this version, computed once.

        Args:
            what: names it.
            compute: gives it, the first time.
        """
        if what not in self._remembered:
            self._remembered[what] = compute()
        result: Result = self._remembered[what]
        return result

    @cached_property
    def files(self) -> tuple[DataFile, ...]:
        """All the files, ordered by path."""
        if self._pinned is None:
            return ()
        adds, known = self._pinned.adds, self._known
        paths = adds["path"].to_pylist()
        positions = [position for position, path in enumerate(paths) if path not in known]
        new = adds.take(pa.array(positions, pa.int64()))
        files = [known[path] for path in paths if path in known]
        files += _data_files(self.table, self.root, new)
        self._known = {}
        return tuple(sorted(files, key=lambda file: file.path))

    def known_files(self) -> Mapping[str, DataFile]:
        """The data files that were made so far, by path, for the snapshot of another version."""
        if "files" in self.__dict__:
            return {file.path: file for file in self.files}
        return self._known

    @cached_property
    def _by_day(self) -> dict[date, list[DataFile]]:
        return by_landing_day(self.files)

    def days(self) -> Mapping[date, Sequence[DataFile]]:
        """The files of each landing day that has any."""
        return self._by_day

    @cached_property
    def contents(self) -> Mapping[date, tuple[str, ...]]:
        """The names of the files of each landing day that has any: while they are the same, its rows are."""
        return {day: tuple(file.uri for file in files) for day, files in self._by_day.items()}

    def part(self, column: str, value: str, days: Collection[date] | None = None) -> Sequence[DataFile]:
        """The files with one value of a partition column, ordered by path.

        Args:
            column: a partition column.
            value: its value, as text.
            days: the landing days to take; none takes all.
        """
        files = self.remember(f"parts by {column}", lambda: self._parts(column)).get(value, [])
        return files if days is None else [file for file in files if file.landing_date in days]

    def _parts(self, column: str) -> dict[str, list[DataFile]]:
        parts: dict[str, list[DataFile]] = {}
        for file in self.files:
            parts.setdefault(file.partition[column], []).append(file)
        return parts

    def fingerprints(self) -> dict[date, str | None]:
        """The fingerprint that each landing day was made from; none where its files do not agree or have none."""
        return dict(self.remember("fingerprints", lambda: common_fingerprints(self.files)))

    def rows(self, days: Collection[date] | None = None) -> int:
        """The number of rows, by the log.

        Args:
            days: the landing days to count; none counts all.
        """
        return sum(file.rows for file in self.select(days))

    def select(self, days: Collection[date] | None = None) -> list[DataFile]:
        """The files of some landing days.

        Args:
            days: the landing days; none takes all.
        """
        if days is None:
            return list(self.files)
        return [file for day in sorted(set(days)) for file in self._by_day.get(day, ())]

    def overlapping(self, column: str, bounds: tuple[int, int]) -> list[DataFile]:
        """The files that may hold values of a column within bounds.

        Args:
            column: a column with statistics.
            bounds: the smallest and the greatest value wanted.
        """
        low, high = bounds
        return [
            file
            for file in self.files
            if file.rows and file.minimum.get(column, low) <= high and file.maximum.get(column, high) >= low
        ]

    def bounds(self, column: str, days: Collection[date]) -> tuple[int, int] | None:
        """The smallest and the greatest value of a column in some landing days, by the log; none without rows.

        A file that another tool wrote without statistics may hold any.

        Args:
            column: a column with statistics.
            days: the landing days.
        """
        known = self.ranges(column)
        ranges = [known[day] for day in set(days) if day in known]
        return (min(low for low, _ in ranges), max(high for _, high in ranges)) if ranges else None

    def ranges(self, column: str) -> Mapping[date, tuple[int, int]]:
        """The bounds of each landing day that has rows; see :meth:`bounds`.

        Args:
            column: a column with statistics.
        """
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


def by_landing_day(files: Iterable[DataFile]) -> dict[date, list[DataFile]]:
    """Files grouped by their landing day, in the order in which they come.

    Args:
        files: files of a table, or of a part of it.
    """
    by_day: dict[date, list[DataFile]] = {}
    for file in files:
        by_day.setdefault(file.landing_date, []).append(file)
    return by_day


def common_fingerprints(files: Iterable[DataFile]) -> dict[date, str | None]:
    """The fingerprint of each landing day's files; none where they do not agree or have none.

    Args:
        files: files of a table, or of a part of it.
    """
    prints = {day: {file.fingerprint for file in of_day} for day, of_day in by_landing_day(files).items()}
    return {day: found.pop() if len(found) == 1 else None for day, found in prints.items()}


def _data_files(table: Table, root: str, adds: pa.Table) -> list[DataFile]:
    """The data files of rows of a log, column by column: a lake has a file for each table and day."""
    columns = {name: adds[name].to_pylist() for name in adds.column_names}
    partitions = [columns[f"partition.{name}"] for name in table.partition_by]
    minima, maxima = (
        [(name.removeprefix(prefix), values) for name, values in columns.items() if name.startswith(prefix)]
        for prefix in ("min.", "max.")
    )
    files = []
    for number, (path, rows, size) in enumerate(
        zip(columns["path"], columns["num_records"], columns["size_bytes"], strict=True)
    ):
        partition = {name: str(values[number]) for name, values in zip(table.partition_by, partitions, strict=True)}
        files.append(
            DataFile(
                path=path,
                uri=f"{root}/{path}",
                landing_date=date.fromisoformat(partition["landing_date"]),
                partition=partition,
                rows=rows or 0,
                size=size,
                fingerprint=fingerprint_in(path),
                # Bounds of other types would come from another tool.
                minimum={name: values[number] for name, values in minima if isinstance(values[number], int)},
                maximum={name: values[number] for name, values in maxima if isinstance(values[number], int)},
            )
        )
    return files
