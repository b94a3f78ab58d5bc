"""Lines of raw files, good and bad, for the tests to hold the product against ``validate_line`` and the oracle.

What belongs here: how lines are made. What does not: what should become of them.
"""

from __future__ import annotations

import json

from hypothesis import strategies as st

from stedi_assets_tests.kit.records import NOON

EARLIEST = 1_420_070_400_000
LATEST = 1_691_452_799_999

FIELDS = {
    "customer_landing": {
        "customerName": "text",
        "email": "address",
        "phone": "text",
        "birthDay": "text",
        "serialNumber": "text",
        "registrationDate": "integer",
        "lastUpdateDate": "time",
        "shareWithResearchAsOfDate": "integer",
        "shareWithPublicAsOfDate": "integer",
        "shareWithFriendsAsOfDate": "integer",
    },
    "accelerometer_landing": {"user": "text", "timestamp": "time", "x": "number", "y": "number", "z": "number"},
    "step_trainer_landing": {"sensorReadingTime": "time", "serialNumber": "text", "distanceFromObject": "distance"},
}
OPTIONAL = {
    "customerName",
    "phone",
    "birthDay",
    "registrationDate",
    "shareWithResearchAsOfDate",
    "shareWithPublicAsOfDate",
    "shareWithFriendsAsOfDate",
}
TABLES = sorted(FIELDS)

GOOD = {
    "customer_landing": (
        b'{"customerName":"Ann Example","email":"ann@example.com","serialNumber":"s-1","lastUpdateDate":1691323200000}'
    ),
    "accelerometer_landing": b'{"user":"ann@example.com","timestamp":1691323200000,"x":1,"y":2.5,"z":-3e-1}',
    "step_trainer_landing": b'{"sensorReadingTime":1691323200000,"serialNumber":"s-1","distanceFromObject":7}',
}
"""One plain line of each table."""

_NUMBERS = (
    "0 -0 0.0 -0.0 1 -1 1.0 1e0 1E+2 10e-1 1e3 1.5 0.1 -2.5e-3 5e-324 1e-400 1e22 1e23 1e308 1.7976931348623157e308 "
    "1.8e308 1e309 1e999 -1e999 12345678901234567891 9007199254740991 9007199254740992 9007199254740993 "
    "-9007199254740993 9007199254740991.0 9007199254740992.0 9007199254740991.4 1.0000000000000000001 "
    "9223372036854775807 9223372036854775808 -9223372036854775808 -9223372036854775809 18446744073709551615 "
    "18446744073709551616 0.1e1 100e-2 123456789012345678901234567890 "
    f"{NOON} {NOON}.0 {NOON}.5 {NOON}.0001 1.6913232e12 {EARLIEST} {EARLIEST - 1} {LATEST} {LATEST + 1} {LATEST}.0"
).split()
_HUGE = ["1" * 400, "-" + "1" * 400, "9" * 5000, "0." + "1" * 5000, "1" + "0" * 308]
_NOT_NUMBERS = (
    'NaN Infinity -Infinity nan inf -inf 01 +1 .5 1. 0x10 1e 1e+ - 1_0 ١ true false True null NULL None undefined "1" '
    '"1.0" "" [] [1] {} {"x":1} \'1\''
).split()
_NOT_NUMBERS += ["1 2", "1,", "", " "]
_TEXTS = (
    '"a" "" " " "\\t" "\\u0020" "\\u00a0" "\u00a0" " a" "!a" "#" "a,b" "a\\"b" "\\"" "\\\\" "a\\/b" "\\u0041" '
    '"Zo\u00eb" "\U0001f600" "\\ud83d\\ude00" "\\ud800" "\\udc00x" "\\ud800\\ud83d\\ude00" "\\u0000" "\x7f" "\u2028" '
    '"true" "false" "null" "}" "{" "[" "\\x41" "\\u12" "a\tb" "a\x00b" "a\rb" "a\x0bb" "\ufeff" "\ufffe" a \'a\' 5 '
    '{"a":"b"} ["a"] true null'
).split(" ")
_TIMES = [str(NOON), f"{NOON}.0", "1.6913232e12", str(EARLIEST), str(LATEST)]
_UNKNOWN = (
    '1 "b" null true 1e999 NaN Infinity [] {} [1,[2,{"q":[]}]] {"user":"b","x":1} {"q":1,"q":2} {"q":"\\ud800"} '
    '["\\udfff"] "\\ud800" {"\\ud800":1} {"q":"\\ud800","q":1} 1. "\\"" "," ",}"'
).split()
_UNKNOWN_KEYS = ["q", "", "Q", "a b", "\\u0071", "\\ud800", "'"]
_UNKNOWN += ["9" * 5000, "[" * 150 + "]" * 150, "[" * 5000, "[" * 5000 + "]" * 5000]


