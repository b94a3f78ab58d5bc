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

import numpy as np

from stedi_assets import transforms
from stedi_assets.contracts import table as contract
from stedi_assets.engines.base import Frame
from stedi_assets.engines.duckdb import DuckDBEngine
from stedi_assets.lakehouse import DataFile, Lakehouse, Snapshot
from stedi_assets.lakehouse.fingerprint import fingerprint
from stedi_assets.privacy.pseudonyms import Pseudonyms
from stedi_assets.recall import Recall
from stedi_assets.recall.customers import People
from stedi_assets.recall.digests import (
    Bools,
    Codes,
    Hashes,
    Ints,
    Seen,
    added_up,
    by_day,
    mixed,
    reaching,
    where,
)
from stedi_assets.settings import Pairing, Policies, ReadingsBeforeConsent

RULES_VERSION = 2
"""Raise it when a transform gives other rows for the same inputs, or a fingerprint covers them in another way, so that
every partition is made anew."""


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

Fingerprints = Mapping[date, "str | None"]


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
            return self.engine.frame(self.recall.seen_names(self.snapshot(upstream)))
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

    # ---- state ----------------------------------------------------------------------------------

    def state(self) -> str:
        """What all fingerprints depend on, and what is stored, in short: while it is the same, so are they.

        It costs no more than a look at each table's log.
        """
        names = sorted({*INPUTS, *(upstream for inputs in INPUTS.values() for upstream in inputs)})
        tables = [(name, contract(name).column_names, self.snapshot(name).identity) for name in names]
        return fingerprint(RULES_VERSION, tables, self._before, self.policies.pairing.value, self.pseudonyms.key_id)

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
        table = contract("customer_trusted")
        rows = self.recall.customer_rows(table, self.snapshot("customer_landing"), transforms.customer_trusted)
        return {day: (digest,) for day, digest in rows.items()}

    def _of_customers_curated(
        self, days: Collection[date] | None, made: Mapping[str, Fingerprints]
    ) -> dict[date, tuple[object, ...]]:
        # Of the rows themselves, what they are made from tells; here, which of them are curated. Those are looked for
        # among the stored customers, which may be stale, or, where it is asked what should be, among those of now.
        readers = self._seen("accelerometer_trusted", None)
        stored = None if "customer_trusted" in made else self._seen("customer_trusted", days)
        people = self._people
        curated = where(people.consent & readers.anywhere(len(people.device)), mixed(self._email))
        if stored is not None:
            names = stored.sums(curated)
        else:
            names = by_day(people.landed[people.consent], curated[people.consent])
        made_of = self._upstream("customer_trusted", made)
        return {day: (made_of.get(day), names.get(day), self.pseudonyms.key_id) for day in {**made_of, **names}}

    def _of_consent_history(
        self, days: Collection[date] | None, made: Mapping[str, Fingerprints]
    ) -> dict[date, tuple[object, ...]]:
        table = contract("consent_history")
        rows = self.recall.customer_rows(table, self.snapshot("customer_landing"), _history_by_email)
        return {day: (digest, self.pseudonyms.key_id) for day, digest in rows.items()}

    def _of_accelerometer_trusted(
        self, days: Collection[date] | None, made: Mapping[str, Fingerprints]
    ) -> dict[date, tuple[object, ...]]:
        landed = self._upstream("accelerometer_landing", made)
        seen = self._seen("accelerometer_landing", days)
        consent = seen.sums(where(self._people.consent, mixed(self._email, self._since)))
        return {day: (self._before, landed.get(day), consent.get(day)) for day in _wanted(days, landed)}

    def _of_step_trainer_trusted(
        self, days: Collection[date] | None, made: Mapping[str, Fingerprints]
    ) -> dict[date, tuple[object, ...]]:
        landed = self._upstream("step_trainer_landing", made)
        seen = self._seen("step_trainer_landing", days)
        people, curated = self._people, self._subjects > 0
        claim = mixed(self._serial_number, self._email, self._since, people.consent, curated)
        # Of a device that nobody who is curated claims, no reading is used, whoever claims it.
        used = self._claimants(people.consent & curated) > 0
        claims = seen.sums(where(used, self._of_devices(people.known, claim)))
        moved = self._moved_on_shared_devices(days)
        return {day: (self._before, landed.get(day), claims.get(day), moved.get(day)) for day in _wanted(days, landed)}

    def _moved_on_shared_devices(self, days: Collection[date] | None) -> dict[date, str]:
        """Of devices that someone who refuses claims too: who of the claimants moved when the device measured."""
        people = self._people
        claimants, consenting = self._claimants(people.known), self._claimants(people.consent)
        refused = np.full(len(claimants), True) if self._excluding else consenting < claimants
        shared = self._claims_on((claimants > 1) & (consenting > 0) & refused)
        return self.recall.claimants_moved.moved(
            self.snapshot("step_trainer_landing"),
            self.snapshot("accelerometer_landing"),
            self.recall.seen,
            people.device[shared],
            shared,
            days,
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
        return self._seen("accelerometer_trusted", days).sums(self._wearers)

    def _claims_by_day(self, days: Collection[date] | None) -> dict[date, str]:
        """Who claims the devices that measured on a day, and under which pseudonym."""
        return self._seen("step_trainer_trusted", days).sums(self._claims)

    def _pairs_across_days(self, days: Collection[date] | None) -> dict[date, str]:
        """Per later day, a digest of the pairs whose halves landed on different days."""
        pairs = self.recall.crossing.pairs(
            self.snapshot("step_trainer_trusted"), self.snapshot("accelerometer_trusted"), days
        )
        wearers = reaching(self._wearers, len(self.recall.emails))[pairs.wearer]
        claims = reaching(self._claims, len(self.recall.devices))[pairs.device]
        device = self.recall.devices.hashes[pairs.device]
        # Whoever wore the phone has pairs; of whoever claims the device, the pairs say so.
        said = where(wearers > 0, mixed(pairs.details, device, wearers, claims))
        return by_day(pairs.later, said)

    def _movers_of_shared_devices(self, days: Collection[date] | None) -> dict[date, str]:
        """Per day, who of several consenting claimants moved when their device measured.

        It decides ``device_subject_id`` of the pairs of that moment, whichever day the movement landed.
        """
        if self.policies.pairing is Pairing.CUSTOMER:
            return {}
        people = self._people
        shared = self._claims_on(self._claimants(people.consent) > 1)
        shared = shared[people.consent[shared]]
        return self.recall.claimants_paired.moved(
            self.snapshot("step_trainer_trusted"),
            self.snapshot("accelerometer_trusted"),
            self.recall.seen,
            people.device[shared],
            shared,
            days,
        )

    # ---- who claims what, as arrays by the code of an e-mail or a serial number (see ``recall``) --------

    @property
    def _before(self) -> str:
        return self.policies.readings_before_consent.value

    @property
    def _excluding(self) -> bool:
        return self.policies.readings_before_consent is ReadingsBeforeConsent.EXCLUDE

    @cached_property
    def _people(self) -> People:
        """Who claims which device, since when they consent, and when that landed."""
        known = self.recall.people(self.snapshot("customer_landing"))
        return known.reaching(len(self.recall.emails))

    @cached_property
    def _email(self) -> Hashes:
        return self.recall.emails.hashes[: len(self._people.device)]

    @cached_property
    def _serial_number(self) -> Hashes:
        """Of the device that each claims."""
        known = np.concatenate([self.recall.devices.hashes, np.zeros(1, np.uint64)])
        return known[self._people.device]

    @cached_property
    def _subjects(self) -> Hashes:
        """The pseudonym under which each is curated; 0 where they are not."""
        size = len(self._people.device)
        return reaching(self.recall.subjects(self.snapshot("customers_curated")), size)[:size]

    @property
    def _since(self) -> Bools | Ints:
        """What of the consent date matters: that it is there, or, when it cuts readings off, when it is."""
        return self._people.consented_at if self._excluding else self._people.consent

    @cached_property
    def _wearers(self) -> Hashes:
        """Of each who has pairs, a number for that and for their pseudonym."""
        return where(self._people.consent & (self._subjects > 0), mixed(self._email, self._subjects))

    @cached_property
    def _claims(self) -> Hashes:
        """Of each device, a number for the claims of those who consent."""
        claim = mixed(self._serial_number, self._email, self._since, self._subjects)
        return self._of_devices(self._people.consent, claim)

    def _of_devices(self, who: Bools, values: Hashes) -> Hashes:
        """Of each device, the sum of the values of those who claim it."""
        return added_up(self._people.device[who], values[who], len(self.recall.devices))

    def _claimants(self, who: Bools) -> Ints:
        """Of each device, how many of those claim it."""
        return np.bincount(self._people.device[who], minlength=len(self.recall.devices))

    def _claims_on(self, devices: Bools) -> Codes:
        """Who claims one of these devices."""
        known = np.append(devices, False)  # noqa: FBT003 - whoever has no device claims none
        return np.flatnonzero(known[self._people.device]).astype(np.int32)

    def _seen(self, name: str, days: Collection[date] | None) -> Seen:
        """Whose readings (of a person or a device) landed on each day."""
        return self.recall.seen(self.snapshot(name), days)


def _history_by_email(records: Frame) -> Frame:
    # By e-mail, not by pseudonym: which is which, the key tells, and pseudonyms take longer to make.
    names = transforms.ever_consenting(records).with_columns(subject_id="email")
    return transforms.consent_history(records, names).with_columns(email="subject_id")


def _wanted(days: Collection[date] | None, inputs: Mapping[date, Any]) -> Collection[date]:
    return inputs.keys() if days is None else days


__all__ = ["EVENT_TIME", "INPUTS", "RULES_VERSION", "LakeView", "Scope"]
