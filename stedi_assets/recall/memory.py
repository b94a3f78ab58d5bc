"""The one memory of a process: what it is asked for, it computes, or remembers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from datetime import date

import numpy as np
import pyarrow as pa

from stedi_assets.contracts import Table
from stedi_assets.contracts import table as contract
from stedi_assets.contracts.names import normalized_sql
from stedi_assets.engines.base import Frame
from stedi_assets.engines.duckdb import DuckDBEngine, named
from stedi_assets.lakehouse import DataFile, Snapshot
from stedi_assets.recall.crossing import CrossingPairs
from stedi_assets.recall.customers import CustomerRows, LandedCustomers, LatestRecords, People
from stedi_assets.recall.days import ByDay, cut_by_day
from stedi_assets.recall.digests import Codes, Hashes, Seen, added_up
from stedi_assets.recall.names import Names, column, keyed
from stedi_assets.recall.shared import SharedDevices

WHOSE = {
    "customer_trusted": "email",
    "accelerometer_landing": "user",
    "step_trainer_landing": "serialNumber",
    "accelerometer_trusted": "user",
    "step_trainer_trusted": "serialNumber",
}
"""The column that says whose a table's rows are."""


class Recall:
    """Computes what is asked for, or remembers it.

    Args:
        engine: reads the files. Not safe for several threads at once, as it is.
    """

    def __init__(self, engine: DuckDBEngine) -> None:
        self._engine = engine
        self.emails = Names()
        self.devices = Names()
        self.pseudonyms = Names()
        self._names = {
            "email": self.emails,
            "user": self.emails,
            "serialNumber": self.devices,
            "subject_id": self.pseudonyms,
        }
        self._customers = LandedCustomers(engine, self.emails)
        self._latest = LatestRecords(self._customers, self.devices)
        self._rows: dict[str, tuple[Hashable, CustomerRows]] = {}
        self._seen = {name: ByDay(self._distinct, np.empty(0, np.int32)) for name in WHOSE}
        self._curated = ByDay(self._subjects, (np.empty(0, np.int32), np.empty(0, np.uint64)))
        self._people: tuple[People, pa.Table] | None = None
        self.crossing = CrossingPairs(engine, self.emails, self.devices)
        self.claimants_moved = SharedDevices(engine, self.emails, self.devices, paired=False)
        self.claimants_paired = SharedDevices(engine, self.emails, self.devices, paired=True)

    # ---- who is in a partition ------------------------------------------------------------------

    def seen(self, snapshot: Snapshot, days: Collection[date] | None = None) -> Seen:
        """Whose rows each landing day has.

        Args:
            snapshot: one of the tables of ``WHOSE``.
            days: the landing days wanted; none takes all.
        """
        return Seen.of(self._seen[snapshot.table.name].of(snapshot, days))

    def seen_names(self, snapshot: Snapshot) -> pa.Table:
        """The same with names, of all days: ``landing_date`` and the column that says whose, each once per day."""
        name = snapshot.table.name
        seen = self.seen(snapshot)
        dates = pa.array(seen.day_numbers().astype(np.int32), pa.int32()).cast(pa.date32())
        return pa.table({"landing_date": dates, WHOSE[name]: self._names[WHOSE[name]].texts(seen.codes)})

    def _distinct(self, snapshot: Snapshot, files: Sequence[DataFile]) -> dict[date, Codes]:
        name = snapshot.table.name
        # Many readings, few names: these are made comparable once they are few.
        rows = self._engine.arrow(
            f"""
            SELECT landing_date, value, {keyed("value")} AS key
            FROM (SELECT landing_date, {normalized_sql("value")} AS value
                  FROM (SELECT DISTINCT landing_date, {named(WHOSE[name])} AS value FROM readings))
            WHERE value IS NOT NULL
            """,
            readings=self._engine.relation(snapshot.table, files),
        )
        codes = self._names[WHOSE[name]].codes(rows["value"], column(rows, "key"))
        # The same name may have been written in two ways.
        return {day: np.unique(codes[places]) for day, places in cut_by_day(rows).items()}

    # ---- customers ------------------------------------------------------------------------------

    def people(self, customer_landing: Snapshot) -> People:
        """Everybody who has landed, by their latest record."""
        return self._latest.people(customer_landing)

    def people_table(self, customer_landing: Snapshot) -> pa.Table:
        """The same with names, for what is written in SQL.

        Returns:
            ``email``, ``serialNumber``, ``consented_at`` (null for one who does not consent) and ``record_landed``,
            the landing day of the record.
        """
        people = self.people(customer_landing)
        if self._people is None or self._people[0] is not people:
            codes = np.flatnonzero(people.known).astype(np.int32)
            since = people.consented_at[codes]
            table = pa.table(
                {
                    "email": self.emails.texts(codes),
                    "serialNumber": self.devices.texts(people.device[codes]),
                    "consented_at": pa.array(since, pa.int64(), mask=since == 0),
                    "record_landed": pa.array(people.landed[codes], pa.int32()).cast(pa.date32()),
                }
            )
            self._people = people, table
        return self._people[1]

    def customer_rows(
        self, table: Table, customer_landing: Snapshot, rows: Callable[[Frame], Frame], also: Hashable = None
    ) -> dict[date, str]:
        """Per landing day, a digest of the rows of a table that depend on one customer's landing records each.

        Args:
            table: whose columns are digested.
            customer_landing: what landed.
            rows: the rule, from some customers' landing records to their rows, which have the table's columns and
                ``email``.
            also: what else the rows depend on: all are computed anew when it changes.
        """
        if table.name not in self._rows or self._rows[table.name][0] != also:
            self._rows[table.name] = also, CustomerRows(self._customers, table, rows)
        return self._rows[table.name][1].digests(customer_landing)

    def subjects(self, customers_curated: Snapshot) -> Hashes:
        """By code of the e-mail, a number for the pseudonym under which somebody is curated; 0 for the others.

        Who is in several partitions under different keys' pseudonyms, while one of them is stale, has the sum.
        """
        parts = self._curated.of(customers_curated)
        codes = np.concatenate([np.empty(0, np.int32), *(part[0] for part in parts.values())])
        hashes = np.concatenate([np.empty(0, np.uint64), *(part[1] for part in parts.values())])
        often = np.bincount(codes, minlength=len(self.emails)) > 1
        again = often[codes]
        once = np.unique(np.stack([codes[again].astype(np.uint64), hashes[again]]), axis=1)
        return added_up(
            np.concatenate([codes[~again], once[0].astype(np.int32)]),
            np.concatenate([hashes[~again], once[1]]),
            len(self.emails),
        )

    def _subjects(self, snapshot: Snapshot, files: Sequence[DataFile]) -> dict[date, tuple[Codes, Hashes]]:
        rows = self._engine.arrow(
            f"""
            SELECT landing_date, email, {keyed("email")} AS key, subject_id, {keyed("subject_id")} AS subject_key
            FROM curated WHERE email IS NOT NULL AND subject_id IS NOT NULL
            """,
            curated=self._engine.relation(contract("customers_curated"), files),
        )
        codes = self.emails.codes(rows["email"], column(rows, "key"))
        subjects = self.pseudonyms.codes(rows["subject_id"], column(rows, "subject_key"))
        hashes = self.pseudonyms.hashes[subjects]
        return {day: (codes[place], hashes[place]) for day, place in cut_by_day(rows).items()}
