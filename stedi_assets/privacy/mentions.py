"""The names that stand in a text that is no record: whom a rejected text may speak of.

What may be a name is found here, in any text; whose name it is, is asked of the tables (``transforms.doubts``) or of
the tombstones (``suppression``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from stedi_assets.contracts import Identifier
from stedi_assets.contracts import table as contract
from stedi_assets.contracts.names import normalize
from stedi_assets.contracts.render import arrow_schema
from stedi_assets.transforms.doubt import PLACE

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"?')
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))")
_BARE = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
# What surrounds an address in prose, in URLs and in JSON is not the same, so it is cut out in several ways.
_E_MAILS = (
    re.compile(r"[^\s\"'<>(){}\[\],;:\\]+@[^\s\"'<>(){}\[\],;:\\]+"),
    re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]+@[\w.-]+"),
    re.compile(r"[\w.%+-]+@[\w.-]+"),
)
_WORD = re.compile(r"[\w-]+")
_UNFOLDED = 3
"""Times that a text is freed of escapes: JSON may stand in a text of JSON."""
_BATCH = 10_000
"""Texts whose words are in memory at once."""


def values_in(text: str) -> Iterator[str]:
    """The possible values in a text that is not a record of a table: quoted texts, e-mails and words.

    Args:
        text: the text.

    Yields:
        Each normalised value once.
    """
    yielded = set()
    for form in _forms(text):
        quoted = (_ESCAPE.sub(_unescaped, found) for found in _QUOTED.findall(form))
        addresses = (found for pattern in _E_MAILS for found in pattern.findall(form))
        for found in (*quoted, *addresses, *_WORD.findall(form)):
            for value in (normalize(found), normalize(found).strip(".")):
                if value and value not in yielded:
                    yielded.add(value)
                    yield value


def has_address(text: str) -> bool:
    """Whether what looks like an e-mail address stands in a text."""
    return any(_E_MAILS[0].search(form) for form in _forms(text))


def mentions(texts: pa.Table, known: pa.Array | pa.ChunkedArray) -> pa.Table:
    """Whom texts may speak of.

    A text speaks of every customer whose e-mail stands in it, and, where no address stands in it, of every one who
    claims a serial number in it.

    Args:
        texts: ``line``, and where each text landed (``transforms.doubt.PLACE``).
        known: the e-mails and serial numbers of customers, normalised: no other word of a text is kept.

    Returns:
        ``by``, ``name`` and the place of each text; see ``transforms.doubts``.
    """
    place = arrow_schema(contract("landing_quarantine"))
    schema = pa.schema([("by", pa.string()), ("name", pa.string()), *(place.field(name) for name in PLACE)])
    found = [_mentions(texts.slice(at, _BATCH), known, schema) for at in range(0, texts.num_rows, _BATCH)]
    return pa.concat_tables(found) if found else schema.empty_table()


def _mentions(texts: pa.Table, known: pa.Array | pa.ChunkedArray, schema: pa.Schema) -> pa.Table:
    at: list[int] = []
    kinds: list[str] = []
    names: list[str] = []
    for number, line in enumerate(texts["line"].to_pylist()):
        values = list(values_in(line))
        for kind in [Identifier.EMAIL] if has_address(line) else [Identifier.EMAIL, Identifier.DEVICE]:
            at += [number] * len(values)
            kinds += [kind.value] * len(values)
            names += values
    words = pa.table(
        {"at": pa.array(at, pa.int64()), "by": pa.array(kinds, pa.string()), "name": pa.array(names, pa.string())}
    )
    words = words.filter(pc.is_in(words["name"], value_set=known))
    places = texts.select(PLACE).take(words["at"])
    return pa.table([words["by"], words["name"], *places.columns], schema=schema)


def _forms(text: str) -> Iterator[str]:
    """A text as it is, without its escapes, and without the zero bytes of UTF-16 that stands in UTF-8."""
    seen = set()
    for form in (text, text.replace("\0", "").replace("\\x00", "")):
        current = form
        for _ in range(_UNFOLDED):
            if current in seen:
                break
            seen.add(current)
            yield current
            current = _ESCAPE.sub(_unescaped, current)


def _unescaped(match: re.Match[str]) -> str:
    digits, byte, character = match.groups()
    if digits or byte:
        return chr(int(digits or byte, 16))
    return _BARE.get(character, character)