def _text() -> st.SearchStrategy[str]:
    anything = st.text(st.characters(codec="utf-8"), max_size=6)
    return st.one_of(
        st.sampled_from(["a", "ann@example.com", "s-1"]).map(json.dumps),
        anything.map(json.dumps),
        anything.map(lambda text: json.dumps(text, ensure_ascii=False)),
        st.sampled_from(_TEXTS),
    )


def _address() -> st.SearchStrategy[str]:
    """What looks like an address, and often is none."""
    parts = st.text(st.sampled_from("ab.@%&+'-_<>:;, \t\u00e9e\u0301\u200b\u00a0\0\\\""), max_size=4)
    return st.tuples(parts, parts).map(lambda around: json.dumps(f"{around[0]}ann@example.com{around[1]}"))


def _number() -> st.SearchStrategy[str]:
    return st.one_of(
        st.sampled_from(_NUMBERS),
        st.floats(allow_nan=False, allow_infinity=False).map(repr),
        st.integers(-(2**65), 2**65).map(str),
        st.integers(0, 100).map(str),
        st.tuples(st.integers(0, 10**20), st.integers(0, 10**20), st.integers(-330, 330)).map(
            lambda parts: f"{parts[0]}.{parts[1]}e{parts[2]}"
        ),
        st.sampled_from(_HUGE),
        st.sampled_from(_NOT_NUMBERS),
    )


def _literal(kind: str) -> st.SearchStrategy[str]:
    usual = {
        "address": st.sampled_from(['"a@x"', '"ann@example.com"', '" B@Example.com "', '"Zo\u00eb@x"', '"o\'b+c@x.y"']),
        "text": st.sampled_from(['"a"', '"ann@example.com"', '" b "', '"Zo\u00eb"']),
        "time": st.sampled_from(_TIMES),
        "number": st.sampled_from(["1", "-2.5", "0.1", "3e-2"]),
        "distance": st.sampled_from(["0", "7", "250", "7.0"]),
        "integer": st.sampled_from(["0", "-1", str(NOON), "1e3"]),
    }[kind]
    odd = {"text": _text(), "address": st.one_of(_address(), _text())}.get(kind, _number())
    # Mostly usual, so that a line is often good but for one thing.
    return st.one_of(usual, usual, usual, usual, usual, odd)


def _escaped(key: str) -> st.SearchStrategy[str]:
    """A key, sometimes with one of its letters written as an escape, or in capitals."""
    spelt = st.integers(0, len(key) - 1).map(lambda n: f"{key[:n]}\\u{ord(key[n]):04x}{key[n + 1 :]}")
    return st.one_of(*[st.just(key)] * 12, spelt, st.just(key.upper()), st.just(key.title()))


_SPACE = st.sampled_from([""] * 20 + [" ", "  ", "\t", "\r", " \t\r ", "\v", "\f", "\u00a0", "\x00", "\n".strip()])


