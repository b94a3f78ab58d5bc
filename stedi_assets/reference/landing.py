"""Files to typed rows: what the landing tables, the quarantine and the list of skipped files must hold.

How the rules are read where they leave a choice:

* *The bytes of a file* are those that lie in the landing zone: a file and its gzip are two files.
* *Lower-casing* is Unicode's (`str.lower`); nothing is normalised beyond it.
* *A record in quarantine* decides nothing, claims no device and withdraws no consent.
"""

from __future__ import annotations

import gzip
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from stedi_assets.reference.lines import WHITE_SPACE, RejectedLineError, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import date

    from stedi_assets.reference.lines import Row

Tables = dict[str, "Counter[Row]"]
"""Of each table the rows, each with how often it occurs."""

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
    place relative to the landing root (gzip if it ends with `.gz`), `content` its bytes.
    """

    table: str
    landing_date: date
    path: str
    content: bytes

    def text(self) -> bytes:
        """Return the bytes as lines are counted in them: decompressed, without a leading BOM."""
        text = gzip.decompress(self.content) if self.path.endswith(".gz") else self.content
        return text.removeprefix(b"\xef\xbb\xbf")

    def lines(self) -> list[tuple[int, bytes]]:
        r"""Return the lines that are not blank, each with its number.

        Lines end at `\n` alone; numbers count from 1, blank lines included.
        """
        numbered = enumerate(self.text().split(b"\n"), start=1)
        return [(number, line) for number, line in numbered if line.strip(WHITE_SPACE.encode())]


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
    accelerations: set[Acceleration] = set()
    steps: set[Step] = set()
    seen: set[tuple[str, bytes]] = set()

    for file in sorted(files, key=lambda file: (file.landing_date, file.path)):
        day = file.landing_date
        lines = file.lines()
        if (file.table, file.content) in seen:
            if lines:
                tables["skipped_files"][(file.table, day, file.path, len(lines))] += 1
            continue
        seen.add((file.table, file.content))
        for number, line in lines:
            if left_out is not None and left_out(file.table, line, day):
                continue
            try:
                values = parse(line, file.table, day)
            except RejectedLineError:
                tables["landing_quarantine"][(file.table, day, file.path, number)] += 1
                continue
            row: Row = (*values, file.path, day)
            if file.table == "customer_landing":
                row = (*values, file.path, number, day)
                customers.append(_customer(values, file, number))
            elif file.table == "accelerometer_landing":
                accelerations.add(_acceleration(values, day))
            else:
                steps.add(_step(values, day))
            tables[file.table][row] += 1

    return Landing(tables, customers, frozenset(accelerations), frozenset(steps))


def normalise(text: str) -> str:
    """Trim and lower-case, as "e-mails and serial numbers are compared, and stored"."""
    return text.strip(WHITE_SPACE).lower()


def _customer(values: Row, file: LandedFile, line: int) -> Customer:
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
