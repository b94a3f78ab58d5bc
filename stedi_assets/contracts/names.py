"""The normalising of e-mails and serial numbers, and what an e-mail address is: one rule, in Python and in SQL.

Nothing else decides whether two spellings are one name. Tables hold normalised names from the trusted zone on.
"""

from __future__ import annotations

import re
import unicodedata

WHITE_SPACE = " \t\n\r\v\f"
"""The characters that are trimmed from e-mails and serial numbers, and that alone make a text blank."""

STAND_INS = {"\N{KELVIN SIGN}": "\ue12a", "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}": "\ue130"}
"""The characters from beyond ASCII whose lower case is a letter of ASCII, and what they become instead.

Their stand-ins are for private use (U+E000 to U+F8FF), so no other name has them.
"""

WHITE_SPACE_SQL = " || ".join(f"chr({ord(character)})" for character in WHITE_SPACE)
"""The same as an SQL expression."""


_ATOM = "[0-9A-Za-z_+-]+('[0-9A-Za-z_+-]+)*"
_LABEL = "[0-9A-Za-z]+(-[0-9A-Za-z]+)*"
ADDRESS = rf"{_ATOM}(\.{_ATOM})*@{_LABEL}(\.{_LABEL})*"
"""A plain e-mail address in ASCII, as a regular expression that Python and the engines' take in the same way."""

_ADDRESS = re.compile(ADDRESS)
_LETTERS = {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Nd"}
"""Unicode's categories of letters, the marks on them, and digits."""
_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
"""Letters and marks that are not shown (Unicode's Default_Ignorable_Code_Point)."""

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def printable(name: str) -> str:
    """A name that comes from outside, for a terminal: controls, escapes and marks of direction as Python writes them.

    Else the name of a file could colour, rename or forge what is printed around it.
    """
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], name)


def normalize(name: str) -> str:
    """The form in which an e-mail or a serial number is compared: trimmed and lower-cased.

    Lower-casing goes code point by code point, as DuckDB's ``lower`` does: Python's own looks at the letters around
    (a final sigma) and makes two code points of one. Nothing from beyond ASCII becomes a letter of ASCII
    (:data:`STAND_INS`): else whoever has one address could grant and withdraw consent for another.
    """
    name = name.strip(WHITE_SPACE)
    return name.lower() if name.isascii() else "".join(map(_lower, name))


def is_address(text: str) -> bool:
    """Whether a text is one plain e-mail address, which can be compared with others.

    ``mailto:ann@example.com``, ``Ann <ann@example.com>``, ``'ann@example.com'``, ``ann@example.com.`` and the like mean
    somebody and are compared with nobody, so a record with one of them could withdraw no consent. So the parts before
    the @ are letters, digits, ``_``, ``+``, ``-`` and apostrophes between them, joined by single dots, and the parts
    behind it are letters, digits and single hyphens between them: less than RFC 5321 (4.1.2) has, and all that people
    use. Beyond ASCII, letters that are shown and have no other form (Unicode's NFKC) may stand everywhere; a domain is
    in its own letters and not in Punycode (``xn--``), which would be another spelling.

    Args:
        text: with or without white space around it.
    """
    name = text.strip(WHITE_SPACE)
    if not name.isascii():
        if not unicodedata.is_normalized("NFKC", name) or _INVISIBLE.search(name):
            return False
        name = "".join("a" if ord(one) > 127 and unicodedata.category(one) in _LETTERS else one for one in name)
    return _ADDRESS.fullmatch(name) is not None


def as_unicode(text: str) -> str:
    """A text in which escapes were resolved one by one: surrogates in pairs become characters, others U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def normalized_sql(column: str) -> str:
    """The SQL expression of :func:`normalize` for a column.

    Args:
        column: its name, unquoted.
    """
    name = '"' + column.replace('"', '""') + '"'
    # Hardly any name has something to trim, and to look at its ends takes a fifth of the time of trimming it.
    trimmed = f"CASE WHEN ord({name}) <= 32 OR ord(right({name}, 1)) <= 32 THEN trim({name}, {WHITE_SPACE_SQL})"
    trimmed = f"{trimmed} ELSE {name} END"
    letters, stand_ins = (" || ".join(f"chr({ord(one)})" for one in some) for some in (STAND_INS, STAND_INS.values()))
    # What is ASCII has as many bytes as characters, and nothing to translate, which takes ten times as long.
    is_ascii = f"strlen({name}) = length({name})"
    return f"CASE WHEN {is_ascii} THEN lower({trimmed}) ELSE lower(translate({trimmed}, {letters}, {stand_ins})) END"


def _lower(character: str) -> str:
    return STAND_INS.get(character) or character.lower()[:1]
