"""Random landing histories, and random schedules of runs over them.

What belongs here: Hypothesis strategies that say what may land and what may be run, as plain data.
What does not: rules (see `stedi_assets.reference`), and the running of a schedule, which is the product's test's.

A slow test that can afford few examples lets Hypothesis draw each one afresh, by
`@settings(backend="hypothesis-urandom")`: by default it starts with the smallest and then varies
each example that it draws about five times. Of 300 examples, 73 then differ in how many lines of
each table they have, of 300 fresh ones 296. What that gives up is a
run that can be repeated by `derandomize` or a seed; the failing example is printed and stored.
Shrinking a history takes thousands of tries (minutes even for the reference computation alone): a slow test does
better to leave `Phase.shrink` out of its phases.

A history is small and drawn from small pools - a few people, devices, milliseconds and days - so
that what is rare in life happens in most examples: readings that pair, customers who share a
device, records that tie. All people are invented. Lines that the rules leave to be read in more
than one way (see the docstring of `stedi_assets.reference.lines`) are left out: they are unit
tests, not properties.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from stedi_assets.reference import ASSETS, LANDING_TABLES, MILLISECONDS_A_DAY, LandedFile, last_millisecond

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

FIRST_DAY = date(2023, 8, 6)
DAYS = tuple(FIRST_DAY + timedelta(days=n) for n in range(5))
"""The days on which the files of a history land."""

EMAILS = (
    "ada.one@example.com",
    "ben.two@example.com",
    "cleo.three@example.com",
    "dan.four@example.com",
    "ada.one@example.com.example.com",
)
STRANGER = "nobody.knows@example.com"
"""Wears a phone, but never registered."""

DEVICES = ("Device-A1", "Device-B2", "Device-C3", "Device-D4")
STRAY_DEVICE = "Device-Z9"
"""Reports steps, but nobody claims it."""

_NOON = last_millisecond(FIRST_DAY - timedelta(days=1)) - MILLISECONDS_A_DAY // 2
_MIDNIGHT = last_millisecond(FIRST_DAY)
MOMENTS = (
    _NOON,
    _NOON + 1,
    _MIDNIGHT,
    _MIDNIGHT + 1,
    _MIDNIGHT + MILLISECONDS_A_DAY,
    _MIDNIGHT + MILLISECONDS_A_DAY + 1,
)
"""When readings are taken: before the first landing day, and around two midnights.

The last but one is the latest that a file of the first day may hold, the last is beyond it.
"""

_UPDATES = tuple(_NOON - n * MILLISECONDS_A_DAY for n in (3, 2, 1))
_MISSING = object()
_EARLY_CONSENT = (_NOON - MILLISECONDS_A_DAY, _NOON - 1, 1)
_LATE_CONSENT = (
    *(last_millisecond(day) + n for day in DAYS[:3] for n in (0, 1)),  # the end of a landing day
    _NOON + 1000 * MILLISECONDS_A_DAY,  # the future, whenever it lands
)
_REFUSAL = (_MISSING, None, 0, -_NOON)

_NAMES = ("Somebody", None, "", " Zo\u00eb\u2028\u0085Line", _MISSING)
_SELDOM = st.sampled_from((False,) * 5 + (True,))

_FILE_NAMES = ("9.json", "10.json", "b.json.gz")
_COPY_NAMES = ("0-copy.json", "z-copy.json")


@dataclass(frozen=True)
class History:
    """Files in the order in which they arrive.

    A file may arrive after the files of a later landing day: the day is where it lies, not when
    it came.
    """

    files: tuple[LandedFile, ...]

    def arrived(self, count: int | None = None) -> tuple[LandedFile, ...]:
        """Return the first `count` files, or all of them."""
        return self.files[:count]

    def days(self, table: str | None = None) -> tuple[date, ...]:
        """Return the landing days of all files, or of one table's, in order."""
        return tuple(sorted({file.landing_date for file in self.files if table in {None, file.table}}))

    def write(self, root: Path, count: int | None = None, *, start: int = 0) -> None:
        """Write the files from number `start` up to `count`, or all, below a landing root.

        A file comes to lie at `root/<table>/landing_date=YYYY-MM-DD/<name>`.
        """
        for file in self.files[start:count]:
            path = root / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.content)


