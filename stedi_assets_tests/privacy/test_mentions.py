"""The words of a rejected text: found in time that grows with its length, whatever it looks like.

What is found is asserted in ``transforms/test_doubt.py``, where it matters.
"""

from __future__ import annotations

import pytest

from stedi_assets.privacy.mentions import addresses_in, fields_in, has_address, values_in
from stedi_assets_tests.kit.growth import assert_grows_with_length

UNITS = [
    *(
        "a",
        "a.",
        "a@",
        "@",
        '"',
        "\\",
        '"\\',
        "\u00e9",
        "<",
        "a" * 400 + " ",
        "\\u0061",
        "a%",
        "a'",
        "a'a@",
        "&#64;",
        '" ',
    ),
    *('{"a":', "{", "[", ",", ":", '":', '\\"', '"a":"', "\\\\", "&", "%", "%41", "\n", " ", ".", "-"),
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("unit", UNITS)
def test_a_long_text_takes_no_longer_than_its_length_asks_for(unit: str) -> None:
    """What grows with the square of 100,000 characters takes minutes."""

    def look(length: int) -> None:
        text = unit * (length // len(unit))
        for _ in values_in(text):
            pass
        for _ in fields_in(text):
            pass
        has_address(text)
        addresses_in(text, lambda value: value == "a@a")

    assert_grows_with_length(look, 10_000)
    look(100_000)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("text", ["%" + "25" * 150_000 + "40", "&" + "amp;" * 75_000])
def test_a_text_that_is_escaped_over_and_over_says_nothing_of_others(text: str) -> None:
    assert addresses_in(f"{text} ann@example.com, dee@example.com", lambda value: value == "ann@example.com") == []


def test_others_are_found_below_their_escapes() -> None:
    text = "%25252540 ann%2540example.com &amp;amp; dee&amp;#64;example.com"
    assert addresses_in(text, lambda value: value == "ann@example.com") == ["dee@example.com"]


@pytest.mark.parametrize(
    ("text", "names", "others"),
    [
        ("o'brien@example.com", {"o'brien@example.com"}, {"brien@example.com"}),
        ("{'a': u'ann@example.com'}", {"ann@example.com"}, set()),
        ("it's 'ann@example.com'", {"ann@example.com"}, set()),
        ("{'a':'o'brien@example.com'}", {"brien@example.com"}, set()),
    ],
)
def test_an_apostrophe_is_part_of_a_name_unless_it_quotes(text: str, names: set[str], others: set[str]) -> None:
    found = set(values_in(text))
    assert names <= found
    assert not others & found


def test_whom_else_a_text_speaks_of_keeps_the_apostrophe() -> None:
    found = addresses_in("ann@example.com o'brien@example.com d'o'x@example.com", lambda value: value[:3] == "ann")
    assert found == ["o'brien@example.com", "d'o'x@example.com"]


@pytest.mark.parametrize(
    "other", ["jo-ann@example.com", "ann@example.com.au", "o'ann@example.com", "ann@example.com-x"]
)
def test_whoever_has_a_longer_address_is_somebody_else(other: str) -> None:
    """Their possible withdrawal was taken with the erasure of whoever has the shorter one, and they came back."""
    text = f"withdraw {other}, 'ann@example.com', u'Ann@Example.com' and ann@example.com."
    assert addresses_in(text, lambda value: value == "ann@example.com") == [other]


def test_keys_are_no_fields() -> None:
    found = set(fields_in('{"email" : "A", "x":{"y": ["b c", 1]}, "z":"q\\"r"'))
    assert found >= {"a", "b c", 'q"r'}
    assert not found & {"email", "x", "y", "z"}
