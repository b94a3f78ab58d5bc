"""The times at which customers measure: landing days, and the windows of time that groups of customers share.

Here: dividing customers over days, and days into windows.  Not here: the readings inside a window (`population`).

Two rules carry the exact counts.  Windows do not overlap, so customers of different groups never share a
millisecond.  Inside a group, all readings of a customer have the same remainder modulo `pitch`, a different one for
each customer, so two customers share a millisecond only where the generator says so.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from stedi_assets.sample.quota import READINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

SECOND: Final = 1_000
MINUTE: Final = 60 * SECOND
DAY: Final = 24 * 60 * MINUTE

FAULTS_BEGIN: Final = 5 * MINUTE
"""From here, for 20 minutes, a day belongs to the customers of `faults`."""
_BEGIN: Final = 30 * MINUTE
_END: Final = DAY - 30 * MINUTE
LONGEST_STEP: Final = 4 * SECOND
SHORTEST_STEP: Final = 2 * SECOND
"""Time between two readings of a customer: sessions of 58 to 116 seconds, as published."""

_WINDOW_PER_CUSTOMER: Final = 12 * SECOND
_LONGEST_WINDOW: Final = 45 * MINUTE
_PITCHES: Final = (1_000, 2_000, 4_000)
_NIGHT_SHARE: Final = 0.06
_LEAST_AT_NIGHT: Final = 6
_LEAST_FOR_NIGHT: Final = 12


@dataclass(frozen=True)
class Window:
    """A stretch of time in which some customers measure, each once.

    `first` and `count` number the customers; `begin` and `length` are milliseconds (since the epoch, and long);
    readings of a `night` window lie on both sides of the end of its day, at `begin`.
    """

    number: int
    day: int
    first: int
    count: int
    begin: int
    length: int
    pitch: int
    night: bool


@dataclass(frozen=True)
class Schedule:
    """Consecutive landing days that end at `last_day`, and what happens on them.

    Raises ValueError where the days cannot hold the customers; a day holds 2.7 million.
    """

    customers: int
    days: int
    last_day: dt.date
    pitch: int = field(init=False)

    def __post_init__(self) -> None:
        """Choose the pitch."""
        object.__setattr__(self, "pitch", _choose_pitch(self.customers, self.days))

    @property
    def first_day(self) -> dt.date:
        """The first landing day."""
        return self.last_day - dt.timedelta(days=self.days - 1)

    def date(self, day: int) -> str:
        """Return the landing day number `day` (from 0) as `YYYY-MM-DD`."""
        return (self.first_day + dt.timedelta(days=day)).isoformat()

    def start(self, day: int) -> int:
        """Return the first millisecond of the landing day number `day`, UTC, since the epoch."""
        return (self.first_day - dt.date(1970, 1, 1)).days * DAY + day * DAY

    def windows(self) -> Iterator[Window]:
        """Yield all windows in the order of time."""
        number = 0
        for day in range(self.days):
            first, end = (self.customers * edge // self.days for edge in (day, day + 1))
            for window in self._windows_of(day, first, end, number):
                yield window
                number += 1

    def _windows_of(self, day: int, first: int, end: int, number: int) -> Iterator[Window]:
        count = end - first
        pitch = self.pitch
        night = 0
        if day < self.days - 1 and count >= _LEAST_FOR_NIGHT:
            night = min(pitch, max(_LEAST_AT_NIGHT, round(count * _NIGHT_SHARE)))
        by_day = count - night
        groups = -(-by_day // pitch)
        room = (_END - _BEGIN) // max(groups, 1)
        for group in range(groups):
            low, high = (by_day * edge // groups for edge in (group, group + 1))
            wanted = min(_LONGEST_WINDOW, (high - low) * _WINDOW_PER_CUSTOMER)
            length = min(room, max(wanted, _shortest_window(pitch)))
            begin = self.start(day) + _BEGIN + group * room + (room - length) // 2
            yield Window(number + group, day, first + low, high - low, begin, length, pitch, night=False)
        if night:
            yield Window(number + groups, day, end - night, night, self.start(day + 1), 0, pitch, night=True)


def _choose_pitch(customers: int, days: int) -> int:
    """Return the smallest pitch with which a day holds its customers."""
    most = -(-customers // days)
    for pitch in _PITCHES:
        if -(-most // pitch) * _shortest_window(pitch) <= _END - _BEGIN:
            return pitch
    capacity = _PITCHES[-1] * ((_END - _BEGIN) // _shortest_window(_PITCHES[-1]))
    msg = (
        f"{customers:,} customers do not fit into {days} landing days: a day holds {capacity:,}. "
        f"Use {-(-customers // capacity)} days or more."
    )
    raise ValueError(msg)


def _shortest_window(pitch: int) -> int:
    return (READINGS - 1) * LONGEST_STEP + 2 * pitch
