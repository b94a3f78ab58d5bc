r"""Who was erased, and which lines are theirs: the rules of erasure, in the plainest Python there is.

What belongs here: what the docstring of the product's rules says, written a second time, over lines as they lie in
raw files and over what was known when somebody was erased. What does not: any import of the product.

How the places were read where the rules leave a choice:

* *Theirs alone* is a value that no landed record of anybody else has, as serial number, name or phone.
* *Later* is by milliseconds: a registration of the very millisecond of the erasure is an old one, a reading of the very
  millisecond of the new registration is a new one. A record without a registration date is an old one.
* Who was erased twice is judged by the later erasure.
* Of a rejected line of somebody who registered anew the e-mail stays: it may be a withdrawal.
* A line that is emptied in a raw file cannot come back; one that was left out of the tables alone can.
"""

from __future__ import annotations

import gzip
import json
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stedi_assets.reference import CUSTOMER_FIELDS, RejectedLineError, normalise, parse
from stedi_assets.reference.texts import texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import date

    from stedi_assets.reference import LandedFile, Row

_ADDRESS = re.compile(r"[\w.%+-]+@[\w.-]+")
_VALUE = re.compile(r':\s*"\s*([^"]*?)\s*"')
_ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))")


@dataclass(frozen=True)
class Known:
    """What had landed when somebody was erased: of customers the fields, of readings who and when."""

    customers: Sequence[Row]
    rejected_customers: Sequence[str]
    moves: frozenset[tuple[str, int]]
    steps: frozenset[tuple[str, int]]


@dataclass(frozen=True)
class Forgotten:
    """Somebody who was erased: what their lines are known by."""

    email: str
    at: int
    serials: frozenset[str]
    readings: frozenset[tuple[str, int]]
    marks: frozenset[str]
    claimed: frozenset[str]
    """Every serial number that a record claimed then."""


def forget(email: str, at: int, known: Known) -> Forgotten:
    """Say what somebody is known by who is erased at a moment."""
    own: list[dict[str, str]] = []
    others: list[dict[str, str]] = []
    rejected: list[dict[str, str]] = []
    for row in known.customers:
        record = _texts(dict(zip(CUSTOMER_FIELDS, row, strict=True)))
        (own if record["email"] == email else others).append(record)
    for line in known.rejected_customers:
        try:
            told = json.loads(line)
        except ValueError:
            continue
        # What a rejected record of somebody else claims counts for nothing, nor does a name or a phone number in one.
        if isinstance(told, dict) and _texts(told).get("email") == email:
            rejected.append(_texts(told))
    fields = ("serialNumber", "customerName", "phone")
    serials, names, phones = ({record[field] for record in own if record.get(field)} for field in fields)
    serials |= {record["serialNumber"] for record in rejected if record.get("serialNumber")}
    elsewhere = {record[field] for record in others for field in fields if record.get(field)}
    readings = set()
    for serial, time in known.steps:
        claimants = {record["email"] for record in (*own, *others) if record.get("serialNumber") == serial}
        movers = {who for who in claimants if (who, time) in known.moves}
        if serial in serials & elsewhere and movers == {email}:
            readings.add((serial, time))
    return Forgotten(
        email,
        at,
        frozenset(serials - elsewhere),
        frozenset(readings),
        frozenset((names | phones) - elsewhere),
        frozenset(record["serialNumber"] for record in (*own, *others) if record.get("serialNumber")),
    )


def _texts(record: dict[str, object]) -> dict[str, str]:
    return {key: normalise(value) for key, value in record.items() if isinstance(value, str)}


