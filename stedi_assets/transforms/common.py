"""Expressions that several rules share."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import date, datetime, time
from typing import Any

import narwhals.stable.v2 as nw

from stedi_assets.contracts import Table

WHITE_SPACE = " \t\n\r\v\f"
"""What is trimmed from e-mails and serial numbers."""

MS_PER_DAY = 86_400_000

Frame = nw.LazyFrame[Any]

Cache = Callable[[Frame], Frame]
"""Has the engine compute a frame once that is used several times, or by several landing days that are written
one after the other. A rule gives the same rows without it."""


def lazy(frame: Any) -> Frame:
    """Any frame that Narwhals knows (native or its own) as a lazy one on the same engine."""
    known: Frame = nw.from_native(frame, pass_through=False).lazy()
    return known


def uncached(frame: Frame) -> Frame:
    """The frame as it is, to be computed wherever it is used."""
    return frame


def normalised(name: str) -> nw.Expr:
    """An e-mail or a serial number as it is compared: trimmed and lower-cased."""
    return nw.col(name).str.strip_chars(WHITE_SPACE).str.to_lowercase()


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
