"""Explanations of why somebody's data is, or is not, in each table.

The reasons are those of the rules themselves: each is what a transform gives of this person's rows under one condition
less what it gives under the next. No rule is written here a second time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import duckdb
import narwhals.stable.v2 as nw
import pyarrow as pa

from stedi_assets import transforms
from stedi_assets.contracts import TABLES, Table
from stedi_assets.contracts import table as contract
from stedi_assets.contracts.names import normalized_sql, printable
from stedi_assets.privacy.identity import CUSTOMERS, EMAIL, MOVEMENTS, SERIAL, STEPS
from stedi_assets.resources import Resources
from stedi_assets.settings import ReadingsBeforeConsent
from stedi_assets.subject_requests.matching import QUARANTINE, Subjects, subject_condition
from stedi_assets.subject_requests.subject import Person

_SHOWN = 5
"""Claims of others of which it is said what they change."""

_BOTH = (ReadingsBeforeConsent.INCLUDE, ReadingsBeforeConsent.EXCLUDE)


@dataclass(frozen=True)
class Explanation:
    """The explanation for one person and table.

    Args:
        table: the name of the table.
        rows: the number of rows of the person.
        reasons: sentences that say why there are not more, or any.
    """

    table: str
    rows: int
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class _Context:
    """The inputs of the rules, cut down to what concerns one person.

    Args:
        resources: the lake.
        person: the data subject.
        subjects: the same, with the rules that recognise their rows.
        customers: records of everybody who claims one of their devices, and their own, with doubts about them.
        has_record: whether there is a customer record of theirs.
        consents: whether the latest one consents.
        since: the day of consent as text; empty where there is none.
        doubted_since: the landing day of the text that puts their consent in doubt; empty where none does.
    """

    resources: Resources
    person: Person
    subjects: Subjects
    customers: Any
    has_record: bool
    consents: bool
    since: str
    doubted_since: str


def explain(resources: Resources, person: Person) -> list[Explanation]:
    """Explain for each table why it has rows of a person, or not.

    Args:
        resources: the lake.
        person: the data subject.

    Returns:
        One explanation per table.
    """
    context = _context(resources, person)
    rules = {
        "customer_landing": _customer_landing,
        "accelerometer_landing": _accelerometer_landing,
        "step_trainer_landing": _step_trainer_landing,
        "landing_quarantine": _quarantine,
        "customer_trusted": _customer_trusted,
        "accelerometer_trusted": _accelerometer_trusted,
        "customers_curated": _customers_curated,
        "step_trainer_trusted": _step_trainer_trusted,
        "machine_learning_curated": _machine_learning_curated,
        "consent_history": _consent_history,
    }
    return [
        Explanation(name, rows, tuple(rules[name](context, rows)))
        for name, table in TABLES.items()
        if name in rules
        for rows in [_count(context, table)]
    ]


def _context(resources: Resources, person: Person) -> _Context:
    view = resources.view()
    subjects = Subjects.of(resources, person)
    serials = pa.table({"serial": pa.array([*person.serials, *person.shared], pa.string())})
    # Whoever claims one of the devices is part of the question too.
    claimants = resources.session.arrow(
        f"SELECT * FROM landed WHERE {normalized_sql(EMAIL)} IN (SELECT {normalized_sql(EMAIL)} FROM landed "
        f"WHERE {normalized_sql(SERIAL)} IN (SELECT serial FROM serials)) "
        f"OR {normalized_sql(EMAIL)} IN (SELECT email FROM asked)",
        landed=view.customer_records().to_native(),
        serials=serials,
        **subjects.frames(),
    )
    consents = _rows(resources, transforms.consents(resources.session.frame(claimants)))
    own = [row["consented_at"] for row in consents if row["email"] == person.email]
    since = own[0] if own else None
    latest = _rows(resources, transforms.latest_records(resources.session.frame(claimants)))
    doubted = [row["landing_date"] for row in latest if row["email"] == person.email and row["doubt"]]
    return _Context(
        resources,
        person,
        subjects,
        claimants,
        has_record=bool(own),
        consents=since is not None,
        since="" if since is None else _day(since),
        doubted_since=str(doubted[0]) if doubted else "",
    )


def _count(context: _Context, table: Table) -> int:
    resources = context.resources
    files = resources.lakehouse.snapshot(table).files
    if table.name == QUARANTINE:
        lines = resources.session.rows("SELECT line FROM stored", stored=resources.session.relation(table, files))
        return sum(context.subjects.own_rejected(line) for (line,) in lines)
    return _count_where(context, table.name, subject_condition(table))


def _count_where(context: _Context, name: str, condition: str = "true") -> int:
    rows = context.resources.session.rows(
        f"SELECT count(*) FROM stored WHERE {condition}", stored=_relation(context, name), **context.subjects.frames()
    )
    return int(rows[0][0])


def _relation(context: _Context, name: str) -> duckdb.DuckDBPyRelation:
    table = contract(name)
    return context.resources.session.relation(table, context.resources.lakehouse.snapshot(table).files)


def _select(context: _Context, name: str, condition: str) -> pa.Table:
    """The rows of a table under a condition, in memory: one person has few."""
    return context.resources.session.arrow(
        f"SELECT * FROM stored WHERE {condition}",
        stored=_relation(context, name),
        serials=pa.table({"serial": pa.array([*context.person.serials, *context.person.shared], pa.string())}),
        **context.subjects.frames(),
    )


def _rows(resources: Resources, frame: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = resources.session.collect(frame).to_pylist()
    return rows


def _day(milliseconds: int) -> str:
    try:
        return datetime.fromtimestamp(milliseconds / 1000, timezone.utc).strftime("%Y-%m-%d")
    except (ValueError, OverflowError):
        return f"{milliseconds} ms"


# ---- the reasons, table by table --------------------------------------------------------------------


def _customer_landing(context: _Context, rows: int) -> Iterator[str]:
    tombstone = context.resources.erased().tombstones.of_email(context.person.email)
    if tombstone is not None:
        yield f"erased under request {tombstone.request} on {_day(tombstone.erased_at)}"
        left_out = context.resources.session.rows(
            "SELECT coalesce(sum(erased), 0)::BIGINT FROM stored WHERE contains(erased_under, request)",
            stored=_relation(context, "landing_files").project("*, '" + tombstone.request + "' AS request"),
        )[0][0]
        if left_out:
            yield f"{left_out} lines that landed since were left out for that request and others in the same files"
    if not rows:
        yield "no customer record landed"


def _accelerometer_landing(_: _Context, rows: int) -> Iterator[str]:
    if not rows:
        yield "no accelerometer data landed"


def _step_trainer_landing(context: _Context, rows: int) -> Iterator[str]:
    person = context.person
    if not rows:
        yield "no reading of a device of theirs landed" if person.serials or person.shared else "no device is known"
    if person.shared:
        yield (
            f"serial numbers of theirs that others claim too: {len(person.shared)}; counted here are the "
            f"{len(person.readings)} readings that can be told to be theirs"
        )


def _quarantine(_: _Context, rows: int) -> Iterator[str]:
    if rows:
        yield f"{rows} lines that name them were rejected; landing_quarantine says why"


def _customer_trusted(context: _Context, _: int) -> Iterator[str]:
    for interval in _intervals(context):
        yield f"consent given on {_day(interval['granted_at'])} by the record landed on {interval['landing_date']}"
        if interval["ended_by"] == "doubt":
            yield f"not used since {interval['withdrawn_landing_date']}: a record that landed then could not be read"
        elif interval["withdrawn_at"] is not None:
            yield (
                f"withdrawn on {_day(interval['withdrawn_at'])} by the record landed on "
                f"{interval['withdrawn_landing_date']}"
            )
    yield from _refusal(context)


def _refusal(context: _Context) -> Iterator[str]:
    if context.doubted_since:
        yield (
            f"consent is in doubt since {context.doubted_since}, until a good record of theirs lands that counts, the "
            "raw file is mended or the text is dismissed; see `stedi quarantine`"
        )
    elif not context.consents:
        yield "the latest record does not consent" if context.has_record else "no customer record of theirs is there"


def _intervals(context: _Context) -> list[dict[str, Any]]:
    person = context.person
    subjects = pa.table({"email": [person.email], "subject_id": [person.subject_id]})
    frame = context.resources.session.frame
    rows = _rows(context.resources, transforms.consent_history(frame(context.customers), frame(subjects)))
    return sorted(rows, key=lambda row: int(row["grant_number"]))


def _accelerometer_trusted(context: _Context, rows: int) -> Iterator[str]:
    own = _select(
        context, MOVEMENTS.name, f"{normalized_sql(MOVEMENTS.subject_column.name)} = (SELECT email FROM asked)"
    )
    if not context.consents:
        for reason in _refusal(context):
            yield f"{own.num_rows} readings are left out: {reason}" if own.num_rows else reason
        return
    include, exclude = (
        _row_count(
            context,
            transforms.accelerometer_trusted(_frame(context, own), _frame(context, context.customers), policy),
        )
        for policy in _BOTH
    )
    if own.num_rows > include:
        yield f"{own.num_rows - include} readings are left out as exact duplicates within a landing day"
    excluding = context.resources.settings.policies.readings_before_consent is ReadingsBeforeConsent.EXCLUDE
    if excluding and include > exclude:
        yield f"{include - exclude} readings are left out, as they were taken before consent ({context.since})"
    yield from _staleness(rows, exclude if excluding else include)


def _customers_curated(context: _Context, rows: int) -> Iterator[str]:
    yield from _refusal(context)
    if context.consents and not rows:
        trusted = _count_where(context, "accelerometer_trusted", subject_condition(contract("accelerometer_trusted")))
        yield "no accelerometer data that may be used" if not trusted else "the table is behind; run `stedi reconcile`"


def _step_trainer_trusted(context: _Context, _: int) -> Iterator[str]:
    if not (context.person.serials or context.person.shared):
        yield "no device is known"
        return
    own = _select(context, STEPS.name, f"{normalized_sql(STEPS.subject_column.name)} IN (SELECT serial FROM serials)")
    claimants = pa.table({"email": pa.array(sorted({row["email"] for row in _consents(context)}), pa.string())})
    moves = context.resources.session.arrow(
        f"SELECT * FROM stored WHERE {normalized_sql(MOVEMENTS.subject_column.name)} IN (SELECT email FROM claimants)",
        stored=_relation(context, "accelerometer_landing"),
        claimants=claimants,
    )
    landed, curated, customers, moved = (
        _frame(context, part) for part in (own, _curated_customers(context), context.customers, moves)
    )
    include, exclude = (
        _row_count(context, transforms.step_trainer_trusted(landed, curated, customers, moved, policy))
        for policy in _BOTH
    )
    key = [column.name for column in contract("step_trainer_trusted").columns]
    distinct = _row_count(context, _frame(context, own).select(*key).unique())
    if own.num_rows > distinct:
        yield f"{own.num_rows - distinct} readings of their devices are left out as exact duplicates"
    if distinct > include:
        reason = (
            "as nobody who claims the device is curated, or as it cannot be told that whoever moved consents"
            if context.person.shared
            else "as their owner does not consent or has no accelerometer data"
        )
        yield f"{distinct - include} readings of their devices are left out, {reason}"
    excluding = context.resources.settings.policies.readings_before_consent is ReadingsBeforeConsent.EXCLUDE
    if excluding and include > exclude:
        yield f"{include - exclude} readings of their devices are left out, as they were taken before consent"
    claims = _claims_of_others(context)
    if not claims:
        return
    # Of all claims together: where two keep a reading out, to take one away changes nothing.
    others = [claim.email for claim in claims]
    customers, curated_then = (
        _frame(context, _without(context, records, others))
        for records in (context.customers, _curated_customers(context))
    )
    policy = context.resources.settings.policies.readings_before_consent
    without = _row_count(context, transforms.step_trainer_trusted(landed, curated_then, customers, moved, policy))
    used = exclude if excluding else include
    if without != used:
        number = f"{without - used} of these are left out" if without > used else f"{used - without} are used"
        more = f" and {len(claims) - _SHOWN} more" if len(claims) > _SHOWN else ""
        where = "; ".join(claim.where for claim in claims[:_SHOWN])
        yield f"{number} only because others claim the device since {where}{more}"


@dataclass(frozen=True)
class _Claim:
    """The first record by which somebody else claimed a device of the person's.

    Args:
        email: whose record it is. It is not told: an explanation may be handed to the person.
        where: its landing day, raw file and line.
    """

    email: str
    where: str


def _claims_of_others(context: _Context) -> list[_Claim]:
    """The claims of others to devices of the person's, the first of each claimant, in the order of landing."""
    rows = context.resources.session.rows(
        f"""
        SELECT {normalized_sql(EMAIL)} AS email, first((landing_date, source_file, source_line) ORDER BY landing_date,
            source_file, source_line) AS claimed
        FROM stored
        WHERE {normalized_sql(SERIAL)} IN (SELECT serial FROM serials) AND email NOT IN (SELECT email FROM asked)
        GROUP BY ALL ORDER BY claimed
        """,
        stored=_relation(context, CUSTOMERS.name),
        serials=pa.table({"serial": pa.array(context.person.shared, pa.string())}),
        **context.subjects.frames(),
    )
    return [_Claim(email, f"{day} ({printable(file)}, line {line})") for email, (day, file, line) in rows]


