"""The lake at one moment: every table at one version, as inputs of the derived tables.

The rows that an asset computes and the fingerprint that they are stored under come from one :class:`LakeView`, so
whatever other runs do meanwhile cannot come between them. What a fingerprint is made of is in ``fingerprints``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from functools import cached_property

import pyarrow as pa

from stedi_assets.contracts import ASSET_TABLES, Scope
from stedi_assets.contracts import table as contract
from stedi_assets.engines.session import Session
from stedi_assets.lakehouse import DataFile, Lakehouse, Snapshot
from stedi_assets.lakehouse.fingerprint import fingerprint
from stedi_assets.privacy.pseudonyms import Pseudonyms
from stedi_assets.settings import Policies, ReadingsBeforeConsent
from stedi_assets.staleness import fingerprints as rules
from stedi_assets.staleness.customers import LatestRecords
from stedi_assets.staleness.digest import row_digest
from stedi_assets.staleness.fingerprints import RULES_VERSION, Fingerprints, Parts
from stedi_assets.staleness.index import ReadingsIndex


class LakeView:
    """The lake at one moment.

    Args:
        lakehouse: where the tables lie.
        engine: reads them.
        policies: which readings and pairs count.
        pseudonyms: makes ``subject_id``.
        latest_records: the cache of who consents.
    """

    def __init__(
        self,
        lakehouse: Lakehouse,
        engine: Session,
        policies: Policies,
        pseudonyms: Pseudonyms,
        latest_records: LatestRecords,
    ) -> None:
        self.lakehouse = lakehouse
        self.engine = engine
        self.policies = policies
        self.pseudonyms = pseudonyms
        self.latest_records = latest_records
        self._snapshots: dict[str, Snapshot] = {}
        self._indexes: dict[tuple[str, frozenset[date] | None], pa.Table] = {}

    def snapshot(self, name: str) -> Snapshot:
        """The pinned version of a table."""
        if name not in self._snapshots:
            self._snapshots[name] = self.lakehouse.snapshot(contract(name))
        return self._snapshots[name]

    def is_current(self) -> bool:
        """Whether every table that was asked for is still at the version that was pinned."""
        return all(
            self.lakehouse.snapshot(pinned.table).version == pinned.version for pinned in self._snapshots.values()
        )

    def state(self) -> str:
        """A short text for all that fingerprints depend on: while it is the same, so are they.

        It costs a look at each table's log.
        """
        tables = [(table.name, table.column_names, self.snapshot(table.name).identity) for table in ASSET_TABLES]
        before, pairing = self.policies.readings_before_consent.value, self.policies.pairing.value
        return fingerprint(RULES_VERSION, tables, before, pairing, self.pseudonyms.key_id)

    # ---- what derived tables are computed from -----------------------------------------------------

    def input_files(self, name: str, upstream: str, days: Collection[date]) -> list[DataFile]:
        """The files of ``upstream`` whose rows the partitions ``days`` of the derived table ``name`` need."""
        scope, snapshot = contract(name).inputs[upstream], self.snapshot(upstream)
        if scope is Scope.ALL_DAYS:
            return list(snapshot.files)
        if scope is Scope.SAME_DAYS:
            return snapshot.select(set(days))
        inputs = [self.snapshot(upstream) for upstream in contract(name).inputs]
        ranges = [
            bounds
            for other in inputs
            if other.table.event_time and (bounds := other.bounds(other.table.event_time, set(days))) is not None
        ]
        if not ranges:
            return []
        bounds = min(low for low, _ in ranges), max(high for _, high in ranges)
        return snapshot.overlapping(str(snapshot.table.event_time), bounds)

    # ---- what fingerprints are computed from -------------------------------------------------------

    @cached_property
    def customers(self) -> pa.Table:
        """Every customer by their latest record: ``email``, ``serialNumber``, ``consented_at``, ``landing_date``."""
        return self.latest_records.customers(self.snapshot("customer_landing"))

    def since(self, alias: str) -> str:
        """SQL of what counts of a consent: since when it is, where that leaves readings out, else whether it is."""
        excluding = self.policies.readings_before_consent is ReadingsBeforeConsent.EXCLUDE
        return f"{alias}.consented_at" if excluding else f"({alias}.consented_at IS NOT NULL)"

    @cached_property
    def people(self) -> pa.Table:
        """Every customer, and whether they are curated.

        Returns:
            ``email``, ``device``, ``consented_at`` (null for one who does not consent), ``curated_as`` (a digest of
            their pseudonym; null for one who is not curated).
        """
        curated = self.snapshot("customers_curated")
        return self.engine.arrow(
            f"""
            SELECT c.email, c."serialNumber" AS device, c.consented_at, s.curated_as FROM customers c
            LEFT JOIN (
                SELECT email, {row_digest("min(subject_id)")} AS curated_as FROM curated GROUP BY email
            ) s USING (email)
            """,
            customers=self.customers,
            curated=self.engine.relation(curated.table, curated.files),
        )

    @cached_property
    def shared_devices(self) -> pa.Table:
        """The devices that several customers claim; see ``LatestRecords.shared_devices``."""
        return self.latest_records.shared_devices(self.snapshot("customer_landing"))

    def index(self, name: str, days: Collection[date] | None = None) -> pa.Table:
        """Whose readings a table of readings has; see ``ReadingsIndex.of``."""
        key = name, None if days is None else frozenset(days)
        if key not in self._indexes:
            self._indexes[key] = self._index.of(self.snapshot(name), days)
        return self._indexes[key]

    @cached_property
    def _index(self) -> ReadingsIndex:
        return ReadingsIndex(self.engine, self.snapshot("readings_index"))

    # ---- fingerprints ------------------------------------------------------------------------------

    def parts(
        self, name: str, days: Collection[date] | None = None, assumed: Mapping[str, Fingerprints] | None = None
    ) -> dict[date, Parts]:
        """What the partitions of a derived table would be made from now, part by part.

        Args:
            name: the table.
            days: the landing days wanted; none takes every day that has an input.
            assumed: fingerprints to take for those of upstream tables, instead of what these were made from;
                reconciliation passes what they *should* be made from.
        """
        return rules.parts(self, contract(name), days, assumed or {})

    def fingerprints(
        self, name: str, days: Collection[date] | None = None, assumed: Mapping[str, Fingerprints] | None = None
    ) -> dict[date, str]:
        """The fingerprints of :meth:`parts`."""
        return {day: rules.combined(found) for day, found in self.parts(name, days, assumed).items()}
