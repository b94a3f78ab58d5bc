"""Names are compared by one rule, whether Python or SQL applies it."""

import duckdb
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from stedi_assets.contracts.names import ADDRESS, WHITE_SPACE, is_address, normalize, normalized_sql
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


ADDRESSES = [
    "ann@example.com",
    " Ann@Example.COM\n",
    "o'brien+steps@mail.example.co.uk",
    "a_n-x.b@x",
    "-a+@a-b.example",
    "jos\u00e9@example.com",
    "\u0130pek@example.com",
    "\u0905\u0928\u0941@\u0909\u0926\u093e\u0939\u0930\u0923.\u092d\u093e\u0930\u0924",
    "m@m\u00fcller.de",
]
NOT_ADDRESSES = [
    "",
    "ann",
    "@example.com",
    "ann@",
    "ann@b@example.com",
    *("mailto:ann@example.com", "Ann <ann@example.com>", "<ann@example.com>", "to=ann@example.com", "mailto/ann@x"),
    *("'ann@example.com'", "`ann@example.com`", "{ann@example.com}", '"ann"@example.com', "|ann@x", "*ann@x"),
    *("ann@example.com, bob@example.com", "ann@example.com;", "ann@example.com!", "ann@example.com/", "ann@x?a=b"),
    *("ann@example.com.", "ann@.example.com", "ann@example..com", ".ann@x", "ann.@x", "ann..b@x", "'ann@x", "ann'@x"),
    *("ann@example.com-", "ann@-example.com", "ann@example.com_", "ann@xn--mller-kva.de"),
    *("ann @example.com", "ann@example.com\0x", "ann@example.com%00", "ann%40example.com", "%61nn@x", "=3Cann@x=3E"),
    *("ann@example.com&amp;", "ann&x@example.com"),
    *("ann@example\u200b.com", "\u202eann@example.com", "ann@example\u00a0.com", "jose\u0301@example.com"),
    *("mar\N{KELVIN SIGN}@example.com", "\uff41nn@example.com", "ann@example\u3002com", "ann@example\uff0ecom"),
    *("ann\ufe0f@x", "ann\u034f@x", "ann@x\u3164", "ann@x\u2800", "ann@x\u115f", "ann\u180b@x", "ann\U000e0100@x"),
    *("ann\u2024b@x", "ann@x\ue000", "ann@x\U000e0fff", "ann@x\ufffd"),
]


def test_an_address_is_plain_or_none() -> None:
    """Whatever else means somebody, a withdrawal with it would be compared with nobody."""
    assert [name for name in ADDRESSES if not is_address(name)] == []
    assert [name for name in NOT_ADDRESSES if is_address(name)] == []


@settings(max_examples=examples(50, 500), deadline=None)
@given(st.lists(st.text(st.sampled_from("aZ0._+'-@%&\u00e9\u0301 \t\"<>"), max_size=12), min_size=20))
def test_an_engine_takes_the_same_for_an_address(names: list[str]) -> None:
    given = pa.table({"name": pa.array([*names, *ADDRESSES, *NOT_ADDRESSES], pa.string())})
    query = f"SELECT name FROM given WHERE regexp_full_match(name, '{ADDRESS.replace(chr(39), chr(39) * 2)}')"
    with CONNECTION.cursor() as cursor:
        cursor.register("given", given)
        taken = [name for (name,) in cursor.execute(query).fetchall()]
    untrimmed = [name for name in [*names, *ADDRESSES, *NOT_ADDRESSES] if name == name.strip(WHITE_SPACE)]
    assert taken == [name for name in untrimmed if name.isascii() and is_address(name)]
