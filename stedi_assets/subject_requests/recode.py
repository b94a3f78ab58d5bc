"""Writing a text back in the form in which it was stored: its compressions, its encoding, its byte-order mark."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
from collections.abc import Callable
from typing import Any, BinaryIO, Protocol

import pyarrow as pa

from stedi_assets.landing.decode import HEAD, Form, compression_of, encoding_of


class _Target(Protocol):
    def write(self, data: bytes, /) -> object: ...

    def close(self) -> None: ...


class TextWriter:
    """Writes UTF-8 text in a form, so that ``landing.decode.opened`` gives the same text and the same form.

    Args:
        raw: where the stored bytes go; it stays open.
        form: how they are stored.
    """

    def __init__(self, raw: BinaryIO, form: Form) -> None:
        self._form = form
        self._layers: list[_Target] = []
        self._raw = _Held(raw)
        target: _Target = self._raw
        for compression in form.compressions:
            target = _COMPRESSORS[compression](target)
            self._layers.append(target)
        self._target = target
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogatepass")
        self._head = b""
        self._head_is_due = True
        self._is_even = True
        target.write(form.mark)

    def write(self, text: bytes) -> None:
        """Write some of the text.

        Args:
            text: as ``landing.decode.opened`` gives it.
        """
        data = self._encoded(text)
        if not self._head_is_due:
            self._target.write(data)
            return
        self._head += data
        if len(self._head) >= HEAD:
            self._write_head()

    def close(self, *, is_whole: bool = True) -> None:
        """Write what is left, and the ends of the compressed streams.

        Args:
            is_whole: whether the text is. Else the last byte of a compressed stream is left out: all of the text can be
                read, and whoever reads it is told that it was cut off.
        """
        if self._head_is_due:
            self._write_head()
        for layer in reversed(self._layers):
            layer.close()
        if is_whole:
            self._raw.close()

    def _write_head(self) -> None:
        """The first bytes. Two spaces go before them where they would be taken for another form.

        Only text that lost its beginning can look so, and two characters of ASCII tell UTF-16.
        """
        head = self._form.mark + self._head
        if self._head and (compression_of(head) or encoding_of(head) != (self._form.encoding, len(self._form.mark))):
            self._target.write("  ".encode(self._form.encoding))
        self._target.write(self._head)
        self._head_is_due = False

    def _encoded(self, text: bytes) -> bytes:
        if self._form.encoding == "utf-8":
            return text
        # Half a character at the end of UTF-16 stands after a byte that no UTF-8 has.
        whole, found, half = text.partition(b"\xff") if self._is_even else (b"", b"", text)
        self._is_even = self._is_even and not found
        return self._decoder.decode(whole).encode(self._form.encoding, "surrogatepass") + half


class _Held:
    """A file whose last byte is written when it is closed."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._last = b""

    def write(self, data: bytes) -> int:
        held = self._last + bytes(data)
        self._target.write(held[:-1])
        self._last = held[-1:]
        return len(data)

    def close(self) -> None:
        self._target.write(self._last)

    def flush(self) -> None: ...


class _Zstd:
    """PyArrow's compressor of zstd, which would close the file that it writes to."""

    def __init__(self, target: _Target) -> None:
        self._file = _Open(target)
        self._stream: Any = pa.CompressedOutputStream(pa.PythonFile(self._file, mode="w"), "zstd")

    def write(self, data: bytes) -> None:
        self._stream.write(data)

    def close(self) -> None:
        self._stream.close()


class _Open:
    """A file that stays open when it is closed."""

    closed = False

    def __init__(self, target: _Target) -> None:
        self._target = target

    def write(self, data: bytes) -> int:
        self._target.write(bytes(data))
        return len(data)

    def writable(self) -> bool:
        return True

    def flush(self) -> None: ...

    def close(self) -> None: ...


def _gzip(target: Any) -> _Target:
    # The time in the header would make equal content differ.
    return gzip.GzipFile(filename="", mode="wb", fileobj=target, mtime=0)


def _bzip2(target: Any) -> _Target:
    return bz2.BZ2File(target, "wb")


def _xz(target: Any) -> _Target:
    return lzma.LZMAFile(target, "wb", format=lzma.FORMAT_XZ)


_COMPRESSORS: dict[str, Callable[[Any], _Target]] = {"gzip": _gzip, "bzip2": _bzip2, "xz": _xz, "zstd": _Zstd}
