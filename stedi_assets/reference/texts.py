"""The texts of a file: which stretches of it are JSON objects, and which can be read as none.

How the rules are read where they leave a choice:

* *Between objects* white space, commas, brackets, record separators and byte-order marks mean nothing.
* *A text that begins with a brace* is an object, if JSON finds its end. Else, where the first character that cannot
  stand there is on its first line or is the first one after it, it goes to the next brace on that line at or after that
  character, or to the end of the line. Where that character comes later, it goes to the next brace at or after it, or
  to the next line whose first character that means something is a brace, whichever comes first; or to the end of the
  file.
* *Any other text* goes to the end of its line, or to the next brace.
* *`NaN`, `Infinity` and `-Infinity`* are no JSON, but their object has an end.
* *Bytes that are not UTF-8* may stand in a string as far as its end is concerned.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_MARK = b"\xef\xbb\xbf"
_NOTHING = b" \t\n\r\v\f,[]\x1e"
_JSON_SPACE = b" \t\n\r"
_SPACES = re.compile(rb"[ \t\n\r]*")
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORDS = (b"true", b"false", b"null", b"NaN", b"Infinity", b"-Infinity")
_CHARACTERS = re.compile(rb'(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*')
"""What may stand in a string: anything but quotes, backslashes and control characters; and escapes."""


class FoundText(NamedTuple):
    """A text: the line on which it begins, its number among those that begin there, and its bytes."""

    line: int
    number: int
    content: bytes


class _BrokenError(Exception):
    """What stands at a position cannot stand there."""

    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.at = at


def texts(content: bytes) -> list[FoundText]:
    """Return the texts of a decoded file, in their order."""
    found: list[FoundText] = []
    at, line, number = 0, 1, 0
    while at < len(content):
        if content.startswith(_MARK, at):
            at += len(_MARK)
            continue
        if content[at] in _NOTHING:
            if content[at] == ord("\n"):
                line, number = line + 1, 0
            at += 1
            continue
        end, following = _extent(content, at)
        number += 1
        found.append(FoundText(line, number, content[at:end]))
        passed = content.count(b"\n", at, following)
        if passed:
            line, number = line + passed, 0
        at = following
    return found


def _extent(content: bytes, start: int) -> tuple[int, int]:
    """Return where a text ends, and where reading goes on."""
    if content[start] == ord("{"):
        try:
            end = _object_end(content, start)
        except _BrokenError as broken:
            line_end = content.find(b"\n", start) if b"\n" in content[start:] else len(content)
            after_line = len(content) - len(content[line_end:].lstrip(_JSON_SPACE))
            if broken.at <= after_line:
                following = min(_next_brace(content, broken.at), line_end)
            else:
                following = min(_next_brace(content, broken.at), _next_line_with_brace(content, start))
        else:
            return end, end
    else:
        line_end = content.find(b"\n", start)
        following = min(_next_brace(content, start), len(content) if line_end < 0 else line_end)
    return start + len(content[start:following].rstrip(_NOTHING)), following


def _next_brace(content: bytes, at: int) -> int:
    found = content.find(b"{", at)
    return len(content) if found < 0 else found


def _next_line_with_brace(content: bytes, start: int) -> int:
    at = content.find(b"\n", start)
    while at >= 0:
        while at < len(content) and content[at] in _NOTHING:
            at += 1
        if at < len(content) and content[at] == ord("{"):
            return at
        at = content.find(b"\n", at)
    return len(content)


def _object_end(content: bytes, start: int) -> int:
    """Return the position behind the object that begins at ``start``; raise where it breaks."""
    at = start + 1
    open_ones = [b"}"]
    # What may come next: a value, a key, what follows a key, or what follows a value.
    wanted = "key or end"
    while True:
        at = _SPACES.match(content, at).end()  # type: ignore[union-attr]
        if at >= len(content):
            raise _BrokenError(len(content))
        mark = content[at : at + 1]
        if mark == open_ones[-1] and wanted in {"key or end", "value or end", "next"}:
            open_ones.pop()
            at += 1
            if not open_ones:
                return at
            wanted = "next"
        elif wanted in {"key", "key or end"}:
            if mark != b'"':
                raise _BrokenError(at)
            at, wanted = _string_end(content, at), "colon"
        elif wanted == "colon":
            if mark != b":":
                raise _BrokenError(at)
            at, wanted = at + 1, "value"
        elif wanted == "next":
            if mark != b",":
                raise _BrokenError(at)
            at, wanted = at + 1, "key" if open_ones[-1] == b"}" else "value"
        elif mark in {b"{", b"["}:
            open_ones.append(b"}" if mark == b"{" else b"]")
            at, wanted = at + 1, "key or end" if mark == b"{" else "value or end"
        else:
            at, wanted = _scalar_end(content, at), "next"


def _string_end(content: bytes, start: int) -> int:
    at = _CHARACTERS.match(content, start + 1).end()  # type: ignore[union-attr]
    if content[at : at + 1] == b'"':
        return at + 1
    raise _BrokenError(at)


def _scalar_end(content: bytes, start: int) -> int:
    if content[start] == ord('"'):
        return _string_end(content, start)
    for word in _WORDS:
        if content.startswith(word, start):
            return start + len(word)
    number = _NUMBER.match(content, start)
    if number is None:
        raise _BrokenError(start)
    return number.end()
