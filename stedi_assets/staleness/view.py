"""The lake at one moment: every table at one version, as inputs of the derived tables.

The rows that an asset computes and the fingerprint that they are stored under come from one :class:`LakeView`, so
whatever other runs do meanwhile cannot come between them. Here is what tables and fingerprints are computed from; what
a fingerprint is made of is in ``fingerprints``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import date
from functools import cached_property
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from stedi_assets import transforms
from stedi_assets.contracts import Scope
from stedi_assets.contracts import table as contract
from stedi_assets.contracts.names import normalized_sql
from stedi_assets.engines.base import Frame
from stedi_assets.engines.session import Session
from stedi_assets.lakehouse import DataFile, Lakehouse, Snapshot
from stedi_assets.privacy.dismissals import Dismissals
from stedi_assets.privacy.identity import EMAIL, SERIAL
from stedi_assets.privacy.mentions import mentions
from stedi_assets.privacy.pseudonyms import Pseudonyms
from stedi_assets.settings import Policies
from stedi_assets.staleness.cache import LakeCache
from stedi_assets.staleness.customers import Customers, customers_of, names_of_customers
from stedi_assets.staleness.digest import row_digest
from stedi_assets.staleness.index import ReadingsIndex
from stedi_assets.transforms.doubt import PLACE

Result = TypeVar("Result")


class LakeView:
    """The lake at one moment.

    Args:
        lakehouse: where the tables lie.
        engine: reads them.
        policies: which readings and pairs count.
        pseudonyms: makes ``subject_id``.
        cache: what was computed of the tables before.
        dismissals: which rejected texts are held against nobody; none by default.
    """

    def __init__(
        self,
        lakehouse: Lakehouse,
        engine: Session,
        policies: Policies,
        pseudonyms: Pseudonyms,
        cache: LakeCache,
        dismissals: Dismissals | None = None,
    ) -> None:
        self.lakehouse = lakehouse
        self.engine = engine
        self.policies = policies
        self.pseudonyms = pseudonyms
        self._cache = cache
        self._dismissals = dismissals
        self._snapshots: dict[str, Snapshot] = {}

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

    # ---- customer records, and doubts about them ---------------------------------------------------

    @property
    def dismissals_state(self) -> str:
        """A fingerprint of which rejected texts are dismissed."""
        return "" if self._dismissals is None else self._dismissals.state

    @property
    def undismissed_texts(self) -> pa.Table:
        """The customer records that landed, could not be read and are not dismissed: rows of ``landing_quarantine``."""

        def read() -> pa.Table:
            texts = self.engine.relation(quarantine.table, files).order(", ".join(PLACE)).to_arrow_table()
            if self._dismissals is None:
                return texts
            return texts.filter(pc.invert(self._dismissals.are_dismissed(texts)))

        quarantine = self.snapshot("landing_quarantine")
        files = quarantine.part("landing_table", "customer_landing")
        return self._cache.result("undismissed texts", files, read, self.dismissals_state)

    @property
    def mentions(self) -> pa.Table:
        """The names of customers that stand in the :attr:`undismissed_texts`; see ``privacy.mentions``."""

        def find() -> pa.Table:
            if not self.undismissed_texts.num_rows:
                return mentions(self.undismissed_texts, pa.array([], pa.string()))
            landed = self.snapshot("customer_landing")
            names = " UNION ".join(f"SELECT {normalized_sql(one)} AS name FROM records" for one in (EMAIL, SERIAL))
            known = self.engine.arrow(names, records=self.engine.relation(landed.table, landed.files))
            return mentions(self.undismissed_texts, known["name"])

        return self._of_customers("mentions", find)

    def customer_records(self) -> Frame:
        """The records of all customers, with the doubts about them; see ``transforms.with_doubts``."""
        landed = self.snapshot("customer_landing")
        records = self.engine.scan(landed.table, landed.files)

        def find() -> pa.Table | None:
            if not self.mentions.num_rows:
                return None
            return self.engine.collect(transforms.doubts(records, self.engine.frame(self.mentions)))

        # Few and the same for every table, so they are computed once.
        doubts = self._of_customers("doubts", find)
        return transforms.with_doubts(records, None if doubts is None else self.engine.frame(doubts))

    def _of_customers(self, name: str, compute: Callable[[], Result]) -> Result:
        """What follows from all customer records, read or rejected, computed where these or the dismissals changed."""
        rejected = self.snapshot("landing_quarantine").part("landing_table", "customer_landing")
        files = (*self.snapshot("customer_landing").files, *rejected)
        return self._cache.result(name, files, compute, self.dismissals_state)

    # ---- what fingerprints are computed from -------------------------------------------------------

    @property
    def customer_names(self) -> pa.Table:
        """Every customer by their latest record, by name; see ``names_of_customers``."""
        return self._of_customers(
            "names of customers", lambda: names_of_customers(self.engine, self.customer_records())
        )

    @property
    def _customers(self) -> Customers:
        return self._of_customers("customers", lambda: customers_of(self.engine, self.customer_records()))

    @property
    def customers(self) -> pa.Table:
        """Every customer by their latest record, with hashes for names; see ``Customers.latest``."""
        return self._customers.latest

    @property
    def consent_histories(self) -> Mapping[date, str]:
        """Of each landing day, a digest of its rows of ``consent_history``."""
        return self._customers.histories

    @cached_property
    def people(self) -> pa.Table:
        """The :attr:`customers`, and whether they are curated.

        Returns:
            Their columns, and ``curated_as``: a digest of their pseudonyms (more than one only while partitions are
            stale); null for one who is not curated.
        """
        curated = self.snapshot("customers_curated")
        pseudonyms = f"""
            SELECT person, hash(sum(pseudonym)) AS curated_as
            FROM (SELECT DISTINCT hash(email) AS person, {row_digest("subject_id")} AS pseudonym FROM stored)
            GROUP BY ALL"""

        def read_pseudonyms() -> pa.Table:
            return self.engine.arrow(pseudonyms, stored=self.engine.cached_relation(curated.table, curated.files))

        return self.engine.arrow(
            "SELECT c.*, curated_as FROM customers c LEFT JOIN curated s ON c.person = s.person",
            customers=self.customers,
            curated=self._cache.result("pseudonyms", curated.files, read_pseudonyms),
        )

    @cached_property
    def shared_devices(self) -> pa.Table:
        """The devices that several customers claim: ``device``, ``claimants``, and how many of them ``consenting``."""
        return self.engine.arrow(
            "SELECT device, count(*) AS claimants, count(consented_at) AS consenting FROM people "
            "GROUP BY ALL HAVING claimants > 1",
            people=self.people,
        )

    def index(self, name: str, days: Collection[date] | None = None) -> pa.Table:
        """Whose readings a table of readings has, by name; see ``ReadingsIndex.of``."""
        return self._index.of(self.snapshot(name), days)

    def readings(self, name: str, days: Collection[date] | None = None) -> pa.Table:
        """Whose readings a table of readings has, by hashes as in :attr:`people`; see ``ReadingsIndex.of``."""
        snapshot = self.snapshot(name)
        if days is not None:
            return self._index.of(snapshot, days, hashed=True)
        return self._cache.result(f"readings of {name}", snapshot.files, lambda: self._index.of(snapshot, hashed=True))

    @cached_property
    def _index(self) -> ReadingsIndex:
        return ReadingsIndex(self.engine, self.snapshot("readings_index"))
