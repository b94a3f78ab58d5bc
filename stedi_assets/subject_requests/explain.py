"""Why somebody's data is, or is not, in each table.

The reasons are those of the rules themselves: each is what a transform gives of this person's rows under one condition
less what it gives under the next. No rule is written here a second time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import duckdb
import narwhals.stable.v2 as nw
import pyarrow as pa

from stedi_assets import transforms
from stedi_assets.contracts import TABLES, Table
from stedi_assets.contracts import table as contract
from stedi_assets.contracts.names import normalized_sql
from stedi_assets.resources import Resources
from stedi_assets.settings import ReadingsBeforeConsent
from stedi_assets.subject_requests.matching import QUARANTINE, Subjects, subject_condition
from stedi_assets.subject_requests.subject import Person

_BOTH = (ReadingsBeforeConsent.INCLUDE, ReadingsBeforeConsent.EXCLUDE)


@dataclass(frozen=True)
class Answer:
    """What there is of somebody in one table.

    Args:
        table: its name.
        rows: theirs.
        why: sentences.
    """

    table: str
    rows: int
    why: tuple[str, ...]


@dataclass(frozen=True)
class _Asked:
    """The inputs of the rules, cut down to what concerns one person."""

    resources: Resources
    person: Person
    subjects: Subjects
    customers: Any
    known: bool
    consents: bool
    since: str


def explain(resources: Resources, person: Person) -> list[Answer]:
    """One answer per table, for one person."""
    asked = _asked(resources, person)
    reasons = {
        "customer_landing": _records,
        "accelerometer_landing": _nothing_more,
        "step_trainer_landing": _devices,
        "landing_quarantine": _rejected,
        "customer_trusted": _trusted,
        "accelerometer_trusted": _moves,
        "customers_curated": _curated,
        "step_trainer_trusted": _steps,
        "machine_learning_curated": _pairs,
        "consent_history": _history,
    }
    return [
        Answer(name, rows, tuple(reasons[name](asked, rows)))
        for name, table in TABLES.items()
        if name in reasons
        for rows in [_count(asked, table)]
    ]


def _asked(resources: Resources, person: Person) -> _Asked:
    view = resources.view()
    subjects = Subjects.of(resources, person)
    serials = pa.table({"serial": pa.array([*person.serials, *person.shared], pa.string())})
    customers = contract("customer_landing")
    # Whoever claims one of the devices is part of the question too.
    claimants = resources.engine.arrow(
        f"SELECT * FROM landed WHERE {normalized_sql('email')} IN (SELECT {normalized_sql('email')} FROM landed "
        f"WHERE {normalized_sql('serialNumber')} IN (SELECT serial FROM serials)) "
        f"OR {normalized_sql('email')} IN (SELECT email FROM asked)",
        landed=resources.engine.relation(customers, view.snapshot(customers.name).files),
        serials=serials,
        **subjects.frames(),
    )
    consents = _rows(resources, transforms.consents(resources.engine.frame(claimants)))
    mine = [row["consented_at"] for row in consents if row["email"] == person.email]
    since = mine[0] if mine else None
    return _Asked(
        resources, person, subjects, claimants, bool(mine), since is not None, "" if since is None else _day(since)
    )


def _count(asked: _Asked, table: Table) -> int:
    resources = asked.resources
    files = resources.lakehouse.snapshot(table).files
    if table.name == QUARANTINE:
        lines = resources.engine.rows("SELECT line FROM stored", stored=resources.engine.relation(table, files))
        return sum(asked.subjects.own_rejected(line) for (line,) in lines)
    return _number(asked, table.name, f"WHERE {subject_condition(table)}")


def _number(asked: _Asked, name: str, where: str = "") -> int:
    rows = asked.resources.engine.rows(
        f"SELECT count(*) FROM stored {where}", stored=_relation(asked, name), **asked.subjects.frames()
    )
    return int(rows[0][0])


def _relation(asked: _Asked, name: str) -> duckdb.DuckDBPyRelation:
    table = contract(name)
    return asked.resources.engine.relation(table, asked.resources.lakehouse.snapshot(table).files)


def _mine(asked: _Asked, name: str, where: str) -> pa.Table:
    """Rows of a table that concern the person, in memory: one person has few."""
    return asked.resources.engine.arrow(
        f"SELECT * FROM stored WHERE {where}",
        stored=_relation(asked, name),
        serials=pa.table({"serial": pa.array([*asked.person.serials, *asked.person.shared], pa.string())}),
        **asked.subjects.frames(),
    )


def _rows(resources: Resources, frame: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = resources.engine.collect(frame).to_pylist()
    return rows


def _day(milliseconds: int) -> str:
    try:
        return datetime.fromtimestamp(milliseconds / 1000, timezone.utc).strftime("%Y-%m-%d")
    except (ValueError, OverflowError):
        return f"{milliseconds} ms"


# ---- the reasons, table by table --------------------------------------------------------------------


def _records(asked: _Asked, rows: int) -> Iterator[str]:
    stone = asked.resources.erased().tombstones.of_email(asked.person.email)
    if stone is not None:
        yield f"erased under request {stone.request} on {_day(stone.erased_at)}"
        left_out = asked.resources.engine.rows(
            "SELECT coalesce(sum(erased), 0)::BIGINT FROM stored WHERE contains(erased_under, request)",
            stored=_relation(asked, "landing_files").project("*, '" + stone.request + "' AS request"),
        )[0][0]
        if left_out:
            yield f"{left_out} lines that landed since were left out for that request and others in the same files"
    if not rows:
        yield "no customer record landed"


def _nothing_more(_: _Asked, rows: int) -> Iterator[str]:
    if not rows:
        yield "no accelerometer data landed"


def _devices(asked: _Asked, rows: int) -> Iterator[str]:
    person = asked.person
    if not rows:
        yield "no reading of a device of theirs landed" if person.serials or person.shared else "no device is known"
    if person.shared:
        yield (
            f"{len(person.shared)} of their serial numbers are claimed by others too; counted here are the "
            f"{len(person.readings)} readings that can be told to be theirs"
        )


def _rejected(_: _Asked, rows: int) -> Iterator[str]:
    if rows:
        yield f"{rows} lines that name them were rejected; landing_quarantine says why"


def _trusted(asked: _Asked, _: int) -> Iterator[str]:
    for interval in _intervals(asked):
        yield f"consent given on {_day(interval['granted_at'])} by the record landed on {interval['landing_date']}"
        if interval["withdrawn_at"] is not None:
            yield (
                f"withdrawn on {_day(interval['withdrawn_at'])} by the record landed on "
                f"{interval['withdrawn_landing_date']}"
            )
    yield from _refuses(asked)


def _refuses(asked: _Asked) -> Iterator[str]:
    if not asked.consents:
        yield "the latest record does not consent" if asked.known else "no customer record of theirs is there"


def _intervals(asked: _Asked) -> list[dict[str, Any]]:
    person = asked.person
    subjects = pa.table({"email": [person.email], "subject_id": [person.subject_id]})
    frame = asked.resources.engine.frame
    rows = _rows(asked.resources, transforms.consent_history(frame(asked.customers), frame(subjects)))
    return sorted(rows, key=lambda row: int(row["grant_number"]))


def _moves(asked: _Asked, rows: int) -> Iterator[str]:
    mine = _mine(asked, "accelerometer_landing", f"{normalized_sql('user')} = (SELECT email FROM asked)")
    if not asked.consents:
        for why in _refuses(asked):
            yield f"{mine.num_rows} readings are left out: {why}" if mine.num_rows else why
        return
    include, exclude = (
        _size(asked, transforms.accelerometer_trusted(_frame(asked, mine), _frame(asked, asked.customers), policy))
        for policy in _BOTH
    )
    if mine.num_rows > include:
        yield f"{mine.num_rows - include} readings are left out as exact duplicates within a landing day"
    excluding = asked.resources.settings.policies.readings_before_consent is ReadingsBeforeConsent.EXCLUDE
    if excluding and include > exclude:
        yield f"{include - exclude} readings are left out, as they were taken before consent ({asked.since})"
    yield from _behind(rows, exclude if excluding else include)


def _curated(asked: _Asked, rows: int) -> Iterator[str]:
    yield from _refuses(asked)
    if asked.consents and not rows:
        trusted = _number(
            asked, "accelerometer_trusted", f"WHERE {subject_condition(contract('accelerometer_trusted'))}"
        )
        yield "no accelerometer data that may be used" if not trusted else "the table is behind; run `stedi reconcile`"


def _steps(asked: _Asked, rows: int) -> Iterator[str]:
    if not (asked.person.serials or asked.person.shared):
        yield "no device is known"
        return
    mine = _mine(asked, "step_trainer_landing", f"{normalized_sql('serialNumber')} IN (SELECT serial FROM serials)")
    claimants = pa.table({"email": pa.array(sorted({row["email"] for row in _people(asked)}), pa.string())})
    moves = asked.resources.engine.arrow(
        f"SELECT * FROM stored WHERE {normalized_sql('user')} IN (SELECT email FROM claimants)",
        stored=_relation(asked, "accelerometer_landing"),
        claimants=claimants,
    )
    landed, curated, customers, moved = (
        _frame(asked, part) for part in (mine, _curated_rows(asked), asked.customers, moves)
    )
    include, exclude = (
        _size(asked, transforms.step_trainer_trusted(landed, curated, customers, moved, policy)) for policy in _BOTH
    )
    key = [column.name for column in contract("step_trainer_trusted").columns]
    distinct = _size(asked, _frame(asked, mine).select(*key).unique())
    if mine.num_rows > distinct:
        yield f"{mine.num_rows - distinct} readings of their devices are left out as exact duplicates"
    if distinct > include:
        why = (
            "as nobody who claims the device is curated, or as it cannot be told that whoever moved consents"
            if asked.person.shared
            else "as their owner does not consent or has no accelerometer data"
        )
        yield f"{distinct - include} readings of their devices are left out, {why}"
    excluding = asked.resources.settings.policies.readings_before_consent is ReadingsBeforeConsent.EXCLUDE
    if excluding and include > exclude:
        yield f"{include - exclude} readings of their devices are left out, as they were taken before consent"


def _people(asked: _Asked) -> list[dict[str, Any]]:
    return _rows(asked.resources, transforms.consents(_frame(asked, asked.customers)))


def _curated_rows(asked: _Asked) -> pa.Table:
    return asked.resources.engine.arrow(
        "SELECT * FROM stored WHERE email IN (SELECT email FROM people)",
        stored=_relation(asked, "customers_curated"),
        people=pa.table({"email": pa.array([row["email"] for row in _people(asked)], pa.string())}),
    )


def _pairs(asked: _Asked, rows: int) -> Iterator[str]:
    if not rows:
        yield "no reading of theirs that may be used shares a millisecond with one of the other sensor"
        return
    subject = "(SELECT subject FROM asked)"
    worn = _number(asked, "machine_learning_curated", f"WHERE subject_id = {subject}")
    theirs_only = _number(asked, "machine_learning_curated", f"WHERE subject_id = {subject} AND same_customer")
    yield (
        f"{worn} pairs with their movements, {theirs_only} of them with their own device; "
        f"{rows - worn} with their device and somebody else's movements"
    )


def _history(asked: _Asked, rows: int) -> Iterator[str]:
    if not rows:
        yield "no record of theirs ever consented"


def _behind(rows: int, expected: int) -> Iterator[str]:
    if rows != expected:
        yield f"the table is behind: it should have {expected} rows; run `stedi reconcile`"


def _frame(asked: _Asked, rows: pa.Table) -> nw.LazyFrame[Any]:
    return asked.resources.engine.frame(rows)


def _size(asked: _Asked, frame: nw.LazyFrame[Any]) -> int:
    return int(asked.resources.engine.collect(frame).num_rows)
