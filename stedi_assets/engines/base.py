"""The protocol of an engine: the operations that Narwhals does not have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol

import narwhals.stable.v2 as nw
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stedi_assets.contracts import LandingSource, Table
from stedi_assets.lakehouse import DataFile, Lakehouse, NewFile

Frame = nw.LazyFrame[Any]
"""Rows to be computed, on whichever engine."""


@dataclass(frozen=True)
class Keys:
    """The keys that raw objects are likely to have; nothing is wrong where one has others, but it is not proven good.

    Args:
        spelt: of fields that are spelt in another way than the contract does, the key.
        unknown: keys that mean no field, and have a text, a number or a truth value.
    """

    spelt: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class ParsedLines:
    """Raw lines as an engine read them.

    Args:
        values: the fields of the lines that are proven good, in the order of the lines.
        good: of each line, whether it is; the others are to be judged one by one.
        unknown: of each key that means no field and was asked for, which of the lines that are proven good have it.
    """

    values: pa.Table
    good: npt.NDArray[np.bool_]
    unknown: Mapping[str, npt.NDArray[np.bool_]] = field(default_factory=dict)


class Engine(Protocol):
    """Reads, computes and writes frames. Not safe for several threads at once.

    What a frame means is written with Narwhals. An engine has only what Narwhals does not have, or not everywhere.
    """

    def parse_lines(
        self,
        lines: Sequence[bytes],
        source: LandingSource,
        landing_date: date,
        keys: Keys,
    ) -> ParsedLines | None:
        """Read raw lines, each of them a JSON object at most, into typed values.

        Args:
            lines: without line feeds.
            source: the fields that they should have.
            landing_date: the day their file landed.
            keys: that they are likely to have.

        Returns:
            The values of lines that are good by ``contracts.line.validate_line``, to whom it gives the same values, and
            that have no other keys than ``keys`` says; not necessarily all of them. None where nothing is proven.
        """
        ...

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
