"""Resolution of an e-mail to a person: the values by which somebody's data is known in the lake.

These values leave this package only for the privacy folder and, in an export or explanation, for the caller.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from stedi_assets.contracts import Table
from stedi_assets.contracts import table as contract
from stedi_assets.contracts.line import Pairs, decode_object, field_of
from stedi_assets.contracts.names import as_unicode, normalize, normalized_sql
from stedi_assets.engines.sql import named
from stedi_assets.privacy.identity import CUSTOMERS, EMAIL, MARKS, MOVEMENTS, REGISTERED, SERIAL, STEPS
from stedi_assets.privacy.mentions import has_address, values_in
from stedi_assets.privacy.tombstones import Hasher, Tombstone, Tombstones
from stedi_assets.resources import Resources

_WORD = re.compile(r"[^\W\d]*")
_PAIR = re.compile(r'"([^"\\]+)"\s*:\s*"([^"\\]*)"')


@dataclass(frozen=True)
class Person:
    """A data subject: the normalised values by which their data is known.

    Args:
        email: the e-mail.
        subject_id: the pseudonym.
        serials: serial numbers that they and nobody else ever claimed.
        shared: serial numbers that somebody else claimed too.
        readings: serial number and time of the readings of shared devices that were theirs: they moved at that
            millisecond, and nobody else who ever claimed the device did.
        marks: names and phone numbers that nobody else has.
        registered_at: the latest registration that landed, in ms since 1970; 0 where none says when.
    """

    email: str
    subject_id: str
    serials: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    readings: tuple[tuple[str, int], ...] = ()
    marks: tuple[str, ...] = ()
    registered_at: int = 0

    @classmethod
    def of(cls, resources: Resources, email: str) -> Person:
        """Resolve an e-mail from all that has landed.

        Args:
            resources: the lake.
            email: in any case, with spaces around it or not.

        Returns:
            The person; somebody who is nowhere has an e-mail and a pseudonym only.
        """
        email = normalize(email)
        asked = pa.table({"email": [email]})
        customers = _landed(resources, CUSTOMERS)
        fields = (SERIAL, *MARKS)
        normalized = ", ".join(f"{normalized_sql(name)} AS {named(name)}" for name in fields)
        own = resources.session.rows(
            f"SELECT {normalized}, {named(REGISTERED)} FROM customers "
            f"WHERE {normalized_sql(EMAIL)} IN (SELECT email FROM asked)",
            customers=customers,
            asked=asked,
        )
        records: list[dict[str, Any]] = [dict(zip(fields, row[:-1], strict=True)) for row in own]
        # What a rejected record says of a name is believed of nobody: it may be a common word, or somebody else's.
        serials = _values([*records, *_rejected(resources, email)], [SERIAL])
        marks = _values(records, MARKS)
        others = _others(resources, customers, asked, serials, marks)
        shared = sorted(serials & others)
        return cls(
            email=email,
            subject_id=resources.pseudonyms.subject_id(email),
            serials=tuple(sorted(serials - others)),
            shared=tuple(shared),
            readings=_readings(resources, asked, shared) if shared else (),
            marks=tuple(sorted(marks - others)),
            registered_at=max((row[-1] for row in own if row[-1] is not None), default=0),
        )

    def tombstone(self, hasher: Hasher, request: str, erased_at: int) -> Tombstone:
        """The tombstone of the person.

        Args:
            hasher: the maker of keyed hashes.
            request: the id of the erasure request.
            erased_at: the time of the erasure, in ms since 1970.
        """

        def hashes(kind: str, values: Iterable[str]) -> frozenset[str]:
            return frozenset(hasher.hash(kind, value) for value in values)

        return Tombstone(
            request=request,
            erased_at=erased_at,
            email=hasher.hash("email", self.email),
            serials=hashes("serial", self.serials),
            shared=hashes("serial", self.shared if self.readings else ()),
            readings=hashes("reading", (f"{serial}\0{time}" for serial, time in self.readings)),
            marks=hashes("mark", self.marks),
        )

    def hints(self) -> list[str]:
        """Values, one of which stands in every raw line of the person."""
        return [self.email, *self.serials, *self.shared, *self.marks]

    def needles(self) -> list[str]:
        """Values that nobody else has, which a search looks for everywhere."""
        return [self.email, self.subject_id, *self.serials, *self.marks]

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Person:
        """The person from their JSON document.

        Args:
            document: what :meth:`document` returned.
        """
        lists = {key: tuple(document[key]) for key in ("serials", "shared", "marks")}
        readings = tuple((serial, time) for serial, time in document["readings"])
        registered_at = document["registered_at"]
        return cls(document["email"], document["subject_id"], readings=readings, registered_at=registered_at, **lists)

    def document(self) -> dict[str, Any]:
        """The person as JSON takes them; for the privacy folder only."""
        return dict(self.__dict__)


def with_hidden_devices(resources: Resources, person: Person) -> Person:
    """A person who was erased before, with the shared devices whose readings were left in raw files then.

    The tombstone does not say which devices these are. Whoever else claims them does.

    Args:
        resources: the lake.
        person: the data subject.
    """
    hidden = {tombstone.request: tombstone for tombstone in _earlier(resources, person)}
    if not hidden:
        return person
    tombstones = Tombstones(resources.privacy, hidden)
    serials = resources.session.rows(
        f"SELECT DISTINCT {normalized_sql(SERIAL)} FROM customers", customers=_landed(resources, CUSTOMERS)
    )
    devices = {serial for (serial,) in serials if tombstones.is_shared(serial)}
    return replace(person, shared=tuple(sorted(devices | set(person.shared))))


def hidden_before(resources: Resources, person: Person) -> list[Tombstone]:
    """What earlier erasures of a person know of readings of their shared devices, and of nothing else.

    Args:
        resources: the lake.
        person: the data subject.
    """
    devices = frozenset(resources.privacy.hash("serial", serial) for serial in person.shared)
    return [
        replace(tombstone, email="", serials=frozenset(), shared=tombstone.shared & devices, marks=frozenset())
        for tombstone in _earlier(resources, person)
    ]


def _earlier(resources: Resources, person: Person) -> list[Tombstone]:
    """The tombstones of a person that know of readings of shared devices."""
    email = resources.privacy.hash("email", person.email)
    stored = Tombstones.read(resources.privacy)
    return [tombstone for tombstone in stored if tombstone.email == email and tombstone.readings]


def searchable(resources: Resources, person: Person) -> list[str]:
    """The values of a person that a search can tell from others: that nobody else has by now, and that are no words.

    Others may have landed since the person was resolved. A name of one word (``timestamp``) stands in what is nobody's.

    Args:
        resources: the lake.
        person: the data subject.
    """
    asked = pa.table({"email": [person.email]})
    others = _others(resources, _landed(resources, CUSTOMERS), asked, set(person.serials), set(person.marks))
    others |= _in_texts_of_others(resources, person)
    others |= {mark for mark in person.marks if _WORD.fullmatch(mark)}
    return [value for value in person.needles() if value not in others]


def longer_addresses(resources: Resources, person: Person) -> list[str]:
    """The e-mails of customers that end with the person's after an apostrophe, as ``o'brien@…`` does with ``brien@…``.

    Args:
        resources: the lake.
        person: the data subject.
    """
    rows = resources.session.rows(
        f"SELECT DISTINCT {named(EMAIL)} FROM customers SEMI JOIN asked ON ends_with({named(EMAIL)}, ending)",
        customers=_landed(resources, CUSTOMERS).project(f"{normalized_sql(EMAIL)} AS {named(EMAIL)}"),
        asked=pa.table({"ending": [f"'{person.email}"]}),
    )
    return sorted(address for (address,) in rows)


def _in_texts_of_others(resources: Resources, person: Person) -> set[str]:
    """The serial numbers and marks of a person that stand in a rejected text which names others, and not them."""
    quarantine = contract("landing_quarantine")
    found: set[str] = set()
    shared = {*person.serials, *person.marks}
    stored = resources.session.relation(quarantine, resources.lakehouse.snapshot(quarantine).files)
    for (line,) in resources.session.rows("SELECT line FROM stored", stored=stored) if shared else ():
        if has_address(line):
            values = set(values_in(line))
            found |= shared & values if person.email not in values else set()
    return found


def _landed(resources: Resources, table: Table) -> Any:
    return resources.session.relation(table, resources.lakehouse.snapshot(table).files)


def _values(records: Iterable[Mapping[str, Any]], fields: Iterable[str]) -> set[str]:
    """The texts in some fields of records that are not empty."""
    found = (record.get(field) for record in records for field in fields)
    return {value for value in found if isinstance(value, str) and value}


def _rejected(resources: Resources, email: str) -> list[dict[str, str]]:
    """The fields of rejected customer records of an e-mail."""
    quarantine = contract("landing_quarantine")
    files = resources.lakehouse.snapshot(quarantine).part("landing_table", CUSTOMERS.name)
    lines = resources.session.rows(
        "SELECT line FROM quarantine", quarantine=resources.session.relation(quarantine, files)
    )
    found = []
    for (line,) in lines:
        if email not in values_in(line):
            continue
        for pairs in _objects(line):
            fields = [(field_of(key, CUSTOMERS.landing_source), value) for key, value in pairs]
            said = [
                (name, normalize(as_unicode(value)))
                for name, value in fields
                if name is not None and isinstance(value, str)
            ]
            # A record that names two people says of neither what is whose.
            if {value for name, value in said if name == EMAIL} == {email}:
                found += [{name: value} for name, value in said]
    return found


def _objects(text: str) -> Iterator[Iterable[tuple[str, Any]]]:
    """The objects of a text at any depth; of one that breaks, its keys with text behind them as one object."""
    try:
        decoded, _ = decode_object(text)
    except (ValueError, RecursionError):
        yield _PAIR.findall(text)
        return
    parts: list[Any] = [decoded]
    while parts:
        part = parts.pop()
        if isinstance(part, Pairs):
            yield part
            parts += [value for _, value in part]
        elif isinstance(part, list):
            parts += part


def _others(resources: Resources, customers: Any, asked: pa.Table, serials: set[str], marks: set[str]) -> set[str]:
    """The values that somebody else has too."""
    candidates = pa.table({"value": pa.array(sorted(serials | marks), pa.string())})
    values = " UNION ALL ".join(
        f"SELECT {normalized_sql(name)} AS value FROM others" for name in (EMAIL, SERIAL, *MARKS)
    )
    rows = resources.session.rows(
        f"""
        WITH others AS (
            SELECT * FROM customers
            WHERE NOT coalesce({normalized_sql(EMAIL)} IN (SELECT email FROM asked), false)
        )
        SELECT value FROM candidates SEMI JOIN ({values}) USING (value)
        """,
        customers=customers,
        asked=asked,
        candidates=candidates,
    )
    return {value for (value,) in rows}


def _readings(resources: Resources, asked: pa.Table, shared: list[str]) -> tuple[tuple[str, int], ...]:
    """The readings of shared devices that can be attributed to this person."""
    serial, step_time = normalized_sql(STEPS.subject_column.name), named(str(STEPS.event_time))
    wearer, move_time = normalized_sql(MOVEMENTS.subject_column.name), named(str(MOVEMENTS.event_time))
    rows = resources.session.rows(
        f"""
        WITH claimants AS (
            SELECT DISTINCT {normalized_sql(EMAIL)} AS email, {normalized_sql(SERIAL)} AS serial FROM customers
            WHERE {normalized_sql(SERIAL)} IN (SELECT serial FROM shared)
        ), steps AS (
            SELECT DISTINCT {serial} AS serial, {step_time} AS taken FROM step_rows
            WHERE {serial} IN (SELECT serial FROM shared)
        ), moves AS (
            SELECT DISTINCT {wearer} AS email, {move_time} AS taken FROM move_rows
            WHERE {wearer} IN (SELECT email FROM claimants)
        )
        SELECT serial, taken FROM steps JOIN moves USING (taken) JOIN claimants USING (email, serial)
        GROUP BY ALL HAVING count(*) = 1 AND min(email) = (SELECT email FROM asked)
        ORDER BY ALL
        """,
        customers=_landed(resources, CUSTOMERS),
        step_rows=_landed(resources, STEPS),
        move_rows=_landed(resources, MOVEMENTS),
        asked=asked,
        shared=pa.table({"serial": shared}),
    )
    return tuple(rows)
