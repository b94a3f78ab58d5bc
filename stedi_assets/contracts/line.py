"""The rule for one line of a raw file: which values it gives, or why it is quarantined.

This is the one definition of a good line. ``parse`` reads most lines faster, but only ever accepts
what ``validate_line`` accepts, with the same values; a property test holds it to that.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from itertools import chain
from typing import Any

from stedi_assets.contracts.model import Column, DataType, LandingSource
from stedi_assets.contracts.names import WHITE_SPACE, is_address

EXACT_INTEGER = 2**53
"""Below it every integer has a double of its own (IEEE 754), so reading it as one loses nothing."""

DEEPEST = 200
"""Levels of nesting that a line may have: a limit of ours, so that it is the same wherever the line is read."""

_INT64 = 2**63
_JSON_WHITE_SPACE = " \t\n\r"
_HUGE = 10**400
# Escapes that make a pair are one character by now, so what is left is alone.
_SURROGATE = re.compile("[\ud800-\udfff]")
EARLIEST = int(datetime(2015, 1, 1, tzinfo=timezone.utc).timestamp() * 1000)
"""The earliest time (epoch ms) that a reading may carry."""

Value = str | int | float | None


@dataclass(frozen=True)
class Rejected:
    """A line that is quarantined, and why. The reason names fields and rules, never a value."""

    reason: str


class Pairs(tuple[tuple[str, Any], ...]):
    """A JSON object as its pairs, so that a repeated key shows and hides nothing."""

    __slots__ = ()


def _integer_of(digits: str) -> int:
    # Beyond 400 digits no field takes it, and Python would refuse to read it (or be slow).
    if len(digits) < 400:
        return int(digits)
    return -_HUGE if digits.startswith("-") else _HUGE


class _NotFinite(float):
    """NaN or Infinity: Python reads them, JSON does not have them."""


_SCALARS = frozenset({str, int, float, bool, type(None)})


_DECODER = json.JSONDecoder(object_pairs_hook=Pairs, parse_int=_integer_of, parse_constant=_NotFinite)


@lru_cache(maxsize=4096)
def event_bounds(landing_date: date) -> tuple[int, int]:
    """The earliest and the latest time (inclusive, epoch ms) that a reading landed on a day may carry.

    From the start of 2015 to one day after the end of the landing day.
    """
    after = datetime.combine(landing_date + timedelta(days=2), datetime.min.time(), timezone.utc)
    return EARLIEST, int(after.timestamp() * 1000) - 1


def validate_line(line: bytes, source: LandingSource, landing_date: date) -> tuple[Value, ...] | Rejected | None:
    """Judge one line.

    Args:
        line: its bytes, without the line feed.
        source: what the line may say.
        landing_date: the day its file landed.

    Returns:
        The values of ``source.fields``, in order; or why the line is rejected; or none where the
        line is blank. A number without a fraction is an integer however it is spelt (``1``,
        ``1.0``, ``1e0``), as in JSON Schema; spelt with a point or an exponent, it is the double
        (IEEE 754) that it denotes, and an integer only below 2**53.
    """
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        return Rejected("not UTF-8")
    if not text.strip(WHITE_SPACE):
        return None
    text = text.strip(_JSON_WHITE_SPACE)
    try:
        found, end = decode_object(text)
    except RecursionError:
        return Rejected("nested too deeply")
    except ValueError:
        return Rejected("not one JSON object")
    if end != len(text):
        return Rejected("not one JSON object")
    return validate_object(found, text, source, landing_date)


def decode_object(text: str) -> tuple[Pairs, int]:
    """Decode the JSON object at the start of a text.

    Returns:
        The object, and the position behind it.

    Raises:
        json.JSONDecodeError: there is none; its position is that of the first character that cannot stand there (or,
            of a literal, a string or an escape, of the first character of that).
        RecursionError: it is nested too deeply.
    """
    if not text.startswith("{"):
        raise json.JSONDecodeError("Expecting an object", text, 0)
    found, end = _DECODER.raw_decode(text)
    return found, end


def validate_object(found: Pairs, text: str, source: LandingSource, landing_date: date) -> tuple[Value, ...] | Rejected:
    """Judge an object that was decoded.

    Args:
        found: the object.
        text: what it was decoded from, perhaps with more around it.
        source: what it may say.
        landing_date: the day its file landed.

    Returns:
        As :func:`validate_line`.
    """
    fault = _fault(found, escapes="\\u" in text)
    if fault is not None:
        return fault
    by_key = dict(found)
    if len(by_key) != len(found):
        return Rejected("repeats a key")
    given: dict[str, Any] = {}
    spellings = source.spellings
    for key, value in by_key.items():
        name = spellings.get(key) or field_of(key, source)
        if name is not None:
            if name in given:
                return Rejected("repeats a key")
            given[name] = value
    values: list[Value] = []
    for field in source.fields:
        value = _value(given.get(field.name), field)
        if isinstance(value, Rejected):
            return value
        values.append(value)
    if source.time is not None:
        names = [field.name for field in source.fields]
        taken = values[names.index(source.time)]
        earliest, latest = event_bounds(landing_date)
        if not isinstance(taken, int) or not earliest <= taken <= latest:
            return Rejected(f"{source.time} is before 2015 or more than a day after the landing day")
    return tuple(values)


def field_of(key: str, source: LandingSource) -> str | None:
    """The name of the field that a key means: exactly, else without regard to case, else by an alias; or none.

    Args:
        key: the key of a JSON object.
        source: the fields.
    """
    names = source.spellings
    return names.get(key) or (names.get(key.lower()) if key.isascii() else None)


def unknown_keys(found: Pairs, source: LandingSource) -> list[str]:
    """The keys of an object that mean no field.

    Args:
        found: the object.
        source: the fields.
    """
    names = source.spellings
    return [key for key, _ in found if key not in names and field_of(key, source) is None]


def spelling_of(found: Pairs, source: LandingSource) -> dict[str, str]:
    """How an object spells the fields that it does not spell as the contract does.

    Args:
        found: the object.
        source: the fields.

    Returns:
        The key by the name of the field.
    """
    return {name: key for key, _ in found if (name := field_of(key, source)) is not None and name != key}


def _fault(found: Pairs, *, escapes: bool) -> Rejected | None:
    """The fault of an object at any depth, also below keys that no table has; none if there is no fault."""
    if not escapes and _SCALARS.issuperset(map(type, chain.from_iterable(found))):
        return None
    level: list[Pairs | list[Any]] = [found]
    for _ in range(DEEPEST):
        below: list[Pairs | list[Any]] = []
        for part in level:
            for item in chain.from_iterable(part) if isinstance(part, Pairs) else part:
                if isinstance(item, (Pairs, list)):
                    below.append(item)
                elif isinstance(item, _NotFinite):
                    return Rejected("a number is not finite")
                elif escapes and isinstance(item, str) and _SURROGATE.search(item):
                    return Rejected("a text is not Unicode")
        if not below:
            return None
        level = below
    return Rejected("nested too deeply")


def _value(value: Any, field: Column) -> Value | Rejected:
    if value is None:
        return Rejected(f"lacks {field.name}") if field.required else None
    if field.type is DataType.TEXT:
        if not isinstance(value, str):
            return Rejected(f"{field.name} is not text")
        if field.required and not value.strip(WHITE_SPACE):
            return Rejected(f"lacks {field.name}")
        if field.address and not is_address(value):
            return Rejected(f"{field.name} is not a plain e-mail address")
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return Rejected(f"{field.name} is not {'an integer' if field.type is DataType.INTEGER else 'a number'}")
    if field.type is DataType.INTEGER:
        return _integer(value, field)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    return number if math.isfinite(number) else Rejected(f"{field.name} is not finite")


def _integer(value: float, field: Column) -> int | Rejected:
    if isinstance(value, float):
        if not math.isfinite(value):
            return Rejected(f"{field.name} is not finite")
        if not value.is_integer() or abs(value) >= EXACT_INTEGER:
            return Rejected(f"{field.name} is not an integer")
        value = int(value)
    if not -_INT64 <= value < _INT64:
        return Rejected(f"{field.name} does not fit 64 bits")
    if field.minimum is not None and value < field.minimum:
        return Rejected(f"{field.name} is below {field.minimum}")
    return value
