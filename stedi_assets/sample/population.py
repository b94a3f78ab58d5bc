"""Customers with their consent and readings, group by group, as arrays.

Here: who shares, when they measure, how many accelerometer rows each reading has, which readings of different
customers meet at one millisecond, and on which day everything lands.  Not here: text and files (`render`, `files`),
and counting (`tally`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from stedi_assets.sample import quota
from stedi_assets.sample.people import People, invent
from stedi_assets.sample.quota import READINGS, Quota
from stedi_assets.sample.schedule import DAY, LONGEST_STEP, MINUTE, SECOND, SHORTEST_STEP, Schedule, Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]

# Readings are moved by less than half a step, so that a customer's stay in the order of their number.
_NEAR: Final = SHORTEST_STEP * 2 // 5
_ACCELERATIONS: Final = 2**31
_PHONE_LATE, _DEVICE_LATE = 0, 1
_HABITS: Final = 3
_LATE_RECORDS, _EARLY_RECORDS = 0.08, 0.08


@dataclass(frozen=True)
class Meetings:
    """Pairs of readings of different customers at the same millisecond; places in the flattened readings.

    No reading is in two pairs.
    """

    one: Ints
    other: Ints


@dataclass(frozen=True)
class Group:
    """The customers of one window.  Arrays are per customer (n) or per customer and reading (n by 30).

    Times are epoch milliseconds, days are landing days numbered from 0.  `before` readings lie before the
    customer's consent (only where `shares`), `rows` is the number of accelerometer rows of a reading, `acceleration`
    a random number that decides what they say.
    """

    people: People
    shares: Bools
    registered: Ints
    updated: Ints
    consented: Ints
    public: Bools
    friends: Bools
    customer_day: Ints
    time: Ints
    rows: Ints
    before: Bools
    accelerometer_day: Ints
    step_day: Ints
    distance: Ints
    meetings: Meetings
    acceleration: Ints


class Population:
    """All customers of a schedule, the same for the same seed; `groups` yields them in the order of time."""

    def __init__(self, schedule: Schedule, seed: int) -> None:
        self.schedule = schedule
        self._seed = seed
        self._before = np.array(quota.readings_before_consent(), dtype=np.int64)
        np.random.default_rng([seed, 0]).shuffle(self._before)
        self._rows_before = quota.ROWS_BEFORE.quotas()
        self._rows_after = quota.ROWS_AFTER.quotas()
        self._rows_not_shared = quota.ROWS_NOT_SHARED.quotas()
        per = quota.REFERENCE_CUSTOMERS
        self._meet_after = {rows: Quota(count, per) for rows, count in quota.MEETINGS_AFTER.items()}
        self._meet_before = {rows: Quota(count, per) for rows, count in quota.MEETINGS_BEFORE.items()}
        self._meet_one = Quota(quota.MEETINGS_ONE_SHARES, per)
        self._meet_none = Quota(quota.MEETINGS_NONE_SHARES, per)

    def groups(self) -> Iterator[Group]:
        """Yield one group per window of the schedule."""
        for window in self.schedule.windows():
            yield self._group(window)

    def _group(self, window: Window) -> Group:
        rng = np.random.default_rng([self._seed, 1, window.number])
        number = np.arange(window.first, window.first + window.count, dtype=np.int64)
        sharing_so_far = number * quota.REFERENCE_SHARING // quota.REFERENCE_CUSTOMERS
        shares = (number + 1) * quota.REFERENCE_SHARING // quota.REFERENCE_CUSTOMERS > sharing_so_far
        readings_before = np.where(shares, self._before[sharing_so_far % len(self._before)], 0)
        before = np.arange(READINGS) < readings_before[:, None]

        rows = np.full((window.count, READINGS), quota.USUAL_ROWS, dtype=np.int64)
        after = shares[:, None] & ~before
        _spread(rows, before, self._rows_before, rng)
        _spread(rows, after, self._rows_after, rng)
        _spread(rows, ~(before | after), self._rows_not_shared, rng)

        time = _times(window, rng)
        meetings = self._meet(time, rows, shares, before, rng)
        time.reshape(-1)[meetings.other] = time.reshape(-1)[meetings.one]

        midnight = self.schedule.start(window.day + 1)
        day = window.day + (time >= midnight)
        # Habits go by pairs of neighbours, of whom about one shares, so that both habits occur among those who do.
        habit = np.arange(window.count) // 2 % _HABITS if window.night else np.full(window.count, _HABITS - 1)
        consented, updated = self._consents(time, shares, readings_before, rng)
        customer_day = window.day + (updated >= midnight)
        customer_day, moved = self._record_days(customer_day, readings_before, rng)
        consented, updated = consented - moved, updated - moved
        revised = rng.random(window.count) < 0.05
        return Group(
            people=invent(window.first, window.count, rng),
            shares=shares,
            registered=updated - revised * rng.integers(SECOND, 10 * MINUTE, window.count),
            updated=updated,
            consented=consented,
            public=rng.random(window.count) < 0.5,
            friends=rng.random(window.count) < 0.5,
            customer_day=customer_day,
            time=time,
            rows=rows,
            before=before,
            accelerometer_day=np.where((habit == _PHONE_LATE)[:, None], window.day + 1, day),
            step_day=np.where((habit == _DEVICE_LATE)[:, None], window.day + 1, day),
            distance=rng.integers(201, 301, (window.count, READINGS)),
            meetings=meetings,
            acceleration=rng.integers(0, _ACCELERATIONS, (window.count, READINGS)),
        )

    def _meet(self, time: Ints, rows: Ints, shares: Bools, before: Bools, rng: np.random.Generator) -> Meetings:
        """Choose readings of different customers, close in time, that shall be at the same millisecond."""
        flat = time.reshape(-1)
        order = np.argsort(flat)
        one, other = order[: len(order) // 2 * 2].reshape(-1, 2).T
        near = (one // READINGS != other // READINGS) & (flat[other] - flat[one] <= _NEAR)
        shuffled = rng.permutation(np.flatnonzero(near))
        one, other = one[shuffled], other[shuffled]
        sharing = shares[one // READINGS].astype(np.int8) + shares[other // READINGS]
        early = before.reshape(-1)[one] | before.reshape(-1)[other]
        both_rows = rows.reshape(-1)[one] + rows.reshape(-1)[other]
        both, customers = sharing == 2, len(time)
        chosen = [
            _choose(kind & (both_rows == wanted), meet, customers)
            for kind, meets in ((both & ~early, self._meet_after), (both & early, self._meet_before))
            for wanted, meet in meets.items()
        ]
        chosen.append(_choose(sharing == 1, self._meet_one, customers))
        chosen.append(_choose(sharing == 0, self._meet_none, customers))
        places = np.concatenate(chosen)
        return Meetings(one[places], other[places])

    def _consents(
        self, time: Ints, shares: Bools, readings_before: Ints, rng: np.random.Generator
    ) -> tuple[Ints, Ints]:
        """Return when each customer consented (0: never) and when the record was updated.

        A consent lies after the customer's last reading `before` it and no later than the next one; one in eight is
        at the very millisecond of that reading, which counts.
        """
        count = len(time)
        following = np.minimum(readings_before, READINGS - 1)
        customer = np.arange(count)
        high = time[customer, following]
        low = np.where(readings_before > 0, time[customer, readings_before - 1], high - 20 * SECOND)
        high = np.where(readings_before == READINGS, low + 30 * SECOND, high)
        at_once = rng.random(count) < 0.125
        moment = np.where(at_once, high, rng.integers(low + 1, high + 1))
        return np.where(shares, moment, 0), moment

    def _record_days(self, day: Ints, readings_before: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
        """Let some customer records land a day later, and some customers register a day earlier.

        Returns the landing days and by how many milliseconds the dates in the record lie earlier.
        """
        chance = rng.random(len(day))
        late = (chance < _LATE_RECORDS) & (day < self.schedule.days - 1)
        early = (chance > 1 - _EARLY_RECORDS) & (day > 0) & (readings_before == 0)
        return day + late - early, early * np.int64(DAY)


def _spread(rows: Ints, readings: Bools, quotas: dict[int, Quota], rng: np.random.Generator) -> None:
    """Give some of the chosen readings, at random, other numbers of rows, in place."""
    places = np.flatnonzero(readings)
    taken = {count: share.take(len(places)) for count, share in quotas.items()}
    chosen = rng.choice(places, sum(taken.values()), replace=False, shuffle=True)
    rows.reshape(-1)[chosen] = np.repeat(list(taken), list(taken.values()))


def _times(window: Window, rng: np.random.Generator) -> Ints:
    """Return the times of a window's readings: evenly spaced per customer, no two customers at one millisecond."""
    pitch, count = window.pitch, window.count
    step = rng.integers(SHORTEST_STEP // pitch or 1, LONGEST_STEP // pitch + 1, count) * pitch
    session = (READINGS - 1) * step
    if window.night:
        # Somewhere between a tenth and nine tenths of each session lies before midnight.
        start = -(rng.uniform(0.1, 0.9, count) * session).astype(np.int64) // pitch
    else:
        start = rng.integers(0, (window.length - session - pitch) // pitch + 1)
    first = window.begin + start * pitch + rng.permutation(pitch)[:count]
    return first[:, None] + np.arange(READINGS) * step[:, None]


def _choose(candidates: Bools, share: Quota, customers: int) -> Ints:
    """Return places of as many candidates as are due; what cannot be given stays due for the next group."""
    places = np.flatnonzero(candidates)[: share.due(customers)]
    share.give(len(places))
    return places
