"""Names are compared by one rule, whether Python or SQL applies it."""

import duckdb
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from stedi_assets.contracts.names import WHITE_SPACE, normalize, normalized_sql
from stedi_assets_tests.kit.examples import examples

ODD = [
    "",
    " ",
    "\N{KELVIN SIGN}elvin",
    "\u0130stanbul",
    "\u03a3\u03c2\u03a3",
    "\xdf\x1e9e",
    "\u01c5",
    " \tA\v\f\r\n ",
    "\xa0a\u2003",
    "a\0b",
]

CONNECTION = duckdb.connect(config={"threads": 1})


def in_sql(names: list[str]) -> list[str]:
    given = pa.table({"name": pa.array(names, pa.string())})
    with CONNECTION.cursor() as cursor:
        cursor.register("given", given)
        return [name for (name,) in cursor.execute(f"SELECT {normalized_sql('name')} FROM given").fetchall()]


def test_every_code_point_is_the_same_in_sql_and_in_python() -> None:
    characters = [chr(code) for code in range(1, 0x110000) if not 0xD800 <= code <= 0xDFFF]
    assert in_sql(characters) == [normalize(character) for character in characters]


def test_nothing_from_beyond_ascii_becomes_a_letter_of_ascii() -> None:
    """Else ``mar\u212a@example.com`` grants and withdraws the consent of ``mark@example.com``."""
    beyond = [chr(code) for code in range(0x80, 0x110000) if not 0xD800 <= code <= 0xDFFF]
    assert not [character for character in beyond if normalize(character).isascii()]


@settings(max_examples=examples(10, 50), deadline=None)
@given(
    st.lists(
        st.one_of(st.sampled_from(ODD), st.text(st.characters(blacklist_categories=["Cs"]), max_size=12)),
        min_size=50,
        max_size=100,
    )
)
def test_odd_texts_are_the_same_in_sql_and_in_python(names: list[str]) -> None:
    assert in_sql(names) == [normalize(name) for name in names]


def test_a_name_that_was_normalized_stays() -> None:
    for name in [*ODD, *(f"{space}Ann@Example.COM{space}" for space in WHITE_SPACE)]:
        assert normalize(normalize(name)) == normalize(name)
