"""What each derived table's partitions are made from: as frames to compute with, and as fingerprints.

A :class:`LakeView` pins one version of every table that it is asked for, so that the rows an asset
computes and the fingerprint they are stored under come from the same inputs, whatever other runs do
meanwhile. The fingerprint of a partition covers exactly what its rows depend on:

* ``customer_trusted``, ``customers_curated``, ``consent_history``: the rows themselves, which are few;
* ``accelerometer_trusted``: the landed day, and the consent of the people in it;
* ``step_trainer_trusted``: the landed day, and the claims on the devices in it;
* ``machine_learning_curated``: the two trusted days, and the pairs with halves of other days.

So a customer who withdraws changes the fingerprints of the days they moved on, and no others.
Reconciliation (``reconcile``) compares them with what the tables say they were made from.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from enum import Enum
from functools import cached_property
from typing import Any

import duckdb
import pyarrow as pa

from stedi_assets import transforms
from stedi_assets.contracts import Table
from stedi_assets.contracts import table as contract
from stedi_assets.engines.base import Frame
from stedi_assets.engines.duckdb import DuckDBEngine, named
from stedi_assets.fingerprint import fingerprint
from stedi_assets.lakehouse import DataFile, Lakehouse, Snapshot
from stedi_assets.pseudonyms import Pseudonyms
from stedi_assets.recall import Recall, normal
from stedi_assets.settings import Pairing, Policies, ReadingsBeforeConsent

RULES_VERSION = 1
"""Raise it when a transform gives other rows for the same inputs, so that every partition is made anew."""


class Scope(str, Enum):
    """Which part of an input a partition is made from."""

    SAME_DAYS = "same days"
    """Only what landed on the same days."""

    AROUND = "around"
    """Whatever landed on any day and may carry the times of the same days' readings."""

    ALL = "all"
    """Every landing day."""

    WHO = "who"
    """Every landing day, but only whose readings there are: ``landing_date`` and the column that says it, each once."""


INPUTS: dict[str, dict[str, Scope]] = {
    "customer_trusted": {"customer_landing": Scope.ALL},
    "accelerometer_trusted": {"accelerometer_landing": Scope.SAME_DAYS, "customer_landing": Scope.ALL},
    "customers_curated": {
        "customer_trusted": Scope.SAME_DAYS,
        "accelerometer_trusted": Scope.WHO,
        "customer_landing": Scope.ALL,
    },
    "consent_history": {"customer_landing": Scope.ALL},
    "step_trainer_trusted": {
        "step_trainer_landing": Scope.SAME_DAYS,
        "customers_curated": Scope.ALL,
        "customer_landing": Scope.ALL,
        "accelerometer_landing": Scope.AROUND,
    },
    "machine_learning_curated": {
        "step_trainer_trusted": Scope.AROUND,
        "accelerometer_trusted": Scope.AROUND,
        "customers_curated": Scope.ALL,
        "customer_landing": Scope.ALL,
    },
}
"""Of each derived table, its inputs and how much of them one partition needs."""

EVENT_TIME = {
    "accelerometer_landing": "timestamp",
    "step_trainer_landing": "sensorReadingTime",
    "accelerometer_trusted": "timestamp",
    "step_trainer_trusted": "sensorReadingTime",
}

SEEN = {
    "accelerometer_landing": "user",
    "step_trainer_landing": "serialNumber",
    "accelerometer_trusted": "user",
    "step_trainer_trusted": "serialNumber",
}
"""Of each table of readings, the column that says whose they are."""

Fingerprints = Mapping[date, "str | None"]


def _digest(*expressions: str) -> str:
    """SQL of a digest of the rows of a group, whatever their order; the same on every machine and version.

    Each value goes in with its length, so that no two rows look the same: ``a|b`` and ``c`` is not ``a`` and
    ``b|c``, and a null is no text.
    """
    texts = [f"({expression})::VARCHAR" for expression in expressions]
    row = ", ".join(f"coalesce(length({text}) || ':' || {text}, '-')" for text in texts)
    return f"CAST(sum(md5_number_lower(concat({row}))::HUGEINT) % 18446744073709551616 AS VARCHAR)"


