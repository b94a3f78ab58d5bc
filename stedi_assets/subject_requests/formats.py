"""Archives, databases and sealed files, told by their first bytes; and whether bytes are text.

Compressions and encodings are told by ``landing.decode``.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator

from stedi_assets.landing.decode import compression_of

PARQUET, SQLITE, ZIP, SEALED = "parquet", "sqlite", "zip", "sealed"

_MAGIC = {
    b"PAR1": PARQUET,
    b"SQLite format 3\0": SQLITE,
    b"PK\x03\x04": ZIP,
    b"PK\x05\x06": ZIP,
    # Archives that nothing here opens, and what is encrypted and would pass for text.
    b"7z\xbc\xaf\x27\x1c": SEALED,
    b"Rar!\x1a\x07": SEALED,
    b"Salted__": SEALED,
    b"U2FsdGVkX1": SEALED,
    b"-----BEGIN PGP MESSAGE": SEALED,
    b"-----BEGIN AGE ENCRYPTED": SEALED,
    b"age-encryption.org/": SEALED,
    b"$ANSIBLE_VAULT;": SEALED,
}
HEAD = max(map(len, _MAGIC))
"""Bytes by which a format is recognised."""

_MOST_ODD = 20
"""One of so many characters may be none, as in a text of another encoding: an accented letter of Latin-1, say."""

# Of characters that are not ASCII: bytes that are no UTF-8, controls, halves of a pair, private use.
_ODD = re.compile("[\x80-\x9f\ud800-\udfff\ue000-\uf8ff]")


def format_of(head: bytes) -> str | None:
    """The format of a file: ``parquet``, ``sqlite``, ``zip``, ``sealed`` (nothing here can open it), or none of these.

    Args:
        head: its first :data:`HEAD` bytes, or all there are.
    """
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


class TextSigns:
    """The signs by which a stream of decoded bytes is text, or is not.

    Text has no zero bytes, is UTF-8 with few exceptions, and is neither compressed nor encrypted.
    """

    def __init__(self) -> None:
        self._head = b""
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._characters = self._odd = 0
        self._has_zeros = False

    def watch(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """The same blocks, looked at as they pass.

        Args:
            blocks: of the file.
        """
        for block in blocks:
            self.see(block)
            yield block

    def see(self, block: bytes) -> None:
        """Take the next bytes.

        Args:
            block: the bytes.
        """
        if len(self._head) < HEAD:
            self._head += block[: HEAD - len(self._head)]
        self._has_zeros = self._has_zeros or b"\0" in block
        if block.isascii() and not self._decoder.getstate()[0]:
            self._characters += len(block)
            return
        text = self._decoder.decode(block)
        self._characters += len(text)
        self._odd += len(_ODD.findall(text))

    @property
    def is_text(self) -> bool:
        """Whether what was seen is text."""
        return (
            not self._has_zeros
            and self._odd * _MOST_ODD <= self._characters
            and format_of(self._head) is None
            and compression_of(self._head) is None
        )
