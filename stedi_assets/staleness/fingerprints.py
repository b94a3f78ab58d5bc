"""What each derived table's partitions are made from, as fingerprints: one function per table, part by part.

A fingerprint covers exactly what the partition's rows depend on, so a customer who withdraws changes those of the days
on which their readings landed, and no others. Whose readings landed when comes from the readings index, who consents
from the customers' latest records; both are joined and added up here, and no reading is read.

What a partition *would* be made from now and what it *was* made from are compared by ``plan``. The fingerprint is
stored in the names of the partition's files; behind its 16 digits stand four for each part, to tell which part differs.
Parts of tables with pseudonyms are digested with the pseudonym key.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from stedi_assets.contracts import Table
from stedi_assets.lakehouse.fingerprint import fingerprint
from stedi_assets.settings import Pairing, ReadingsBeforeConsent
from stedi_assets.staleness.digest import row_digest, sum_digest

if TYPE_CHECKING:
    from stedi_assets.staleness.view import LakeView

RULES_VERSION = 4
"""Raise it when a transform gives other rows for the same inputs, or a fingerprint covers them in another way, so that
every partition is made anew."""

Fingerprints = Mapping[date, "str | None"]
Parts = Mapping[str, str]
"""What a partition is made from: the name of each part, and a digest of it."""

_KEY = "pseudonym key"
_ByDay = Mapping[date, object]
_OfDays = Callable[["LakeView", "Collection[date] | None", Mapping[str, Fingerprints]], "tuple[_ByDay, dict[str, Any]]"]
_OF: dict[str, _OfDays] = {}


def parts(
    view: LakeView, table: Table, days: Collection[date] | None, assumed: Mapping[str, Fingerprints]
) -> dict[date, Parts]:
    """What partitions of a derived table would be made from; see ``LakeView.parts``."""
    every, found = _OF[table.name](view, days, assumed)
    rules = fingerprint(RULES_VERSION, table.name, table.column_names)
    # Names of files may be seen by those who may not see the rows. With the key in every part, nobody without it can
    # test a guess at a customer against one.
    key = found.get(_KEY)
    return {
        day: {
            "rules version": rules,
            **{
                name: fingerprint(key, part.get(day) if isinstance(part, Mapping) else part)
                for name, part in found.items()
            },
        }
        for day in (every if days is None else days)
    }


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


def _of(name: str) -> Callable[[_OfDays], _OfDays]:
    """Register the function of a table.

    It gives the days that have an input, and each part: by day, or one for all of them.
    """

    def register(function: _OfDays) -> _OfDays:
        _OF[name] = function
        return function

    return register


# ---- customers -------------------------------------------------------------------------------------


@_of("customer_trusted")
def _customer_trusted(
    view: LakeView, _: Collection[date] | None, __: Mapping[str, Fingerprints]
) -> tuple[_ByDay, dict[str, Any]]:
    by_day = "SELECT landing_date, {} FROM customers WHERE consented_at IS NOT NULL GROUP BY ALL"
    consent = _sums(view, by_day.format(sum_digest(row_digest("email"))), customers=view.customers)
    records = _sums(view, by_day.format(sum_digest(row_digest("email", "record"))), customers=view.customers)
    # What landed on a day is no part of it: a record that withdraws empties the day of an earlier one, not its own.
    return consent, {"customer records": records, "consent": consent}


@_of("customers_curated")
def _customers_curated(
    view: LakeView, days: Collection[date] | None, assumed: Mapping[str, Fingerprints]
) -> tuple[_ByDay, dict[str, Any]]:
    customers = _input_fingerprints(view, "customer_trusted", assumed)
    # Which customers are curated is asked of the stored ones, which may be stale; where it is asked what should be,
    # of those whose latest record is of the day.
    trusted = view.snapshot("customer_trusted")
    settled = trusted.table.name in assumed
    candidates = view.customers if settled else view.engine.relation(trusted.table, trusted.select(days))
    curated = _sums(
        view,
        f"""
        SELECT landing_date, {sum_digest(row_digest("email"))} FROM candidates
        SEMI JOIN (SELECT email FROM customers WHERE consented_at IS NOT NULL) USING (email)
        SEMI JOIN (SELECT subject AS email FROM readers) USING (email)
        GROUP BY ALL
        """,
        candidates=candidates,
        customers=view.customers,
        readers=view.index("accelerometer_trusted"),
    )
    found = {"customers": customers, "consent and readings": curated, _KEY: view.pseudonyms.key_id}
    return {**customers, **curated}, found


@_of("consent_history")
def _consent_history(
    view: LakeView, _: Collection[date] | None, __: Mapping[str, Fingerprints]
) -> tuple[_ByDay, dict[str, Any]]:
    intervals = view.latest_records.histories(view.snapshot("customer_landing"))
    return intervals, {"customer records": intervals, _KEY: view.pseudonyms.key_id}


# ---- readings --------------------------------------------------------------------------------------


@_of("accelerometer_trusted")
def _accelerometer_trusted(
    view: LakeView, days: Collection[date] | None, assumed: Mapping[str, Fingerprints]
) -> tuple[_ByDay, dict[str, Any]]:
    landed = _input_fingerprints(view, "accelerometer_landing", assumed)
    consent = _sums(
        view,
        f"""
        SELECT i.landing_date, {sum_digest(row_digest("c.email", view.since("c"), "i.content"))}
        FROM readings i JOIN (SELECT * FROM customers WHERE consented_at IS NOT NULL) c ON i.subject = c.email
        GROUP BY ALL
        """,
        readings=view.index("accelerometer_landing", days),
        customers=view.customers,
    )
    return landed, {"policy": _before(view), "landed files": landed, "consent": consent}


@_of("step_trainer_trusted")
def _step_trainer_trusted(
    view: LakeView, days: Collection[date] | None, assumed: Mapping[str, Fingerprints]
) -> tuple[_ByDay, dict[str, Any]]:
    landed = _input_fingerprints(view, "step_trainer_landing", assumed)
    readings = view.index("step_trainer_landing", days)
    # Of a device that nobody who is curated claims, no reading is used, whoever else claims it.
    claim = row_digest("p.device", "p.email", view.since("p"), "p.curated_as IS NOT NULL", "i.content")
    claims = _sums(
        view,
        f"""
        SELECT i.landing_date, {sum_digest(claim)} FROM readings i
        SEMI JOIN {_WEARERS} w ON i.subject = w.device
        JOIN people p ON i.subject = p.device GROUP BY ALL
        """,
        readings=readings,
        people=view.people,
    )
    # Of a device that someone who refuses claims too, it counts who of the claimants moved when it measured.
    refused = "true" if _excluding(view) else "consenting < claimants"
    moved = _sums(
        view,
        f"""
        WITH measured AS (
            SELECT i.* FROM readings i
            SEMI JOIN (SELECT * FROM shared_devices WHERE consenting > 0 AND {refused}) d ON i.subject = d.device
        ),
        claimants AS (
            SELECT p.device, p.email, i.landing_date, i.first_time, i.last_time
            FROM people p JOIN measured i ON p.device = i.subject
        )
        SELECT p.landing_date, {sum_digest(row_digest("p.device", "p.email", "m.content"))}
        FROM movements m JOIN claimants p ON m.subject = p.email AND {_overlap("m", "p")}
        GROUP BY ALL
        """,
        readings=readings,
        movements=_around(view, "accelerometer_landing", "step_trainer_trusted", days),
        people=view.people,
        shared_devices=view.shared_devices,
    )
    found = {"policy": _before(view), "landed files": landed, "claims of devices": claims, "shared devices": moved}
    return landed, found


@_of("machine_learning_curated")
def _machine_learning_curated(
    view: LakeView, days: Collection[date] | None, assumed: Mapping[str, Fingerprints]
) -> tuple[_ByDay, dict[str, Any]]:
    steps = _input_fingerprints(view, "step_trainer_trusted", assumed)
    movements = _input_fingerprints(view, "accelerometer_trusted", assumed)
    # What the trusted tables were made from does not tell who of their people consents, is curated, or claims what
    # *now*, when pairs are made of them: they may be stale, or may have been stale before and be right again.
    frames = {
        "people": view.people,
        "shared_devices": view.shared_devices,
        "steps": view.index("step_trainer_trusted", days),
        "movements": view.index("accelerometer_trusted", days),
        "steps_around": _around(view, "step_trainer_trusted", "machine_learning_curated", days),
        "movements_around": _around(view, "accelerometer_trusted", "machine_learning_curated", days),
    }
    worn = row_digest("p.email", "p.curated_as")
    claim = ("p.device", "p.email", view.since("p"), "p.curated_as")
    wearers = _sums(
        view,
        f"SELECT i.landing_date, {sum_digest(worn)} FROM movements i JOIN {_WEARERS} p ON i.subject = p.email "
        "GROUP BY ALL",
        **frames,
    )
    claims = _sums(
        view,
        f"SELECT i.landing_date, {sum_digest(row_digest(*claim))} FROM steps i "
        f"JOIN {_CONSENTING} p ON i.subject = p.device GROUP BY ALL",
        **frames,
    )
    # A pair lies in the partition of its later half, so that one depends on readings that landed earlier.
    half = "SELECT DISTINCT later, landing_date, subject, content"
    earlier = _sums(
        view,
        f"""
        WITH {_earlier("earlier_movements", "movements_around", "steps")},
        {_earlier("earlier_steps", "steps_around", "movements")},
        halves AS (
            SELECT e.later, {row_digest("p.email", "p.curated_as", "e.content")} AS half
            FROM {_WEARERS} p JOIN ({half} FROM earlier_movements) e ON e.subject = p.email
            UNION ALL
            SELECT e.later, {row_digest(*claim, "e.content")} AS half
            FROM {_CONSENTING} p JOIN ({half} FROM earlier_steps) e ON e.subject = p.device
        )
        SELECT later, {sum_digest("half")} FROM halves GROUP BY ALL
        """,
        **frames,
    )
    found = {
        "policy": (_before(view), view.policies.pairing.value),
        _KEY: view.pseudonyms.key_id,
        "step readings": steps,
        "accelerometer readings": movements,
        "consent": wearers,
        "claims of devices": claims,
        "readings of other days": earlier,
        "shared devices": _owners_of_shared_devices(view, frames),
    }
    return {**steps, **movements}, found


def _owners_of_shared_devices(view: LakeView, frames: Mapping[str, Any]) -> _ByDay:
    """Of devices that several consenting customers claim, who of them moved when it measured.

    It decides whose the device was at that moment, whichever day the movement landed.
    """
    if view.policies.pairing is Pairing.CUSTOMER:
        return {}
    return _sums(
        view,
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
            SELECT p.*, i.later, i.first_time, i.last_time
            FROM people p JOIN measured i ON p.device = i.subject WHERE p.consented_at IS NOT NULL
        )
        SELECT p.later, {sum_digest(row_digest("p.device", "p.email", "p.curated_as", "m.content"))}
        FROM movements_around m JOIN claimants p ON m.subject = p.email AND {_overlap("m", "p")}
        GROUP BY ALL
        """,
        **frames,
    )


