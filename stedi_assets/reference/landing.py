"""Files to typed rows: what the landing tables, the quarantine and the list of skipped files must hold.

How the rules are read where they leave a choice:

* *The bytes of a file* are those that lie in the landing zone: a file and its gzip are two files.
* *Lower-casing* is Unicode's (`str.lower`); nothing is normalised beyond it.
* *A record in quarantine* claims no device. It may be a withdrawal, so it puts whom it may speak of in doubt.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from stedi_assets.reference.lines import RejectedLineError, normalise, parse
from stedi_assets.reference.texts import FoundText, texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import date

    from stedi_assets.reference.lines import Row

Tables = dict[str, "Counter[Row]"]
"""Of each table the rows, each with how often it occurs."""


def _zstd(content: bytes) -> bytes:
    with pa.input_stream(pa.BufferReader(content), compression="zstd") as stream:
        found: bytes = stream.read()
    return found


_COMPRESSED = {
    b"\x28\xb5\x2f\xfd": _zstd,
    b"\x1f\x8b": gzip.decompress,
    b"BZh": bz2.decompress,
    b"\xfd7zXZ\0": lzma.decompress,
}
LANDING_TABLES = ("customer_landing", "accelerometer_landing", "step_trainer_landing")

CUSTOMER_FIELDS = (
    "customerName",
    "email",
    "phone",
    "birthDay",
    "serialNumber",
    "registrationDate",
    "lastUpdateDate",
    "shareWithResearchAsOfDate",
    "shareWithPublicAsOfDate",
    "shareWithFriendsAsOfDate",
)


@dataclass(frozen=True)
class LandedFile:
    """One file in the landing zone.

    `table` is one of `LANDING_TABLES`, `landing_date` the UTC day on which it landed, `path` its
    place relative to the landing root, `content` its bytes.
    """

    table: str
    landing_date: date
    path: str
    content: bytes

    def text(self) -> bytes:
        """Return the text as UTF-8: decompressed, without a leading BOM."""
        text = self.content
        for magic, decompress in _COMPRESSED.items():
            if text.startswith(magic):
                text = decompress(text)
        for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
            if text.startswith(mark):
                return text[2:].decode(encoding).encode()
        for encoding, zeros in (("utf-16-le", "0101"), ("utf-16-be", "1010")):
            if "".join(str(int(byte == 0)) for byte in text[:4]) == zeros:
                return text.decode(encoding).encode()
        return text.removeprefix(b"\xef\xbb\xbf")

    def lines(self) -> list[bytes]:
        r"""Return the lines of the text on which more stands than between objects; they end at `\n` alone."""
        return [line for line in self.text().split(b"\n") if texts(line)]

    def texts(self) -> list[FoundText]:
        """Return the objects of the text, and what stands in it that is none."""
        return texts(self.text())


class Customer(NamedTuple):
    """A customer's record as it landed, and where."""

    fields: Row
    """In the order of `CUSTOMER_FIELDS`."""
    email: str
    serial_number: str
    last_update: int
    research: int | None
    landing_date: date
    path: str
    line: int
    number: int = 1
    doubt: bool = False
    """It is no record, but what follows from a text that could not be read; see `doubts`."""

    def normalised(self) -> Row:
        """Return the fields as they are stored from `trusted` on."""
        named = dict(zip(CUSTOMER_FIELDS, self.fields, strict=True))
        named["email"] = self.email
        named["serialNumber"] = self.serial_number
        return tuple(named.values())


class Acceleration(NamedTuple):
    """An accelerometer reading from `trusted` on: its user trimmed and lower-cased."""

    user: str
    timestamp: int
    x: float
    y: float
    z: float
    landing_date: date


class Step(NamedTuple):
    """A step-trainer reading from `trusted` on: its serial number trimmed and lower-cased."""

    time: int
    serial_number: str
    distance: int
    landing_date: date


@dataclass(frozen=True)
class Landing:
    """The rows of a landing zone, parsed; the same under every policy."""

    tables: Tables
    customers: Sequence[Customer]
    """The records, and what follows from those that could not be read."""
    rejected: Sequence[Rejected]
    """The customer records that could not be read."""
    accelerations: frozenset[Acceleration]
    steps: frozenset[Step]


