"""The text of a raw file: decompressed, and as UTF-8 whatever it was written in, by its first bytes, not by its name.

What is recognised here is what ingestion, redaction and the search of an erasure can read. What the text means belongs
to ``texts``.
"""

from __future__ import annotations

import bz2
import codecs
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import fsspec
import pyarrow as pa

from stedi_assets.landing.errors import UnreadableFileError
from stedi_assets.settings import in_units

BLOCK = 1 << 20
"""Bytes that are read of a file at once."""

LAYERS = 3
"""Times that a file may be compressed: some stores compress what is compressed already."""

_GZIP = 16 + zlib.MAX_WBITS
_XZ_MEMORY = 128 << 20
"""Bytes that the decompressor of xz may take: twice what its highest level asks for. A file can ask for 4 GiB."""
_MEMBER_BLOCK = 64 << 10
"""Bytes that a decompressor is given at once. It gives back what follows on the end of a member, and where members are
short, that is copied for each of them."""
_ZSTD = b"\x28\xb5\x2f\xfd"
_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", _ZSTD: "zstd"}
_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_ZEROS = {"0101": "utf-16-le", "1010": "utf-16-be"}
HEAD = max(map(len, [*_MAGIC, *_MARKS]))
"""Bytes by which a file is recognised."""


class CutOff(Exception):  # noqa: N818 - a state of the file, which callers turn into a rejected text or an error
    """A compressed stream ends before its end; callers turn it into a rejected text or an ``UnreadableFileError``.

    Remedy: deliver the file again, whole.
    """


class Damaged(Exception):  # noqa: N818 - as above
    """A compressed stream is damaged: what was read of it cannot be trusted, and it becomes an ``UnreadableFileError``.

    Remedy: deliver the file again, whole.
    """


class TooLarge(Exception):  # noqa: N818 - as above
    """A file has more bytes than a raw file may have (``STEDI_LARGEST_FILE``); it becomes an ``UnreadableFileError``.

    Remedy: split the file, or raise the limit.
    """


class _Decompressor(Protocol):
    """The interface that the decompressors of the standard library share."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


def compression_of(head: bytes) -> str | None:
    """The compression of a file: ``gzip``, ``bzip2``, ``xz`` or ``zstd``; none where it has none that is known.

    Args:
        head: its first :data:`HEAD` bytes, or all there are.
    """
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


def encoding_of(head: bytes) -> tuple[str, int]:
    """The encoding of a text, and the length of the byte-order mark at its start.

    Without a mark it is UTF-16 if every other of the first four bytes is zero, and no other one, as in every text that
    starts with two characters of ASCII; else UTF-8.

    Args:
        head: its first :data:`HEAD` bytes, or all there are.
    """
    for mark, name in _MARKS.items():
        if head.startswith(mark):
            return name, len(mark)
    zeros = "".join("0" if byte else "1" for byte in head[:4])
    return _ZEROS.get(zeros, "utf-8"), 0


def is_plain(head: bytes) -> bool:
    """Whether a file is UTF-8 text as it lies there, with or without a mark.

    Args:
        head: its first :data:`HEAD` bytes, or all there are.
    """
    return compression_of(head) is None and encoding_of(head)[0] == "utf-8"


def text_blocks(
    fs: fsspec.AbstractFileSystem, path: str, size: int = BLOCK, largest: int | None = None
) -> Iterator[bytes]:
    """The text of a raw file in blocks of about ``size`` bytes of UTF-8, without its byte-order mark.

    What is no character in its encoding becomes bytes that are no UTF-8, so nothing is lost and nothing is guessed.

    Args:
        fs: the file system.
        path: the file's path there.
        size: bytes per block.
        largest: the bytes that the file may have, as stored and after each decompression; any number by default.

    Raises:
        CutOff: a compressed stream ends before its end; what was read before is right.
        UnreadableFileError: the store does not give the bytes, a compressed stream is damaged, or there are too many.
    """
    try:
        with fs.open(path, "rb") as raw:
            yield from decoded(_blocks(raw, min(size, BLOCK)), size, largest)
    except (OSError, Damaged) as error:
        raise unreadable(path, error) from error
    except TooLarge as error:
        raise too_large(path, largest or 0) from error


def decoded(blocks: Iterable[bytes], size: int = BLOCK, largest: int | None = None) -> Iterator[bytes]:
    """The same of bytes that were read already.

    Raises:
        CutOff: a compressed stream ends before its end.
        Damaged: it is damaged.
        TooLarge: there are more than ``largest`` bytes.
    """
    stream = iter(blocks)
    _, stream = opened(stream, size, largest)
    return stream


@dataclass(frozen=True)
class Form:
    """How a text is stored.

    Args:
        compressions: by which it is compressed, the outermost first.
        encoding: of the text.
        mark: the byte-order mark at its start, if there is one.
    """

    compressions: tuple[str, ...] = ()
    encoding: str = "utf-8"
    mark: bytes = b""


def opened(blocks: Iterable[bytes], size: int = BLOCK, largest: int | None = None) -> tuple[Form, Iterator[bytes]]:
    """How a text is stored, and the text; see :func:`decoded`."""
    stream = _limited(iter(blocks), largest)
    compressions: list[str] = []
    for _ in range(LAYERS):
        head, stream = _peek(stream)
        compression = compression_of(head)
        if compression is None:
            break
        compressions.append(compression)
        # Each layer: a small text may be wrapped in gigabytes of empty members.
        stream = _limited(_decompressed(compression, stream, size), largest)
    head, stream = _peek(stream)
    encoding, length = encoding_of(head)
    stream = _without(length, stream)
    form = Form(tuple(compressions), encoding, head[:length])
    return form, stream if encoding == "utf-8" else _transcoded(encoding, stream)


def unreadable(path: str, error: BaseException) -> UnreadableFileError:
    """The error of a raw file that cannot be read.

    Args:
        path: the file's path.
        error: why.
    """
    why = error.__cause__ or error
    kind = type(why)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    msg = (
        f"Cannot read the raw file {path}: {name}. Expected a readable file of JSON objects, plain or compressed "
        "(gzip, bzip2, xz, zstd). Mend it or move it out of the landing folder, then run the day again; "
        "the table is as it was."
    )
    return UnreadableFileError(msg)


def too_large(path: str, largest: int) -> UnreadableFileError:
    """The error of a raw file that has more bytes than it may have.

    Args:
        path: the file's path.
        largest: the bytes that it may have.
    """
    msg = (
        f"The raw file {path} has, decompressed where it is compressed, more than {in_units(largest)}, and was not "
        "read: that is the largest that STEDI_LARGEST_FILE allows. Deliver it in parts, move it out of the landing "
        "folder or raise the limit, then run the day again; the table is as it was."
    )
    return UnreadableFileError(msg)


def _limited(stream: Iterator[bytes], largest: int | None) -> Iterator[bytes]:
    """A stream that ends with an error where it has more than some bytes."""
    size = 0
    for block in stream:
        size += len(block)
        if largest is not None and size > largest:
            raise TooLarge
        yield block


def _blocks(file: BinaryIO, size: int) -> Iterator[bytes]:
    while block := file.read(size):
        yield block


def _peek(stream: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes of a stream, and the stream with them."""
    start = b""
    for block in stream:
        start += block
        if len(start) >= HEAD:
            break

    def again() -> Iterator[bytes]:
        if start:
            yield start
        yield from stream

    return start[:HEAD], again()


