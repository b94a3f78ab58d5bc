r"""The rule for one line of a raw file: the values of its row, or the reason why it is rejected.

How the rules are read where they leave a choice:

* *White space* is ASCII's six characters everywhere: in trimming, in "blank is lacking" and in
  "blank lines are nothing". A no-break space is not white space; a line of one form feed is blank.
* *The end of a day* is its last millisecond, so a reading may be as late as the last millisecond
  of the day after it landed.
* *JSON* is RFC 8259: `NaN` and `Infinity` are no JSON wherever they stand, in an unknown key too.
  `1e999` is JSON: too large for a number field, ignored in an unknown key. Text that is no Unicode
  (a lone surrogate, `"\ud800"`) makes its line no JSON, in any key.
* *Keys* are compared after unescaping, the 26 letters of ASCII without regard to case (`EMAIL` is `email`), and
  `timeStamp` is `timestamp`. Two that mean one field repeat a key, and so do two equal ones. Only the keys of the
  line's own object can repeat; those inside the value of an unknown key are ignored with it.
* *A number without a fraction is an integer* however it is spelt: `1.0` and `1e3` too, as in JSON
  Schema. One spelt with a point or an exponent is the double that it denotes, and an integer only
  below 2^53, where a double is one integer's alone. `-0` is the integer 0. `-0.0` equals `0.0`.
* *`distanceFromObject`* is an integer.
* *Optional* fields of a customer may be missing, null or blank, but not of the wrong type.
* *A plain e-mail address*, which a customer's `email` must be: before its `@` words of letters, digits and `_+-`, with
  apostrophes between, joined by dots; behind it words of letters and digits, with hyphens between, joined by dots. A
  letter beyond ASCII is one that is shown and is its own compatibility form (NFKC).
* *A customer's own dates* have no range, but for `lastUpdateDate`, which has that of readings.
* *JSON nested so deep* that Python gives up (about a thousand levels) raises `RecursionError`
  rather than guess.
"""

from __future__ import annotations

import json
import math
import unicodedata
from datetime import date
from typing import Literal, NamedTuple, NoReturn

Cell = str | int | float | date | None
Row = tuple[Cell, ...]

MILLISECONDS_A_DAY = 86_400_000
FIRST_READING = 1_420_070_400_000
"""2015-01-01T00:00:00Z: a reading's timestamp before 2015 is quarantined."""

WHITE_SPACE = " \t\n\r\v\f"


class RejectedLineError(Exception):
    """A line belongs in quarantine; the message says which rule put it there.

    Only the reference computation raises it, and catches it itself.

    Remedy: none is needed.
    """


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

    Raises `RejectedLineError` where the line must be quarantined: it "is not one JSON object,
    repeats a key, lacks a required field, has a field of the wrong type, a non-finite number, a
    negative distance, or a reading's timestamp before 2015 or more than one day after the end of
    the day it landed".
    """
    named: dict[str, object] = {}
    keys = set()
    by_lower_case = {field.name.lower(): field.name for field in _FIELDS[table]}
    for key, value in _json_object(line):
        name = by_lower_case.get(key.lower(), key) if key.isascii() else key
        if name in named or key in keys:
            msg = "repeats a key"
            raise RejectedLineError(msg)
        named[name] = value
        keys.add(key)

    values = {field.name: _value(field, named.get(field.name)) for field in _FIELDS[table]}

    distance = values.get("distanceFromObject")
    if isinstance(distance, int) and distance < 0:
        msg = "negative distance"
        raise RejectedLineError(msg)

    time = values.get("timestamp", values.get("sensorReadingTime", values.get("lastUpdateDate")))
    latest = last_millisecond(landing_date) + MILLISECONDS_A_DAY
    if isinstance(time, int) and not FIRST_READING <= time <= latest:
        msg = "time out of range"
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
        if field.name == "email" and not _is_address(value.strip(WHITE_SPACE)):
            msg = "not a plain e-mail address"
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


def normalise(text: str) -> str:
    """Trim and lower-case, as "e-mails and serial numbers are compared, and stored".

    Letter by letter, and "nothing from beyond ASCII may become an ASCII letter": the Kelvin sign and I with a dot,
    whose lower case does, become what nobody writes.
    """
    beyond = {"\u212a": "\ue12a", "\u0130": "\ue130"}
    return "".join(beyond.get(letter) or letter.lower()[:1] for letter in text.strip(WHITE_SPACE))


def _is_address(text: str) -> bool:
    """Say whether a trimmed text is one plain e-mail address."""
    mailbox, _, domain = text.partition("@")
    if unicodedata.normalize("NFKC", text) != text:
        return False
    return all(_is_word(atom, "_+-", "'") for atom in mailbox.split(".")) and all(
        _is_word(label, "", "-") for label in domain.split(".")
    )


def _is_word(text: str, also: str, between: str) -> bool:
    """Say whether a text is of letters, digits and some more characters, and single others between these."""
    return all(
        part and all(_is_letter(character) or character in also for character in part) for part in text.split(between)
    )


def _is_letter(character: str) -> bool:
    """Say whether a character is a letter or a digit that is shown; beyond ASCII, also a mark on one."""
    if ord(character) < 128:
        return character.isalnum()
    code, category = ord(character), unicodedata.category(character)
    unseen = {0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, *range(0x180B, 0x1810), *range(0xFE00, 0xFE10)}
    return (
        category in {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Nd"}
        and code not in unseen
        and not 0xE0100 <= code <= 0xE01EF
    )


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