def land(files: Iterable[LandedFile], left_out: Callable[[str, bytes, date], bool] | None = None) -> Landing:
    """Read the files: rows of the landing tables, quarantined lines, skipped files.

    "A file whose bytes already landed on an earlier day, or under another name on the same day,
    is skipped and reported": of files of one table with the same bytes, the one with the smallest
    (landing day, path) counts. A file without a line is no duplicate worth reporting.
    """
    tables: Tables = {name: Counter() for name in (*LANDING_TABLES, "landing_quarantine")}
    tables["skipped_files"] = Counter()
    customers: list[Customer] = []
    rejected: list[Rejected] = []
    accelerations: set[Acceleration] = set()
    steps: set[Step] = set()
    seen: set[tuple[str, bytes]] = set()

    for file in sorted(files, key=lambda file: (file.landing_date, file.path)):
        day = file.landing_date
        if (file.table, file.content) in seen:
            if lines := file.lines():
                tables["skipped_files"][(file.table, day, file.path, len(lines))] += 1
            continue
        seen.add((file.table, file.content))
        for text in file.texts():
            if left_out is not None and left_out(file.table, text.content, day):
                continue
            try:
                values = parse(text.content, file.table, day)
            except RejectedLineError:
                tables["landing_quarantine"][(file.table, day, file.path, text.line, text.number)] += 1
                if file.table == "customer_landing":
                    rejected.append(Rejected(day, file.path, text.line, text.number, text.content))
                continue
            row: Row = (*values, file.path, day)
            if file.table == "customer_landing":
                row = (*values, file.path, text.line, text.number, day)
                customers.append(_customer(values, file, text.line, text.number))
            elif file.table == "accelerometer_landing":
                accelerations.add(_acceleration(values, day))
            else:
                steps.add(_step(values, day))
            tables[file.table][row] += 1

    customers += [doubt for one in rejected for doubt in doubts(one, customers)]
    return Landing(tables, customers, rejected, frozenset(accelerations), frozenset(steps))


class Rejected(NamedTuple):
    """A customer record that could not be read, and where it landed."""

    landing_date: date
    path: str
    line: int
    number: int
    content: bytes


def doubts(rejected: Rejected, customers: Sequence[Customer]) -> list[Customer]:
    """Return what follows from a customer record that could not be read: whom it speaks of does not consent.

    "Every known customer whose e-mail stands in it as a whole address; and, where no address stands in it, whoever
    claims a serial number in it." It counts as a record of theirs without consent, otherwise as the latest of those
    that did not land after it: on a later day, or further on in the same file.
    """
    text = rejected.content.decode("utf-8", "backslashreplace")
    text = normalise(re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), text))
    by_serial = "@" not in text
    latest: dict[str, Customer] = {}
    spoken_of = set()
    for customer in sorted(customers, key=age):
        if _stands_in(customer.email, text) or (by_serial and _stands_in(customer.serial_number, text)):
            spoken_of.add(customer.email)
        same_file = (customer.landing_date, customer.path) == (rejected.landing_date, rejected.path)
        further_on = same_file and (customer.line, customer.number) > (rejected.line, rejected.number)
        if customer.landing_date <= rejected.landing_date and not further_on:
            latest[customer.email] = customer
    return [
        latest[email]._replace(
            research=None,
            landing_date=rejected.landing_date,
            path=rejected.path,
            line=rejected.line,
            number=rejected.number,
            doubt=True,
        )
        for email in spoken_of & latest.keys()
    ]


def _stands_in(name: str, text: str) -> bool:
    return re.search(rf"(?<![\w.%+-]){re.escape(name)}(?![\w-]|\.\w)", text) is not None


def age(customer: Customer) -> tuple[int, bool, date, str, int, int]:
    """Return by what the latest of a customer's records is told: it has the greatest."""
    place = customer.landing_date, customer.path, customer.line, customer.number
    return customer.last_update, customer.doubt, *place


def _customer(values: Row, file: LandedFile, line: int, number: int) -> Customer:
    named = dict(zip(CUSTOMER_FIELDS, values, strict=True))
    email, serial_number = named["email"], named["serialNumber"]
    last_update, research = named["lastUpdateDate"], named["shareWithResearchAsOfDate"]
    assert isinstance(email, str)
    assert isinstance(serial_number, str)
    assert isinstance(last_update, int)
    assert research is None or isinstance(research, int)
    return Customer(
        fields=values,
        email=normalise(email),
        serial_number=normalise(serial_number),
        last_update=last_update,
        research=research,
        landing_date=file.landing_date,
        path=file.path,
        line=line,
        number=number,
    )


def _acceleration(values: Row, day: date) -> Acceleration:
    user, timestamp, x, y, z = values
    assert isinstance(user, str)
    assert isinstance(timestamp, int)
    assert isinstance(x, float)
    assert isinstance(y, float)
    assert isinstance(z, float)
    return Acceleration(normalise(user), timestamp, x, y, z, day)


def _step(values: Row, day: date) -> Step:
    time, serial_number, distance = values
    assert isinstance(time, int)
    assert isinstance(serial_number, str)
    assert isinstance(distance, int)
    return Step(time, normalise(serial_number), distance, day)
