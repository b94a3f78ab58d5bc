r"""The rules of the design's section 2, computed over a whole landing history at once.

What belongs here: the rules, once, in the plainest Python there is (dictionaries, sets, loops),
so that a reader can hold each function against the sentence of the design that it quotes.
What does not: speed, partitions, reruns, reconciliation, storage - all that the product adds -
and any import of the product.

What comes in: landed files, two policies and the pseudonym key. What goes out: for every table a
`Counter` of row tuples, their columns in the order of `COLUMNS`.

The caller passes only the files that count: those whose landing day lies in the range that the
product takes (`STEDI_FIRST_DAY` to today). A file that cannot be decompressed raises: for the
product it is a failed partition, not a row.

How the places were read where the design leaves a choice:

* *White space* is ASCII's six characters everywhere: in trimming, in "blank is lacking" and in
  "blank lines are nothing". A no-break space is not white space; a line of one form feed is blank.
* *The bytes of a file* are those that lie in the landing zone: a file and its gzip are two files.
* *File name*, where two records of a customer tie, is the path relative to the landing root,
  compared as text.
* *The end of a day* is its last millisecond, so a reading may be as late as the last millisecond
  of the day after it landed.
* *JSON* is RFC 8259: `NaN` and `Infinity` are no JSON wherever they stand, in an unknown key too.
  `1e999` is JSON: too large for a number field, ignored in an unknown key. Text that is no Unicode
  (a lone surrogate, `"\ud800"`) makes its line no JSON, in any key.
* *Keys* are case-sensitive (`Email` is an unknown key) and compared after unescaping. Only the
  keys of the line's own object can repeat; those inside the value of an unknown key are ignored
  with it.
* *A number without a fraction is an integer* however it is spelt: `1.0` and `1e3` too, as in JSON
  Schema. One spelt with a point or an exponent is the double that it denotes, and an integer only
  below 2^53, where a double is one integer's alone. `-0` is the integer 0. `-0.0` equals `0.0`.
* *`distanceFromObject`* is an integer.
* *Optional* fields of a customer may be missing, null or blank, but not of the wrong type.
* *Lower-casing* is Unicode's (`str.lower`); nothing is normalised beyond it.
* *A customer's own dates* have no range: only readings have.
* *A record in quarantine* decides nothing, claims no device and withdraws no consent.
* *JSON nested so deep* that Python gives up (about a thousand levels) raises `RecursionError`
  rather than guess.
"""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Literal, NamedTuple, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Cell = str | int | float | date | None
Row = tuple[Cell, ...]
Tables = dict[str, Counter[Row]]

ReadingsBeforeConsent = Literal["include", "exclude"]
Pairing = Literal["timestamp", "customer"]

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

CUSTOMER_LANDING = (*CUSTOMER_FIELDS, "source_file", "source_line", "landing_date")
ACCELEROMETER_LANDING = ("user", "timestamp", "x", "y", "z", "source_file", "landing_date")
STEP_TRAINER_LANDING = (
    "sensorReadingTime",
    "serialNumber",
    "distanceFromObject",
    "source_file",
    "landing_date",
)
LANDING_QUARANTINE = ("landing_table", "landing_date", "source_file", "line_number")
SKIPPED_FILES = ("landing_table", "landing_date", "source_file", "lines")
CUSTOMER_TRUSTED = (*CUSTOMER_FIELDS, "landing_date")
ACCELEROMETER_TRUSTED = ("user", "timestamp", "x", "y", "z", "landing_date")
CUSTOMERS_CURATED = ("subject_id", *CUSTOMER_FIELDS, "landing_date")
CONSENT_HISTORY = (
    "subject_id",
    "grant_number",
    "granted_at",
    "withdrawn_at",
    "withdrawn_landing_date",
    "landing_date",
)
STEP_TRAINER_TRUSTED = (
    "sensorReadingTime",
    "serialNumber",
    "distanceFromObject",
    "landing_date",
)
MACHINE_LEARNING_CURATED = (
    "subject_id",
    "device_subject_id",
    "sensorReadingTime",
    "distanceFromObject",
    "x",
    "y",
    "z",
    "same_customer",
    "landing_date",
)

