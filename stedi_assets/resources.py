"""The parts that a run works with, put together from the settings.

Making one opens nothing: files, tables and the engine are touched when they are first used.
"""

from __future__ import annotations

import contextlib
import ctypes
from dataclasses import dataclass
from datetime import date, datetime, timezone

from stedi_assets.contracts import LANDING_TABLES, TABLES, Identifier, table
from stedi_assets.engines.base import Engine
from stedi_assets.engines.duckdb import DuckDBEngine
from stedi_assets.engines.session import Session
from stedi_assets.errors import open_lake
from stedi_assets.lakehouse import Lakehouse
from stedi_assets.landing.differences import Difference, day_differences
from stedi_assets.landing.files import LandingZone, Listing
from stedi_assets.landing.manifest import manifest_entries, recorded_fingerprints
from stedi_assets.landing.sample_lake import only_invented_people
from stedi_assets.privacy.dismissals import Dismissals
from stedi_assets.privacy.folder import PrivacyFolder, open_privacy_folder
from stedi_assets.privacy.ledger import Ledger
from stedi_assets.privacy.pseudonyms import Pseudonyms, pseudonyms
from stedi_assets.privacy.suppression import Suppression
from stedi_assets.privacy.tombstones import Tombstones
from stedi_assets.settings import Settings
from stedi_assets.staleness.cache import LakeCache
from stedi_assets.staleness.view import LakeView


@dataclass(frozen=True)
class Resources:
    """One lake, its landing zone, and the parts that read and compute them.

    Args:
        settings: where they lie, and the policies.
        engine: computes the tables. Its frames are Narwhals'; nothing else of it is known.
        session: answers SQL about them: staleness, checks, subject requests, raw lines. With DuckDB, the only engine of
            this version, it is the same object as ``engine``.
        lakehouse: the tables.
        landing: the raw files.
        pseudonyms: makes ``subject_id``, in frames of ``engine``.
        cache: what a process keeps of the tables between looks.
        privacy: the folder of erasure requests, tombstones and receipts.
    """

    settings: Settings
    engine: Engine
    session: Session
    lakehouse: Lakehouse
    landing: LandingZone
    pseudonyms: Pseudonyms
    cache: LakeCache
    privacy: PrivacyFolder

    @classmethod
    def of(cls, settings: Settings) -> Resources:
        """The parts that ``settings`` ask for."""
        engine = DuckDBEngine(memory_limit=settings.memory_limit)
        lakehouse = Lakehouse(settings.lake_uri)
        open_lake(settings.lake_uri, lambda: settings.debug_errors and only_invented_people(settings))
        return cls(
            settings=settings,
            engine=engine,
            session=engine,
            lakehouse=lakehouse,
            landing=LandingZone(settings.landing_uri, limits=settings.limits),
            pseudonyms=pseudonyms(settings, engine.frame, lambda: has_subjects(lakehouse)),
            cache=LakeCache(),
            privacy=open_privacy_folder(settings.privacy_uri, settings.privacy_key),
        )

    def view(self) -> LakeView:
        """The lake as it is now."""
        return LakeView(
            self.lakehouse, self.session, self.settings.policies, self.pseudonyms, self.cache, Dismissals(self.privacy)
        )

    def erased(self) -> Suppression:
        """The people who were erased by now.

        Raises:
            PrivacyFolderError: the lake knows of more of them than the privacy folder.
        """
        tombstones = Tombstones.read(self.privacy)
        Ledger(self.lakehouse).require(self.privacy, tombstones)
        return Suppression(self.session, self.lakehouse, tombstones)

    def listing(self, only: frozenset[date] | None = None) -> Listing:
        """The files in the landing folders, up to today."""
        return self.landing.list(self.settings.first_day, today(), only=only)

    def landing_differences(self, listing: Listing) -> dict[str, dict[date, Difference]]:
        """The partitions of the landing tables that differ from what lies in the landing folders.

        Args:
            listing: what lies there.

        Returns:
            Of each landing table with such partitions, their landing days and why.
        """
        files = self.lakehouse.snapshot(table("landing_files"))
        quarantine = self.lakehouse.snapshot(table("landing_quarantine"))
        returns = {request: str(registered) for request, registered in self.erased().returns().items()}
        differences = {
            landing.name: day_differences(
                landing.name,
                listing,
                manifest_entries(self.session, self.lakehouse, landing),
                self.lakehouse.snapshot(landing).fingerprints(),
                recorded_fingerprints(files, landing),
                quarantined=recorded_fingerprints(quarantine, landing),
                returns=returns,
                limits=self.settings.limits,
            )
            for landing in LANDING_TABLES
        }
        return {name: days for name, days in differences.items() if days}

    def close(self) -> None:
        """Give back the memory and temporary files of engine and session, and what the cache need not keep."""
        self.engine.close()
        self.session.close()
        self.cache.close()
        _return_freed_memory()


def _return_freed_memory() -> None:
    # A process that looks every now and then would keep some 30 MB that were freed: the C library of Linux gives them
    # back only when asked. Others have no such function.
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def has_subjects(lakehouse: Lakehouse) -> bool:
    """Whether any table of a lake has a pseudonym in it; the history of consent has those of people who withdrew."""
    return any(
        lakehouse.snapshot(contract).rows() > 0
        for contract in TABLES.values()
        if any(column.identifies is Identifier.PSEUDONYM for column in contract.columns)
    )


def today() -> date:
    """The UTC day it is."""
    return datetime.now(timezone.utc).date()
