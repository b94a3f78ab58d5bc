"""A kit: what lands for a few invented people, line by line.

Here: landing records and readings, spelled as asked.  Not here: what happens to the people (`faults`), the files
(`write`), and what the tables must hold for them (`tally`).  A kit stands alone: its people, devices and milliseconds
are nobody else's, so its counts add to those of the others.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final

import numpy as np

from stedi_assets.reference import LandedFile
from stedi_assets.sample.people import invent, serial_numbers
from stedi_assets.sample.render import ENDINGS
from stedi_assets.sample.schedule import FAULTS_BEGIN, MINUTE, SECOND, Schedule

if TYPE_CHECKING:
    from collections.abc import Iterator

PEOPLE: Final = 96
"""Customers' numbers set aside for a kit; not all are used."""
_KITS_APART: Final = 4
ACCELERATIONS: Final[list[str]] = ENDINGS.to_pylist()
"""The texts of an accelerometer line after its timestamp."""

# Where a line lands: among the day's other lines; in a file that lands three times (twice that day, once the day
# after); in a file of its own; in a compressed file.
DAY_FILES, COPIED, LATE, COMPRESSED = "day", "copied", "late", "compressed"
COPY_DAYS: Final = (0, 0, 1)
"""Days after its own on which a copied file lands."""


class Person:
    """An invented customer: an address and a device."""

    def __init__(self, name: str, email: str, phone: str, birth_day: str, serial_number: str) -> None:
        self.name, self.email, self.phone, self.birth_day = name, email, phone, birth_day
        self.serial_number = serial_number


class Kit:
    """The lines that land for the people of one kit: `lines` by (file, table, day).

    `broken` counts the lines to be quarantined by (table, kind), `kinds` the other faults.
    """

    def __init__(self, number: int, schedule: Schedule, seed: int) -> None:
        self.home = number % (schedule.days - 2)
        self.lines: dict[tuple[str, str, int], list[str]] = defaultdict(list)
        self.broken: Counter[tuple[str, str]] = Counter()
        self.kinds: Counter[str] = Counter()
        self._number = number
        self._schedule = schedule
        self._rng = np.random.default_rng([seed, 4, number])
        self._ticks: Counter[int] = Counter()
        people = invent(schedule.customers + number * PEOPLE, PEOPLE, self._rng)
        columns = (people.name, people.email, people.phone, people.birth_day, people.serial_number)
        self._people = (Person(*row) for row in zip(*(column.to_pylist() for column in columns), strict=True))

    def person(self) -> Person:
        """Return a new person, of whom nothing landed yet."""
        return next(self._people)

    def device(self) -> str:
        """Return a new serial number."""
        return str(serial_numbers(1, self._rng)[0])

    def tick(self, day: int | None = None) -> int:
        """Return the next millisecond of a day (default: `home`) at which nothing of any kit or group happened."""
        day = self.home if day is None else day
        self._ticks[day] += 1
        begin = self._schedule.start(day) + FAULTS_BEGIN
        return begin + self._ticks[day] * SECOND + self._number * _KITS_APART

    def morning(self, day: int) -> int:
        """Return a millisecond of a day before all its readings."""
        return self._schedule.start(day) + MINUTE + int(self._rng.integers(0, MINUTE))

    def day_end(self, day: int) -> int:
        """Return the first millisecond after a day."""
        return self._schedule.start(day + 1)

    def record(
        self,
        who: Person,
        day: int,
        consent: int | None,
        *,
        updated: int | None = None,
        null: bool = False,
        email: str | None = None,
        serial: str | None = None,
        file: str = DAY_FILES,
    ) -> None:
        """Land a customer record; without `consent`, the key is missing, or `null`."""
        updated = self.morning(day) if updated is None else updated
        email, serial = email or who.email, serial or who.serial_number
        value = "null" if null else consent
        sharing = "" if value is None else f', "shareWithResearchAsOfDate": {value}'
        self.lines[file, "customer_landing", day].append(
            f'{{"customerName": "{who.name}", "email": "{email}", "phone": "{who.phone}", "birthDay": "{who.birth_day}"'
            f', "serialNumber": "{serial}", "registrationDate": {updated}, "lastUpdateDate": {updated}'
            f"{sharing}}}\n"
        )

    def move(self, user: str, time: int, *, rows: int = 2, day: int | None = None, file: str = DAY_FILES) -> None:
        """Land accelerometer rows of one millisecond, all different."""
        first = int(self._rng.integers(0, len(ACCELERATIONS)))
        for nth in range(rows):
            self.move_as(user, time, ACCELERATIONS[(first + nth) % len(ACCELERATIONS)], day=day, file=file)

    def move_as(self, user: str, time: int, ending: str, *, day: int | None = None, file: str = DAY_FILES) -> None:
        """Land one accelerometer row, `ending` after the timestamp."""
        day = self.home if day is None else day
        self.lines[file, "accelerometer_landing", day].append(f'{{"user":"{user}","timestamp":{time}{ending}')

    def step(
        self, serial: str, time: int, *, day: int | None = None, distance: int | None = None, file: str = DAY_FILES
    ) -> None:
        """Land a step reading."""
        day = self.home if day is None else day
        distance = int(self._rng.integers(201, 300)) if distance is None else distance
        self.lines[file, "step_trainer_landing", day].append(
            f'{{"sensorReadingTime":{time},"serialNumber":"{serial}","distanceFromObject":{distance}}}\n'
        )

    def walk(self, who: Person, readings: int = 3, *, file: str = DAY_FILES) -> list[int]:
        """Land readings of both sensors on the home day, and return their times."""
        times = [self.tick() for _ in range(readings)]
        for time in times:
            self.move(who.email, time, file=file)
            self.step(who.serial_number, time, file=file)
        return times

    def landed_files(self) -> list[LandedFile]:
        """Return the kit's lines as landed files, for the reference computation."""
        files = []
        for (name, table, day), lines in self.lines.items():
            content = "".join(lines).encode()
            days = COPY_DAYS if name == COPIED else (0,)
            for copy, later in enumerate(days):
                date = self._schedule.date(day + later)
                path = f"{table}/landing_date={date}/{name}-{copy}.json"
                files.append(LandedFile(table, dt.date.fromisoformat(date), path, content))
        return files

    def unusable(self, table: str, lines: Iterator[tuple[str, str]]) -> None:
        """Land broken lines on the home day."""
        for kind, line in lines:
            self.lines[DAY_FILES, table, self.home].append(line + "\n")
            self.broken[table, kind] += 1

    def odd_line(self, table: str, line: str) -> None:
        """Land a line that is neither a row nor broken."""
        self.lines[DAY_FILES, table, self.home].append(line + "\n")