COLUMNS: dict[str, tuple[str, ...]] = {
    "customer_landing": CUSTOMER_LANDING,
    "accelerometer_landing": ACCELEROMETER_LANDING,
    "step_trainer_landing": STEP_TRAINER_LANDING,
    "landing_quarantine": LANDING_QUARANTINE,
    "skipped_files": SKIPPED_FILES,
    "customer_trusted": CUSTOMER_TRUSTED,
    "accelerometer_trusted": ACCELEROMETER_TRUSTED,
    "customers_curated": CUSTOMERS_CURATED,
    "consent_history": CONSENT_HISTORY,
    "step_trainer_trusted": STEP_TRAINER_TRUSTED,
    "machine_learning_curated": MACHINE_LEARNING_CURATED,
}
"""Every table that `compute` returns, and the order of the cells in its rows.

`skipped_files` is no table of the product: it names the duplicate files, with the number of
their lines that are not blank, for "nothing lost" (design section 3) to add up.
"""

LANDING_TABLES = ("customer_landing", "accelerometer_landing", "step_trainer_landing")
ASSETS = (
    *LANDING_TABLES,
    "customer_trusted",
    "accelerometer_trusted",
    "customers_curated",
    "consent_history",
    "step_trainer_trusted",
    "machine_learning_curated",
)

MILLISECONDS_A_DAY = 86_400_000
FIRST_READING = 1_420_070_400_000
"""2015-01-01T00:00:00Z: "a reading's timestamp before 2015" is quarantined."""

WHITE_SPACE = " \t\n\r\v\f"


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
    """What lies in the landing zone, parsed; the same under every policy."""

    tables: Tables
    customers: Sequence[Customer]
    accelerations: frozenset[Acceleration]
    steps: frozenset[Step]


def compute(
    files: Iterable[LandedFile],
    key: bytes,
    readings_before_consent: ReadingsBeforeConsent = "include",
    pairing: Pairing = "timestamp",
    left_out: Callable[[str, bytes, date], bool] | None = None,
) -> Tables:
    """Compute every table from everything that landed.

    In: the landed files, in any order; the pseudonym key; the two policies, with the product's
    defaults; what says of a line of a table's file that its person was erased (see `erasures`).
    Out: for each name in `COLUMNS` its rows, each with how often it occurs.
    """
    return refine(land(files, left_out), key, readings_before_consent, pairing)


# --- landing: files to typed rows ---------------------------------------------------------------


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


# --- landing: one line --------------------------------------------------------------------------


class RejectedLineError(Exception):
    """A line that belongs in quarantine; the message says which rule put it there."""


class _Integer(str):
    """A JSON number written without fraction and exponent, as it was written."""

    __slots__ = ()


class _Fraction(str):
    """Any other JSON number, as it was written."""

    __slots__ = ()


class _Object(list[tuple[str, object]]):
    """A JSON object as its pairs, so that a repeated key shows."""


class _Field(NamedTuple):
    name: str
    kind: Literal["text", "integer", "number"]
    required: bool = True


_FIELDS: dict[str, tuple[_Field, ...]] = {
    "customer_landing": (
        _Field("customerName", "text", required=False),
        _Field("email", "text"),
        _Field("phone", "text", required=False),
        _Field("birthDay", "text", required=False),
        _Field("serialNumber", "text"),
        _Field("registrationDate", "integer", required=False),
        _Field("lastUpdateDate", "integer"),
        _Field("shareWithResearchAsOfDate", "integer", required=False),
        _Field("shareWithPublicAsOfDate", "integer", required=False),
        _Field("shareWithFriendsAsOfDate", "integer", required=False),
    ),
    "accelerometer_landing": (
        _Field("user", "text"),
        _Field("timestamp", "integer"),
        _Field("x", "number"),
        _Field("y", "number"),
        _Field("z", "number"),
    ),
    "step_trainer_landing": (
        _Field("sensorReadingTime", "integer"),
        _Field("serialNumber", "text"),
        _Field("distanceFromObject", "integer"),
    ),
}


