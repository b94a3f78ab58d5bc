"""The errors of stored tables."""

from __future__ import annotations

from collections.abc import Sequence

from stedi_assets.contracts import Table


class LakehouseError(RuntimeError):
    """A table is stored with other columns than its contract has, since another version made it.

    Remedy: see [upgrading](operations.md#a-table-has-other-columns-than-its-contract).
    """


class WriteConflictError(LakehouseError):
    """Other writers kept changing the same partitions; nothing was changed.

    Remedy: run it again when fewer runs write those days.
    """


class VacuumedError(LakehouseError):
    """New files were vacuumed away before they became part of the table, which is as it was.

    Remedy: the run is tried again by itself; if it fails all the same, run it again.
    """


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
