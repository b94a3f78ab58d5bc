"""Texts: any sequence of objects is cut where the reference cuts it, wherever buffers end."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stedi_assets.landing.texts import TOO_LONG, TextFinder, flat_objects, rest_of_text
from stedi_assets.reference.texts import texts as expected
from stedi_assets_tests.kit.examples import examples
from stedi_assets_tests.landing.corpus import lines

PIECES = [
    b'{"a":1}', b'{"a":{"b":[1,{"c":"}"}]}}', b'{"a":"x{y"}', b'{"a":"\\"}"}', b"{}", b'{"a":tru}', b'{"a":1', b'{"a"',
    b'{"a":"', b'{"a":1,}', b'{"a":NaN}', b'{"a":"b\nc"}', b'{\n "a": 1,\n "b": {"c": 2}\n}', b'{"a":\xff}',
    b'{"a":"\xff"}', b"[", b"]", b",", b" ", b"\n", b"\r\n", b"\x1e", b"\xef\xbb\xbf", b"\xef", b"x", b'"x"', b"null",
    b"}", b"1,2", b"{", b'{"a":-', b'{"a":"\\u12', b'{"a":[{"b":1},', b"\t", b"\v", b"\0",
]  # fmt: skip


def found(content: bytes, size: int, longest: int = 1 << 30) -> list[bytes]:
    """The texts that the product finds, where the file comes in buffers of some bytes."""
    result, rest, within = [], b"", False
    for start in range(0, len(content) + size, size):
        rest += content[start : start + size]
        at, final = 0, start + size >= len(content) + size
        if within:
            part = rest_of_text(rest, final=final)
            at, within = part.next, not part.ends
            result[-1] += rest[:at]
        finder = TextFinder(rest, final=final, longest=longest)
        while not within and (text := finder.next(at)) is not None:
            result.append(rest[text.start : text.end])
            at, within = text.next, not text.ends
        rest = rest[at:]
    return result


@settings(max_examples=examples(150, 2_000), deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join), st.integers(1, 40))
def test_texts_are_the_references_wherever_buffers_end(content: bytes, size: int) -> None:
    assert found(content, size) == [text.content for text in expected(content)]


@settings(max_examples=examples(20, 300), deadline=None)
@given(st.lists(lines("customer_landing"), max_size=5), st.sampled_from([b"", b" ", b",\n", b"\n", b"\x1e"]))
def test_any_lines_in_any_sequence(some: list[bytes], between: bytes) -> None:
    content = between.join(some)
    assert found(content, 1 << 20) == [text.content for text in expected(content)]


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (b'{"a":1}{"a":2}', [b'{"a":1}', b'{"a":2}']),
        (b'[{"a":1},\n{"a":2}]\n', [b'{"a":1}', b'{"a":2}']),
        (b'[\n  {\n    "a": 1\n  },\n  {"a": 2}\n]', [b'{\n    "a": 1\n  }', b'{"a": 2}']),
        (b'\x1e{"a":1}\n\x1e{"a":2}\n', [b'{"a":1}', b'{"a":2}']),
        # The smallest text that cannot be read, and on.
        (b'{"a":1 x}{"a":2}', [b'{"a":1 x}', b'{"a":2}']),
        (b'[{"a":1},{"a":tru},{"a":3}]', [b'{"a":1}', b'{"a":tru}', b'{"a":3}']),
        (b'{"a":1,"b":\n{"a":2}\n{"a":3}', [b'{"a":1,"b":', b'{"a":2}', b'{"a":3}']),
        (b'{"a":17{"a":2}', [b'{"a":17', b'{"a":2}']),
        (b'{"a":"cut off\n{"a":2}', [b'{"a":"cut off', b'{"a":2}']),
        (b'{\n "a": 1\n "b": 2\n}\n{"a":2}', [b'{\n "a": 1\n "b": 2\n}', b'{"a":2}']),
        (b'{\n a: 1\n}\n{"a":2}', [b"{", b"a: 1", b"}", b'{"a":2}']),
        (b'{"a":"cut\nnoise\n{"a":2}', [b'{"a":"cut', b"noise", b'{"a":2}']),
        (b'{"a":1\nnoise\n{"a":2}', [b'{"a":1', b"noise", b'{"a":2}']),
        (b"one\ntwo three\n", [b"one", b"two three"]),
        (b"", []),
        (b"[]\n,\n", []),
    ],
)
def test_forms(content: bytes, texts: list[bytes]) -> None:
    for size in (1, 7, 1000):
        assert found(content, size) == texts
    assert [text.content for text in expected(content)] == texts


def test_places_are_counted_by_line_and_by_object() -> None:
    content = b'{"a":1}{"a":2}\n\n{"a"\n:3} x\n'
    assert [(line, number) for line, number, _ in expected(content)] == [(1, 1), (1, 2), (3, 1), (4, 1)]


@settings(max_examples=examples(150, 2_000), deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join), st.integers(1, 40), st.integers(4, 60))
def test_a_limit_cuts_the_same_texts_wherever_buffers_end(content: bytes, size: int, longest: int) -> None:
    """And changes nothing where every text is shorter."""
    texts = found(content, size, longest)
    assert texts == found(content, len(content) + 1, longest)
    whole = [text.content for text in expected(content)]
    # What ends a text is looked at as well: what stands behind it on its line, and the line feed.
    if max((len(line) for line in content.split(b"{")), default=0) + max(map(len, whole), default=0) < longest:
        assert texts == whole
    assert all(b"\n" not in text[longest:] for text in texts)


def test_a_text_that_is_too_long_goes_to_the_end_of_its_line() -> None:
    finder = TextFinder(b'{"a":"' + b"x" * 50 + b'{"b":1}\n{"a":1}\n' + b"y" * 30, final=False, longest=20)
    text = finder.next(0)
    assert text is not None
    assert (text.end, text.reason, text.begins, text.ends) == (63, TOO_LONG, True, True)
    text = finder.next(text.next)
    assert text is not None
    assert text.pairs == (("a", 1),)
    text = finder.next(text.next)
    assert text is not None
    assert (text.reason, text.ends) == (TOO_LONG, False)
    part = rest_of_text(b"y" * 10, final=False)
    assert (part.next, part.begins, part.ends) == (10, False, False)
    assert rest_of_text(b"y\nz", final=False)[2:] == (1, None, TOO_LONG, False, True)


@pytest.mark.parametrize("longest", [20, 21, 22])
@pytest.mark.parametrize("text", [b'{"a":"' + b"x" * 13 + b'"}', b"y" * 21])
def test_a_text_may_be_as_long_as_the_limit(text: bytes, longest: int) -> None:
    for content in (text, text + b'\n{"a":1}'):
        for size in (1, 7, 1000):
            assert found(content, size, longest)[0] == text
        first = TextFinder(content, final=True, longest=longest).next(0)
        assert first is not None
        assert (first.reason == TOO_LONG) == (longest < len(text))


def test_flat_objects_are_what_stands_between_two_braces() -> None:
    drawn = random.Random(1)
    for _ in range(200):
        content = b"".join(drawn.choices([b"{", b"}", b"x", b",", b"\n", b'"'], k=drawn.randrange(12)))
        starts, ends, clean = flat_objects(content)
        at = 0
        for start, end, only_separators in zip(starts.tolist(), ends.tolist(), clean.tolist(), strict=True):
            assert content[start:end].count(b"{") == content[start:end].count(b"}") == 1
            assert only_separators == (not content[at:start].strip(b",\n"))
            at = end


DEEP = [
    *(b'{"a":', b'{"a":\n', b'{"a":[\n', b'{"\\"":[[1,"x", true,', b"[" * 300, b'{"a":1,"b":-1.5e3,\n"c":', b'{"{":\n'),
    *(
        b"]" * 300,
        b"}" * 300,
        b"]}" * 150,
        b"1",
        b'"x"',
        b"tru",
        b'"x',
        b'{"a":1}',
        b",\n",
        b"\n",
        b"x",
        b"{}",
        b'"\\u12',
    ),
]


@settings(max_examples=examples(15, 300), deadline=None)
@given(st.lists(st.tuples(st.sampled_from(DEEP), st.integers(1, 400)), max_size=5), st.integers(1_000, 9_000))
def test_texts_are_the_references_however_deeply_they_are_nested(parts: list[tuple[bytes, int]], size: int) -> None:
    content = b'{"a":' + b"".join(unit * (1 if len(unit) > 100 else times) for unit, times in parts)
    assert found(content, size) == [text.content for text in expected(content)]


def test_deep_nesting_is_no_way_to_stop_reading() -> None:
    good = json.dumps({"a": 1}).encode()
    content = b'{"a":' * 100_000 + b"\n" + good
    assert found(content, 1 << 20)[-1] == good
