"""Rejected texts of people who were erased: nothing of them stays, and nobody else's withdrawal goes with them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from stedi_assets_tests.kit.lake import SmallLake
from stedi_assets_tests.kit.people import erase_directly
from stedi_assets_tests.kit.records import STAMP, customer

# Each carries out an erasure, which takes seconds.
pytestmark = pytest.mark.slow

NEXT, LATER = "2023-08-07", "2023-08-08"
EVERYBODY = {f"{name}@example.com" for name in ("ann", "bob", "cat", "dee")}
BROKEN = {"lastUpdateDate": STAMP + 1, "phone": 5}


@pytest.fixture
def people(tmp_path: Path) -> Iterator[SmallLake]:
    lake = SmallLake.at(tmp_path)
    lake.land_people("ann", "bob", "cat", "dee")
    lake.ingest()
    yield lake
    lake.close()


def quarantined(lake: SmallLake) -> list[str]:
    return [str(line) for (line,) in lake.rows("landing_quarantine", "line")]


def without(*names: str) -> set[str]:
    return EVERYBODY - {f"{name}@example.com" for name in names}


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("withdrawn: ann@example.com, dee@example.com", "dee@example.com"),
        ('{"records": [{"email": "ann@example.com"}, {"email": "dee@example.com"}]}', None),
        ('{"note": "<dee@example.com>; \\u0061nn@example.com (Ann Invented)"}', "dee@example.com"),
    ],
)
def test_whom_else_a_text_speaks_of_stays_in_doubt(people: SmallLake, text: str, left: str | None) -> None:
    path = people.land("customer_landing", text + "\n", day=NEXT)
    assert people.consenting() == without("ann", "dee")
    erase_directly(people, "ann")
    assert people.consenting() == without("ann", "dee")
    assert "ann" not in path.read_text()
    if left is not None:
        assert (path.read_text(), quarantined(people)) == (left + "\n", [left])


def test_what_lands_later_puts_the_others_in_doubt(people: SmallLake) -> None:
    erase_directly(people, "ann")
    texts = [
        {"records": [{"email": "ann@example.com"}, {"email": "bob@example.com", **BROKEN}]},
        {"email": "cat@example.com", "customerName": "Ann Invented", **BROKEN},
        {"email": "ann@example.com", **BROKEN},
    ]
    people.land("customer_landing", "\n".join(map(json.dumps, texts)), day=NEXT)
    assert people.consenting() == without("ann", "bob", "cat")
    assert sorted(quarantined(people)) == ["bob@example.com", json.dumps(texts[1])]


def test_who_is_a_customer_again_can_be_in_doubt_again(people: SmallLake) -> None:
    erase_directly(people, "ann")
    later = 4_000_000_000_000
    people.land("customer_landing", json.dumps(customer("ann", registrationDate=later)), day=NEXT)
    assert people.consenting() == EVERYBODY
    people.land("customer_landing", json.dumps({"email": "ann@example.com", **BROKEN}), day=LATER)
    assert people.consenting() == without("ann")


def test_a_device_that_is_somebody_elses_by_now_puts_them_in_doubt(people: SmallLake) -> None:
    erase_directly(people, "ann")
    zed = customer("zed", serialNumber="serial-ann", registrationDate=4_000_000_000_000)
    people.land("customer_landing", json.dumps(zed), day=NEXT)
    assert people.consenting() == without("ann") | {"zed@example.com"}
    people.land("customer_landing", json.dumps({"serialNumber": "serial-ann", **BROKEN}), day=LATER)
    assert people.consenting() == without("ann")


def test_that_a_file_was_cut_off_is_said_whoever_stands_at_its_end(people: SmallLake) -> None:
    erase_directly(people, "ann")
    stored = gzip.compress(json.dumps({**customer("ann"), "note": "".join(map(str, range(9000)))}).encode())
    people.path("customer_landing", "cut.gz", NEXT).write_bytes(stored[:-3000])
    people.ingest()
    assert people.rows("landing_quarantine", "reason, line") == [("the compressed stream is cut off", "")]


@pytest.mark.parametrize(
    "name",
    [
        "Dee \\ud83d",
        "Dee \\ud83d\\ude00",
        "\\\\ud83d\\\\ude00",
    ],
)
def test_escaped_characters_from_beyond_the_basic_plane(people: SmallLake, name: str) -> None:
    """Whole and in halves, as a phone cuts a name off."""
    text = f'{{"email": "dee@example.com", "customerName": "{name}", "serialNumber": "s\\ud83d", "phone": 5}}'
    people.land("customer_landing", text, day=NEXT)
    assert people.consenting() == without("dee")
    erase_directly(people, "bob")
    people.land("accelerometer_landing", text, day=LATER)
    assert people.consenting() == without("dee", "bob")
    erase_directly(people, "dee")
    assert people.consenting() == without("dee", "bob")


def test_a_name_that_is_a_common_word_takes_nobodys_texts(people: SmallLake) -> None:
    mal = customer("mal", customerName="timestamp", phone="ann@example.com")
    people.land("customer_landing", json.dumps(mal), day=NEXT)
    texts = [
        '{"timestamp": "soon"}',
        '{"email": "soon"}',
        '{"user": "cat@example.com", "timestamp": 1, "x": "timestamp"}',
    ]
    path = people.land("accelerometer_landing", "\n".join(texts), day=NEXT)
    before = path.read_text()
    people.ingest()
    (receipt,) = erase_directly(people, "mal")
    assert receipt["searched"]["values that are common words or others' too"] == 1
    assert path.read_text() == before
    assert people.count("landing_quarantine") == 3
