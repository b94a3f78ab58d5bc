"""Addresses that are alike, or that mean something to SQL and regular expressions, mean their own person only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from stedi_assets.subject_requests.matching import Subjects
from stedi_assets.subject_requests.places import find_places
from stedi_assets.subject_requests.requests import Requests
from stedi_assets.subject_requests.subject import Person
from stedi_assets_tests.kit.lake import SmallLake, copied
from stedi_assets_tests.kit.people import (
    DAYS,
    NOW,
    at,
    carry_out,
    person,
)
from stedi_assets_tests.kit.records import lines, movement

ADDRESSES = [
    "ann@example.com",
    "ann@example.co",
    "ann@example.com.au",
    "xann@example.com",
    "ann.b@example.com",
    "a.b@example.com",
    "axb@example.com",
    "a_n@example.com",
    "_@example.com",
    "o@example.com",
    "o'brien@example.com",
    "x'or'1@example.com",
    "brien@example.com",
    "x@example.com",
    "x+y_.z-@example.com",
    "zoe@example.com",
    "zo\u00eb@example.com",
    "ann+1@example.com",
    "c.d+@example.com",
    "mark@example.com",
    "ipek@example.com",
    "\u0130pek@example.com",
]
"""Prefixes, SQL and regular expressions, letters that are alike."""


@pytest.fixture(scope="session")
def alike(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallLake]:
    """A lake of people whose addresses are alike, with a good and a broken line each; not to be changed."""
    lake = SmallLake.at(tmp_path_factory.mktemp("alike"))
    people = [person(f"p{n}", DAYS[0], email=address) for n, address in enumerate(ADDRESSES)]
    lake.land("customer_landing", lines(*people), day=DAYS[0])
    moves = [movement("x", at(DAYS[0], n)) | {"user": address} for n, address in enumerate(ADDRESSES)]
    lake.land("accelerometer_landing", lines(*moves), day=DAYS[0])
    broken = "".join(json.dumps({"user": address, "timestamp": "x"}) + "\n" for address in ADDRESSES)
    lake.land("accelerometer_landing", broken, "broken.json", DAYS[0])
    lake.materialize_directly()
    yield lake
    lake.close()


IN_EACH = ["customer_landing", "accelerometer_landing", "landing_quarantine"]
IN_EACH += ["customer_trusted", "accelerometer_trusted", "customers_curated", "consent_history"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_email_means_its_own_person_only(alike: SmallLake, address: str) -> None:
    who = Person.of(alike.resources, address)
    places = find_places(alike.resources, Subjects.of(alike.resources, who))
    folder = f"landing_date={DAYS[0]}"
    assert {(place.kind, place.location): place.number for place in places} == {
        ("raw file", f"customer_landing/{folder}/part.json"): 1,
        ("raw file", f"accelerometer_landing/{folder}/part.json"): 1,
        ("raw file", f"accelerometer_landing/{folder}/broken.json"): 1,
        **{("table", name): 1 for name in IN_EACH},
        ("table", "readings_index"): len(["accelerometer_landing", "accelerometer_trusted"]),
    }


@pytest.mark.parametrize(
    "address",
    [
        "o'brien@example.com",
        "brien@example.com",
        *(
            pytest.param(one, marks=pytest.mark.slow)
            for one in ("ann@example.co", "x+y_.z-@example.com", "\u0130pek@example.com")
        ),
    ],
)
@pytest.mark.usefixtures("without_dagster")
def test_an_odd_email_erases_its_own_person_only(alike: SmallLake, tmp_path: Path, address: str) -> None:
    lake = copied(alike, tmp_path)
    carry_out(lake, Requests(lake.resources.privacy).file(address, "", NOW))
    left = sorted(other for other in ADDRESSES if other != address)
    assert sorted(row[1] for row in lake.rows("customer_landing")) == left
    assert sorted(row[0] for row in lake.rows("accelerometer_landing")) == left
    assert sorted(json.loads(line)["user"] for (line,) in lake.rows("landing_quarantine", "line")) == left
    lake.close()
