"""The tables as they are stored: Delta tables below one URI, and the only importer of ``deltalake``."""

from stedi_assets.lakehouse.delta import (
    DataFile,
    Lakehouse,
    LakehouseError,
    NewFile,
    Snapshot,
    VacuumedError,
    WriteConflictError,
    other_columns,
)

__all__ = [
    "DataFile",
    "Lakehouse",
    "LakehouseError",
    "NewFile",
    "Snapshot",
    "VacuumedError",
    "WriteConflictError",
    "other_columns",
]
