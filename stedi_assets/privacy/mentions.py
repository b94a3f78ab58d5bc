"""The names that stand in a text that is no record: whom a rejected text may speak of.

What may be a name is found here, in any text; whose name it is, is asked of the tables (``transforms.doubts``) or of
the tombstones (``suppression``).
"""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from stedi_assets.contracts import Identifier
from stedi_assets.contracts import table as contract
from stedi_assets.contracts.names import as_unicode, normalize
from stedi_assets.contracts.render import arrow_schema
from stedi_assets.transforms.doubt import PLACE

# A pattern that repeats a group keeps every turn of it in memory, so this one turns no more than a thousand times.
_WITHIN_QUOTES = re.compile(r'(?:[^"\\]+|\\.){1,1000}')
_COLON = re.compile(r"\s*:")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))")
_BARE = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
# What surrounds an address in prose, in URLs and in JSON is not the same, so it is cut out in several ways. Patterns
# run once over what stands between two @s: one that looks for the @ itself takes time that grows with the square.
_TOKEN = re.compile(r"[^\s\"'<>(){}\[\],;:\\]+")
_BEFORE_AT = (re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]+"), re.compile(r"[\w.%+-]+"))
_WITH_APOSTROPHES = re.compile(r"[\w.%+'-]+")
_AFTER_AT = re.compile(r"[\w.-]+")
_WORD = re.compile(r"[\w-]+")
_UNFOLDED = 3
"""Times that a text is freed of escapes: JSON may stand in a text of JSON."""
_MOST_UNFOLDED = 30
"""Times after which a text that still has escapes is a hostile one: each time takes as long as the text is."""
_BATCH = 10_000
"""Texts that are looked through at once."""
_MOST_WORDS = 100_000
"""Words of texts that are in memory at once, but for those of the text that is looked through."""


def addresses_in(text: str, without: Callable[[str], bool]) -> list[str]:
    """What looks like an e-mail in a text that is not a record of a table, each as narrowly as it can be cut out.

    Args:
        text: the text.
        without: says which normalised values are left out, with all that looks like an e-mail within them.
    """
    for _ in range(_MOST_UNFOLDED):
        plain, text = text, unquote(html.unescape(_without_escapes(text.replace("\0", ""))))
        if plain == text:
            break
    else:
        return []  # Half freed of escapes, a name that is left out would be taken for another.
    for value in sorted({normalize(one) for one in _addresses(plain)}, key=len, reverse=True):
        if without(value):
            # As a whole address: jo-ann@example.com is somebody else's than ann@example.com.
            name = re.escape(value)
            alone = rf"(?<![\w.%+-])(?:(?<!\w'){name}|{name}(?='))(?![\w-]|\.\w)"
            plain = re.sub(alone, " ", plain, flags=re.IGNORECASE)
    found: dict[str, None] = {}
    for before, after in pairwise(plain.split("@")):
        mailbox, host = _BEFORE_AT[-1].match(before[::-1]), _AFTER_AT.match(after)
        if mailbox and host:
            name = mailbox[0][::-1]
            whole = _WITH_APOSTROPHES.match(before[::-1])
            if whole and _is_in_name(before, len(before) - len(name), after[host.end() : host.end() + 1]):
                name = whole[0][::-1].strip("'")
            found[normalize(f"{name}@{host[0]}").strip(".")] = None
    return [one for one in found if not without(one)]


def values_in(text: str) -> Iterator[str]:
    """The possible values in a text that is not a record of a table: quoted texts, e-mails and words.

    Args:
        text: the text.

    Yields:
        Each normalised value once.
    """
    yielded = set()
    for form in _forms(text):
        quoted = map(_without_escapes, _distinct(form[start:end] for start, end in _quoted(form)))
        words = _distinct(word[0] for word in _WORD.finditer(form))
        for found in itertools.chain(quoted, _addresses(form), words):
            for value in (normalize(found), normalize(found).strip(".")):
                if value and value not in yielded:
                    yielded.add(value)
                    yield value


