"""Digests of many rows as arithmetic: 64-bit numbers that are mixed per row and added up per landing day.

A sum does not depend on the order of its rows, wraps around at 2**64, and is the same on every machine and in
every process. Nothing here knows what the rows are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Ints = NDArray[np.int64]
Codes = NDArray[np.int32]
Bools = NDArray[np.bool_]

_EPOCH = date(1970, 1, 1).toordinal()


def day_number(day: date) -> int:
    """A landing day as Arrow and numpy have it: days since 1970."""
    return day.toordinal() - _EPOCH


def day_of(number: int) -> date:
    """The landing day of that number."""
    return date.fromordinal(number + _EPOCH)


def mixed(*parts: Hashes | Ints | Bools) -> Hashes:
    """One number for each place of some arrays of the same length, as unlike others' as a random one.

    Args:
        parts: what the numbers depend on; their order counts. What is missing must be told by a number of its own.

    Returns:
        The finalizer of splitmix64 (Steele, Lea and Flood, 2014), over one part after the other.
    """
    result = np.full(parts[0].shape, len(parts), dtype=np.uint64)
    for part in parts:
        result ^= part.astype(np.uint64)
        result += np.uint64(0x9E3779B97F4A7C15)
        result ^= result >> np.uint64(30)
        result *= np.uint64(0xBF58476D1CE4E5B9)
        result ^= result >> np.uint64(27)
        result *= np.uint64(0x94D049BB133111EB)
        result ^= result >> np.uint64(31)
    return result


def where(condition: Bools, values: Hashes) -> Hashes:
    """``values`` where the condition holds, and nothing elsewhere."""
    return np.where(condition, values, np.uint64(0))


def added_up(places: Codes | Ints, values: Hashes, size: int) -> Hashes:
    """The sum of the values of each place, from 0 to ``size``."""
    result = np.zeros(size, dtype=np.uint64)
    np.add.at(result, places, values)
    return result


def reaching(values: Hashes, size: int) -> Hashes:
    """``values``, with zeros for places beyond them: of names that became known since."""
    return values if len(values) >= size else np.concatenate([values, np.zeros(size - len(values), dtype=np.uint64)])


def by_day(numbers: Ints | Codes, values: Hashes) -> dict[date, str]:
    """The sum of the values of each landing day, where there is any."""
    days, places = np.unique(numbers, return_inverse=True)
    sums = added_up(places, values, len(days))
    return {day_of(day): as_text(total) for day, total in zip(days.tolist(), sums.tolist()) if total}


def as_text(total: int) -> str:
    """A sum as it goes into a fingerprint."""
    return f"{total:016x}"


@dataclass(frozen=True)
class Seen:
    """Who (by the codes of ``Names``) is in the partition of each landing day, each once per day.

    Args:
        days: the landing days, in order.
        ends: of each day, where its codes end; the first begin at 0.
        codes: of one day after the other.
    """

    days: Sequence[date]
    ends: Ints
    codes: Codes

    @classmethod
    def of(cls, parts: dict[date, Codes]) -> Seen:
        """Put the days together."""
        days = sorted(parts)
        ends = np.cumsum([len(parts[day]) for day in days], dtype=np.int64)
        return cls(days, ends, np.concatenate([np.empty(0, np.int32), *(parts[day] for day in days)]))

    def sums(self, values: Hashes) -> dict[date, str]:
        """Of each day the sum of its people's values, where there is any.

        Args:
            values: by code; of codes beyond them, 0.
        """
        known = reaching(values, int(self.codes.max(initial=-1)) + 1)
        totals = np.concatenate([np.zeros(1, np.uint64), np.cumsum(known[self.codes], dtype=np.uint64)])
        sums = np.diff(totals[np.concatenate([np.zeros(1, np.int64), self.ends])])
        return {day: as_text(total) for day, total in zip(self.days, sums.tolist()) if total}

    def day_numbers(self) -> Ints:
        """Of each code, the day that it is of."""
        numbers = np.array([day_number(day) for day in self.days], dtype=np.int64)
        return np.repeat(numbers, np.diff(self.ends, prepend=0))

    def anywhere(self, size: int) -> Bools:
        """Of each code below ``size``, whether it is in any partition."""
        result = np.zeros(max(size, int(self.codes.max(initial=-1)) + 1), dtype=np.bool_)
        result[self.codes] = True
        return result[:size]


def are_in(codes: Codes | Ints, wanted: Bools) -> Bools:
    """Of each code, whether it is wanted; those beyond ``wanted`` are not."""
    known = codes < len(wanted)
    result = np.zeros(len(codes), dtype=np.bool_)
    result[known] = wanted[codes[known]]
    return result