def place(table: str, day: date, name: str) -> str:
    """Return the path of a file relative to the landing root."""
    return f"{table}/landing_date={day.isoformat()}/{name}"


# --- lines --------------------------------------------------------------------------------------

_Record = dict[str, object]
_Line = tuple[date, str, bytes]
"""The landing day, the name of the file and the bytes of a line."""


def _encode(record: _Record) -> bytes:
    present = {key: value for key, value in record.items() if value is not _MISSING}
    return json.dumps(present, ensure_ascii=False).encode()


def _literal(record: _Record, key: str, literal: str) -> bytes:
    """Encode a record with a JSON literal in place of a value."""
    return _encode({**record, key: "@@"}).replace(b'"@@"', literal.encode())


def _broken(table: str) -> tuple[Callable[[_Record, date], bytes], ...]:
    """Return the ways to break a good record of a table, each one sure to be quarantined."""
    text, whole = {
        "customer_landing": ("email", "lastUpdateDate"),
        "accelerometer_landing": ("user", "timestamp"),
        "step_trainer_landing": ("serialNumber", "sensorReadingTime"),
    }[table]
    ways: list[Callable[[_Record, date], bytes]] = [
        lambda record, _: _encode(record)[:-1],
        lambda record, _: b"[" + _encode(record) + b"]",
        lambda record, _: _encode(record) * 2,
        lambda record, _: _encode(record) + b" and more",
        lambda record, _: _encode(record)[:-1] + f', "{text}": "x@example.com"}}'.encode(),
        lambda record, _: _encode(record).replace(b'"', b'"\xff', 1),
        lambda _record, _day: b"null",
        lambda record, _: _encode({**record, whole: _MISSING}),
        lambda record, _: _encode({**record, text: None}),
        lambda record, _: _encode({**record, text: " \t"}),
        lambda record, _: _encode({**record, text: 5550100}),
        lambda record, _: _encode({**record, whole: str(record[whole])}),
        lambda record, _: _encode({**record, whole: True}),
        lambda record, _: _literal(record, whole, f"{record[whole]}.0"),
        lambda record, _: _literal(record, whole, f"{2**63}"),
    ]
    if table == "customer_landing":
        ways.append(lambda record, _: _encode({**record, "shareWithResearchAsOfDate": "yes"}))
    else:
        ways.append(lambda record, _: _encode({**record, whole: 1_420_070_399_999}))
        ways.append(lambda record, day: _encode({**record, whole: last_millisecond(day) + MILLISECONDS_A_DAY + 1}))
    if table == "accelerometer_landing":
        ways.extend(
            lambda record, _, literal=literal: _literal(record, "y", literal)  # type: ignore[misc]
            for literal in ("NaN", "-Infinity", "1e999", '"1.0"')
        )
    if table == "step_trainer_landing":
        ways.append(lambda record, _: _encode({**record, "distanceFromObject": -1}))
    return tuple(ways)


_BROKEN = {table: _broken(table) for table in LANDING_TABLES}


def _spelled(text: str) -> st.SearchStrategy[str]:
    """Draw an e-mail or serial number as somebody may have typed it."""
    return st.sampled_from((text, text, text.upper(), f"  {text}\t", f"{text.swapcase()}\r\n"))


@st.composite
def _delivered(draw: st.DrawFn, table: str, record: _Record, day: date) -> bytes:
    """Draw a record as a line: mostly good, sometimes oddly written, sometimes broken."""
    line = _encode(record)
    deliveries: tuple[Callable[[], bytes], ...] = (
        lambda: b" " + line + b"\r",
        lambda: line.replace(b", ", b",\r"),  # white space to JSON, and no end of a line
        lambda: _encode(dict(reversed(record.items()))),
        lambda: _encode({"app": {"version": "1.2", "tags": [None, "x"]}, **record}),
        lambda: draw(st.sampled_from(_BROKEN[table]))(record, day),
    )
    return draw(st.sampled_from((*(lambda: line,) * 9, *deliveries)))()


@st.composite
def _line(draw: st.DrawFn, table: str, records: st.SearchStrategy[_Record], days: Sequence[date]) -> _Line:
    day = draw(st.sampled_from(days))
    name = draw(st.sampled_from(_FILE_NAMES))
    return day, name, draw(_delivered(table, draw(records), day))