@st.composite
def objects(draw: st.DrawFn, table: str) -> bytes:
    """An object for a table, good or nearly."""
    pairs: list[tuple[str, str]] = []
    for name, kind in FIELDS[table].items():
        if draw(st.integers(0, 2 if name in OPTIONAL else 40)) == 0:
            continue
        pairs.append((draw(_escaped(name)), draw(_literal(kind))))
    if draw(st.integers(0, 7)) == 0:
        pairs.append((draw(st.sampled_from(_UNKNOWN_KEYS)), draw(st.sampled_from(_UNKNOWN))))
    if pairs and draw(st.integers(0, 11)) == 0:
        pairs.append((draw(st.sampled_from(pairs))[0], draw(st.sampled_from(["1", '"a"', "null", str(NOON)]))))
    if draw(st.booleans()):
        pairs = draw(st.permutations(pairs))
    comma = "," if draw(st.integers(0, 9)) else draw(st.sampled_from([", ", " ,", ",,", ";", ",\t", ""]))
    body = comma.join(f'"{key}"{draw(_SPACE)}:{draw(_SPACE)}{value}' for key, value in pairs)
    text = f"{draw(_SPACE)}{{{draw(_SPACE)}{body}{draw(_SPACE)}}}{draw(_SPACE)}"
    return text.encode("utf-8", "surrogatepass").replace(b"\n", b"")


_PARTS = [
    b"", b" ", b"\r", b"\r\r", b"\v", b"\f", b"\0", b"\t", b",", b"\xef\xbb\xbf", b"\xff", b"\xc0\x80", b"\xed\xa0\x80",
    b"\xc2\xa0", b"\xe2\x80\xa8", b"\x7f", b'"', b"'", b"\\", b"{", b"}", b"[", b"]", b":", b"x", b"1", b"null",
    b"true", b"false", b"//", b"/**/", b"#", b"{}", b"[]", b'""', b"NaN", b"\x1e",
]  # fmt: skip


@st.composite
def mutations(draw: st.DrawFn, table: str) -> bytes:
    """A good line with one or two things done to it."""
    line = draw(st.one_of(st.just(GOOD[table]), objects(table)))
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.sampled_from([0, len(line), max(len(line) - 1, 0), draw(st.integers(0, len(line)))]))
        part = draw(st.sampled_from(_PARTS))
        how = draw(st.sampled_from(["insert", "cut", "cut head", "replace", "drop", "twice", "wrap"]))
        line = {
            "insert": line[:at] + part + line[at:],
            "cut": line[:at],
            "cut head": line[at:],
            "replace": line[:at] + part + line[at + 1 :],
            "drop": line[:at] + line[at + 1 :],
            "twice": line + part + line,
            "wrap": part + line + part,
        }[how]
    return line


BLANK = st.sampled_from([b"", b" ", b"\t", b"\r", b" \r", b"\v", b"\f \r"])
ODD = st.sampled_from(
    [
        b"x",
        b"{",
        b"}",
        b"{}",
        b"[]",
        b"null",
        b"1",
        b'"a"',
        b"true",
        b"\0",
        b"\xff",
        b"\xef\xbb\xbf",
        b",",
        b"//",
        b"{ }",
    ]
)


def lines(table: str) -> st.SearchStrategy[bytes]:
    """Any line that was ever thought of, without its line feed."""
    return st.one_of(
        st.just(GOOD[table]), objects(table), objects(table), mutations(table), mutations(table), BLANK, ODD
    )


def files(table: str, most: int = 30) -> st.SearchStrategy[bytes]:
    """The bytes of a raw file."""
    return st.tuples(
        st.sampled_from([b"", b"", b"", b"\xef\xbb\xbf"]),
        st.lists(lines(table), max_size=most),
        st.sampled_from([b"\n", b"\n", b"\n", b"\r\n"]),
        st.booleans(),
    ).map(lambda parts: parts[0] + parts[2].join(parts[1]) + (parts[2] if parts[3] else b""))
