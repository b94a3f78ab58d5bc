"""Texts: any sequence of objects is cut where the reference cuts it, wherever buffers end."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stedi_assets.landing import texts as product
from stedi_assets.landing.texts import flat_objects, next_text
from stedi_assets.reference.texts import texts as expected
from stedi_assets_tests.kit.examples import examples
from stedi_assets_tests.landing.corpus import lines

PIECES = [
    b'{"a":1}', b'{"a":{"b":[1,{"c":"}"}]}}', b'{"a":"x{y"}', b'{"a":"\\"}"}', b"{}", b'{"a":tru}', b'{"a":1', b'{"a"',
    b'{"a":"', b'{"a":1,}', b'{"a":NaN}', b'{"a":"b\nc"}', b'{\n "a": 1,\n "b": {"c": 2}\n}', b'{"a":\xff}',
    b'{"a":"\xff"}', b"[", b"]", b",", b" ", b"\n", b"\r\n", b"\x1e", b"\xef\xbb\xbf", b"\xef", b"x", b'"x"', b"null",
    b"}", b"1,2", b"{", b'{"a":-', b'{"a":"\\u12', b'{"a":[{"b":1},', b"\t", b"\v", b"\0",
]  # fmt: skip


def found(content: bytes, size: int) -> list[bytes]:
    """The texts that the product finds, where the file comes in buffers of some bytes."""
    result, rest = [], b""
    for start in range(0, len(content) + size, size):
        rest += content[start : start + size]
        at, final = 0, start + size >= len(content) + size
        while (text := next_text(rest, at, final=final)) is not None:
            result.append(rest[text.start : text.end])
            at = text.next
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


def test_a_text_without_an_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(product, "LONGEST", 100)
    content = b'{"a":[' + b",".join(b'{"b":%d}' % n for n in range(50))
    texts = found(content, 64)
    assert max(map(len, texts)) < 200
    assert b"".join(texts).replace(b",", b"") == content.replace(b",", b"")


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


def test_deep_nesting_is_no_way_to_stop_reading() -> None:
    good = json.dumps({"a": 1}).encode()
    content = b'{"a":' * 100_000 + b"\n" + good
    assert found(content, 1 << 20)[-1] == good
