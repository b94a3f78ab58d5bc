"""The Parquet files of tables: those that a table consists of, and those that are not part of it yet.

**Fingerprints.** Every data file's name starts with the fingerprint of the inputs that its
partition was made from (``<fingerprint>-<uuid>.parquet``), and a partition that was made but has
no rows holds one file without rows. So the Delta log itself says, atomically with the data, what
each partition was made from; reconciliation compares that with what it should be made from. A
file that some other tool wrote has no such name, which makes its partition differ.
"""

from __future__ import annotations

import posixpath
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

_FINGERPRINT = re.compile(r"^([0-9a-f]{16}(?:\.[0-9a-f]{4})*)-[0-9a-f-]{36}\.parquet$")


@dataclass(frozen=True)
class NewFile:
    """A Parquet file that an engine wrote below a table's folder and that is not part of it yet.

    Args:
        path: below the table's folder.
        partition: value of each partition column, as text.
        rows: how many rows it has.
        size: in bytes.
        minimum: smallest value per column with statistics; never of a column that could identify a person.
        maximum: greatest value, likewise.
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
    """A Parquet file that a table consists of.

    Args:
        path: below the table's folder.
        uri: where it lies; its content never changes.
        landing_date: the day of its partition.
        partition: value of each partition column, as text.
        rows: how many rows it has.
        size: in bytes.
        fingerprint: of the inputs that its partition was made from; none of a file that another tool wrote.
        minimum: smallest value per column with statistics.
        maximum: greatest value per column with statistics.
    """

    path: str
    uri: str
    landing_date: date
    partition: Mapping[str, str]
    rows: int
    size: int
    fingerprint: str | None
    minimum: Mapping[str, int]
    maximum: Mapping[str, int]


def new_path(partition: Mapping[str, str], fingerprint: str) -> str:
    """A path, below a table's folder, that no file ever had.

    Args:
        partition: value of each partition column.
        fingerprint: names the inputs of the partition: 16 hexadecimal digits, and four more behind a point for
            each part.
    """
    folders = [f"{name}={value}" for name, value in partition.items()]
    return posixpath.join(*folders, f"{fingerprint}-{uuid.uuid4()}.parquet")


def fingerprint_in(path: str) -> str | None:
    """The fingerprint that a data file's name starts with; none in a file that another tool wrote.

    Args:
        path: the file's path.
    """
    matched = _FINGERPRINT.match(posixpath.basename(path))
    return matched[1] if matched else None