def _distinct(values: Iterable[str]) -> Iterator[str]:
    """Each of some values once: most texts repeat their words, and what is done with each takes far longer."""
    seen = set()
    for value in values:
        if value not in seen:
            seen.add(value)
            yield value


def _addresses(form: str) -> Iterator[str]:
    """What looks like an e-mail, cut out in each of several ways."""
    if "@" not in form:
        return
    for token in _TOKEN.finditer(form):
        if "@" in token[0] and not _is_in_name(form, token.start(), form[token.end() : token.end() + 1]):
            yield token[0]
    pieces = form.split("@")
    for before, after in pairwise(pieces):
        host = _AFTER_AT.match(after)
        backwards = before[::-1]
        for pattern in _BEFORE_AT:
            mailbox = pattern.match(backwards)
            start = len(before) - mailbox.end() if mailbox else 0
            if mailbox and host and not _is_in_name(before, start, after[host.end() : host.end() + 1]):
                yield f"{mailbox[0][::-1]}@{host[0]}"


def _is_in_name(text: str, start: int, following: str) -> bool:
    """Whether what starts in a text goes on before an apostrophe that is none of a pair: ``brien`` in ``o'brien``."""
    return start > 1 and text[start - 1] == "'" and text[start - 2].isalnum() and following != "'"


def has_address(text: str) -> bool:
    """Whether what looks like an e-mail address stands in a text."""
    return any("@" in token[0].strip("@") for form in _forms(text) for token in _TOKEN.finditer(form))


def fields_in(text: str) -> Iterator[str]:
    """The quoted texts in a text that are no keys, normalised."""
    for form in _forms(text):
        for start, end in _quoted(form):
            if not _COLON.match(form, end + form.startswith('"', end)):
                yield normalize(_without_escapes(form[start:end]))


def _quoted(form: str) -> Iterator[tuple[int, int]]:
    """Where the quoted texts of a text begin and end, without their quotes; the last may lack its own."""
    start = form.find('"') + 1
    while start:
        end = start
        while part := _WITHIN_QUOTES.match(form, end):
            end = part.end()
        yield start, end
        start = form.find('"', end + form.startswith('"', end)) + 1


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
    words = pa.schema([("at", pa.int64()), ("by", pa.string()), ("name", pa.string())])
    found = [words.empty_table()]
    rows: list[tuple[int, str, str]] = []

    def keep_known() -> None:
        columns = zip(*rows, strict=True) if rows else ([], [], [])
        table = pa.table([list(column) for column in columns], schema=words)
        found.append(table.filter(pc.is_in(table["name"], value_set=known)))
        rows.clear()

    for number, line in enumerate(texts["line"]):
        text = line.as_py()
        kinds = [Identifier.EMAIL] if has_address(text) else [Identifier.EMAIL, Identifier.DEVICE]
        for value in values_in(text):
            rows += [(number, kind.value, value) for kind in kinds]
            if len(rows) >= _MOST_WORDS:
                keep_known()
    keep_known()
    mentioned = pa.concat_tables(found)
    places = texts.select(PLACE).take(mentioned["at"])
    return pa.table([mentioned["by"], mentioned["name"], *places.columns], schema=schema)


def _forms(text: str) -> Iterator[str]:
    """A text as it is, without its escapes, the zero bytes of UTF-16 in UTF-8, and what HTML and URLs escape."""
    seen = set()
    for form in (text, text.replace("\0", "").replace("\\x00", ""), html.unescape(text), unquote(text)):
        current = form
        for _ in range(_UNFOLDED):
            if current in seen:
                break
            seen.add(current)
            yield current
            current = _without_escapes(current)


def _without_escapes(text: str) -> str:
    return as_unicode(_ESCAPE.sub(_unescaped, text))


def _unescaped(match: re.Match[str]) -> str:
    digits, byte, character = match.groups()
    if digits or byte:
        return chr(int(digits or byte, 16))
    return _BARE.get(character, character)
