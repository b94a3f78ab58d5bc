"""What a process keeps of the lake: results that hold for as long as some tables consist of the same files.

What is kept of single landing days is in ``lakehouse.partition_cache``, what of one version of a table in ``Snapshot``,
and rows of small tables in ``engines.duckdb``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import pyarrow as pa

from stedi_assets.lakehouse import DataFile

Result = TypeVar("Result")

_MOST_BYTES = 10_000_000
"""What a table may have that is kept between looks."""


class LakeCache:
    """Results by name, each of the files that it was last asked for."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[tuple[str, ...], Any]] = {}

    def result(self, name: str, files: Iterable[DataFile], compute: Callable[[], Result], state: str = "") -> Result:
        """A result of some files, computed where these are others than the last time; files never change.

        Args:
            name: names the result.
            files: what it is computed from.
            compute: gives it.
            state: names what else it is computed from.
        """
        version = (state, *(file.uri for file in files))
        if name not in self._kept or self._kept[name][0] != version:
            self._kept.pop(name, None)
            self._kept[name] = version, compute()
        result: Result = self._kept[name][1]
        return result

    def close(self) -> None:
        """Forget large tables: a process may look again hours later."""
        large = [
            name for name, (_, kept) in self._kept.items() if isinstance(kept, pa.Table) and kept.nbytes > _MOST_BYTES
        ]
        for name in large:
            del self._kept[name]
