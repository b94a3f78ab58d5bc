"""What must be looked at: the checks that show it, and the sentences that keep commands from saying "up to date"."""

from __future__ import annotations

import dataclasses
import gzip
import json
from pathlib import Path

import pytest

from stedi_assets.contracts import table as contract
from stedi_assets.defs.checks.build import checks_of, outcomes
from stedi_assets.defs.checks.model import CheckContext, CheckOutcome
from stedi_assets.defs.open_matters import open_matters
from stedi_assets.landing.parse import INCOMPLETE
from stedi_assets.privacy.dismissals import Dismissals
from stedi_assets.resources import Resources
from stedi_assets.settings import Limits
from stedi_assets.staleness.doubt import open_texts
from stedi_assets_tests.kit.lake import SmallLake
from stedi_assets_tests.kit.records import STAMP, customer, lines, movement

NEXT, LATER = "2023-08-07", "2023-08-08"
BROKEN = {"email": "ann@example.com", "serialNumber": "serial-ann", "phone": 5}


@pytest.fixture
def people(lake: SmallLake) -> SmallLake:
    lake.land_people("ann", "bob")
    return lake


def outcome(lake: SmallLake, name: str, check: str) -> CheckOutcome:
    table = contract(name)
    checks = [one for one in checks_of(table) if one.name == check]
    ((_, found),) = outcomes(CheckContext(lake.resources, table, None, checks))
    return found


def trusted(lake: SmallLake) -> set[str]:
    """Who is in customer_trusted once every table is made."""
    lake.materialize_directly()
    return {str(email) for (email,) in lake.rows("customer_trusted", "email")}


def test_nothing_is_open_where_all_could_be_read(people: SmallLake) -> None:
    people.ingest()
    assert open_matters(people.resources) == {}
    for check in ("few_rejected", "unknown_keys", "unattributed_texts", "consent_in_doubt"):
        assert outcome(people, "customer_landing", check).passed


def test_a_record_that_cannot_be_read_keeps_its_person_out_and_is_said(people: SmallLake) -> None:
    people.land("customer_landing", lines(BROKEN), day=NEXT)
    assert trusted(people) == {"bob@example.com"}
    ((text),) = open_texts(people.resources.view())
    assert (text.source_line, text.people_in_doubt, text.is_unattributed) == (1, 1, False)
    said = open_matters(people.resources)
    assert set(said) == {("customer_landing", name) for name in ("few_rejected", "consent_in_doubt")}
    doubt = said["customer_landing", "consent_in_doubt"]
    assert doubt.startswith("1 customer record could not be read (landed on 2023-08-07). Each may be a withdrawal")
    assert "ann" not in str(said)
    found = outcome(people, "customer_landing", "consent_in_doubt")
    assert (found.passed, found.numbers) == (False, {"texts": 1, "landing days": 1})
    assert outcome(people, "customer_landing", "unattributed_texts").passed
    history = people.rows("consent_history", "withdrawn_landing_date, ended_by")
    assert [ended for _, ended in history] == ["doubt", None]


@pytest.mark.slow
def test_a_good_record_that_lands_after_it_ends_the_doubt(people: SmallLake) -> None:
    people.land("customer_landing", lines(BROKEN), day=NEXT)
    people.land("customer_landing", lines(customer("ann", updated=STAMP + 1)), day=LATER)
    assert trusted(people) == {"ann@example.com", "bob@example.com"}
    assert open_texts(people.resources.view()) == []
    assert outcome(people, "customer_landing", "consent_in_doubt").passed


def test_mending_the_raw_line_ends_it(people: SmallLake) -> None:
    people.land("customer_landing", lines(BROKEN), day=NEXT)
    assert people.consenting() == {"bob@example.com"}
    people.land("customer_landing", lines(customer("ann", updated=STAMP + 1)), day=NEXT)
    assert people.consenting() == {"ann@example.com", "bob@example.com"}


def test_a_dismissal_ends_it_for_this_text_in_this_place(people: SmallLake) -> None:
    people.land("customer_landing", lines(BROKEN), day=NEXT)
    people.ingest()
    decide(people, dismissed=True)
    assert people.consenting() == {"ann@example.com", "bob@example.com"}
    assert open_texts(people.resources.view()) == []
    stored = "".join(path.read_text() for path in (people.root / "privacy" / "dismissals").iterdir())
    assert "R. Ray" in stored
    assert "ann" not in stored
    # The same text once more is another one.
    people.land("customer_landing", lines(BROKEN, {}), day=LATER)
    assert people.consenting() == {"bob@example.com"}


def test_a_text_that_names_nobody_is_held_against_nobody_and_said(people: SmallLake) -> None:
    people.land("customer_landing", lines({**BROKEN, "email": "who@example.com"}), day=NEXT)
    assert people.consenting() == {"ann@example.com", "bob@example.com"}
    found = outcome(people, "customer_landing", "unattributed_texts")
    assert (found.passed, found.numbers) == (False, {"texts": 1, "landing days": 1})
    assert "2023-08-07" in found.description
    assert ("customer_landing", "unattributed_texts") in open_matters(people.resources)
    # Whoever registers later was not a customer then: it was held against nobody, and still is.
    people.land("customer_landing", lines(customer("who")), day=LATER)
    assert people.consenting() == {"ann@example.com", "bob@example.com", "who@example.com"}
    assert not outcome(people, "customer_landing", "unattributed_texts").passed
    decide(people, dismissed=True)
    assert outcome(people, "customer_landing", "unattributed_texts").passed


