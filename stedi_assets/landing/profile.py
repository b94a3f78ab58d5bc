"""The profile of a raw file by one pass over its bytes: their digest, and counts of lines, quotes and commas.

With the counts ``fast_path`` proves what it reads. Nothing here knows a contract.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import fsspec
import numpy as np

from stedi_assets.landing.decode import BLOCK, HEAD, CutOff, is_plain, text_blocks, too_large, unreadable
from stedi_assets.landing.texts import skip_separators
from stedi_assets.settings import Limits

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LINE_FEED, _QUOTE, _COMMA = b'\n",'
_TRUE, _ALSE = np.frombuffer(b"truealse", "<u4")


@dataclass(frozen=True)
class FileProfile:
    """The digest and the counts of a raw file's bytes, which are not parsed for it.

    Args:
        digest: SHA-256 of the bytes as stored (compressed, if they are).
        size: how many bytes were read.
        lines: line feeds, plus one if the last line lacks its own.
        quotes: how many double quotes there are.
        commas: how many commas there are.
        plain: the file is uncompressed UTF-8 and has nothing that the engine's reader coerces without a count
            that shows it: ``true`` or ``alse`` (of ``false``), which it makes a number of, and vertical tabs
            and form feeds, which it skips around a line.
        long: a line has more bytes than a text may have.
        blank: nothing stands in it but what may stand between objects, so that it has no text.
        beginnings: SHA-256 of its first bytes, by their number, of the numbers that were asked for.
    """

    digest: str
    size: int
    lines: int
    quotes: int
    commas: int
    plain: bool
    long: bool
    blank: bool
    beginnings: Mapping[int, str] = field(default_factory=dict)


def profile_file(
    fs: fsspec.AbstractFileSystem, path: str, limits: Limits | None = None, beginnings: Iterable[int] = ()
) -> FileProfile:
    """The profile of one raw file.

    Args:
        fs: the file system.
        path: the file's path there.
        limits: what of it is read.
        beginnings: numbers of bytes; see ``FileProfile``.

    Raises:
        UnreadableFileError: the store does not give its bytes, or it is larger than it may be.
    """
    limits = limits or Limits()
    digest = _Digest(beginnings)
    size = lines = quotes = commas = 0
    text_as_stored = plain = True
    tail = b""
    line = _LineLength(limits.longest_text)
    start = _Start()
    try:
        with fs.open(path, "rb") as file:
            while block := file.read(BLOCK):
                digest.add(block)
                if not size:
                    text_as_stored = plain = is_plain(block[:HEAD])
                text = np.frombuffer(block, np.uint8)
                lines += int(np.count_nonzero(text == _LINE_FEED))
                quotes += int(np.count_nonzero(text == _QUOTE))
                commas += int(np.count_nonzero(text == _COMMA))
                plain = plain and b"\v" not in block and b"\f" not in block and not _has_literal(tail + block)
                line.add(block)
                start.add(block)
                size += len(block)
                tail = block[-3:]
                if size > limits.largest_file:
                    raise too_large(path, limits.largest_file)
    except OSError as error:
        raise unreadable(path, error) from error
    if size and tail[-1:] != b"\n":
        lines += 1
    blank = start.is_blank if text_as_stored else _is_blank(fs, path, limits)
    return FileProfile(digest.hexdigest(), size, lines, quotes, commas, plain, line.is_long, blank, digest.beginnings)


class _Digest:
    """SHA-256 of a file block by block, and of its beginnings."""

    def __init__(self, beginnings: Iterable[int]) -> None:
        self.beginnings: dict[int, str] = {}
        self._sha256 = hashlib.sha256()
        self._size = 0
        self._wanted = sorted(set(beginnings), reverse=True)

    def add(self, block: bytes) -> None:
        start = self._size
        while self._wanted and self._wanted[-1] <= start + len(block):
            size = self._wanted.pop()
            self._sha256.update(block[self._size - start : size - start])
            self._size = size
            self.beginnings[size] = self._sha256.hexdigest()
        self._sha256.update(block[self._size - start :])
        self._size = start + len(block)

    def hexdigest(self) -> str:
        return self._sha256.hexdigest()


class _LineLength:
    """Whether a line of a file is longer than some bytes, seen block by block."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._length = 0
        self.is_long = False

    def add(self, block: bytes) -> None:
        """Take the next bytes, at most :data:`BLOCK`."""
        first = block.find(b"\n")
        if first < 0:
            self._length += len(block)
            self.is_long = self.is_long or self._length > self._most
            return
        longest = self._length + first
        if self._most < len(block):
            longest = max(longest, *map(len, block.split(b"\n")[1:]))
        self._length = len(block) - 1 - block.rfind(b"\n")
        self.is_long = self.is_long or max(longest, self._length) > self._most


class _Start:
    """The start of a text, block by block: whether anything stands in it but what may stand between objects."""

    def __init__(self) -> None:
        self._rest = b""

    @property
    def is_blank(self) -> bool:
        return not self._rest

    @property
    def may_be_blank(self) -> bool:
        """Whether it is, or may be with what follows: a byte-order mark may go on in the next block."""
        return _BYTE_ORDER_MARK.startswith(self._rest)

    def add(self, block: bytes) -> None:
        if self.may_be_blank:
            text = self._rest + block
            self._rest = text[skip_separators(text, 0) :][: len(_BYTE_ORDER_MARK)]


def _is_blank(fs: fsspec.AbstractFileSystem, path: str, limits: Limits) -> bool:
    """Whether the text of a file is blank, however it is stored; one that is cut off is not."""
    start = _Start()
    try:
        for block in text_blocks(fs, path, largest=limits.largest_file):
            start.add(block)
            if not start.may_be_blank:
                return False
    except CutOff:
        return False
    return start.is_blank


def count_lines(fs: fsspec.AbstractFileSystem, path: str) -> int:
    """The number of lines of a raw file on which more stands than may stand between objects.

    The end that a cut-off file lost is one.

    Args:
        fs: the file system.
        path: the file's path there.

    Raises:
        UnreadableFileError: the store does not give its bytes.
    """
    lines = 0
    line = _Start()
    try:
        for block in text_blocks(fs, path):
            unfinished, *others = block.split(b"\n")
            line.add(unfinished)
            for other in others:
                lines += not line.is_blank
                line = _Start()
                line.add(other)
    except CutOff:
        return lines + 1
    return lines + (not line.is_blank)


def _has_literal(block: bytes) -> bool:
    """Whether ``true`` or ``alse`` stands in it: four bytes at a time, three times as fast as ``in``."""
    for offset in range(min(4, len(block))):
        words = np.frombuffer(block, "<u4", count=(len(block) - offset) // 4, offset=offset)
        if bool(((words == _TRUE) | (words == _ALSE)).any()):
            return True
    return False
