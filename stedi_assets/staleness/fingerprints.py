"""Fingerprints of what each derived table's partitions are made from: one function per table, part by part.

A fingerprint covers exactly what the partition's rows depend on, so a customer who withdraws changes those of the days
on which their readings landed, and no others. Whose readings landed when comes from the readings index, who consents
from the customers' latest records; both are joined and added up here, and no reading is read.

What a partition *would* be made from now and what it *was* made from are compared by ``stale``. The fingerprint is
stored in the names of the partition's files; behind its 16 digits stand four for each part, to tell which part differs.
Parts of tables with pseudonyms are digested with the pseudonym key.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from stedi_assets.contracts import ASSET_TABLES
from stedi_assets.contracts import table as contract
from stedi_assets.errors import working_on
from stedi_assets.lakehouse.fingerprint import fingerprint
from stedi_assets.settings import Pairing, ReadingsBeforeConsent
from stedi_assets.staleness.digest import row_digest, sum_digest
from stedi_assets.staleness.view import LakeView

RULES_VERSION = 7
"""Raise it when a transform gives other rows for the same inputs, or a fingerprint covers them in another way, so that
every partition is made anew."""

Fingerprints = Mapping[date, "str | None"]
Parts = Mapping[str, str]
"""What a partition is made from: the name of each part, and a digest of it."""

_KEY = "pseudonym key"
_ByDay = Mapping[date, object]


def lake_state(view: LakeView) -> str:
    """A short text for all that fingerprints depend on: while it is the same, so are they.

    It costs a look at each table's log.
    """
    tables = [(table.name, table.column_names, view.snapshot(table.name).identity) for table in ASSET_TABLES]
    before, pairing = view.policies.readings_before_consent.value, view.policies.pairing.value
    doubts = view.snapshot("landing_quarantine").identity, view.dismissals_state
    return fingerprint(RULES_VERSION, tables, before, pairing, view.pseudonyms.key_id, doubts)


def expected_parts(
    view: LakeView,
    name: str,
    days: Collection[date] | None = None,
    assumed: Mapping[str, Fingerprints] | None = None,
) -> dict[date, Parts]:
    """The digests of what the partitions of a derived table would be made from now, part by part.

    Args:
        view: the lake.
        name: the table.
        days: the landing days wanted; none takes every day that has an input.
        assumed: fingerprints to take for those of upstream tables, instead of what these were made from;
            reconciliation passes what they *should* be made from.
    """
    with working_on(name):
        with_input, found = _FUNCTIONS[name](_Inputs(view, days, assumed or {}))
    rules = fingerprint(RULES_VERSION, name, contract(name).column_names)
    # Names of files may be seen by those who may not see the rows. With the key in every part, nobody without it can
    # test a guess at a customer against one.
    key = found.get(_KEY)
    return {
        day: {
            "rules version": rules,
            **{
                part: fingerprint(key, digest.get(day) if isinstance(digest, Mapping) else digest)
                for part, digest in found.items()
            },
        }
        for day in (with_input if days is None else days)
    }


def expected_fingerprints(view: LakeView, name: str, days: Collection[date] | None = None) -> dict[date, str]:
    """The fingerprints of :func:`expected_parts`."""
    return {day: combined(parts) for day, parts in expected_parts(view, name, days).items()}


def combined(parts: Parts) -> str:
    """The fingerprint of some parts: 16 digits for all of them, and four for each."""
    return ".".join([fingerprint(*parts.items()), *(part[:4] for part in parts.values())])


def differing_parts(stored: str | None, parts: Parts) -> tuple[str, ...]:
    """The names of the parts that are not as they were when a partition was made.

    Args:
        stored: its fingerprint; none where its files do not agree or another tool wrote them.
        parts: what it would be made from now.
    """
    if stored is None:
        return ("files of another tool",)
    was, now = stored.split(".")[1:], combined(parts).split(".")[1:]
    if len(was) != len(now):
        return ("rules version",)
    found = tuple(name for name, before, after in zip(parts, was, now, strict=True) if before != after)
    # Another key makes every part another one.
    return (_KEY,) if _KEY in found else found or ("inputs",)


@dataclass(frozen=True)
class _Inputs:
    """What the function of a table computes fingerprints from; its fields are those of :func:`expected_parts`."""

    view: LakeView
    days: Collection[date] | None
    assumed: Mapping[str, Fingerprints]

    def input_fingerprints(self, name: str) -> Fingerprints:
        """The fingerprints of an input."""
        return self.assumed[name] if name in self.assumed else self.view.snapshot(name).fingerprints()

    def sums(self, query: str, **frames: Any) -> dict[date, object]:
        """The digests that a query gives by landing day.

        Args:
            query: it may name the frames ``customers``, ``people`` and ``shared_devices`` of the view.
            frames: others that it names.
        """
        for name in ("customers", "people", "shared_devices"):
            if name in query:
                frames[name] = getattr(self.view, name)
        return dict(self.view.engine.rows(query, **frames))

    @property
    def since(self) -> str:
        """SQL of what counts of the consent of ``p``: its date, where that leaves readings out, else whether it is."""
        excluding = self.view.policies.readings_before_consent is ReadingsBeforeConsent.EXCLUDE
        return "p.consented_at" if excluding else "(p.consented_at IS NOT NULL)"

    def readings(self, name: str) -> Any:
        """Whose readings an input has, of the days wanted; see ``LakeView.readings``."""
        return self.view.readings(name, self.days)

    def readings_around(self, name: str, table: str) -> Any:
        """The same, of all days whose readings may be of the times of those that ``table`` has on the days wanted."""
        if self.days is None:
            return self.view.readings(name)
        return self.view.readings(name, {file.landing_date for file in self.view.input_files(table, name, self.days)})


_PartsByDay = tuple[_ByDay, "dict[str, Any]"]
"""The days that have an input, and each part: by day, or one for all of them."""
_Function = Callable[[_Inputs], _PartsByDay]
_FUNCTIONS: dict[str, _Function] = {}


def _fingerprint_of(name: str) -> Callable[[_Function], _Function]:
    """Register the function of a table.

    Raises:
        ValueError: the table has one already.
    """

    def register(function: _Function) -> _Function:
        if name in _FUNCTIONS:
            raise ValueError(f"{name} has the fingerprint function {_FUNCTIONS[name].__name__} already.")
        _FUNCTIONS[name] = function
        return function

    return register


_SHARING = "(SELECT * FROM customers WHERE consented_at IS NOT NULL)"
_CONSENTING = "(SELECT * FROM people WHERE consented_at IS NOT NULL)"
_WEARERS = "(SELECT * FROM people WHERE consented_at IS NOT NULL AND curated_as IS NOT NULL)"
"""SQL of the customers whose pairs are made."""


# ---- customers -------------------------------------------------------------------------------------


@_fingerprint_of("customer_trusted")
def _customer_trusted(inputs: _Inputs) -> _PartsByDay:
    consent = inputs.sums(f"SELECT landing_date, {sum_digest('person')} FROM {_SHARING} GROUP BY ALL")
    record = row_digest("person", "record")
    records = inputs.sums(f"SELECT landing_date, {sum_digest(record)} FROM {_SHARING} GROUP BY ALL")
    # What landed on a day is no part of it: a record that withdraws empties the day of an earlier one, not its own.
    return consent, {"customer records": records, "consent": consent}


@_fingerprint_of("customers_curated")
def _customers_curated(inputs: _Inputs) -> _PartsByDay:
    customers = inputs.input_fingerprints("customer_trusted")
    # Which customers are curated is asked of the stored ones, which may be stale; where it is asked what should be,
    # of those whose latest record is of the day.
    if "customer_trusted" in inputs.assumed:
        candidates, stored = "customers", {}
    else:
        trusted = inputs.view.snapshot("customer_trusted")
        candidates = "(SELECT landing_date, hash(email) AS person FROM stored)"
        stored = {"stored": inputs.view.engine.relation(trusted.table, trusted.select(inputs.days))}
    curated = inputs.sums(
        f"""
        SELECT landing_date, {sum_digest("person")} FROM {candidates} c
        SEMI JOIN {_SHARING} p ON c.person = p.person
        SEMI JOIN readers r ON c.person = r.subject
        GROUP BY ALL
        """,
        readers=inputs.view.readings("accelerometer_trusted"),
        **stored,
    )
    key = inputs.view.pseudonyms.key_id
    return {**customers, **curated}, {"customers": customers, "consent and readings": curated, _KEY: key}


@_fingerprint_of("consent_history")
def _consent_history(inputs: _Inputs) -> _PartsByDay:
    intervals = inputs.view.consent_histories
    return intervals, {"customer records": intervals, _KEY: inputs.view.pseudonyms.key_id}


# ---- readings --------------------------------------------------------------------------------------


@_fingerprint_of("accelerometer_trusted")
def _accelerometer_trusted(inputs: _Inputs) -> _PartsByDay:
    landed = inputs.input_fingerprints("accelerometer_landing")
    consent = inputs.sums(
        f"""
        SELECT i.landing_date, {sum_digest(row_digest("p.person", inputs.since, "i.content"))}
        FROM readings i JOIN {_SHARING} p ON i.subject = p.person GROUP BY ALL
        """,
        readings=inputs.readings("accelerometer_landing"),
    )
    return landed, {"policy": _before(inputs.view), "landed files": landed, "consent": consent}


@_fingerprint_of("step_trainer_trusted")
def _step_trainer_trusted(inputs: _Inputs) -> _PartsByDay:
    landed = inputs.input_fingerprints("step_trainer_landing")
    readings = inputs.readings("step_trainer_landing")
    # Of a device that nobody who is curated claims, no reading is used, whoever else claims it.
    claim = row_digest("p.device", "p.person", inputs.since, "p.curated_as IS NOT NULL", "i.content")
    claims = inputs.sums(
        f"""
        SELECT i.landing_date, {sum_digest(claim)} FROM readings i
        SEMI JOIN {_WEARERS} w ON i.subject = w.device
        JOIN people p ON i.subject = p.device GROUP BY ALL
        """,
        readings=readings,
    )
    # Of a device that someone who refuses claims too, it counts who of the claimants moved when it measured.
    excluding = inputs.view.policies.readings_before_consent is ReadingsBeforeConsent.EXCLUDE
    refused = "true" if excluding else "consenting < claimants"
    moved = inputs.sums(
        f"""
        WITH measured AS (
            SELECT i.* FROM readings i
            SEMI JOIN (SELECT * FROM shared_devices WHERE consenting > 0 AND {refused}) d ON i.subject = d.device
        ),
        claimants AS (
            SELECT p.device, p.person, i.landing_date, i.first_time, i.last_time
            FROM people p JOIN measured i ON p.device = i.subject
        )
        SELECT p.landing_date, {sum_digest(row_digest("p.device", "p.person", "m.content"))}
        FROM movements m JOIN claimants p ON m.subject = p.person AND {_overlap("m", "p")}
        GROUP BY ALL
        """,
        readings=readings,
        movements=inputs.readings_around("accelerometer_landing", "step_trainer_trusted"),
    )
    policy = _before(inputs.view)
    return landed, {"policy": policy, "landed files": landed, "claims of devices": claims, "shared devices": moved}


@_fingerprint_of("machine_learning_curated")
def _machine_learning_curated(inputs: _Inputs) -> _PartsByDay:
    steps, movements = (
        inputs.input_fingerprints("step_trainer_trusted"),
        inputs.input_fingerprints("accelerometer_trusted"),
    )
    # What the trusted tables were made from does not tell who of their people consents, is curated, or claims what
    # *now*, when pairs are made of them: they may be stale, or may have been stale before and be right again.
    frames = {
        "steps": inputs.readings("step_trainer_trusted"),
        "movements": inputs.readings("accelerometer_trusted"),
        "steps_around": inputs.readings_around("step_trainer_trusted", "machine_learning_curated"),
        "movements_around": inputs.readings_around("accelerometer_trusted", "machine_learning_curated"),
    }
    worn = row_digest("p.person", "p.curated_as")
    claim = ("p.device", "p.person", inputs.since, "p.curated_as")
    wearers = inputs.sums(
        f"SELECT i.landing_date, {sum_digest(worn)} FROM movements i JOIN {_WEARERS} p ON i.subject = p.person "
        "GROUP BY ALL",
        **frames,
    )
    claims = inputs.sums(
        f"SELECT i.landing_date, {sum_digest(row_digest(*claim))} FROM steps i "
        f"JOIN {_CONSENTING} p ON i.subject = p.device GROUP BY ALL",
        **frames,
    )
    # A pair lies in the partition of its later half, so that one depends on readings that landed earlier.
    half = "SELECT DISTINCT later, landing_date, subject, content"
    earlier = inputs.sums(
        f"""
        WITH {_earlier("earlier_movements", "movements_around", "steps")},
        {_earlier("earlier_steps", "steps_around", "movements")},
        halves AS (
            SELECT e.later, {row_digest("p.person", "p.curated_as", "e.content")} AS half
            FROM {_WEARERS} p JOIN ({half} FROM earlier_movements) e ON e.subject = p.person
            UNION ALL
            SELECT e.later, {row_digest(*claim, "e.content")} AS half
            FROM {_CONSENTING} p JOIN ({half} FROM earlier_steps) e ON e.subject = p.device
        )
        SELECT later, {sum_digest("half")} FROM halves GROUP BY ALL
        """,
        **frames,
    )
    found = {
        "policy": (_before(inputs.view), inputs.view.policies.pairing.value),
        _KEY: inputs.view.pseudonyms.key_id,
        "step readings": steps,
        "accelerometer readings": movements,
        "consent": wearers,
        "claims of devices": claims,
        "readings of other days": earlier,
        "shared devices": _owners_of_shared_devices(inputs, frames),
    }
    return {**steps, **movements}, found


def _owners_of_shared_devices(inputs: _Inputs, frames: Mapping[str, Any]) -> _ByDay:
    """Of devices that several consenting customers claim, who of them moved when it measured.

    It decides whose the device was at that moment, whichever day the movement landed.
    """
    if inputs.view.policies.pairing is Pairing.CUSTOMER:
        return {}
    return inputs.sums(
        f"""
        WITH shared AS (SELECT * FROM shared_devices WHERE consenting > 1),
        shared_steps AS (SELECT s.* FROM steps_around s SEMI JOIN shared c ON s.subject = c.device),
        {_earlier("earlier_steps", "shared_steps", "movements")},
        measured AS (
            SELECT landing_date AS later, subject, first_time, last_time FROM steps SEMI JOIN shared ON subject = device
            UNION
            SELECT later, subject, first_time, last_time FROM earlier_steps
        ),
        claimants AS (
            SELECT p.*, i.later, i.first_time, i.last_time FROM {_CONSENTING} p JOIN measured i ON p.device = i.subject
        )
        SELECT p.later, {sum_digest(row_digest("p.device", "p.person", "p.curated_as", "m.content"))}
        FROM movements_around m JOIN claimants p ON m.subject = p.person AND {_overlap("m", "p")}
        GROUP BY ALL
        """,
        **frames,
    )


# ---- shared pieces ---------------------------------------------------------------------------------


def _before(view: LakeView) -> str:
    return view.policies.readings_before_consent.value


def _overlap(one: str, other: str) -> str:
    return f"{one}.first_time <= {other}.last_time AND {one}.last_time >= {other}.first_time"


def _earlier(name: str, earlier: str, later: str) -> str:
    """SQL of the frame ``name``: readings that landed before others of the same time.

    Args:
        name: of each landing day of ``later``, called ``later``, the rows of ``earlier`` that landed before it and are
            of a time at which it has readings, clipped to that time.
        earlier: an index, of any days.
        later: an index of the other table.
    """
    days = "ORDER BY landing_date ROWS BETWEEN"
    within = "PARTITION BY landing_date ORDER BY first_time, last_time ROWS BETWEEN UNBOUNDED PRECEDING AND"
    # Most readings landed on the day on which they were made. So first those are left out, by the days' bounds, that
    # are of a time at which no other day has any; then the readings of a day make stretches of time without a gap.
    return f"""
        {name}_bounds AS (
            SELECT landing_date, max(last_time) OVER ({days} UNBOUNDED PRECEDING AND 1 PRECEDING) AS until,
                   min(first_time) OVER ({days} 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS since
            FROM (SELECT landing_date, max(last_time) AS last_time FROM {earlier} GROUP BY ALL)
            FULL JOIN (SELECT landing_date, min(first_time) AS first_time FROM {later} GROUP BY ALL)
            USING (landing_date)
        ),
        {name}_spans AS (
            SELECT landing_date, min(first_time) AS first_time, max(last_time) AS last_time
            FROM (
                SELECT *, count(*) FILTER (WHERE gap) OVER ({within} CURRENT ROW) AS span
                FROM (
                    SELECT landing_date, first_time, last_time,
                           coalesce(first_time > max(last_time) OVER ({within} 1 PRECEDING), true) AS gap
                    FROM {later} JOIN {name}_bounds USING (landing_date) WHERE first_time <= until
                )
            ) GROUP BY landing_date, span
        ),
        {name} AS (
            SELECT o.landing_date AS later, e.landing_date, e.subject, e.content,
                   greatest(e.first_time, o.first_time) AS first_time, least(e.last_time, o.last_time) AS last_time
            FROM (SELECT * FROM {earlier} JOIN {name}_bounds USING (landing_date) WHERE last_time >= since) e
            JOIN {name}_spans o ON {_overlap("e", "o")} AND e.landing_date < o.landing_date
        )"""
