"""What each table promises, as data.

``model`` has the types that a contract is made of, ``columns`` the shared dictionary of columns,
``tables`` the tables, ``render`` turns a contract into other forms (Arrow, Dagster, Markdown).
Nothing here reads, computes or writes a row.
"""

from stedi_assets.contracts.model import Column, DataType, LandingSource, Privacy, Table, Zone
from stedi_assets.contracts.tables import ASSET_TABLES, LANDING_TABLES, TABLES, table

__all__ = [
    "ASSET_TABLES",
    "LANDING_TABLES",
    "TABLES",
    "Column",
    "DataType",
    "LandingSource",
    "Privacy",
    "Table",
    "Zone",
    "table",
]
