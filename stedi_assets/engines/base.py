"""What every engine can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Protocol

import narwhals.stable.v2 as nw
import pyarrow as pa

from stedi_assets.contracts import Table
from stedi_assets.lakehouse import DataFile, Lakehouse, NewFile

Frame = nw.LazyFrame[Any]
"""Rows to be computed, on whichever engine."""


class MissingEngineError(RuntimeError):
    """The engine that the settings ask for is not there; the message says how to get it."""


class Engine(Protocol):
    """Reads, computes and writes frames. Not safe for several threads at once."""

    def scan(self, table: Table, files: Sequence[DataFile]) -> Frame:
        """The rows of ``files`` with the contract's columns; no rows where there are no files."""
        ...

    def frame(self, rows: pa.Table) -> Frame:
        """Rows that are in memory."""
        ...

    def cache(self, frame: Frame, /, **keys: str) -> Frame:
        """Compute the rows now and once, for a frame that is used several times; they are kept until the next write.

        Args:
            frame: the rows.
            keys: new columns with short keys, each with the column that it stands for; see ``transforms.common.Cache``.
        """
        ...

    def collect(self, frame: Frame) -> pa.Table:
        """Compute a frame into memory."""
        ...

    def write(
        self,
        frame: Frame,
        lakehouse: Lakehouse,
        table: Table,
        fingerprints: Mapping[date, str],
        within: Mapping[str, str] | None = None,
    ) -> list[NewFile]:
        """Compute a frame into new Parquet files below the table's folder, day by day; lets go what is held.

        Args:
            frame: has the table's columns; rows of days that are not named are left out.
            lakehouse: where the table lies.
            table: the contract.
            fingerprints: the landing days to write, with what names the inputs of each.
            within: values of the partition columns besides ``landing_date``.

        Returns:
            At least one file for every day, without rows where the frame has none.
        """
        ...

    def close(self) -> None:
        """Give back memory and temporary files."""
        ...