def left_out(forgotten: Iterable[Forgotten], files: Iterable[LandedFile]) -> Callable[[str, bytes, date], bool]:
    """Return what says of a line (of a table's file, that landed on a day) that it is somebody's who was erased.

    In: who was erased, and every file, which say who registered anew.
    """
    in_order = sorted(forgotten, key=lambda one: one.at)
    by_email = {one.email: one for one in in_order}
    by_serial = {serial: one for one in in_order for serial in one.serials}
    person_back: dict[Forgotten, int] = {}
    device_back: dict[Forgotten, int] = {}

    def old_record(record: dict[str, object]) -> bool:
        who = by_email.get(normalise(str(record["email"])))
        registered = record["registrationDate"]
        return who is not None and not (isinstance(registered, int) and registered > who.at)

    for record in _customers(files):
        registered = record["registrationDate"]
        if old_record(record) or not isinstance(registered, int):
            continue
        for known, key, back in ((by_email, "email", person_back), (by_serial, "serialNumber", device_back)):
            who = known.get(normalise(str(record[key])))
            if who is not None and registered > who.at:
                back[who] = min(back.get(who, registered), registered)

    def theirs(table: str, line: bytes, day: date) -> bool:
        try:
            values = parse(line, table, day)
        except RejectedLineError:
            text = line.decode("utf-8", "backslashreplace")
            text = _ESCAPED.sub(
                lambda found: chr(int(found[1], 16)) if found[1] else _unescaped(found[2]), text
            ).lower()
            # What names others too stays, for their sake, and so does what names somebody who is a customer again.
            if "@" in text:
                gone = {email for email, one in by_email.items() if one not in person_back}
                named = {email for email in gone if _stands_in(email, text)}
                return bool(named) and set(_ADDRESS.findall(text)) <= named
            values = set(_VALUE.findall(text))
            return any(
                any(_stands_in(serial, text) for serial in one.serials) or one.marks & values for one in in_order
            )
        if table == "customer_landing":
            return old_record(dict(zip(CUSTOMER_FIELDS, values, strict=True)))
        if table == "accelerometer_landing":
            who, time = by_email.get(normalise(str(values[0]))), int(str(values[1]))
            return who is not None and not time >= person_back.get(who, time + 1)
        time, serial = int(str(values[0])), normalise(str(values[1]))
        owner = by_serial.get(serial)
        if owner is not None and not time >= device_back.get(owner, time + 1):
            return True
        return any((serial, time) in one.readings for one in in_order)

    return theirs


def _customers(files: Iterable[LandedFile]) -> Iterable[dict[str, object]]:
    for file in files:
        if file.table != "customer_landing":
            continue
        for text in file.texts():
            with suppress(RejectedLineError):
                yield dict(zip(CUSTOMER_FIELDS, parse(text.content, file.table, file.landing_date), strict=True))


def _stands_in(value: str, text: str) -> bool:
    """Say whether a value stands in a rejected text without escapes and in lower case, by itself."""
    within = "@.+" if "@" in value else ""
    before, after = rf"(?<![\w{within}-])", rf"(?![\w{within.replace('.', '')}-]" + (r"|\.\w)" if within else ")")
    return re.search(before + re.escape(value) + after, text) is not None


def _unescaped(letter: str) -> str:
    return {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}.get(letter, letter)


def emptied(file: LandedFile, one: Forgotten, before: Iterable[Forgotten] = ()) -> LandedFile:
    r"""Return a raw file as the erasure of somebody leaves it: without their texts, all others where they were.

    In: who was erased before. Whoever is erased again takes the readings that were left then, of devices that somebody
    claims still.

    Where the text before is an object that breaks, a record separator stays, which ends it. For a rejected text of
    which others' bytes stay there is no oracle here.
    """
    packed = file.content.startswith(b"\x1f\x8b")
    content = gzip.decompress(file.content) if packed else file.content
    again = frozenset(
        (serial, time)
        for other in before
        for serial, time in other.readings
        if other.email == one.email and serial in one.claimed
    )
    theirs = left_out([replace(one, readings=one.readings | again)], [])
    kept, at, broken = b"", 0, False
    for text in texts(content):
        # Two texts may be alike, so each is looked for behind the one before it.
        start = content.index(text.content, at)
        kept += content[at:start]
        at = start + len(text.content)
        if theirs(file.table, text.content, file.landing_date):
            kept += b"\x1e" * broken + b"\n" * text.content.count(b"\n")
            broken = False
        else:
            kept += text.content
            broken = text.content.startswith(b"{") and not _is_object(text.content)
    kept += content[at:]
    if kept == content:
        return file
    return replace(file, content=gzip.compress(kept, mtime=0) if packed else kept)


def _is_object(text: bytes) -> bool:
    try:
        json.loads(text.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return False
    return True
