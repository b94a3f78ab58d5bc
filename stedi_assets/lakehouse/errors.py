"""The errors of stored tables."""

from __future__ import annotations

from collections.abc import Sequence

from stedi_assets.contracts import Table


class LakehouseError(RuntimeError):
    """A table is not what the lakehouse can work with; the message says what to do."""


class WriteConflictError(LakehouseError):
    """Other writers kept changing the same partitions; nothing was changed, and a rerun is safe."""


class VacuumedError(LakehouseError):
    """Files were deleted before they became part of the table, which is as it was; a rerun is safe."""


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