def _without(length: int, stream: Iterator[bytes]) -> Iterator[bytes]:
    for block in stream:
        yield block[length:]
        break
    yield from stream


# ---- compression -----------------------------------------------------------------------------------


def _decompressed(compression: str, blocks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The bytes of a compressed stream of one or more members, as many as can be read of it."""
    if compression == "zstd":
        yield from _zstd(blocks, size)
        return
    make = _DECOMPRESSORS[compression]
    member: _Decompressor | None = None
    members = 0
    rest = b""
    try:
        blocks = _in_parts(blocks, _MEMBER_BLOCK)
        while data := rest or next(blocks, b""):
            rest = b""
            if member is None:
                # Between members only zeros may stand, as tapes and block devices pad them.
                data = data.lstrip(b"\0") if members else data
                if not data:
                    continue
                member = make()
            while True:
                if found := member.decompress(data, size):
                    yield found
                data = b""
                if member.eof or member.needs_input:
                    break
            if member.eof:
                rest, member = member.unused_data, None
                members += 1
    except (OSError, zlib.error, lzma.LZMAError) as error:
        raise Damaged from error
    if member is not None:
        raise CutOff


def _in_parts(blocks: Iterator[bytes], size: int) -> Iterator[bytes]:
    for block in blocks:
        for start in range(0, len(block), size):
            yield block[start : start + size]


class _Gzip:
    """``zlib``'s decompressor of gzip streams with the interface of the others."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(_GZIP)

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._stream.unconsumed_tail

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._stream.decompress(self._stream.unconsumed_tail + data, max_length)


_DECOMPRESSORS: dict[str, Callable[[], _Decompressor]] = {
    "gzip": _Gzip,
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY),
}


class _Reader:
    """A stream of blocks as a file, for what reads files only."""

    closed = False

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = b""

    def read(self, size: int) -> bytes:
        data = self._rest or next(self._blocks, b"")
        data, self._rest = data[:size], data[size:]
        return data

    def readable(self) -> bool:
        return True

    def close(self) -> None: ...


def _zstd(blocks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The same of zstd, which the standard library has from Python 3.14 on, and PyArrow before."""
    reader: Any = _Reader(blocks)
    try:
        with pa.CompressedInputStream(pa.PythonFile(reader, mode="r"), "zstd") as stream:
            while found := stream.read(size):
                yield found
    except OSError as error:
        # PyArrow does not give what it read before the end, so a stream that is cut off is a damaged one.
        raise Damaged from error


# ---- encoding --------------------------------------------------------------------------------------


def _transcoded(encoding: str, blocks: Iterator[bytes]) -> Iterator[bytes]:
    """UTF-16 as UTF-8; a surrogate that is alone, or half a character at the end, as bytes that are no UTF-8."""
    decoder = codecs.getincrementaldecoder(encoding)(errors="surrogatepass")
    for block in blocks:
        yield decoder.decode(block).encode("utf-8", "surrogatepass")
    rest, _ = decoder.getstate()
    if rest:
        yield b"\xff" + rest
