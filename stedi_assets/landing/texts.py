"""Where one JSON object ends and the next begins, in any sequence of them.

Objects may stand one on a line, one after another with or without anything between, in an array, over several lines, or
each after a record separator (RFC 7464). So between objects white space, commas, brackets and record separators mean
nothing, nor does a byte-order mark. A *text* is one object, or the smallest stretch that cannot be read:

* An object goes from its brace to the end that JSON gives it.
* Where that breaks on its first line, or with the first character after it, the text goes to the end of that line, or
  to the next brace on it at or after the first character that no object can have there.
* Where it breaks later, the text goes on to the next such brace, or to the next line that starts with a brace,
  whichever comes first.
* What else stands between objects goes to the end of its line or to the next brace.
* One that has no end within the longest text that is read goes to the end of the line on which it gets too long.

Time grows with the length of what is looked through, whatever stands in it, and nothing is looked through twice but by
a fixed number of times.

Objects are found here, not judged: ``contracts.line`` says what a good one is. Nothing here knows a table.
"""

from __future__ import annotations

import re
from array import array
from json import JSONDecodeError
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stedi_assets.contracts.line import Pairs, decode_object
from stedi_assets.settings import Limits

LONGEST = Limits().longest_text
"""Bytes that a text may have by default."""

TOO_LONG = "longer than the longest text (STEDI_LONGEST_TEXT)"
"""Why a text is rejected of which only the beginning is kept."""

Positions = npt.NDArray[np.int64]

_TRAILING = b" \t\n\r\v\f,[]\x1e"
_SEPARATOR = b"[" + re.escape(_TRAILING) + b"]"
# A pattern that repeats a group keeps every turn of it in memory, so here none turns more than a thousand times.
_SEPARATORS = re.compile(rb"(?:" + _SEPARATOR + rb"+|\xef\xbb\xbf){0,1000}")
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
_NO_OBJECT, _TOO_DEEP = "not one JSON object", "nested too deeply"

_DEEP = 300
"""Braces and brackets up to which Python's decoder does not find a text too deep, wherever it is called."""

# What `_walk` goes by.
_OPENS_OBJECT, _CLOSES_OBJECT, _OPENS_ARRAY, _CLOSES_ARRAY, _QUOTE, _COMMA, _COLON = b'{}[]",:'
_KEY, _KEY_OR_END, _VALUE, _VALUE_OR_END, _NEXT = range(5)
_SPACE = rb"[ \t\n\r]*"
_PLAIN_STRING = rb'"[^"\\\x00-\x1f]*"'
_LITERAL = rb"(?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null|NaN|-?Infinity)"
_SCALAR = re.compile(_LITERAL)
_ITEMS = re.compile(rb"(?:%s(?:%s|%s)%s,){1,1000}" % (_SPACE, _PLAIN_STRING, _LITERAL, _SPACE))
_MEMBERS = re.compile(
    rb"(?:%s%s%s:%s(?:%s|%s)%s,){1,1000}" % (_SPACE, _PLAIN_STRING, _SPACE, _SPACE, _PLAIN_STRING, _LITERAL, _SPACE)
)
_LEVELS = re.compile(rb'(?:\{%s"[^"\\{\x00-\x1f]*"%s:%s){1,1000}' % (_SPACE, _SPACE, _SPACE))
_ARRAYS = re.compile(rb"\[[\[ \t\n\r]*")
_CHARACTERS = re.compile(rb'(?:[^"\\\x00-\x1f]+|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})){1,1000}')


class Text(NamedTuple):
    """A text in a buffer, or the part of it that is there, where it is too long.

    Args:
        start: its first byte.
        end: the byte after its last one.
        next: where reading goes on.
        pairs: the object, where it is one.
        reason: why it is none.
        begins: whether it begins in this buffer.
        ends: whether it ends in this buffer.
    """

    start: int
    end: int
    next: int
    pairs: Pairs | None
    reason: str = ""
    begins: bool = True
    ends: bool = True


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
    braces = np.flatnonzero((found == ord("{")) | (found == ord("}")))
    is_open = found[braces] == ord("{")
    flat = is_open[:-1] & ~is_open[1:]
    starts, ends = braces[:-1][flat], braces[1:][flat] + 1
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
    return _skip_all(_SEPARATORS, buffer, start, end) == end


def skip_separators(buffer: bytes, at: int) -> int:
    """The position of the first byte at or after ``at`` that is part of a text, or the end of the buffer."""
    return _skip_all(_SEPARATORS, buffer, at, len(buffer))


def next_text(buffer: bytes, at: int, *, final: bool, longest: int = LONGEST) -> Text | None:
    """The next text of a buffer; see :class:`TextFinder`, which is made for more than one."""
    return TextFinder(buffer, final=final, longest=longest).next(at)


def rest_of_text(buffer: bytes, *, final: bool) -> Text:
    """The next part of a text that is too long and began before a buffer.

    Args:
        buffer: what follows on the part before.
        final: nothing follows.
    """
    return _too_long(buffer, 0, 0, begins=False, final=final)


