"""Checks, asked directly: which days they look at, and where their limits lie."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta

import pytest

from stedi_assets.contracts import table as contract
from stedi_assets.defs.checks.build import checks_of
from stedi_assets.defs.checks.model import CheckContext, CheckOutcome
from stedi_assets.privacy.tombstones import write_tombstone
from stedi_assets.subject_requests.subject import Person
from stedi_assets_tests.kit.driven import land_partitions
from stedi_assets_tests.kit.lake import SmallLake
from stedi_assets_tests.kit.records import DAY, STAMP, customer, lines, step

STEPS = "step_trainer_landing"
NEXT = DAY + timedelta(days=1)


def outcome(lake: SmallLake, name: str, check: str, days: Collection[date] | None = None) -> CheckOutcome:
    (one,) = (one for one in checks_of(contract(name)) if one.name == check)
    return one.evaluate(CheckContext(lake.resources, contract(name), days, [one]))


def test_what_did_not_become_a_row_is_told_of_its_day_only(lake: SmallLake) -> None:
    """A broken line on the first day, a copied file and somebody erased on the second."""
    privacy = lake.resources.privacy
    write_tombstone(privacy, Person("", "", serials=("serial-ann",)).tombstone(privacy, "r1", STAMP))
    lake.land(STEPS, lines(step("bob"), step("cat"), {"serialNumber": "serial-bob"}))
    lake.land(STEPS, lines(step("ann"), step("bob", STAMP + 1)), day=NEXT)
    lake.land(STEPS, lines(step("ann"), step("bob", STAMP + 1)), "z-copy.json", day=NEXT)
    land_partitions(lake.resources, STEPS, [DAY, NEXT])
    found = {
        days: {
            check: outcome(lake, STEPS, check, days) for check in ("nothing_lost", "rejected_lines", "duplicate_files")
        }
        for days in (frozenset({DAY}), frozenset({NEXT}), None)
    }
    assert [[one.passed for one in of_days.values()] for of_days in found.values()] == [
        [True, False, True],
        [True, True, False],
        [True, False, False],
    ]
    assert [tuple(of_days["nothing_lost"].numbers.values()) for of_days in found.values()] == [
        (3, 2, 1, 0, 0),
        (4, 1, 0, 2, 1),
        (7, 3, 1, 2, 1),
    ]


def test_a_device_of_two_customers_is_shared(lake: SmallLake) -> None:
    lake.land("customer_landing", lines(customer("ann"), customer("bob")))
    land_partitions(lake.resources, "customer_landing", [DAY])
    assert outcome(lake, "customer_trusted", "shared_serial_numbers").passed
    lake.land("customer_landing", lines(customer("cat", serialNumber=" SERIAL-ann")), "more.json")
    land_partitions(lake.resources, "customer_landing", [DAY])
    found = outcome(lake, "customer_trusted", "shared_serial_numbers")
    assert not found.passed
    assert found.numbers == {"shared serial numbers": 1, "claimants": 2}


def test_a_device_that_another_claims_on_a_later_day_is_said(lake: SmallLake) -> None:
    lake.land("customer_landing", lines(customer("ann"), customer("bob"), customer("cat", serialNumber="serial-bob")))
    lake.land("customer_landing", lines(customer("ann", updated=STAMP)), day=NEXT)
    land_partitions(lake.resources, "customer_landing", [DAY, NEXT])
    found = outcome(lake, "customer_landing", "devices_claimed_later")
    assert found.passed, "within a day nothing says who was first, and a customer may say the same again"
    lake.land(
        "customer_landing", lines(customer("dan"), customer("mal", serialNumber="Serial-ANN ")), "m.json", day=NEXT
    )
    land_partitions(lake.resources, "customer_landing", [NEXT])
    found = outcome(lake, "customer_landing", "devices_claimed_later")
    assert not found.passed
    assert found.numbers == {"devices": 1, "later claims": 1}
    assert f"{NEXT}, customer_landing/landing_date={NEXT}/m.json, line 2." in found.description
    assert "serial" not in found.description.lower()


def test_the_newest_landing_day_may_be_as_old_as_the_contract_says(
    lake: SmallLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.land(STEPS, lines(step("ann")))
    # A day whose file is empty is no newer data.
    lake.land(STEPS, "", day=NEXT)
    land_partitions(lake.resources, STEPS, [DAY, NEXT])
    oldest = contract(STEPS).max_age
    passed = []
    for age in (oldest, oldest + timedelta(days=1)):
        monkeypatch.setattr("stedi_assets.defs.checks.from_contracts.today", lambda age=age: DAY + age)
        passed.append(outcome(lake, STEPS, "newest_landing_day").passed)
    assert passed == [True, False]
