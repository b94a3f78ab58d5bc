"""The latest record of every customer, computed once per version of ``customer_landing``.

A process asks for it at every step and every tick, and customers are few. The rule is ``transforms.consents``.
"""

from __future__ import annotations

from datetime import date

import pyarrow as pa

from stedi_assets import transforms
from stedi_assets.contracts import table as contract
from stedi_assets.engines.base import Frame
from stedi_assets.engines.session import Session
from stedi_assets.engines.sql import named
from stedi_assets.lakehouse import Snapshot
from stedi_assets.staleness.digest import row_digest, sum_digest


class LatestRecords:
    """A cache of what follows from ``customer_landing`` alone, for its last version that was asked for.

    Args:
        engine: reads the records.
    """

    def __init__(self, engine: Session) -> None:
        self._engine = engine
        self._customers: tuple[tuple[str, ...], pa.Table] | None = None
        self._shared: tuple[tuple[str, ...], pa.Table] | None = None
        self._histories: tuple[tuple[str, ...], dict[date, str]] | None = None

    def customers(self, customer_landing: Snapshot) -> pa.Table:
        """One row per customer.

        Returns:
            ``email`` and ``serialNumber`` as they are compared, ``consented_at`` (epoch ms; null for one who does not
            consent), and of the record that counts, ``landing_date`` and a digest of what ``customer_trusted`` would
            hold of it, ``record``.
        """
        version = _version(customer_landing)
        if self._customers is None or self._customers[0] != version:
            landed = self._engine.relation(customer_landing.table, customer_landing.files)
            record = row_digest(*(named(column) for column in contract("customer_trusted").column_names))
            records = landed.project(f"*, {record} AS record")
            self._customers = version, self._engine.collect(transforms.consents(records, "landing_date", "record"))
        return self._customers[1]

    def shared_devices(self, customer_landing: Snapshot) -> pa.Table:
        """The devices that several customers claim: ``device``, ``claimants``, and how many of them ``consenting``."""
        version = _version(customer_landing)
        if self._shared is None or self._shared[0] != version:
            devices = self._engine.arrow(
                'SELECT "serialNumber" AS device, count(*) AS claimants, count(consented_at) AS consenting '
                "FROM customers GROUP BY ALL HAVING claimants > 1",
                customers=self.customers(customer_landing),
            )
            self._shared = version, devices
        return self._shared[1]

    def histories(self, customer_landing: Snapshot) -> dict[date, str]:
        """Of each landing day, a digest of its rows of ``consent_history``, if there are any."""
        version = _version(customer_landing)
        if self._histories is None or self._histories[0] != version:
            records = self._engine.scan(customer_landing.table, customer_landing.files)
            row = row_digest("subject_id", "grant_number", "granted_at", "withdrawn_at", "withdrawn_landing_date")
            rows = self._engine.rows(
                f"SELECT landing_date, {sum_digest(row)} FROM intervals GROUP BY ALL",
                intervals=_intervals(records).to_native(),
            )
            self._histories = version, dict(rows)
        return self._histories[1]


def _intervals(records: Frame) -> Frame:
    # By e-mail, not by pseudonym: which is which, the key tells, and pseudonyms take longer to make.
    emails = transforms.ever_consenting(records).with_columns(subject_id="email")
    return transforms.consent_history(records, emails)


def _version(customer_landing: Snapshot) -> tuple[str, ...]:
    return tuple(file.uri for file in customer_landing.files)