class LakeView:
    """The lake at one moment, as inputs of the derived tables.

    Args:
        lakehouse: where the tables lie.
        engine: reads them.
        policies: which readings and pairs count.
        pseudonyms: makes ``subject_id``.
        recall: remembers what other views computed.
    """

    def __init__(
        self,
        lakehouse: Lakehouse,
        engine: DuckDBEngine,
        policies: Policies,
        pseudonyms: Pseudonyms,
        recall: Recall,
    ) -> None:
        self.lakehouse = lakehouse
        self.engine = engine
        self.recall = recall
        self.policies = policies
        self.pseudonyms = pseudonyms
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

    # ---- frames ---------------------------------------------------------------------------------

    def input(self, name: str, upstream: str, days: Collection[date]) -> Frame:
        """The rows of ``upstream`` that the partitions ``days`` of the derived table ``name`` need."""
        if INPUTS[name][upstream] is Scope.WHO:
            return self.engine.frame(self._seen(upstream, None).rename_columns(["landing_date", SEEN[upstream]]))
        return self.engine.scan(contract(upstream), self._files(name, upstream, days))

    def _files(self, name: str, upstream: str, days: Collection[date]) -> list[DataFile]:
        scope = INPUTS[name][upstream]
        snapshot = self.snapshot(upstream)
        if scope in {Scope.ALL, Scope.WHO}:
            return list(snapshot.files)
        if scope is Scope.SAME_DAYS:
            return snapshot.select(set(days))
        timed = [other for other in INPUTS[name] if other in EVENT_TIME]
        found = [self.snapshot(other).bounds(EVENT_TIME[other], set(days)) for other in timed]
        known = [bounds for bounds in found if bounds is not None]
        if not known:
            return []
        bounds = min(low for low, _ in known), max(high for _, high in known)
        return snapshot.overlapping(EVENT_TIME[upstream], bounds)

    def _all(self, name: str) -> Frame:
        return self.engine.scan(contract(name), self.snapshot(name).files)

    # ---- fingerprints ---------------------------------------------------------------------------

    def fingerprints(
        self, name: str, days: Collection[date] | None = None, made: Mapping[str, Fingerprints] | None = None
    ) -> dict[date, str]:
        """What the partitions of a derived table would be made from now.

        Args:
            name: the table.
            days: the landing days wanted; none takes every day that has an input.
            made: fingerprints to take for those of upstream tables, instead of what these say of
                themselves; reconciliation passes what they *should* be made from.

        Returns:
            A fingerprint for each day wanted.
        """
        made = made or {}
        common = (RULES_VERSION, name, contract(name).column_names)
        parts: dict[date, tuple[object, ...]] = getattr(self, f"_of_{name}")(days, made)
        if days is not None:
            parts = {day: parts.get(day, ()) for day in days}
        return {day: fingerprint(*common, *part) for day, part in parts.items()}

    def _upstream(self, name: str, made: Mapping[str, Fingerprints]) -> Fingerprints:
        return made[name] if name in made else self.snapshot(name).fingerprints()

    def _of_customer_trusted(
        self, days: Collection[date] | None, made: Mapping[str, Fingerprints]
    ) -> dict[date, tuple[object, ...]]:
        rows = transforms.customer_trusted(self._all("customer_landing"))
        return {day: (digest,) for day, digest in self._digests(rows, contract("customer_trusted")).items()}

    def _of_customers_curated(
        self, days: Collection[date] | None, made: Mapping[str, Fingerprints]
    ) -> dict[date, tuple[object, ...]]:
        # Of the rows themselves, what they are made from tells; here, which of them are curated. Those are looked for
        # among the stored customers, which may be stale, or, where it is asked what should be, among those of now.
        if "customer_trusted" in made:
            customers: pa.Table | duckdb.DuckDBPyRelation = self._people
            landed = "record_landed"
        else:
            customers, landed = self._landed("customer_trusted", days), "landing_date"
        curated = dict(
            self.engine.rows(
                f"""
                SELECT {landed}, {_digest("email")}
                FROM (SELECT DISTINCT value AS email FROM seen) JOIN customers USING (email)
                WHERE email IN (SELECT email FROM people WHERE consented_at IS NOT NULL) GROUP BY ALL
                """,
                seen=self._seen("accelerometer_trusted", None),
                customers=customers,
                people=self._people,
            )
        )
        made_of = self._upstream("customer_trusted", made)
        return {day: (made_of.get(day), curated.get(day), self.pseudonyms.key_id) for day in {**made_of, **curated}}

    def _of_consent_history(
        self, days: Collection[date] | None, made: Mapping[str, Fingerprints]
    ) -> dict[date, tuple[object, ...]]:
        # The rows by e-mail, not by pseudonym: which is which, the key tells, and pseudonyms take longer to make.
        landed = self._all("customer_landing")
        names = transforms.ever_consenting(landed, days).with_columns(subject_id="email")
        rows = transforms.consent_history(landed, names)
        digests = self._digests(rows, contract("consent_history"))
        return {day: (digest, self.pseudonyms.key_id) for day, digest in digests.items()}

    def _of_accelerometer_trusted(
        self, days: Collection[date] | None, made: Mapping[str, Fingerprints]
    ) -> dict[date, tuple[object, ...]]:
        landed = self._upstream("accelerometer_landing", made)
        consent = dict(
            self.engine.rows(
                f"""
                SELECT landing_date, {_digest("email", self._since)}
                FROM (SELECT landing_date, value AS email FROM seen) JOIN people USING (email)
                WHERE consented_at IS NOT NULL GROUP BY ALL
                """,
                seen=self._seen("accelerometer_landing", days),
                people=self._people,
            )
        )
        return {day: (self._before, landed.get(day), consent.get(day)) for day in _wanted(days, landed)}

    def _of_step_trainer_trusted(
        self, days: Collection[date] | None, made: Mapping[str, Fingerprints]
    ) -> dict[date, tuple[object, ...]]:
        landed = self._upstream("step_trainer_landing", made)
        claims = dict(
            self.engine.rows(
                f"""
                WITH devices AS (SELECT landing_date, value AS serialNumber FROM seen)
                SELECT landing_date,
                    {_digest("serialNumber", "email", self._since, "consented_at IS NULL", "subject_id IS NULL")}
                FROM devices JOIN people USING (serialNumber)
                -- Of a device that nobody who is curated claims, no reading is used, whoever claims it.
                WHERE serialNumber IN (SELECT serialNumber FROM people
                                       WHERE consented_at IS NOT NULL AND subject_id IS NOT NULL)
                GROUP BY ALL
                """,
                seen=self._seen("step_trainer_landing", days),
                people=self._subjects,
            )
        )
        moved = self._moved_on_shared_devices(days)
        return {day: (self._before, landed.get(day), claims.get(day), moved.get(day)) for day in _wanted(days, landed)}

    def _moved_on_shared_devices(self, days: Collection[date] | None) -> dict[date, str]:
        """Of devices that someone who refuses claims too: who of the claimants moved when the device measured."""
        shared = (
            "SELECT serialNumber FROM people GROUP BY serialNumber HAVING count(*) > 1 AND count(consented_at) > 0"
            f" AND (count(consented_at) < count(*) OR {self._excluding})"
        )
        if not self.engine.rows(f"{shared} LIMIT 1", people=self._people):
            return {}
        landing = "accelerometer_landing"
        files = self.snapshot(landing).files if days is None else self._files("step_trainer_trusted", landing, days)
        return dict(
            self.engine.rows(
                f"""
                WITH shared AS (
                    SELECT email, serialNumber FROM people WHERE serialNumber IN ({shared})
                ), measured AS (
                    SELECT DISTINCT landing_date, serialNumber, email, sensorReadingTime
                    FROM (SELECT * REPLACE ({normal("serialNumber")} AS serialNumber) FROM steps)
                    JOIN shared USING (serialNumber)
                ), moves AS (
                    SELECT DISTINCT email, "timestamp" AS sensorReadingTime
                    FROM (SELECT {normal("user")} AS email, "timestamp" FROM readings)
                    WHERE email IN (SELECT email FROM shared)
                )
                SELECT landing_date, {_digest("serialNumber", "email", "sensorReadingTime")}
                FROM moves JOIN measured USING (email, sensorReadingTime) GROUP BY ALL
                """,
                steps=self._landed("step_trainer_landing", days),
                people=self._people,
                readings=self.engine.relation(contract(landing), files),
            )
        )

    def _of_machine_learning_curated(
        self, days: Collection[date] | None, made: Mapping[str, Fingerprints]
    ) -> dict[date, tuple[object, ...]]:
        steps = self._upstream("step_trainer_trusted", made)
        moves = self._upstream("accelerometer_trusted", made)
        parts = (
            steps,
            moves,
            self._wearers_by_day(days),
            self._claims_by_day(days),
            self._pairs_across_days(days),
            self._movers_of_shared_devices(days),
        )
        common = (self._before, self.policies.pairing.value, self.pseudonyms.key_id)
        return {day: (*common, *(part.get(day) for part in parts)) for day in _wanted(days, {**steps, **moves})}

    # What the trusted tables were made from does not tell who of their people consents, is curated, or claims what
    # *now*, when pairs are made of them: they may be stale, or may have been stale before and be right again.

    def _wearers_by_day(self, days: Collection[date] | None) -> dict[date, str]:
        """Who of those that moved on a day has pairs, and under which pseudonym."""
        return dict(
            self.engine.rows(
                f"""
                SELECT landing_date, {_digest("email", "subject_id")}
                FROM (SELECT landing_date, value AS email FROM seen) JOIN people USING (email)
                WHERE consented_at IS NOT NULL AND subject_id IS NOT NULL GROUP BY ALL
                """,
                seen=self._seen("accelerometer_trusted", days),
                people=self._subjects,
            )
        )

    def _claims_by_day(self, days: Collection[date] | None) -> dict[date, str]:
        """Who claims the devices that measured on a day, and under which pseudonym."""
        return dict(
            self.engine.rows(
                f"""
                SELECT landing_date, {_digest("serialNumber", "email", self._since, "subject_id")}
                FROM (SELECT landing_date, value AS serialNumber FROM seen) JOIN people USING (serialNumber)
                WHERE consented_at IS NOT NULL GROUP BY ALL
                """,
                seen=self._seen("step_trainer_trusted", days),
                people=self._subjects,
            )
        )

    def _pairs_across_days(self, days: Collection[date] | None) -> dict[date, str]:
        """Per later day, a digest of the pairs whose halves landed on different days."""
        steps, moves = contract("step_trainer_trusted"), contract("accelerometer_trusted")
        windows = _windows(self.snapshot(steps.name), self.snapshot(moves.name), days)
        if not windows:
            return {}
        values = ", ".join(f"(DATE '{day}', {low}, {high})" for day, low, high in sorted(windows))
        landed = {day for day, _, _ in windows}

        def within(frame: str, time: str) -> str:
            return (
                f"SELECT * FROM {frame} r SEMI JOIN windows w "
                f"ON r.landing_date = w.day AND r.{named(time)} BETWEEN w.low AND w.high"
            )

        pair = _digest(
            *("s.serialNumber", "s.sensorReadingTime", "s.distanceFromObject", "s.landing_date"),
            *("wearer.subject_id", "m.x", "m.y", "m.z", "m.landing_date"),
            *("claim.email", self._since.replace("consented_at", "claim.consented_at"), "claim.subject_id"),
        )
        return dict(
            self.engine.rows(
                f"""
                WITH windows(day, low, high) AS (VALUES {values}),
                s AS ({within("steps", "sensorReadingTime")}), m AS ({within("moves", "timestamp")})
                SELECT greatest(s.landing_date, m.landing_date) AS later, {pair}
                FROM m JOIN s ON s.sensorReadingTime = m."timestamp" AND s.landing_date <> m.landing_date
                JOIN people wearer ON wearer.email = m."user"
                LEFT JOIN people claim ON claim.serialNumber = s.serialNumber AND claim.consented_at IS NOT NULL
                WHERE wearer.consented_at IS NOT NULL AND wearer.subject_id IS NOT NULL
                GROUP BY ALL
                """,
                steps=self.engine.relation(steps, self.snapshot(steps.name).select(landed)),
                moves=self.engine.relation(moves, self.snapshot(moves.name).select(landed)),
                people=self._subjects,
            )
        )

    def _movers_of_shared_devices(self, days: Collection[date] | None) -> dict[date, str]:
        """Per day, who of several consenting claimants moved when their device measured.

        It decides ``device_subject_id`` of the pairs of that moment, whichever day the movement landed.
        """
        if self.policies.pairing is Pairing.CUSTOMER:
            return {}
        shared = self.engine.rows(
            "SELECT serialNumber FROM people GROUP BY serialNumber HAVING count(consented_at) > 1 LIMIT 1",
            people=self._people,
        )
        if not shared:
            return {}
        name, steps, moves = "machine_learning_curated", "step_trainer_trusted", "accelerometer_trusted"

        def around(upstream: str) -> duckdb.DuckDBPyRelation:
            files = self.snapshot(upstream).files if days is None else self._files(name, upstream, days)
            return self.engine.relation(contract(upstream), files)

        return dict(
            self.engine.rows(
                f"""
                WITH shared AS (
                    SELECT email, serialNumber FROM people WHERE consented_at IS NOT NULL AND serialNumber IN (
                        SELECT serialNumber FROM people GROUP BY serialNumber HAVING count(consented_at) > 1)
                ), measured AS (
                    SELECT serialNumber, sensorReadingTime, landing_date FROM steps
                    WHERE serialNumber IN (SELECT serialNumber FROM shared)
                ), pairs AS (
                    SELECT DISTINCT serialNumber, sensorReadingTime,
                           greatest(s.landing_date, m.landing_date) AS landing_date
                    FROM moves m JOIN measured s ON s.sensorReadingTime = m."timestamp"
                ), movers AS (
                    SELECT DISTINCT serialNumber, sensorReadingTime, email
                    FROM moves JOIN (SELECT * FROM measured JOIN shared USING (serialNumber))
                    ON moves."user" = email AND moves."timestamp" = sensorReadingTime
                )
                SELECT landing_date, {_digest("serialNumber", "sensorReadingTime", "email")}
                FROM pairs JOIN movers USING (serialNumber, sensorReadingTime) GROUP BY ALL
                """,
                steps=around(steps),
                moves=around(moves),
                people=self._people,
            )
        )

    # ---- shared parts ---------------------------------------------------------------------------

    @property
    def _since(self) -> str:
        """What of the consent date matters: that it is there, or, when it cuts readings off, when it is."""
        return "consented_at" if self._excluding else "consented_at IS NOT NULL"

    @property
    def _before(self) -> str:
        return self.policies.readings_before_consent.value

    @property
    def _excluding(self) -> bool:
        return self.policies.readings_before_consent is ReadingsBeforeConsent.EXCLUDE

    @cached_property
    def _people(self) -> pa.Table:
        """Who claims which device, since when they consent, and when that landed."""
        return self.recall.people(self.snapshot("customer_landing").files)

    @cached_property
    def _subjects(self) -> pa.Table:
        """The same people with the pseudonym of those who are curated; computed once."""
        return self.engine.arrow(
            """
            SELECT email, serialNumber, consented_at, subject_id FROM people
            LEFT JOIN (SELECT email, min(subject_id) AS subject_id FROM curated GROUP BY email) USING (email)
            """,
            people=self._people,
            curated=self._relation(self._all("customers_curated")),
        )

    def _seen(self, name: str, days: Collection[date] | None) -> pa.Table:
        """Whose readings (of a person or a device) landed on each day."""
        return self.recall.seen(self.snapshot(name), SEEN[name], days)

    def _landed(self, name: str, days: Collection[date] | None) -> duckdb.DuckDBPyRelation:
        return self.engine.relation(contract(name), self.snapshot(name).select(None if days is None else set(days)))

    @staticmethod
    def _relation(frame: Frame) -> duckdb.DuckDBPyRelation:
        relation: duckdb.DuckDBPyRelation = frame.to_native()
        return relation

    def _digests(self, frame: Frame, table: Table) -> dict[date, str]:
        digest = _digest(*(named(c.name) for c in table.columns))
        query = f"SELECT landing_date, {digest} FROM rows GROUP BY ALL"
        return dict(self.engine.rows(query, rows=self._relation(frame)))


