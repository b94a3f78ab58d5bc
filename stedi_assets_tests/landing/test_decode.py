"""Decoding: a file's text is the same however it is compressed and encoded, and what is damaged is told."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedi_assets.landing.decode import CutOff, Damaged, decoded, is_plain, opened, text_blocks
from stedi_assets.landing.errors import UnreadableFileError
from stedi_assets.landing.profile import count_lines

FS = fsspec.filesystem("file")
TEXT = "".join(f'{{"line":{n * 7919 % 1009},"é":"\U0001f600"}}\n' for n in range(200))


def zstd(content: bytes) -> bytes:
    packed: bytes = pa.compress(content, "zstd", asbytes=True)
    return packed


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd,
    "gzip in bzip2": lambda content: bz2.compress(gzip.compress(content)),
    "three times": lambda content: gzip.compress(zstd(lzma.compress(content))),
}
ENCODED: dict[str, Callable[[str], bytes]] = {
    "utf-8": str.encode,
    "utf-8 with a mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "utf-16 le": lambda text: text.encode("utf-16-le"),
    "utf-16 be": lambda text: text.encode("utf-16-be"),
    "utf-16 le with a mark": lambda text: b"\xff\xfe" + text.encode("utf-16-le"),
    "utf-16 be with a mark": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
}


def read(content: bytes, size: int = 1000) -> bytes:
    return b"".join(decoded((content[start : start + size] for start in range(0, len(content), size)), size))


@pytest.mark.parametrize("encoding", ENCODED)
@pytest.mark.parametrize("compression", PACKED)
def test_every_form_has_the_same_text(compression: str, encoding: str) -> None:
    content = PACKED[compression](ENCODED[encoding](TEXT))
    for size in (1, 7, 1 << 20):
        assert read(content, size) == TEXT.encode()
    form, _ = opened([content])
    assert len(form.compressions) == {"plain": 0, "gzip in bzip2": 2, "three times": 3}.get(compression, 1)
    assert form.encoding.startswith(encoding[:5])
    assert bool(form.mark) == ("mark" in encoding)
    assert is_plain(content[:6]) == (compression == "plain" and encoding.startswith("utf-8"))


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "xz", "zstd"])
def test_several_members_are_one_text(compression: str) -> None:
    pack = PACKED[compression]
    assert read(pack(b"a\nb") + pack(b"c\n")) == b"a\nbc\n"


def test_gzip_may_be_padded_with_zeros() -> None:
    assert read(gzip.compress(b"a") + b"\0" * 3000 + gzip.compress(b"b") + b"\0" * 3000) == b"ab"


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "xz"])
def test_wherever_a_stream_is_cut_what_is_read_is_right(compression: str) -> None:
    packed = PACKED[compression](TEXT.encode())
    for length in range(7, len(packed), 5):
        parts: list[bytes] = []
        with pytest.raises(CutOff):
            parts.extend(decoded([packed[:length]]))
        assert TEXT.encode().startswith(b"".join(parts))


def test_a_stream_that_is_damaged_is_not_trusted() -> None:
    for pack in (gzip.compress, bz2.compress, lzma.compress):
        packed = bytearray(pack(TEXT.encode()))
        packed[len(packed) // 2] ^= 255
        with pytest.raises(Damaged):
            read(bytes(packed))
    for content in (zstd(TEXT.encode())[:-1], gzip.compress(b"a\n") + b"more", gzip.compress(b"a")[:-8] + b"\0" * 8):
        with pytest.raises(Damaged):
            read(content)


def test_what_is_no_character_stays_and_is_no_utf_8() -> None:
    lone = '{"a":"'.encode("utf-16-le") + b"\x00\xd8" + '"}'.encode("utf-16-le")
    assert read(lone) == b'{"a":"\xed\xa0\x80"}'
    assert read("ab".encode("utf-16-le") + b"c") == b"ab\xffc"
    assert read(b"a\xff") == b"a\xff"


@given(st.binary(max_size=40))
def test_any_bytes_are_text_or_damaged(content: bytes) -> None:
    try:
        found = read(content)
    except (CutOff, Damaged):
        return
    if is_plain(content[:6]):
        assert found == content.removeprefix(b"\xef\xbb\xbf")


def test_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(gzip.compress(b"a\n") + b"more")
    for work in (lambda: list(text_blocks(FS, str(path))), lambda: count_lines(FS, str(path))):
        with pytest.raises(UnreadableFileError, match=r"a\.json: zlib\.error\. Expected a readable file"):
            work()
    with pytest.raises(UnreadableFileError, match="gone"):
        list(text_blocks(FS, str(tmp_path / "gone")))


def test_the_end_that_a_file_lost_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    packed = gzip.compress(b"a\n\n b\n" + TEXT.encode())
    path.write_bytes(packed)
    assert count_lines(FS, str(path)) == 202
    path.write_bytes(gzip.compress(b"")[:-1])
    assert count_lines(FS, str(path)) == 1
