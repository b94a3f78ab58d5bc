"""The tables as they are stored: Delta tables below one URI, and the only importer of ``deltalake``.

``lakehouse`` is the way in; ``snapshot`` is a version to read, ``commits`` replaces partitions, ``vacuum`` removes
unused files, ``files`` and ``log`` are what tables consist of, ``fingerprint`` names inputs.
"""

from stedi_assets.lakehouse.errors import LakehouseError, VacuumedError, WriteConflictError, other_columns
from stedi_assets.lakehouse.files import DataFile, NewFile
from stedi_assets.lakehouse.lakehouse import Lakehouse
from stedi_assets.lakehouse.snapshot import Snapshot

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
