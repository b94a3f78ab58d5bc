"""Fixed shares of a growing whole, and the figures of the public data that the sample is the twin of.

Here: the numbers that make the default sample exact, and the arithmetic that keeps them exact at every size.
Not here: who or what gets a share (`population`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

REFERENCE_CUSTOMERS: Final = 956
REFERENCE_SHARING: Final = 482
READINGS: Final = 30
"""Step readings per device, each with accelerometer rows of its own customer at the same millisecond."""

SHARING_ALL_BEFORE: Final = 18
"""Of the 482, those whose readings all lie before their consent date (482 - 464)."""
SHARING_NONE_BEFORE: Final = 95
READINGS_BEFORE: Final = 3_163
"""Step readings of the 482 before the consent date (14,460 - 11,297)."""
READINGS_AFTER: Final = 11_297
READINGS_NOT_SHARED: Final = (REFERENCE_CUSTOMERS - REFERENCE_SHARING) * READINGS


class Quota:
    """Hands out `share` per `whole`, so that after any amount the total is the nearest whole number.

    Exact whenever the amount so far is a multiple of `whole`, whatever the portions it came in.
    """

    def __init__(self, share: int, whole: int) -> None:
        self._share = share
        self._whole = whole
        self._amount = 0
        self._given = 0

    def due(self, amount: int) -> int:
        """Count `amount` more of the whole; return how many are due by now and not yet given."""
        self._amount += amount
        return (2 * self._amount * self._share + self._whole) // (2 * self._whole) - self._given

    def give(self, count: int) -> None:
        """Say that `count` of those due were given; the rest stays due."""
        self._given += count

    def take(self, amount: int) -> int:
        """Count `amount` more and give all that is due."""
        due = self.due(amount)
        self._given += due
        return due


@dataclass(frozen=True)
class RowsPerReading:
    """The numbers of readings, of `whole`, that have other than three accelerometer rows: {rows: readings}."""

    whole: int
    others: dict[int, int]

    def quotas(self) -> dict[int, Quota]:
        """Return a fresh quota for each number of rows."""
        return {rows: Quota(readings, self.whole) for rows, readings in self.others.items()}


USUAL_ROWS: Final = 3
# Together 92 readings with 1 row, 4,589 with 2, 23,996 with 3 and 1 each with 4, 5 and 6, as published; apart, what
# makes the sums 8,956 before consent, 32,025 after it (40,981 together) and 40,292 of those who do not share.
ROWS_BEFORE: Final = RowsPerReading(READINGS_BEFORE, {1: 10, 2: 513})
ROWS_AFTER: Final = RowsPerReading(READINGS_AFTER, {1: 37, 2: 1_797, 5: 1, 6: 1})
ROWS_NOT_SHARED: Final = RowsPerReading(READINGS_NOT_SHARED, {1: 45, 2: 2_279, 4: 1})

# Readings of two customers at one millisecond, per 956 customers, by who they are and how many rows they have.
# A pair of readings with m and n rows makes m + n rows of different customers, so that those of two customers who
# share make 298 * 6 + 88 * 5 = 2,228 after both consents and 62 * 6 + 20 * 5 = 472 more before one of them.
MEETINGS_AFTER: Final = {6: 298, 5: 88}
MEETINGS_BEFORE: Final = {6: 62, 5: 20}
MEETINGS_ONE_SHARES: Final = 740
MEETINGS_NONE_SHARES: Final = 270


def readings_before_consent() -> list[int]:
    """Return, for each of 482 customers who share, how many of their 30 readings lie before consent.

    18 times all, 95 times none, the rest in between with many small numbers; the sum is 3,163.
    """
    between = REFERENCE_SHARING - SHARING_ALL_BEFORE - SHARING_NONE_BEFORE
    missing = READINGS_BEFORE - SHARING_ALL_BEFORE * READINGS
    ladder = [1 + int((READINGS - 2) * ((place + 0.5) / between) ** 3) for place in range(between)]
    place = 0
    while sum(ladder) != missing:
        ladder[place % between] += 1 if sum(ladder) < missing else -1
        ladder[place % between] = min(max(ladder[place % between], 1), READINGS - 1)
        place += 1
    return [0] * SHARING_NONE_BEFORE + ladder + [READINGS] * SHARING_ALL_BEFORE