def _without(context: _Context, records: pa.Table, emails: Sequence[str]) -> pa.Table:
    """Records but those of some customers."""
    return context.resources.session.arrow(
        f"SELECT * FROM records WHERE {normalized_sql(EMAIL)} NOT IN (SELECT email FROM left_out)",
        records=records,
        left_out=pa.table({"email": emails}),
    )


def _consents(context: _Context) -> list[dict[str, Any]]:
    return _rows(context.resources, transforms.consents(_frame(context, context.customers)))


def _curated_customers(context: _Context) -> pa.Table:
    return context.resources.session.arrow(
        "SELECT * FROM stored WHERE email IN (SELECT email FROM people)",
        stored=_relation(context, "customers_curated"),
        people=pa.table({"email": pa.array([row["email"] for row in _consents(context)], pa.string())}),
    )


def _machine_learning_curated(context: _Context, rows: int) -> Iterator[str]:
    if not rows:
        yield "no reading of theirs that may be used shares a millisecond with one of the other sensor"
        return
    subject = "(SELECT subject FROM asked)"
    worn = _count_where(context, "machine_learning_curated", f"subject_id = {subject}")
    own_device = _count_where(context, "machine_learning_curated", f"subject_id = {subject} AND same_customer")
    yield (
        f"{worn} pairs with their movements, {own_device} of them with their own device; "
        f"{rows - worn} with their device and somebody else's movements"
    )


def _consent_history(_: _Context, rows: int) -> Iterator[str]:
    if not rows:
        yield "no record of theirs ever consented"


def _staleness(rows: int, expected: int) -> Iterator[str]:
    if rows != expected:
        yield f"the table is behind: it should have {expected} rows; run `stedi reconcile`"


def _frame(context: _Context, rows: pa.Table) -> nw.LazyFrame[Any]:
    return context.resources.session.frame(rows)


def _row_count(context: _Context, frame: nw.LazyFrame[Any]) -> int:
    return int(context.resources.session.collect(frame).num_rows)