def parse(line: bytes, table: str, landing_date: date) -> Row:
    """Return the values of one line in the order of the table's source fields.

    Raises `RejectedLineError` for the reasons of the design: the line "is not one JSON object,
    repeats a key, lacks a required field, has a field of the wrong type, a non-finite number, a
    negative distance, or a reading's timestamp before 2015 or more than one day after the end of
    the day it landed".
    """
    named: dict[str, object] = {}
    for key, value in _json_object(line):
        if key in named:
            msg = "repeats a key"
            raise RejectedLineError(msg)
        named[key] = value

    values = {field.name: _value(field, named.get(field.name)) for field in _FIELDS[table]}

    distance = values.get("distanceFromObject")
    if isinstance(distance, int) and distance < 0:
        msg = "negative distance"
        raise RejectedLineError(msg)

    time = values.get("timestamp", values.get("sensorReadingTime"))
    latest = last_millisecond(landing_date) + MILLISECONDS_A_DAY
    if isinstance(time, int) and not FIRST_READING <= time <= latest:
        msg = "timestamp out of range"
        raise RejectedLineError(msg)
    return tuple(values.values())


def last_millisecond(day: date) -> int:
    """Return the last millisecond of a UTC day, as epoch milliseconds."""
    days = day.toordinal() - date(1970, 1, 1).toordinal()
    return (days + 1) * MILLISECONDS_A_DAY - 1


def _json_object(line: bytes) -> _Object:
    try:
        text = line.decode("utf-8")
        value = _DECODER.decode(text)
        if "\\u" in text:
            _refuse_lone_surrogates(value)
    except ValueError as error:  # UnicodeError and JSONDecodeError are ValueErrors
        msg = "not JSON"
        raise RejectedLineError(msg) from error
    if not isinstance(value, _Object):
        msg = "not an object"
        raise RejectedLineError(msg)
    return value


def _refuse_constant(constant: str) -> NoReturn:
    """Refuse `NaN`, `Infinity` and `-Infinity`, which Python reads though they are no JSON."""
    msg = f"{constant} is not JSON"
    raise ValueError(msg)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_Object,
    parse_int=_Integer,
    parse_float=_Fraction,
    parse_constant=_refuse_constant,
)


def _refuse_lone_surrogates(value: object) -> None:
    """Raise `UnicodeEncodeError` where a text in a JSON value is no Unicode."""
    if isinstance(value, str):
        value.encode("utf-8")
    elif isinstance(value, (list, tuple)):
        for part in value:
            _refuse_lone_surrogates(part)


def _value(field: _Field, value: object) -> Cell:
    if value is None:
        if field.required:
            msg = "lacks a required field"
            raise RejectedLineError(msg)
        return None
    if field.kind == "text" and type(value) is str:
        if field.required and not value.strip(WHITE_SPACE):
            msg = "lacks a required field"
            raise RejectedLineError(msg)
        return value
    if field.kind == "integer" and isinstance(value, _Integer):
        return _signed_64_bit(value)
    if field.kind == "integer" and isinstance(value, _Fraction):
        return _exact(float(value))
    if field.kind == "number" and isinstance(value, (_Integer, _Fraction)):
        number = float(value)
        if not math.isfinite(number):
            msg = "non-finite number"
            raise RejectedLineError(msg)
        return number
    msg = "wrong type"
    raise RejectedLineError(msg)


def _exact(number: float) -> int:
    if abs(number) < 2**53 and number == math.floor(number):
        return int(number)
    msg = "wrong type"
    raise RejectedLineError(msg)


