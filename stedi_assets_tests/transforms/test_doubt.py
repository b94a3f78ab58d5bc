"""Consent in doubt: who does not consent because of a record that could not be read, from when to when."""

from __future__ import annotations

from datetime import date
from typing import Any

import pyarrow as pa
import pytest

from stedi_assets import transforms
from stedi_assets.privacy.mentions import mentions
from stedi_assets.transforms.doubt import PLACE
from stedi_assets_tests.transforms.conftest import (
    ANN,
    BOB,
    CAT,
    DAY_1,
    DAY_2,
    DAY_3,
    Constructor,
    Record,
    customer,
    rows,
)

MENTIONS = pa.schema(
    [
        ("by", pa.string()),
        ("name", pa.string()),
        ("landing_date", pa.date32()),
        ("source_file", pa.string()),
        ("source_line", pa.int64()),
        ("source_object", pa.int64()),
    ]
)


def mention(name: str, day: date = DAY_2, by: str = "e-mail", **place: Any) -> Record:
    """A name in a text that could not be read."""
    text = {"source_file": "b.json", "source_line": 1, "source_object": 1}
    return {"by": by, "name": name, "landing_date": day, **text, **place}


def doubted(constructor: Constructor, landed: list[Record], *names: Record) -> Any:
    records = constructor("customer_landing", landed)
    return transforms.with_doubts(records, transforms.doubts(records, constructor(MENTIONS, names)))


def consenting(frame: Any) -> set[Any]:
    """Who consents."""
    return {email for email, at in rows(transforms.consents(frame), "email", "consented_at") if at is not None}


def intervals(constructor: Constructor, frame: Any) -> set[Any]:
    people = pa.schema([("email", pa.string()), ("subject_id", pa.string())])
    subjects = constructor(people, [{"email": one, "subject_id": one} for one in (ANN, BOB, CAT)])
    columns = "subject_id", "grant_number", "withdrawn_landing_date", "ended_by"
    return set(rows(transforms.consent_history(frame, subjects), *columns))


def test_whoever_a_text_names_does_not_consent_from_then_on(constructor: Constructor) -> None:
    found = doubted(constructor, [customer(ANN, "a"), customer(BOB, "b")], mention(ANN))
    assert consenting(found) == {BOB}
    assert intervals(constructor, found) == {(ANN, 1, DAY_2, "doubt"), (BOB, 1, None, None)}


def test_a_text_without_an_address_speaks_of_whoever_claims_its_serial_number(constructor: Constructor) -> None:
    landed = [customer(ANN, "s"), customer(BOB, " S "), customer(CAT, "c"), customer(CAT, "s", update=0)]
    found = doubted(constructor, landed, mention("s", by="serial number"))
    assert consenting(found) == set(), "an older claim counts too"


def test_a_record_that_landed_after_the_text_and_counts_ends_the_doubt(constructor: Constructor) -> None:
    landed = [customer(ANN, "a"), customer(ANN, "a", update=2, day=DAY_3)]
    found = doubted(constructor, landed, mention(ANN))
    assert consenting(found) == {ANN}
    assert intervals(constructor, found) == {(ANN, 1, DAY_2, "doubt"), (ANN, 2, None, None)}


def test_the_same_record_that_lands_again_does_not_end_it(constructor: Constructor) -> None:
    """A file that is delivered once more says nothing new."""
    landed = [customer(ANN, "a"), customer(ANN, "a", day=DAY_3)]
    assert consenting(doubted(constructor, landed, mention(ANN))) == set()


def test_an_older_record_that_lands_late_does_not(constructor: Constructor) -> None:
    landed = [customer(ANN, "a", update=5), customer(ANN, "a", update=2, day=DAY_3)]
    assert consenting(doubted(constructor, landed, mention(ANN))) == set()


def test_a_text_that_landed_before_anything_of_theirs_is_no_doubt(constructor: Constructor) -> None:
    found = doubted(constructor, [customer(ANN, "a", day=DAY_2)], mention(ANN, DAY_1))
    assert consenting(found) == {ANN}
    assert intervals(constructor, found) == {(ANN, 1, None, None)}


