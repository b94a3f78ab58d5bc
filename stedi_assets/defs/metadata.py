"""Metadata that Dagster's UI shows of a contract: column schema and column lineage.

Dagster concept: definition metadata of an asset (``dagster/column_schema``, ``dagster/column_lineage``).

Pure functions of a :class:`~stedi_assets.contracts.model.Table`. Metadata of what was written belongs to
``io_manager``; the forms of a contract that need no Dagster are in ``contracts.render``.
"""

from __future__ import annotations

import dagster as dg

from stedi_assets.contracts import Table
from stedi_assets.contracts.render import sql_type


def column_schema(table: Table) -> dg.TableSchema:
    """The column schema that Dagster's UI shows."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                type=sql_type(column).lower(),
                description=column.description,
                constraints=dg.TableColumnConstraints(
                    nullable=not column.required,
                    other=[column.privacy.value, *([column.unit] if column.unit else [])],
                ),
            )
            for column in table.columns
        ]
    )


def column_lineage(table: Table) -> dg.TableColumnLineage:
    """The column lineage that Dagster's UI shows."""
    return dg.TableColumnLineage(
        {
            name: [dg.TableColumnDep(asset_key=dg.AssetKey(upstream), column_name=column) for upstream, column in deps]
            for name, deps in table.lineage.items()
        }
    )