@st.composite
def _lines(draw: st.DrawFn, table: str, records: st.SearchStrategy[_Record], days: Sequence[date]) -> list[_Line]:
    """Draw the lines of a table: none, few or many, some of them delivered twice."""
    line = _line(table, records, days)
    at_least = draw(st.sampled_from((0, 7, 7)))
    lines = draw(st.lists(line, min_size=at_least, max_size=15))
    if lines:
        repeated = draw(st.lists(st.sampled_from(lines), max_size=3))
        lines += [(day, draw(st.sampled_from(_FILE_NAMES)), line) for day, _, line in repeated]
    return lines


@st.composite
def _customer_record(draw: st.DrawFn, homes: dict[str, str], devices: Sequence[str], moments: Sequence[int]) -> _Record:
    """Draw a registration, an update, a withdrawal or a re-grant of a person."""
    email, home = draw(st.sampled_from(tuple(homes.items())))
    device = draw(st.sampled_from(devices)) if draw(_SELDOM) else home
    between = (*moments, *(moment + 1 for moment in moments))
    doubtful = (*_LATE_CONSENT, *_REFUSAL * 2)
    dates = draw(st.sampled_from((_EARLY_CONSENT, between, _EARLY_CONSENT, between, doubtful)))
    return {
        "customerName": draw(st.sampled_from(_NAMES)),
        "email": draw(_spelled(email)),
        "phone": draw(st.sampled_from(("5550100", None, _MISSING))),
        "birthDay": "1850-01-31",
        "serialNumber": draw(_spelled(device)),
        "registrationDate": _UPDATES[0],
        "lastUpdateDate": draw(st.sampled_from(_UPDATES)),
        "shareWithResearchAsOfDate": draw(st.sampled_from(dates)),
        "shareWithPublicAsOfDate": draw(st.sampled_from((_MISSING, _NOON))),
        "shareWithFriendsAsOfDate": draw(st.sampled_from((_MISSING, 0))),
    }


@st.composite
def _acceleration(draw: st.DrawFn, users: Sequence[str], moments: Sequence[int]) -> _Record:
    return {
        "user": draw(_spelled(draw(st.sampled_from(users)))),
        "timestamp": draw(st.sampled_from(moments)),
        "x": draw(st.sampled_from((1.0, -1.0, 1))),
        "y": draw(st.sampled_from((0.0, 0.5))),
        "z": -1.0,
    }


@st.composite
def _step(draw: st.DrawFn, serial_numbers: Sequence[str], moments: Sequence[int]) -> _Record:
    return {
        "sensorReadingTime": draw(st.sampled_from(moments)),
        "serialNumber": draw(_spelled(draw(st.sampled_from(serial_numbers)))),
        "distanceFromObject": draw(st.sampled_from((0, 7))),
    }


# --- files --------------------------------------------------------------------------------------


_BETWEEN = (b"\n",) * 8 + (b"", b" ", b",\n", b"\n\x1e", b"\r\n\t")
"""What stands between the objects of a file: mostly a line feed."""
_ENCODINGS = ("utf-8",) * 8 + ("utf-16-le", "utf-16-be")


def _encoded(text: bytes, encoding: str) -> bytes:
    """Return a text in another encoding, if it is one."""
    try:
        found = text.decode().encode(encoding)
    except UnicodeDecodeError:
        return text
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    return mark + found


def _files(draw: st.DrawFn, table: str, lines: Sequence[_Line], *, forms: bool) -> list[LandedFile]:
    """Return the files of one table: the lines by day and name, with the ends of real files, in several forms."""
    contents: dict[tuple[date, str], list[bytes]] = {}
    for day, name, line in lines:
        contents.setdefault((day, name), []).append(line)
    files = []
    for (day, name), content in contents.items():
        start = draw(st.sampled_from((b"", b"", b"", b"\xef\xbb\xbf", b" \r\n\n")))
        end = draw(st.sampled_from((b"\n", b"\n", b"", b"\r\n\n")))
        text = start + (draw(st.sampled_from(_BETWEEN)) if forms else b"\n").join(content) + end
        if forms:
            text = _encoded(text, draw(st.sampled_from(_ENCODINGS)))
        packed = gzip.compress(text, mtime=0) if name.endswith(".gz") else text
        files.append(LandedFile(table, day, place(table, day, name), packed))
    return files