class TextFinder:
    """Finds the texts of a buffer, one after the other.

    Args:
        buffer: some bytes of a file.
        final: nothing follows.
        longest: the bytes that a text may have.
    """

    def __init__(self, buffer: bytes, *, final: bool, longest: int = LONGEST) -> None:
        self._buffer = buffer
        self._final = final
        self._longest = longest
        # Of the object that broke last, where, and the objects in it that were open there: they break there as well,
        # and looking through each of them anew would take time that grows with the square of their number.
        self._break = _Break(0, is_unfinished=False)
        self._open = array("q")
        self._passed = 0

    def next(self, at: int) -> Text | None:
        """The next text.

        Args:
            at: a position between two texts, no less than that of the time before.

        Returns:
            The text; none where only separators are left, or where its end may be in what follows.
        """
        buffer = self._buffer
        start = skip_separators(buffer, at)
        if start == len(buffer):
            return None
        # One byte more shows that the longest one ends there.
        until = min(len(buffer), start + self._longest + 1)
        text = self._text(start, until)
        if text is not None and text.next - start <= self._longest:
            return text
        if len(buffer) - start <= self._longest:
            return None
        return _too_long(buffer, start, start + self._longest, begins=True, final=self._final)

    def _text(self, start: int, until: int) -> Text | None:
        """The text that begins at a position; none where its end is not seen before another."""
        buffer = self._buffer
        is_all = self._final and until == len(buffer)
        if buffer[start] != ord("{"):
            found = _JUNK_END.search(buffer, start, until)
            if found is None and not is_all:
                return None
            return _unreadable(buffer, start, until if found is None else found.start())
        known = self._is_known(start)
        broken = self._break if known else self._object_at(start, until)
        if isinstance(broken, Text):
            return broken
        if broken.is_unfinished and not is_all:
            return None
        end = _end_of_broken(buffer, start, broken.at, until)
        if end < 0 and not is_all:
            return None
        if not known and 0 <= end < broken.at and buffer[end] == ord("{"):
            # What follows stands in this object: it may be an object that is open where this one breaks.
            self._remember(broken, _walk(buffer, start, broken.at))
        return _unreadable(buffer, start, until if end < 0 else end)

    def _is_known(self, start: int) -> bool:
        """Whether an object was open where one before it broke."""
        while self._passed < len(self._open) and self._open[self._passed] < start:
            self._passed += 1
        return self._passed < len(self._open) and self._open[self._passed] == start

    def _remember(self, broken: _Break, walked: _Walked) -> None:
        self._break, self._open, self._passed = broken, walked.open, 0

    def _object_at(self, start: int, until: int) -> Text | _Break:
        """The object that begins at a position; else where it breaks."""
        buffer = self._buffer
        inside = _skip(_WHITE_SPACE, buffer, start + 1, until)
        if inside < until and buffer[inside] not in (_QUOTE, _CLOSES_OBJECT):
            return _Break(inside, is_unfinished=False)
        size = _WINDOW
        while True:
            text = buffer[start : min(until, start + size)].decode("utf-8", "surrogateescape")
            try:
                pairs, end = decode_object(text)
            except RecursionError:
                return self._deep_object_at(start, until)
            except JSONDecodeError as error:
                endless = error.msg.startswith("Unterminated string")
                # No literal, number or escape has a brace.
                unfinished = endless or (error.pos >= len(text) - _NEAR_END and "{" not in text[error.pos :])
                if unfinished and start + size < until:
                    size *= 4
                    continue
                return _Break(start + _bytes(text if endless else text[: error.pos]), unfinished)
            length = _bytes(text[:end])
            return Text(start, start + length, start + length, pairs)

    def _deep_object_at(self, start: int, until: int) -> Text | _Break:
        """The same of an object that is nested too deeply for Python's decoder, at a tenth of its rate."""
        walked = _walk(self._buffer, start, until)
        if not walked.open:
            return Text(start, walked.at, walked.at, None, _TOO_DEEP)
        is_near_end = walked.at >= until - _NEAR_END and self._buffer.find(b"{", walked.at, until) < 0
        broken = _Break(walked.at, is_near_end)
        self._remember(broken, walked)
        return broken


class _Break(NamedTuple):
    """The position of what no object can have there, and whether the object may only be unfinished."""

    at: int
    is_unfinished: bool


class _Walked(NamedTuple):
    """The position behind an object; else where it breaks, and the positions of the objects that are open there."""

    at: int
    open: array[int]


