"""A contract in other forms: Arrow schema, SQL types, Markdown.

Pure functions of a :class:`~stedi_assets.contracts.model.Table`; nothing here reads a table. What Dagster shows of a
contract is in ``metadata``: reading tables takes no Dagster, whose import takes a second.
"""

from __future__ import annotations

import pyarrow as pa

from stedi_assets.contracts.model import Column, DataType, Table

_ARROW = {
    DataType.TEXT: pa.string(),
    DataType.INTEGER: pa.int64(),
    DataType.NUMBER: pa.float64(),
    DataType.BOOLEAN: pa.bool_(),
    DataType.DATE: pa.date32(),
}
_SQL = {
    DataType.TEXT: "VARCHAR",
    DataType.INTEGER: "BIGINT",
    DataType.NUMBER: "DOUBLE",
    DataType.BOOLEAN: "BOOLEAN",
    DataType.DATE: "DATE",
}


def sql_type(column: Column) -> str:
    """The SQL type of a column, in the spelling that DuckDB, Spark and Athena share."""
    return _SQL[column.type]


def arrow_schema(table: Table) -> pa.Schema:
    """The Arrow schema of a table, in stored column order.

    Every field is nullable, since Delta readers disagree on required columns; the checks hold
    what ``required`` promises.
    """
    return pa.schema([pa.field(column.name, _ARROW[column.type]) for column in table.columns])


def markdown(tables: tuple[Table, ...]) -> str:
    """The reference page ``docs/tables.md``.

    Args:
        tables: in the order in which the page lists them.

    Returns:
        The whole page; the same contracts give the same bytes.
    """
    lines = [
        "# The tables",
        "",
        "Generated from the contracts in `stedi_assets/contracts/` by `make docs`; a test keeps it true.",
        "",
        "Times are epoch milliseconds in UTC. Names are as the devices send them; what the lakehouse adds is",
        "in snake_case. Every table is a Delta table partitioned by the UTC day on which its data landed.",
    ]
    for table in tables:
        lines += ["", f"## {table.name}", "", f"`{table.path}`. {table.description}", ""]
        if table.key:
            lines += [f"Key: {', '.join(f'`{name}`' for name in table.key)}.", ""]
        lines += ["| column | type | required | privacy | what it is | from |", "| --- | --- | --- | --- | --- | --- |"]
        for column in table.columns:
            origin = ", ".join(f"`{upstream}.{name}`" for upstream, name in table.lineage.get(column.name, ()))
            unit = f" ({column.unit})" if column.unit else ""
            lines.append(
                f"| `{column.name}` | {sql_type(column)} | {'yes' if column.required else 'no'} "
                f"| {column.privacy.value} | {column.description}{unit} | {origin} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    import sys

    from stedi_assets.contracts.tables import TABLES

    sys.stdout.write(markdown(tuple(TABLES.values())))
