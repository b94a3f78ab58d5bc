"""The forms in which the same lines may be delivered: other sequences of objects, encodings and compressions.

Here: a file's bytes from its lines.  Not here: whose lines they are (`faults`).
"""

from __future__ import annotations

import bz2
import json
import lzma
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import pyarrow as pa


class Form(NamedTuple):
    """A form of a file: how its name ends, and its bytes, made of lines that end in a line feed."""

    suffix: str
    encode: Callable[[Sequence[str]], bytes]


def _objects(lines: Sequence[str]) -> list[str]:
    return [line.removesuffix("\n") for line in lines]


def _concatenated(lines: Sequence[str]) -> bytes:
    return "".join(_objects(lines)).encode()


def _array(lines: Sequence[str]) -> bytes:
    return f"[{','.join(_objects(lines))}]".encode()


def _array_of_lines(lines: Sequence[str]) -> bytes:
    return ("[\n" + ",\n".join(_objects(lines)) + ",\n]\n").encode()


def _pretty(lines: Sequence[str]) -> bytes:
    return "".join(json.dumps(json.loads(line), indent=2) + "\n" for line in lines).encode()


def _record_separated(lines: Sequence[str]) -> bytes:
    return "".join(f"\x1e{line}" for line in lines).encode()


def _lower_case(lines: Sequence[str]) -> bytes:
    objects = ({key.lower(): value for key, value in json.loads(line).items()} for line in lines)
    return "".join(json.dumps(one) + "\n" for one in objects).encode()


def _zstd(content: bytes) -> bytes:
    packed: bytes = pa.compress(content, "zstd", asbytes=True)
    return packed


FORMS: Final[dict[str, Form]] = {
    "concatenated": Form("", _concatenated),
    "array": Form(".json", _array),
    "array of lines": Form(".json", _array_of_lines),
    "pretty-printed": Form(".JSON", _pretty),
    "record separators": Form(".jsonl", _record_separated),
    "lower-case keys": Form(".ndjson", _lower_case),
    "utf-16": Form(".json", lambda lines: b"\xff\xfe" + "".join(lines).encode("utf-16-le")),
    "bzip2": Form(".bz2", lambda lines: bz2.compress("".join(lines).encode())),
    "xz": Form(".json", lambda lines: lzma.compress("".join(lines).encode())),
    "zstd": Form(".zst", lambda lines: _zstd("".join(lines).encode())),
}
"""Every form by its name, but for the usual one: objects on lines, in UTF-8, plain or in gzip."""