def _copies(draw: st.DrawFn, files: Sequence[LandedFile]) -> list[LandedFile]:
    """Return duplicates of some files, on any day, and now and then a file without a line."""
    copies: dict[str, LandedFile] = {}
    for _ in range(draw(st.sampled_from((0, 0, 1, 2, 3))) if files else 0):
        original = draw(st.sampled_from(files))
        same_day = draw(st.booleans())
        day = original.landing_date if same_day else draw(st.sampled_from(DAYS))
        name = draw(st.sampled_from(_COPY_NAMES))
        if PurePosixPath(original.path).suffix == ".gz":
            name += ".gz"
        path = place(original.table, day, name)
        copies[path] = LandedFile(original.table, day, path, original.content)
    for _ in range(draw(st.sampled_from((0, 0, 0, 1, 2)))):
        table, day = draw(st.sampled_from(LANDING_TABLES)), draw(st.sampled_from(DAYS))
        path = place(table, day, draw(st.sampled_from(("blank.json", "empty.json"))))
        content = draw(st.sampled_from((b"", b"\n \r\n")))
        copies[path] = LandedFile(table, day, path, content)
    return list(copies.values())


@st.composite
def histories(draw: st.DrawFn, *, forms: bool = True) -> History:
    """Draw a landing history; without `forms`, of files of lines in UTF-8.

    Out: up to 15 records of up to 5 customers and up to 15 readings of each sensor, and some of
    them twice, over up to 5 days, with broken lines and duplicate files.
    Half of the histories arrive in the order of their landing days, half in any order.
    """
    days = draw(st.permutations(DAYS))[: draw(st.sampled_from((1, 2, 3, 4, 5)))]
    emails = EMAILS[: draw(st.sampled_from((1, 2, 3, 4, 5)))]
    devices = DEVICES[: draw(st.sampled_from((1, 2, 3, 4)))]
    moments = (
        draw(st.sampled_from(MOMENTS[:-2])),
        *draw(st.permutations(MOMENTS))[: draw(st.sampled_from((0, 1, 2)))],
    )

    homes = {email: draw(st.sampled_from((*devices, devices[0]))) for email in emails}
    wearers = draw(st.permutations(emails))[: draw(st.sampled_from((5, 3, 2)))]
    records = {
        "customer_landing": _customer_record(homes, devices, moments),
        "accelerometer_landing": _acceleration((*wearers * 3, STRANGER), moments),
        "step_trainer_landing": _step((*devices * 3, STRAY_DEVICE), moments),
    }
    files = [
        file
        for table in LANDING_TABLES
        for file in _files(draw, table, draw(_lines(table, records[table], days)), forms=forms)
    ]
    files += _copies(draw, files)

    if draw(st.booleans()):
        files.sort(key=lambda file: (file.landing_date, file.path))
    else:
        files = draw(st.permutations(files))
    return History(tuple(files))


# --- erasures ---------------------------------------------------------------------------------

_ERASED = ((_NOON - 1, _NOON), (_MIDNIGHT, _MIDNIGHT + MILLISECONDS_A_DAY))
"""When the first erasure happens, and the second, by the clock of registrations and readings."""


@dataclass(frozen=True)
class Erasure:
    """Somebody is erased.

    `after` is how many files have arrived by then; `settled` says whether all of them were landed before.
    """

    email: str
    at: int
    after: int
    settled: bool


