r"""Redaction of text: the objects of data subjects are found in it, and lose their bytes.

Of an object its line feeds stay, so that every other text keeps its line. Every other byte stays. What remains must be
read as it was before, so in two cases a mark is left where the object was:

* A record separator (``\x1e``), where the text before is an object that breaks: it ended at the brace of the one that
  goes, and would go on into what follows. No object can go over a record separator.
* Braces (``{}``), where the object stands within one that is whole.

A rejected text may hold several people. Its innermost objects that name a data subject go; only where the rest of it
still names one, the whole text does.

A text that is longer than the longest one is never in memory as a whole. It is looked at in stretches, as if each were
a rejected text, and what goes of it becomes spaces, so that it stays too long: shorter, it would be read as a record.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt

from stedi_assets.contracts import Table
from stedi_assets.contracts.line import Rejected, validate_line
from stedi_assets.engines.base import Engine
from stedi_assets.landing.decode import CutOff
from stedi_assets.landing.parse import Segments, TextParser, bytes_needed
from stedi_assets.landing.texts import LONGEST, TOO_LONG, Text, next_text
from stedi_assets.subject_requests.matching import Subjects

_FLAT = re.compile(rb"\{[^{}]*\}")
_BREAK = b"\x1e"
_BRACES = b"{}"
_STRETCH = 64 << 10
"""Bytes of a text that is too long that are looked at at once."""
_ENDS_STRETCH = (b"}", b"\n", b",", b" ")
"""Where a stretch may end, no further than half of it from its longest end; the first of them that is there."""
_LOOKAHEAD = 64 << 10
"""Bytes behind a text in which it is seen whether the text still ends where it did."""


@dataclass(frozen=True)
class RawFile:
    """A raw file, dated or not.

    Args:
        table: the landing table that it is meant for.
        path: below the landing root.
        landing_date: the day it landed; today's where it has none that the lake takes.
        is_data: whether its name says that it is whole; see ``landing.files.is_data``.
    """

    table: Table
    path: str
    landing_date: date
    is_data: bool = True


@dataclass(frozen=True)
class Piece:
    """A piece of a redacted text.

    Args:
        kept: what is left of it.
        removed: the data subjects' objects, as they were.
    """

    kept: bytes
    removed: Sequence[bytes] = ()


@dataclass(frozen=True)
class _Cut:
    """A stretch that goes, and what stays in its place besides its line feeds."""

    start: int
    end: int
    mark: bytes


class TextFilter:
    """A filter that tells the texts of data subjects from all others.

    Args:
        subjects: whose texts are found.
        engine: parses the texts that look good.
        longest: the bytes that a text may have.
    """

    def __init__(self, subjects: Subjects, engine: Engine, longest: int = LONGEST) -> None:
        self._longest = longest
        self._suppression = subjects.in_raw_files
        self._engine = engine
        self._hints = [hint.encode() for hint in subjects.hints if hint.isascii()]
        self._overlap = max(map(len, self._hints), default=1) - 1

    def may_match(self, blocks: Iterable[bytes]) -> bool:
        """Whether text may hold anything of the data subjects; far faster than to find it.

        Args:
            blocks: the text.

        Raises:
            CutOff: it ends before its end, and what there is of it does not.
        """
        tail = b""
        for block in blocks:
            text = tail + block
            if self._has_sign(text):
                return True
            tail = text[len(text) - self._overlap :] if self._overlap else b""
        return False

    def redacted(self, blocks: Iterable[bytes], file: RawFile) -> Iterator[Piece]:
        """Redact a text.

        Args:
            blocks: the text.
            file: the raw file that it is stored in.

        Yields:
            It, piece by piece.

        Raises:
            CutOff: it ends before its end; what there is of it was yielded.
        """
        parser = TextParser(self._engine, file.table, file.landing_date, self._longest)
        stream = iter(blocks)
        rest, needed, is_open, is_within, final = b"", 0, False, False, False
        cut_off: CutOff | None = None
        while not final:
            try:
                block = next(stream, b"")
            except CutOff as error:
                block, cut_off = b"", error
            rest, final = rest + block, not block
            more = final or len(rest) >= needed
            while more:
                found = parser.segments(rest, final=final, is_within=is_within)
                piece, is_open = self._redact(rest, found, file, is_open=is_open, final=final)
                yield piece
                rest, more, is_within = rest[found.read :], found.more, found.is_within
            needed = bytes_needed(rest, self._longest)
        yield Piece(rest)
        if cut_off:
            raise cut_off

    def _has_sign(self, text: bytes) -> bool:
        # One of the hints stands in every text of theirs, unless it is spelt with escapes, in letters whose lower case
        # bytes do not show, or with the zero bytes of UTF-16.
        if not text.isascii() or b"\\" in text or b"\0" in text:
            return True
        lower = text.lower()
        return any(hint in lower for hint in self._hints)

    def _with_sign(
        self, text: bytes, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """Which stretches of some bytes, one after the other, have what makes a text one that may match."""
        if not len(starts):
            return starts
        found = np.frombuffer(text, np.uint8)
        has_sign = np.zeros(len(text) + 1, bool)
        has_sign[:-1] = (found >= 0x80) | (found == ord("\\")) | (found == 0)
        lower = text.lower()
        for hint in self._hints:
            for match in re.finditer(re.escape(hint), lower):
                has_sign[match.start()] = True
        # Of each stretch, and of what lies between two of them, whether there is one.
        return np.flatnonzero(np.logical_or.reduceat(has_sign, np.stack((starts, ends), axis=1).ravel())[::2])

    def _redact(
        self, buffer: bytes, found: Segments, file: RawFile, *, is_open: bool, final: bool
    ) -> tuple[Piece, bool]:
        """Redact what was read of a buffer.

        Args:
            buffer: it begins between two texts.
            found: the texts in it.
            file: the raw file.
            is_open: whether the text before the buffer is an object that breaks.
            final: nothing follows.

        Returns:
            What is left; and whether the last text is an object that breaks.
        """
        parts = [text for text in found.texts if text.reason == TOO_LONG]
        texts = [text for text in found.texts if text.reason != TOO_LONG]
        starts = np.concatenate((found.starts, np.array([text.start for text in texts], np.int64)))
        ends = np.concatenate((found.ends, np.array([text.end for text in texts], np.int64)))
        order = np.argsort(starts, kind="stable")
        starts, ends = starts[order], ends[order]
        by_start = {text.start: text for text in texts}

        def breaks(index: int) -> bool:
            """Whether a text, as it was, is an object that breaks."""
            if index < 0:
                return is_open
            text = by_start.get(int(starts[index]))
            return text is not None and text.pairs is None and buffer[text.start] == ord("{")

        cuts = [cut for part in parts for cut in self._cuts_of_part(buffer, part)]
        broken_after: dict[int, bool] = {}
        for index in self._with_sign(buffer[: found.read], starts, ends).tolist():
            before = broken_after.get(index - 1, breaks(index - 1)) if index else is_open
            text = by_start.get(int(starts[index]))
            own, broken = self._cuts(buffer, int(starts[index]), int(ends[index]), text, file, before, final)
            cuts += own
            if own:
                broken_after[index] = broken
        last = len(starts) - 1
        piece = _without(buffer[: found.read], sorted(cuts, key=lambda cut: cut.start))
        if parts and (last < 0 or parts[-1].start > starts[last]):
            return piece, False  # It goes to the end of a line, whatever stands in it.
        return piece, broken_after.get(last, breaks(last)) if last >= 0 else is_open

    def _cuts(
        self, buffer: bytes, start: int, end: int, text: Text | None, file: RawFile, is_open: bool, final: bool
    ) -> tuple[list[_Cut], bool]:
        """What goes of a text, and whether what is left before the next one is an object that breaks."""
        written = buffer[start:end]
        if not self._is_theirs(written, file):
            return [], False
        left_of_it = b""
        if text is not None and self._is_rejected(written, file):
            left_of_it = self._suppression.left_of_rejected(written.decode("utf-8", "backslashreplace")).encode()
            inner = [_Cut(*match.span(), b"") for match in _FLAT.finditer(written) if self._is_named(match[0])]
            for mark in (_BRACES, _BREAK):
                marked = [_Cut(cut.start, cut.end, mark) for cut in inner]
                left = _without(written, marked).kept
                if not inner or inner[0].end - inner[0].start == len(written) or self._is_theirs(left, file):
                    break
                if mark == _BREAK or _ends_alike(left, buffer, text, final=final):
                    is_broken = mark == _BRACES and text.pairs is None
                    return [_Cut(start + cut.start, start + cut.end, mark) for cut in marked], is_broken
        return [_Cut(start, end, (_BREAK if is_open else b"") + left_of_it)], False

    def _cuts_of_part(self, buffer: bytes, part: Text) -> Iterator[_Cut]:
        """What goes of the part of a text that is too long; as many bytes stay in its place."""
        at = part.start
        while at < part.end:
            start, at = at, _end_of_stretch(buffer, at, part.end)
            written = buffer[start:at]
            # Of nothing but zero bytes, a sign would be in every stretch.
            if not self._has_sign(written.replace(b"\0", b"")) or not self._is_named(written):
                continue
            inner = [_Cut(*match.span(), b"") for match in _FLAT.finditer(written) if self._is_named(match[0])]
            marked = [_Cut(cut.start, cut.end, _padded(_BRACES, written[cut.start : cut.end])) for cut in inner]
            if not inner or self._is_named(_without(written, marked).kept):
                left = self._suppression.left_of_rejected(written.decode("utf-8", "backslashreplace")).encode()
                marked = [_Cut(0, len(written), _padded(left, written))]
            yield from (_Cut(start + cut.start, start + cut.end, cut.mark) for cut in marked)

    def _is_theirs(self, text: bytes, file: RawFile) -> bool:
        return self._has_sign(text) and self._suppression.of_line(file.table, text, file.landing_date) is not None

    def _is_named(self, text: bytes) -> bool:
        return self._suppression.of_rejected(text.decode("utf-8", "backslashreplace")) is not None

    @staticmethod
    def _is_rejected(text: bytes, file: RawFile) -> bool:
        source = file.table.source
        return source is None or isinstance(validate_line(text, source, file.landing_date), Rejected)


def _end_of_stretch(buffer: bytes, start: int, end: int) -> int:
    """Where a stretch of a text ends that begins at a position: where no object or name is cut, if it can be seen."""
    if end - start <= _STRETCH:
        return end
    longest = start + _STRETCH
    found = (buffer.rfind(mark, longest - _STRETCH // 2, longest) + 1 for mark in _ENDS_STRETCH)
    return next((at for at in found if at), longest)


def _padded(mark: bytes, gone: bytes) -> bytes:
    """A mark that takes as many bytes as what it stands for, but for the line feeds of that."""
    return mark.ljust(len(gone) - gone.count(b"\n"))


def _ends_alike(left: bytes, buffer: bytes, text: Text, *, final: bool) -> bool:
    """Whether what is left of a text ends where the text did."""
    following = buffer[text.end : text.end + _LOOKAHEAD]
    is_all = final and text.end + _LOOKAHEAD >= len(buffer)
    now = next_text(left + following, 0, final=is_all, longest=len(left) + _LOOKAHEAD)
    return now is not None and now.next - len(left) == text.next - text.end


def _without(buffer: bytes, cuts: Sequence[_Cut]) -> Piece:
    """A buffer without some stretches of it, in order."""
    if not cuts:
        return Piece(buffer)
    kept, removed, at = [], [], 0
    for cut in cuts:
        gone = buffer[cut.start : cut.end]
        kept += [buffer[at : cut.start], cut.mark, b"\n" * gone.count(b"\n")]
        removed.append(gone)
        at = cut.end
    kept.append(buffer[at:])
    return Piece(b"".join(kept), removed)