def _signed_64_bit(literal: _Integer) -> int:
    longest = len(str(-(2**63)))
    if len(literal) <= longest and -(2**63) <= int(literal) < 2**63:
        return int(literal)
    msg = "wrong type"
    raise RejectedLineError(msg)


# --- trusted and curated ------------------------------------------------------------------------


def consents(customer: Customer) -> bool:
    """Say whether a record gives consent to research.

    "A positive `shareWithResearchAsOfDate` no later than the end of the day its record landed.
    Null, missing, 0, negative or in the future is no consent."
    """
    research = customer.research
    return research is not None and 0 < research <= last_millisecond(customer.landing_date)


def latest_records(customers: Iterable[Customer]) -> dict[str, Customer]:
    """Return the deciding record of each e-mail.

    "The latest record per e-mail over all landing days decides: greatest (`lastUpdateDate`,
    `landing_date`, file name, line)."
    """
    return {customer.email: customer for customer in sorted(customers, key=_age)}


def _age(customer: Customer) -> tuple[int, date, str, int]:
    return customer.last_update, customer.landing_date, customer.path, customer.line


def pseudonym(email: str, key: bytes) -> str:
    """Return the `subject_id` of a normalised e-mail: HMAC-SHA256 under the key, in hex."""
    return hmac.new(key, email.encode("utf-8"), hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class _People:
    """Who consents, who claims which device and who wore a phone when."""

    trusted: dict[str, Customer]
    """By e-mail, the latest record of each customer who consents."""
    claimants: dict[str, set[str]]
    """By serial number, the e-mails whose latest record claims it, consenting or not."""
    wearers: dict[int, set[str]]
    """By millisecond, the users of every valid landed accelerometer reading."""
    readings_before_consent: ReadingsBeforeConsent

    def share(self, email: str, time: int) -> bool:
        """Say whether a customer's reading of that time may be used.

        With `exclude`, "readings taken before the customer's consent date are left out, of both
        sensors".
        """
        if email not in self.trusted:
            return False
        if self.readings_before_consent == "include":
            return True
        research = self.trusted[email].research
        assert research is not None
        return time >= research

    def claiming(self, step: Step) -> set[str]:
        """Return all claimants of a step reading's device."""
        return self.claimants.get(step.serial_number, set())

    def sharing(self, step: Step) -> set[str]:
        """Return the claimants who consent.

        "With readings before consent excluded, 'consents' here means at the time of the reading."
        """
        return {email for email in self.claiming(step) if self.share(email, step.time)}

    def wearing(self, time: int) -> set[str]:
        """Return who has an accelerometer reading at that millisecond, of any landing day."""
        return self.wearers.get(time, set())

    def usable(self, step: Step, curated: set[str]) -> bool:
        """Say whether a step reading belongs in `step_trainer_trusted`.

        It is "of a device of such a customer", one in `customers_curated`. "Where every claimant
        consents, its step readings are used. Where one does not, a step reading is used only if a
        consenting claimant has an accelerometer reading at the same millisecond and no
        non-consenting claimant has."
        """
        sharing = self.sharing(step)
        refusing = self.claiming(step) - sharing
        if not sharing & curated:
            return False
        if not refusing:
            return True
        wearing = self.wearing(step.time)
        return bool(sharing & wearing) and not refusing & wearing

    def device_subject(self, step: Step, wearer: str) -> str | None:
        """Return the e-mail behind `device_subject_id`.

        "The wearer's where the wearer is a claimant, else the one consenting claimant's, else, of
        several, the one with an accelerometer reading at that millisecond, else null."
        """
        if wearer in self.claiming(step):
            return wearer
        candidates = self.sharing(step)
        if len(candidates) > 1:
            candidates &= self.wearing(step.time)
        return next(iter(candidates)) if len(candidates) == 1 else None


def refine(
    landing: Landing,
    key: bytes,
    readings_before_consent: ReadingsBeforeConsent = "include",
    pairing: Pairing = "timestamp",
) -> Tables:
    """Compute the trusted and curated tables, beside the landing tables that come in.

    The partition of a row is what the design's section 3 says: a customer lies in that of its
    latest record, a reading in its own, a pair in that of its later-landed half.
    """
    people = _people(landing, readings_before_consent)
    accelerations = {one for one in landing.accelerations if people.share(one.user, one.timestamp)}
    curated = {one.user for one in accelerations}
    steps = {one for one in landing.steps if people.usable(one, curated)}
    customers = {email: (*record.normalised(), record.landing_date) for email, record in people.trusted.items()}
    return {
        **landing.tables,
        "customer_trusted": Counter(customers.values()),
        "accelerometer_trusted": Counter(tuple(one) for one in accelerations),
        "customers_curated": Counter((pseudonym(one, key), *customers[one]) for one in curated),
        "consent_history": _consent_history(landing.customers, key),
        "step_trainer_trusted": Counter(tuple(one) for one in steps),
        "machine_learning_curated": _pairs(people, accelerations, steps, key, pairing),
    }


def _consent_history(customers: Iterable[Customer], key: bytes) -> Counter[Row]:
    """Return `consent_history`, by walking each customer's records.

    "An interval opens at the first consenting record (of all, or after a non-consenting one) and
    ends at the next non-consenting record. Consecutive consenting records extend it."
    """
    walks: dict[str, list[Customer]] = defaultdict(list)
    for customer in sorted(customers, key=_age):
        walks[customer.email].append(customer)

    history: Counter[Row] = Counter()
    for email, records in walks.items():
        intervals: list[tuple[Customer, Customer | None]] = []
        holds = False
        for record in records:
            if consents(record) and not holds:
                intervals.append((record, None))
            elif holds and not consents(record):
                intervals[-1] = intervals[-1][0], record
            holds = consents(record)
        for number, (first, end) in enumerate(intervals, start=1):
            closed = (None, None) if end is None else (end.last_update, end.landing_date)
            row = (pseudonym(email, key), number, first.research, *closed, first.landing_date)
            history[row] += 1
    return history


def _people(landing: Landing, readings_before_consent: ReadingsBeforeConsent) -> _People:
    records = latest_records(landing.customers)
    claimants: dict[str, set[str]] = defaultdict(set)
    for email, record in records.items():
        claimants[record.serial_number].add(email)
    wearers: dict[int, set[str]] = defaultdict(set)
    for acceleration in landing.accelerations:
        wearers[acceleration.timestamp].add(acceleration.user)
    trusted = {email: record for email, record in records.items() if consents(record)}
    return _People(trusted, claimants, wearers, readings_before_consent)


def _pairs(
    people: _People,
    accelerations: Iterable[Acceleration],
    steps: Iterable[Step],
    key: bytes,
    pairing: Pairing,
) -> Counter[Row]:
    """Return `machine_learning_curated`.

    "One step reading with one accelerometer reading of the same millisecond"; pairing by customer
    asks besides that the wearer claims the device. "A shared serial number never multiplies rows."
    """
    accelerations_at: dict[int, list[Acceleration]] = defaultdict(list)
    for acceleration in accelerations:
        accelerations_at[acceleration.timestamp].append(acceleration)

    pairs: Counter[Row] = Counter()
    for step in steps:
        for acceleration in accelerations_at[step.time]:
            wearer = acceleration.user
            same_customer = wearer in people.claiming(step)
            if pairing == "customer" and not same_customer:
                continue
            device = people.device_subject(step, wearer)
            row = (
                pseudonym(wearer, key),
                None if device is None else pseudonym(device, key),
                step.time,
                step.distance,
                acceleration.x,
                acceleration.y,
                acceleration.z,
                same_customer,
                max(step.landing_date, acceleration.landing_date),
            )
            pairs[row] += 1
    return pairs