@pytest.mark.parametrize("cut_off", [True, False])
def test_a_record_of_which_only_a_part_is_there_stays_open(people: SmallLake, cut_off: bool) -> None:
    """What is not there may be somebody else's withdrawal, so a good record of whom the rest names ends nothing."""
    text = lines({**BROKEN, "note": "x" * 3_000}).encode()
    if cut_off:
        text = gzip.compress(text)[:-1]
    else:
        settings = dataclasses.replace(people.resources.settings, limits=Limits(longest_text=2_000))
        people.resources = Resources.of(settings)
    path = people.path("customer_landing", day=NEXT)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    assert people.consenting() == {"bob@example.com"}
    (found,) = (text for text in open_texts(people.resources.view()) if text.reason in INCOMPLETE)
    assert found.is_unattributed
    people.land("customer_landing", lines(customer("ann", updated=STAMP + 1)), day=LATER)
    assert people.consenting() == {"ann@example.com", "bob@example.com"}
    assert not outcome(people, "customer_landing", "unattributed_texts").passed
    assert "or only a part" in outcome(people, "customer_landing", "unattributed_texts").description
    decide(people, dismissed=True)
    assert outcome(people, "customer_landing", "unattributed_texts").passed


def test_what_is_dismissed_counts_as_looked_at_in_every_landing_table(people: SmallLake) -> None:
    """A raw file may be gone, so mending cannot be the only way to an exit code of 0."""
    good = lines(*(movement("ann", STAMP + n) for n in range(9)))
    people.land("accelerometer_landing", good + "bad\nworse\n", day=NEXT)
    people.land("accelerometer_landing", "noise\n", "noise", day=LATER)
    people.land("customer_landing", lines(BROKEN), day=NEXT)
    people.land("customer_landing", lines(customer("ann", updated=STAMP + 1)), day=LATER)
    people.ingest()
    assert set(open_matters(people.resources)) == {
        (f"{name}_landing", "few_rejected") for name in ("accelerometer", "customer")
    }
    decide(people, "line IN ('bad', 'noise')", dismissed=True)
    assert "2023-08-07 (1 of 11)" in open_matters(people.resources)["accelerometer_landing", "few_rejected"]
    decide(people, dismissed=True)
    assert open_matters(people.resources) == {}
    decide(people, "line = 'noise'", dismissed=False)
    assert list(open_matters(people.resources)) == [("accelerometer_landing", "few_rejected")]


def test_a_dismissal_outlives_the_erasure_of_another_person_of_the_line(people: SmallLake) -> None:
    bad = [json.dumps({**BROKEN, "email": f"{name}@example.com"}) for name in ("ann", "bob")]
    people.land("customer_landing", "".join(bad) + "\n", day=NEXT)
    people.ingest()
    decide(people, "source_object = 2", dismissed=True)
    people.land("customer_landing", bad[1] + "\n", day=NEXT)
    assert people.consenting() == {"ann@example.com", "bob@example.com"}


def decide(lake: SmallLake, condition: str = "true", *, dismissed: bool) -> None:
    quarantine = contract("landing_quarantine")
    stored = lake.resources.session.relation(quarantine, lake.resources.lakehouse.snapshot(quarantine).files)
    texts = lake.resources.session.arrow(f"SELECT * FROM stored WHERE {condition}", stored=stored)
    Dismissals(lake.resources.privacy).decide(texts.to_pylist(), "a test", "R. Ray", dismissed=dismissed)


def test_days_and_files_of_which_much_was_not_read(people: SmallLake, tmp_path: Path) -> None:
    people.land("accelerometer_landing", lines(*(movement("ann", STAMP + n) for n in range(98))) + "bad\n", day=NEXT)
    people.ingest()
    found = outcome(people, "accelerometer_landing", "few_rejected")
    assert (found.passed, found.numbers["rejected"]) == (False, 1), found.description
    assert list(open_matters(people.resources)) == [("accelerometer_landing", "few_rejected")]
    assert "2023-08-07 (1 of 99)" in found.description
    tolerant = dataclasses.replace(people.resources.settings, max_rejected=0.02)
    people.resources = dataclasses.replace(people.resources, settings=tolerant)
    assert outcome(people, "accelerometer_landing", "few_rejected").passed
    assert open_matters(people.resources) == {}
    people.land("accelerometer_landing", "nothing to read", "noise", day=NEXT)
    people.ingest()
    found = outcome(people, "accelerometer_landing", "few_rejected")
    assert found.numbers["files not read"] == 1
    assert "nothing was read: accelerometer_landing/landing_date=2023-08-07/noise" in found.description


def test_files_that_are_left_alone_are_said(people: SmallLake) -> None:
    people.land("customer_landing", lines(customer("ann", updated=STAMP + 1)), day="2099-01-01")
    people.ingest()
    ((check, said),) = open_matters(people.resources).items()
    assert check == ("customer_landing", "files_left_alone")
    assert "customer_landing/landing_date=2099-01-01/part.json (dated 2099-01-01" in said


def test_keys_that_are_somebodys_name_or_number_are_not_named(people: SmallLake) -> None:
    odd = {**customer("cid"), "AnnInvented": 1, "serial-bob": 2, "e3b1c2d4-1111-4222-8333-444455556666": 3, "mood": 4}
    people.land("customer_landing", lines(odd), day=NEXT)
    people.ingest()
    description = outcome(people, "customer_landing", "unknown_keys").description
    assert "mood (1), other keys (3)" in description or "other keys (3), mood (1)" in description


def test_keys_that_mean_no_field_are_named_if_they_look_like_names(people: SmallLake) -> None:
    odd = {**customer("cid"), "shareWithReserch": 1, "ann@example.com": 2}
    people.land("customer_landing", lines(odd, odd), day=NEXT)
    people.ingest()
    found = outcome(people, "customer_landing", "unknown_keys")
    assert not found.passed
    assert "shareWithReserch (2)" in found.description
    assert "other keys (2)" in found.description
    assert "@" not in found.description
