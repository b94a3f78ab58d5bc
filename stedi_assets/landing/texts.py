"""Where one JSON object ends and the next begins, in any sequence of them.

Objects may stand one on a line, one after another with or without anything between, in an array, over several lines, or
each after a record separator (RFC 7464). So between objects white space, commas, brackets and record separators mean
nothing, nor does a byte-order mark. A *text* is one object, or the smallest stretch that cannot be read:

* An object goes from its brace to the end that JSON gives it.
* Where that breaks on its first line, or with the first character after it, the text goes to the end of that line, or
  to the next brace on it at or after the first character that no object can have there.
* Where it breaks later, the text goes on to the next such brace, or to the next line that starts with a brace,
  whichever comes first.
* One that is nested too deeply to be looked through goes to the end of its line.
* What else stands between objects goes to the end of its line or to the next brace.

Objects are found here, not judged: ``contracts.line`` says what a good one is. Nothing here knows a table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from json import JSONDecodeError

import numpy as np
import numpy.typing as npt

from stedi_assets.contracts.line import Pairs, decode_object

LONGEST = 64 << 20
"""Bytes that are looked through for the end of one text; a longer one is cut."""

Positions = npt.NDArray[np.int64]

_TRAILING = b" \t\n\r\v\f,[]\x1e"
_SEPARATOR = b"[" + re.escape(_TRAILING) + b"]"
_SEPARATORS = re.compile(rb"(?:" + _SEPARATOR + rb"|\xef\xbb\xbf)*")
_IS_SEPARATOR = np.zeros(256, bool)
_IS_SEPARATOR[list(_TRAILING)] = True
_WHITE_SPACE = re.compile(rb"[ \t\n\r]*")
_JUNK_END = re.compile(rb"[\n{]")
_LINE_WITH_OBJECT = re.compile(rb"\n[" + re.escape(_TRAILING.replace(b"\n", b"")) + rb"]*\{")
_SHORT_GAP = 16
"""Bytes up to which the stretches between objects are looked at byte by byte, all of them at once."""
_WINDOW = 1 << 10
_NEAR_END = 12
"""Characters before the end of what is there in which a literal, a number or an escape may only be unfinished."""


@dataclass(frozen=True)
class Text:
    """A text in a buffer.

    Args:
        start: its first byte.
        end: the byte after its last one.
        next: where reading goes on.
        pairs: the object, where it is one.
        reason: why it is none.
    """

    start: int
    end: int
    next: int
    pairs: Pairs | None
    reason: str = ""


def flat_objects(buffer: bytes) -> tuple[Positions, Positions, npt.NDArray[np.bool_]]:
    """Stretches that look like objects without objects in them, at the speed of counting bytes.

    Whether one is an object where it stands is only known if everything before it is: if each stretch before it was
    proven to be one object, and nothing but separators stands between.

    Args:
        buffer: it begins between two texts.

    Returns:
        The start and the end of each; and whether only separators stand between it and the one before it (or the
        start of the buffer).
    """
    found = np.frombuffer(buffer, np.uint8)
    opens, closes = np.flatnonzero(found == ord("{")), np.flatnonzero(found == ord("}"))
    closing = np.searchsorted(closes, opens)
    following = np.append(opens[1:], len(buffer))
    flat = closing < len(closes)
    flat[flat] = closes[closing[flat]] < following[flat]
    starts, ends = opens[flat], closes[closing[flat]] + 1
    before = np.concatenate((np.zeros(min(1, len(ends)), np.int64), ends[:-1]))
    return starts, ends, _are_all_separators(found, before, starts)


def _are_all_separators(found: npt.NDArray[np.uint8], starts: Positions, ends: Positions) -> npt.NDArray[np.bool_]:
    """Whether nothing but separators stands in each of some stretches, which follow one after the other."""
    length = ends - starts
    clean = np.ones(len(length), bool)
    longest = int(length.max(initial=0))
    if longest > _SHORT_GAP:
        # Of each stretch, and of what lies between two of them, how many bytes are no separators.
        bounds = np.stack((starts, ends), axis=1).ravel()
        counts = np.add.reduceat(~_IS_SEPARATOR[found], bounds, dtype=np.int64)[::2]
        clean = (length == 0) | (counts == 0)
    else:
        for offset in range(longest):
            there = length > offset
            clean[there] &= _IS_SEPARATOR[found[starts[there] + offset]]
    return clean


def are_separators(buffer: bytes, start: int, end: int) -> bool:
    """Whether nothing but separators stands in a stretch of a buffer."""
    return _SEPARATORS.fullmatch(buffer, start, end) is not None


def skip_separators(buffer: bytes, at: int) -> int:
    """The position of the first byte at or after ``at`` that is part of a text, or the end of the buffer."""
    return _skip(_SEPARATORS, buffer, at)


def next_text(buffer: bytes, at: int, *, final: bool) -> Text | None:
    """The next text of a buffer.

    Args:
        buffer: some bytes of a file.
        at: a position between two texts.
        final: nothing follows.

    Returns:
        The text; none where only separators are left, or where its end may be in what follows.
    """
    start = skip_separators(buffer, at)
    if start == len(buffer):
        return None
    may_go_on = not final and len(buffer) - start < LONGEST
    if buffer[start] != ord("{"):
        found = _JUNK_END.search(buffer, start)
        if found is None and may_go_on:
            return None
        return _unreadable(buffer, start, len(buffer) if found is None else found.start(), "not one JSON object")
    try:
        found_object = _object_at(buffer, start)
    except RecursionError:
        end, reason = buffer.find(b"\n", start), "nested too deeply"
    else:
        if isinstance(found_object, Text):
            return found_object
        broken, unfinished = found_object
        if unfinished and may_go_on:
            return None
        end, reason = _end_of_broken(buffer, start, broken), "not one JSON object"
    if end < 0 and may_go_on:
        return None
    return _unreadable(buffer, start, len(buffer) if end < 0 else end, reason)


def _end_of_broken(buffer: bytes, start: int, broken: int) -> int:
    """The end of an object that breaks, or -1 where it is not in the buffer.

    Nothing is looked at behind that end: a file of broken objects would take time that grows with its square.

    Args:
        buffer: some bytes of a file.
        start: the brace of the object.
        broken: the position of what no object can have there.
    """
    feed = buffer.find(b"\n", start, broken)
    if feed >= 0 and broken <= _skip(_WHITE_SPACE, buffer, feed):
        return feed
    if feed >= 0:
        line = _LINE_WITH_OBJECT.search(buffer, feed, broken)
        return line.end() - 1 if line else buffer.find(b"{", broken)
    found = _JUNK_END.search(buffer, max(broken, start + 1))
    return found.start() if found else -1


def _skip(pattern: re.Pattern[bytes], buffer: bytes, at: int) -> int:
    """The position behind what a pattern matches, which may be nothing."""
    found = pattern.match(buffer, at)
    return found.end() if found else at


def _unreadable(buffer: bytes, start: int, end: int, reason: str) -> Text:
    return Text(start, start + len(buffer[start:end].rstrip(_TRAILING)), end, None, reason)


def _object_at(buffer: bytes, start: int) -> Text | tuple[int, bool]:
    """The object that begins at a position.

    Returns:
        The object; else the position of what no object can have there, and whether it may only be unfinished.

    Raises:
        RecursionError: it is nested too deeply.
    """
    size = _WINDOW
    while True:
        text = buffer[start : start + size].decode("utf-8", "surrogateescape")
        try:
            pairs, end = decode_object(text)
        except JSONDecodeError as error:
            endless = error.msg.startswith("Unterminated string")
            # No literal, number or escape has a brace.
            unfinished = endless or (error.pos >= len(text) - _NEAR_END and "{" not in text[error.pos :])
            if unfinished and start + size < len(buffer):
                size *= 4
                continue
            return start + _bytes(text if endless else text[: error.pos]), unfinished
        length = _bytes(text[:end])
        return Text(start, start + length, start + length, pairs)


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))