@pytest.mark.parametrize(
    ("place", "in_doubt"),
    [
        ({"source_file": "a.json", "source_line": 9}, True),
        ({"source_file": "a.json", "source_line": 3}, False),
        ({"source_file": "a.json", "source_line": 5, "source_object": 2}, True),
        ({"source_file": "0.json", "source_line": 9}, True),
        ({"source_file": "b.json", "source_line": 1}, True),
    ],
)
def test_within_a_day_the_order_of_files_is_not_known(constructor: Constructor, place: Record, in_doubt: bool) -> None:
    landed = [customer(ANN, "a", source_file="a.json", source_line=5, source_object=1)]
    found = doubted(constructor, landed, mention(ANN, DAY_1, **place))
    assert (consenting(found) == set()) is in_doubt


def test_a_doubt_claims_the_device_that_the_record_before_it_claims(constructor: Constructor) -> None:
    found = doubted(constructor, [customer(ANN, "old"), customer(ANN, "new", update=2)], mention(ANN))
    assert rows(transforms.consents(found), "email", "serialNumber", "consented_at") == {(ANN, "new", None): 1}


def test_several_doubts_end_one_interval(constructor: Constructor) -> None:
    found = doubted(constructor, [customer(ANN, "a")], mention(ANN), mention(ANN, DAY_3), mention(ANN, source_line=2))
    assert intervals(constructor, found) == {(ANN, 1, DAY_2, "doubt")}


def test_who_refused_already_has_nothing_to_end(constructor: Constructor) -> None:
    landed = [customer(ANN, "a"), customer(ANN, "a", None, update=2)]
    found = doubted(constructor, landed, mention(ANN))
    assert intervals(constructor, found) == {(ANN, 1, DAY_1, "withdrawal")}


# ---- whom a text speaks of -------------------------------------------------------------------------


def names_in(line: str) -> set[tuple[str, str]]:
    place = [pa.array([DAY_1]), *(pa.array(one) for one in (["f"], [1], [1]))]
    texts = pa.table([pa.array([line]), *place], names=["line", *PLACE])
    known = pa.array([ANN, "ann", "s-1", "example.com"])
    return {(row["by"], row["name"]) for row in mentions(texts, known).to_pylist()}


@pytest.mark.parametrize(
    "line",
    [
        '{"email":"ann@example.com","phone":5}',
        '{"email":" ANN@Example.com ","phone":5}',
        '{"email":"ann\\u0040example.com"}',
        '{"email":"\\u0061nn@example.com',
        "ann@example.com",
        "mail to <ann@example.com>.",
        "mailto:ann@example.com?subject=x",
        "user=ann@example.com&x=1",
        '{"record":"{\\"email\\":\\"ann@example.com\\"}"}',
        '{"email":"ann@example.com',
        "a\0n\0n\0@\0e\0x\0a\0m\0p\0l\0e\0.\0c\0o\0m\0",
        "email: ann@example.com, withdrawn",
        "'ann@example.com'",
        "bob@example.com;ann@example.com",
        "https://example.com/?user=ann%40example.com&off=1",
        "ann&#64;example.com",
    ],
)
def test_an_address_is_found_however_it_stands_there(line: str) -> None:
    assert ("e-mail", ANN) in names_in(line)
    assert not any(by == "serial number" for by, _ in names_in(line))


@pytest.mark.parametrize(
    "line", ["joann@example.com", "ann@example.community", "ann@example.com.au", "ann_ann@example.com"]
)
def test_a_part_of_an_address_is_none(line: str) -> None:
    assert ("e-mail", ANN) not in names_in(line)


def test_where_no_address_stands_serial_numbers_count() -> None:
    assert names_in('{"serialNumber":"S-1","phone":5}') == {("serial number", "s-1"), ("e-mail", "s-1")}