# ---- shared pieces ---------------------------------------------------------------------------------


def _input_fingerprints(view: LakeView, name: str, assumed: Mapping[str, Fingerprints]) -> Fingerprints:
    return assumed[name] if name in assumed else view.snapshot(name).fingerprints()


def _sums(view: LakeView, query: str, **frames: Any) -> dict[date, object]:
    return dict(view.engine.rows(query, **frames))


def _excluding(view: LakeView) -> bool:
    return view.policies.readings_before_consent is ReadingsBeforeConsent.EXCLUDE


def _before(view: LakeView) -> str:
    return view.policies.readings_before_consent.value


_CONSENTING = "(SELECT * FROM people WHERE consented_at IS NOT NULL)"
_WEARERS = "(SELECT * FROM people WHERE consented_at IS NOT NULL AND curated_as IS NOT NULL)"
"""SQL of the customers whose pairs are made."""


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
    within = "PARTITION BY landing_date ORDER BY first_time, last_time ROWS BETWEEN UNBOUNDED PRECEDING AND"
    # Most readings landed on the day on which they were made. So first those are left out, by the days' bounds, that
    # are of a time at which no other day has any; then the readings of a day make stretches of time without a gap.
    return f"""
        {name}_bounds AS (
            SELECT landing_date, min(first_time) AS first_time, max(last_time) AS last_time, is_later FROM (
                SELECT landing_date, first_time, last_time, false AS is_later FROM {earlier}
                UNION ALL SELECT landing_date, first_time, last_time, true FROM {later}
            ) GROUP BY ALL
        ),
        {name}_until AS (
            SELECT l.landing_date, max(e.last_time) AS until FROM {name}_bounds l
            JOIN {name}_bounds e ON e.landing_date < l.landing_date AND l.is_later AND NOT e.is_later GROUP BY ALL
        ),
        {name}_since AS (
            SELECT e.landing_date, min(l.first_time) AS since FROM {name}_bounds e
            JOIN {name}_bounds l ON e.landing_date < l.landing_date AND l.is_later AND NOT e.is_later GROUP BY ALL
        ),
        {name}_spans AS (
            SELECT landing_date, min(first_time) AS first_time, max(last_time) AS last_time
            FROM (
                SELECT *, count(*) FILTER (WHERE gap) OVER ({within} CURRENT ROW) AS span
                FROM (
                    SELECT landing_date, first_time, last_time,
                           coalesce(first_time > max(last_time) OVER ({within} 1 PRECEDING), true) AS gap
                    FROM {later} JOIN {name}_until USING (landing_date) WHERE first_time <= until
                )
            ) GROUP BY landing_date, span
        ),
        {name} AS (
            SELECT o.landing_date AS later, e.landing_date, e.subject, e.content,
                   greatest(e.first_time, o.first_time) AS first_time, least(e.last_time, o.last_time) AS last_time
            FROM (SELECT * FROM {earlier} JOIN {name}_since USING (landing_date) WHERE last_time >= since) e
            JOIN {name}_spans o ON {_overlap("e", "o")} AND e.landing_date < o.landing_date
        )"""


def _around(view: LakeView, name: str, consumer: str, days: Collection[date] | None) -> Any:
    """The index of an input, of the days whose readings may be of the times of a derived table's partitions."""
    if days is None:
        return view.index(name)
    return view.index(name, {file.landing_date for file in view.input_files(consumer, name, days)})
