"""The contracts: what each table promises, as data.

``model`` has the types that a contract is made of, ``columns`` the shared dictionary of columns,
``tables`` the tables, ``render`` turns a contract into other forms (Arrow, Dagster, Markdown).
Nothing here reads, computes or writes a row.
"""

from stedi_assets.contracts.model import Column, DataType, Identifier, LandingSource, Privacy, Scope, Table, Zone
from stedi_assets.contracts.tables import (
    ASSET_TABLES,
    DERIVED_TABLES,
    LANDING_TABLES,
    READINGS_TABLES,
    SIDE_TABLES,
    TABLES,
    table,
)

__all__ = [
    "ASSET_TABLES",
    "DERIVED_TABLES",
    "LANDING_TABLES",
    "READINGS_TABLES",
    "SIDE_TABLES",
    "TABLES",
    "Column",
    "DataType",
    "Identifier",
    "LandingSource",
    "Privacy",
    "Scope",
    "Table",
    "Zone",
    "table",
]