def _walk(buffer: bytes, start: int, until: int) -> _Walked:
    """Walk through the object at a position, however deeply it is nested, and no further than to another position."""
    # Where each object and array that is open begins; of an array, nowhere.
    open_ones = array("q", [start])
    at, wanted = start + 1, _KEY_OR_END
    while True:
        at = _skip(_WHITE_SPACE, buffer, at, until)
        if at >= until:
            break
        mark = buffer[at]
        if wanted == _NEXT:
            is_object = open_ones[-1] >= 0
            if mark == (_CLOSES_OBJECT if is_object else _CLOSES_ARRAY):
                open_ones.pop()
                at += 1
                if not open_ones:
                    return _Walked(at, open_ones)
                continue
            if mark != _COMMA:
                break
            # What follows is most often more of the same.
            at = _skip(_MEMBERS if is_object else _ITEMS, buffer, at + 1, until)
            wanted = _KEY if is_object else _VALUE
        elif wanted in {_KEY, _KEY_OR_END}:
            if mark == _CLOSES_OBJECT and wanted == _KEY_OR_END:
                wanted = _NEXT
                continue
            if mark != _QUOTE:
                break
            end = _end_of_string(buffer, at, until)
            if end < 0:
                at = ~end
                break
            at = _skip(_WHITE_SPACE, buffer, end, until)
            if at >= until or buffer[at] != _COLON:
                break
            at, wanted = at + 1, _VALUE
        elif mark == _OPENS_OBJECT:
            end = _skip(_LEVELS, buffer, at, until)
            if end > at:
                levels = np.frombuffer(buffer, np.uint8, end - at, at) == _OPENS_OBJECT
                open_ones.frombytes((np.flatnonzero(levels) + at).astype(np.int64).tobytes())
                at, wanted = end, _VALUE
            else:
                open_ones.append(at)
                at, wanted = at + 1, _KEY_OR_END
        elif mark == _OPENS_ARRAY:
            end = _skip(_ARRAYS, buffer, at, until)
            open_ones.extend(array("q", [-1]) * buffer.count(b"[", at, end))
            at, wanted = _skip(_ITEMS, buffer, end, until), _VALUE_OR_END
            if at > end:
                wanted = _VALUE
        elif mark == _CLOSES_ARRAY and wanted == _VALUE_OR_END:
            wanted = _NEXT
        elif mark == _QUOTE:
            end = _end_of_string(buffer, at, until)
            if end < 0:
                at = ~end
                break
            at, wanted = end, _NEXT
        else:
            scalar = _SCALAR.match(buffer, at, until)
            if scalar is None:
                break
            at, wanted = scalar.end(), _NEXT
    opened = np.frombuffer(open_ones, np.int64)
    return _Walked(at, array("q", opened[opened >= 0].tobytes()))


def _end_of_string(buffer: bytes, start: int, until: int) -> int:
    """The position behind a string; where it breaks at a position, the complement (``~``) of that."""
    at = _skip_all(_CHARACTERS, buffer, start + 1, until)
    return at + 1 if at < until and buffer[at] == _QUOTE else ~at


def _end_of_broken(buffer: bytes, start: int, broken: int, until: int) -> int:
    """The end of an object that breaks, or -1 where it is not seen before another position.

    Nothing is looked at behind that end: a file of broken objects would take time that grows with its square.

    Args:
        buffer: some bytes of a file.
        start: the brace of the object.
        broken: the position of what no object can have there.
        until: the other position.
    """
    feed = buffer.find(b"\n", start, broken)
    if feed >= 0 and broken <= _skip(_WHITE_SPACE, buffer, feed, until):
        return feed
    if feed >= 0:
        line = _LINE_WITH_OBJECT.search(buffer, feed, broken)
        return line.end() - 1 if line else buffer.find(b"{", broken, until)
    found = _JUNK_END.search(buffer, max(broken, start + 1), until)
    return found.start() if found else -1


def _skip(pattern: re.Pattern[bytes], buffer: bytes, at: int, until: int) -> int:
    """The position behind what a pattern matches, which may be nothing."""
    found = pattern.match(buffer, at, until)
    return found.end() if found else at


def _skip_all(pattern: re.Pattern[bytes], buffer: bytes, at: int, until: int) -> int:
    """The position behind what a pattern matches, as often as it does."""
    while (end := _skip(pattern, buffer, at, until)) > at:
        at = end
    return at


def _unreadable(buffer: bytes, start: int, end: int) -> Text:
    written = buffer[start:end].rstrip(_TRAILING)
    is_deep = written.startswith(b"{") and _is_too_deep(written)
    return Text(start, start + len(written), end, None, _TOO_DEEP if is_deep else _NO_OBJECT)


def _is_too_deep(written: bytes) -> bool:
    """Whether Python's decoder finds a text nested too deeply before it finds that it is no object."""
    if written.count(b"{") + written.count(b"[") > _DEEP:
        try:
            decode_object(written.decode())
        except RecursionError:
            return True
        except ValueError:
            pass
    return False


def _too_long(buffer: bytes, start: int, at_least: int, *, begins: bool, final: bool) -> Text:
    """A part of a text that is too long: it goes to the end of a line."""
    feed = buffer.find(b"\n", at_least)
    end = len(buffer) if feed < 0 else feed
    return Text(start, end, end, None, TOO_LONG, begins=begins, ends=feed >= 0 or final)


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))
