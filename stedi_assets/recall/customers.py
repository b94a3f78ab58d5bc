"""What depends on the landing records of one customer only: computed again for those whose records changed.

The records that landed are remembered by number only. When files of ``customer_landing`` come or go, comparing
these numbers tells whose records did, even if the old files are not there any more; the rules are then run on
all the records of these customers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from stedi_assets import transforms
from stedi_assets.contracts import Table
from stedi_assets.contracts import table as contract
from stedi_assets.contracts.names import normalized_sql
from stedi_assets.contracts.render import arrow_schema
from stedi_assets.engines.base import Frame
from stedi_assets.engines.duckdb import DuckDBEngine, named
from stedi_assets.lakehouse import DataFile, Snapshot
from stedi_assets.recall.days import ByDay, cut_by_day
from stedi_assets.recall.digests import Bools, Codes, Hashes, Ints, are_in, by_day
from stedi_assets.recall.names import Names, column, hashed, keyed

_LANDING = contract("customer_landing")
_EVERYBODY = 4
"""Where more than one in so many customers changed, all are computed anew: reading everything is cheaper then."""

EMAIL = f"coalesce({normalized_sql('email')}, '')"


@dataclass(frozen=True)
class Records:
    """The records of one landing day, by number: whose they are, and what they say."""

    emails: Codes
    hashes: Hashes


_NO_RECORDS = Records(np.empty(0, np.int32), np.empty(0, np.uint64))

Landed = Mapping[date, Records]


@dataclass(frozen=True)
class Change:
    """What is to be computed again.

    Args:
        emails: by code, whether the customer's records changed; none for everybody.
        records: all records of these customers.
    """

    emails: Bools | None
    records: Frame


class LandedCustomers:
    """The records of ``customer_landing``, and who is concerned when they change.

    Args:
        engine: reads them.
        emails: numbers the customers.
    """

    def __init__(self, engine: DuckDBEngine, emails: Names) -> None:
        self.engine = engine
        self.emails = emails
        self._days = ByDay(self._read, _NO_RECORDS)

    def now(self, snapshot: Snapshot) -> Landed:
        """The records of each landing day."""
        return self._days.of(snapshot)

    def since(self, before: Landed | None, snapshot: Snapshot) -> Change | None:
        """What changed since the records were others.

        Args:
            before: what :meth:`now` gave then; none if nothing was computed yet.
            snapshot: ``customer_landing`` now.

        Returns:
            None if nothing did.
        """
        now = self.now(snapshot)
        if before is None:
            return Change(None, self.engine.scan(_LANDING, snapshot.files))
        days = {day for day in before.keys() | now.keys() if before.get(day) is not now.get(day)}
        if not days:
            return None
        old, new = (_together([landed.get(day, _NO_RECORDS) for day in sorted(days)]) for landed in (before, now))
        changed = np.setxor1d(old.hashes, new.hashes)
        concerned = np.zeros(len(self.emails), dtype=np.bool_)
        for records in (old, new):
            concerned[records.emails[np.isin(records.hashes, changed)]] = True
        if not concerned.any():
            return None
        if concerned.sum() * _EVERYBODY > len(self.emails):
            return Change(None, self.engine.scan(_LANDING, snapshot.files))
        files = snapshot.select([day for day, records in now.items() if concerned[records.emails].any()])
        records = self.engine.arrow(
            f"SELECT * FROM records WHERE {EMAIL} IN (SELECT email FROM concerned)",
            records=self.engine.relation(_LANDING, files),
            concerned=pa.table({"email": self.emails.texts(np.flatnonzero(concerned).astype(np.int32))}),
        )
        return Change(concerned, self.engine.frame(records.cast(arrow_schema(_LANDING))))

    def _read(self, snapshot: Snapshot, files: Sequence[DataFile]) -> dict[date, Records]:
        # Compared in this process only, so a hash will do that may be another one in another version of DuckDB.
        columns = ", ".join(named(name) for name in _LANDING.column_names)
        rows = self.engine.arrow(
            f"""
            SELECT landing_date, email, {keyed("email")} AS key, record
            FROM (SELECT landing_date, {EMAIL} AS email, hash({columns}) AS record FROM records)
            """,
            records=self.engine.relation(_LANDING, files),
        )
        codes = self.emails.codes(rows["email"], column(rows, "key"))
        hashes = column(rows, "record")
        return {day: Records(codes[place], hashes[place]) for day, place in cut_by_day(rows).items()}


def _together(parts: Sequence[Records]) -> Records:
    return Records(
        np.concatenate([_NO_RECORDS.emails, *(part.emails for part in parts)]),
        np.concatenate([_NO_RECORDS.hashes, *(part.hashes for part in parts)]),
    )


@dataclass(frozen=True)
class People:
    """Everybody who has landed, by their latest record (see ``transforms.consents``); arrays by code of the e-mail.

    Args:
        device: the code of the serial number; -1 where there is no record.
        consented_at: since when they consent, in epoch ms; 0 where they do not.
        landed: the number of the landing day of the record.
    """

    device: Codes
    consented_at: Ints
    landed: Codes

    @property
    def known(self) -> Bools:
        """Who has a record."""
        return self.device >= 0

    @property
    def consent(self) -> Bools:
        """Who consents."""
        return self.consented_at > 0

    @classmethod
    def nobody(cls) -> People:
        """No records at all."""
        return cls(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.int32))

    def reaching(self, size: int) -> People:
        """A copy for ``size`` codes; there is no record of those that became known since."""
        more = (0, size - len(self.device))
        return People(
            np.pad(self.device, more, constant_values=-1),
            np.pad(self.consented_at, more),
            np.pad(self.landed, more),
        )


class LatestRecords:
    """Remembers :class:`People`.

    Args:
        customers: what landed.
        devices: numbers the serial numbers.
    """

    def __init__(self, customers: LandedCustomers, devices: Names) -> None:
        self._customers = customers
        self._devices = devices
        self._made: tuple[Landed, People] | None = None

    def people(self, snapshot: Snapshot) -> People:
        """Everybody, at a version of ``customer_landing``."""
        landed, people = self._made or (None, People.nobody())
        change = self._customers.since(landed, snapshot)
        if change is not None:
            people = self._changed(people, change)
        self._made = self._customers.now(snapshot), people
        return people

    def _changed(self, people: People, change: Change) -> People:
        rows = self._rows(change.records)
        emails = self._customers.emails
        codes = emails.codes(rows["email"], column(rows, "key"))
        # A copy: whoever has the one before keeps it.
        people = (people if change.emails is not None else People.nobody()).reaching(len(emails))
        if change.emails is not None:
            # Their last record may be gone.
            gone = np.flatnonzero(change.emails)
            people.device[gone], people.consented_at[gone], people.landed[gone] = -1, 0, 0
        people.device[codes] = self._devices.codes(rows["serialNumber"], column(rows, "serial_key"))
        people.consented_at[codes] = column(rows, "consented_at")
        people.landed[codes] = column(rows, "landing_date")
        return people

    def _rows(self, records: Frame) -> pa.Table:
        return self._customers.engine.arrow(
            f"""
            SELECT *, {keyed("email")} AS key, {keyed('"serialNumber"')} AS serial_key
            FROM (SELECT coalesce(email, '') AS email, coalesce("serialNumber", '') AS "serialNumber",
                         coalesce(consented_at, 0)::BIGINT AS consented_at, landing_date FROM latest)
            """,
            latest=transforms.consents(records, "landing_date").to_native(),
        )


class CustomerRows:
    """Per landing day, a digest of the rows of a table that depend on one customer's landing records each.

    Args:
        customers: what landed.
        table: whose columns are digested.
        rows: the rule, from landing records to rows with the table's columns and the ``email`` of the customer as it
            is compared, who may have any number of rows.
    """

    def __init__(self, customers: LandedCustomers, table: Table, rows: Callable[[Frame], Frame]) -> None:
        self._customers = customers
        self._table = table
        self._rule = rows
        self._landed: Landed | None = None
        self._emails: Codes = np.empty(0, np.int32)
        self._days: Codes = np.empty(0, np.int32)
        self._hashes: Hashes = np.empty(0, np.uint64)
        self._digests: dict[date, str] = {}

    def digests(self, snapshot: Snapshot) -> dict[date, str]:
        """The digest of each landing day that has rows, at a version of ``customer_landing``."""
        change = self._customers.since(self._landed, snapshot)
        if change is not None:
            row = hashed(*(named(name) for name in self._table.column_names))
            rows = self._customers.engine.arrow(
                f"""
                SELECT email, {keyed("email")} AS key, landing_date, row
                FROM (SELECT coalesce(email, '') AS email, landing_date, {row} AS row FROM made)
                """,
                made=self._rule(change.records).to_native(),
            )
            emails = self._customers.emails.codes(rows["email"], column(rows, "key"))
            days, hashes = column(rows, "landing_date"), column(rows, "row")
            if change.emails is not None:
                kept = ~are_in(self._emails, change.emails)
                emails = np.concatenate([self._emails[kept], emails])
                days, hashes = np.concatenate([self._days[kept], days]), np.concatenate([self._hashes[kept], hashes])
            self._emails, self._days, self._hashes = emails, days, hashes
            self._digests = by_day(days, hashes)
        self._landed = self._customers.now(snapshot)
        return self._digests