@st.composite
def erasures(draw: st.DrawFn, history: History) -> tuple[History, tuple[Erasure, ...]]:
    """Draw one or two erasures in the course of a history, and what arrives of the erased afterwards.

    Out: the history, longer by old files that are delivered once more, by new registrations and by
    new readings; and the erasures, in order. The same person may be erased twice.
    """
    files = list(history.files)
    found: list[Erasure] = []
    told = [line.lower() for file in files if file.table == "customer_landing" for line in file.lines()]
    registered = [email for email in EMAILS if any(email.encode() in line for line in told)] or EMAILS
    for moments in _ERASED[: draw(st.sampled_from((1, 1, 2)))]:
        at, number = draw(st.sampled_from(moments)), len(found)
        email = draw(st.sampled_from(registered))
        own = [line for line in told if email.encode() in line]
        devices = [one for one in DEVICES if any(one.lower().encode() in line for line in own)] or DEVICES
        # Most of a history has landed by then, or there is little to forget.
        least = max(found[-1].after if found else 0, len(history.files) * 2 // 3)
        found.append(
            Erasure(email, at, draw(st.integers(least, len(files))), draw(st.sampled_from((True, True, False))))
        )
        days = st.sampled_from(DAYS)
        for copy in range(draw(st.integers(0, 2)) if files else 0):
            one, day = draw(st.sampled_from(files)), draw(days)
            name = f"again-{number}-{copy}" + ("".join(PurePosixPath(one.path).suffixes))
            files.append(LandedFile(one.table, day, place(one.table, day, name), one.content))
        back = draw(st.sampled_from((True, True, False)))
        device = draw(st.sampled_from(devices))
        record = draw(_customer_record({email: device}, (device,), MOMENTS)) | {
            "registrationDate": at + 1,
            "lastUpdateDate": draw(st.sampled_from((*_UPDATES, at + 1))),
        }
        lines = {
            "customer_landing": [_encode(record)] if back else [],
            "accelerometer_landing": [_encode(draw(_acceleration((email,), MOMENTS))) for _ in range(3)],
            "step_trainer_landing": [_encode(draw(_step((device,), MOMENTS))) for _ in range(3)],
        }
        new = []
        for table, content in lines.items():
            if content:
                day = draw(days)
                new.append(LandedFile(table, day, place(table, day, f"new-{number}.json"), b"\n".join(content)))
        files += draw(st.permutations(new))
    return History(tuple(files)), tuple(found)


# --- schedules ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One run: of some tables, for the days `first` to `last`, as one backfill if they differ.

    `arrived` is how many files of the history lie in the landing zone when the run starts; it
    never falls from step to step. `fails_at` names the table whose computation fails, or is None;
    what the run has written before stays, what depends on that table is not run.
    """

    first: date
    last: date
    arrived: int
    tables: tuple[str, ...] = ASSETS
    fails_at: str | None = None

    def days(self) -> tuple[date, ...]:
        """Return the days of the run."""
        count = (self.last - self.first).days + 1
        return tuple(self.first + timedelta(days=n) for n in range(count))

    def covers(self, day: date, arrived: int) -> bool:
        """Say whether this run made every table of a day from at least so many files."""
        return (
            self.tables == ASSETS
            and self.fails_at is None
            and self.first <= day <= self.last
            and self.arrived >= arrived
        )


@st.composite
def schedules(draw: st.DrawFn, history: History, max_steps: int = 8) -> list[Step]:
    """Draw the runs over a history.

    In: the history; how many runs to draw freely. Out: those runs - single days, ranges, repeats,
    single tables, failures, days without files too, while files arrive - and after them, in any
    order, one run for each landed day that no whole, successful run covered since its last file
    arrived. So at the end every landed day has been run, and what remains is
    reconciliation's.
    """
    total = len(history.files)
    steps: list[Step] = []
    arrived = 0
    for _ in range(draw(st.integers(0, max_steps))):
        arrived = draw(st.integers(arrived, total))
        if steps and draw(_SELDOM):
            again = draw(st.sampled_from(steps))
            steps.append(Step(again.first, again.last, arrived, again.tables, again.fails_at))
            continue
        first = draw(st.sampled_from(DAYS))
        last = draw(st.sampled_from((first, first, first, *DAYS)))
        first, last = min(first, last), max(first, last)
        kind = draw(st.sampled_from(("whole", "whole", "whole", "table", "failing")))
        tables = (draw(st.sampled_from(ASSETS)),) if kind == "table" else ASSETS
        fails_at = draw(st.sampled_from(tables)) if kind == "failing" else None
        steps.append(Step(first, last, arrived, tables, fails_at))

    needed = {file.landing_date: number for number, file in enumerate(history.files, start=1)}
    missing = [day for day, number in sorted(needed.items()) if not any(step.covers(day, number) for step in steps)]
    order = draw(st.permutations(missing))
    return [*steps, *(Step(day, day, total) for day in order)]