def _wanted(days: Collection[date] | None, inputs: Mapping[date, Any]) -> Collection[date]:
    return inputs.keys() if days is None else days


def _windows(steps: Snapshot, moves: Snapshot, days: Collection[date] | None) -> set[tuple[date, int, int]]:
    """Per landing day, the times that another day's readings of the other sensor may carry as well.

    Of pairs of days, only those with one of ``days`` count, where days are named.
    """
    windows: set[tuple[date, int, int]] = set()
    of_steps, of_moves = _ranges(steps, "sensorReadingTime"), _ranges(moves, "timestamp")
    active: list[tuple[int, date, str]] = []
    spans = sorted(
        [(low, high, day, "s") for day, (low, high) in of_steps.items()]
        + [(low, high, day, "m") for day, (low, high) in of_moves.items()]
    )
    for low, high, day, kind in spans:
        active = [span for span in active if span[0] >= low]
        for end, other, other_kind in active:
            if other != day and other_kind != kind and (days is None or day in days or other in days):
                window = low, min(high, end)
                windows |= {(day, *window), (other, *window)}
        active.append((high, day, kind))
    return windows


def _ranges(snapshot: Snapshot, column: str) -> dict[date, tuple[int, int]]:
    ranges = {}
    for day in snapshot.days():
        bounds = snapshot.bounds(column, {day})
        if bounds is not None:
            ranges[day] = bounds
    return ranges


__all__ = ["EVENT_TIME", "INPUTS", "RULES_VERSION", "LakeView", "Scope"]
