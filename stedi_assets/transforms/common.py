"""Expressions that several rules share."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, time
from typing import Any, Protocol

import narwhals.stable.v2 as nw

from stedi_assets.contracts import Table
from stedi_assets.contracts.names import STAND_INS, WHITE_SPACE

MS_PER_DAY = 86_400_000

Frame = nw.LazyFrame[Any]


class Cache(Protocol):
    """Computes a frame once that is used several times, or by several days that are written one after the other.

    A rule gives the same rows without it.
    """

    def __call__(self, frame: Frame, /, **keys: str) -> Frame:
        """Return the same rows, with short keys for long names.

        Args:
            frame: the rows.
            keys: new columns, each with the column that it stands for, whose values are all different and not
                null. A key may be of any type, and is compared only with keys of the same frame.
        """
        ...


def lazy(frame: Any) -> Frame:
    """Any frame that Narwhals knows (native or its own) as a lazy one on the same engine."""
    known: Frame = nw.from_native(frame, pass_through=False).lazy()
    return known


def uncached(frame: Frame, /, **keys: str) -> Frame:
    """The frame as it is, to be computed wherever it is used; a name is its own key.

    Numbering the rows instead would need all of them in one place.
    """
    return frame.with_columns(**{key: nw.col(name) for key, name in keys.items()}) if keys else frame


def window_partition(frame: Frame, *names: str) -> list[str]:
    """The columns to partition a window by that looks at the rows of one group at a time.

    Every engine partitions by ``names`` but PyArrow, which has no such windows in order: there a window runs over all
    rows, and must be ordered by ``names`` first. A rule that holds both ways tells the groups apart by itself.
    """
    return [] if frame.implementation.is_pyarrow() else list(names)


def normalised(name: str) -> nw.Expr:
    """An e-mail or a serial number as it is compared: the Narwhals form of ``contracts.names.normalize``."""
    trimmed = nw.col(name).str.strip_chars(WHITE_SPACE)
    others, has_one = trimmed, nw.lit(False)
    for letter, stand_in in STAND_INS.items():
        others = others.str.replace_all(letter, stand_in, literal=True)
        has_one = has_one | nw.col(name).str.contains(letter, literal=True)
    # Hardly any name has one, and to replace takes longer than to look.
    return nw.when(has_one).then(others).otherwise(trimmed).str.to_lowercase()


def day_end(name: str) -> nw.Expr:
    """The first epoch millisecond after the UTC day in a date column.

    By the calendar's arithmetic (days of the years since 1970, leap days, day of the year), which
    holds until 2100, since engines do not share a cast from dates to numbers.
    """
    year = nw.col(name).dt.year().cast(nw.Int64)
    days = (year - 1970) * 365 + (year - 1969) // 4 + nw.col(name).dt.ordinal_day().cast(nw.Int64)
    return days * MS_PER_DAY


def like_dates_of(frame: Any, days: Collection[date]) -> list[date]:
    """``days`` as ``frame`` writes its landing days: plain pandas has no type for a date, only one for a time."""
    written = lazy(frame).collect_schema()["landing_date"]
    midnight = isinstance(written, nw.Datetime)
    return [datetime.combine(day, time()) if midnight else day for day in sorted(days)]


def columns_of(frame: Frame, table: Table) -> Frame:
    """The columns that the contract names, in its order."""
    return frame.select(*table.column_names)
