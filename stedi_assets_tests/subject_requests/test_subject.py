"""Who a person is: which values are theirs alone, and which readings of a shared device are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stedi_assets.contracts import LANDING_TABLES
from stedi_assets.subject_requests.subject import Person
from stedi_assets_tests.kit.driven import land_partitions
from stedi_assets_tests.kit.lake import SmallLake
from stedi_assets_tests.kit.records import DAY, STAMP, customer, lines, movement, step


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[SmallLake]:
    small = SmallLake.at(tmp_path)
    yield small
    small.close()


def person(lake: SmallLake) -> Person:
    """Ann, by what has landed."""
    for table in LANDING_TABLES:
        land_partitions(lake.resources, table.name, [DAY])
    return Person.of(lake.resources, "ann@example.com")


def test_what_others_have_too_is_not_theirs_alone(lake: SmallLake) -> None:
    records = [
        customer("ann", phone="5550101"),
        customer("ann", serialNumber=" Serial-BOB", phone="5550102"),
        customer("bob", phone=" 5550102 "),
    ]
    lake.land("customer_landing", lines(*records))
    ann = person(lake)
    assert (ann.serials, ann.shared) == (("serial-ann",), ("serial-bob",))
    assert ann.marks == ("5550101", "ann invented")


def test_a_rejected_record_counts_if_it_is_theirs(lake: SmallLake) -> None:
    rejected = [
        {"email": "Ann@example.com", "serialNumber": "serial-1"},
        {"email": "bob@example.com", "serialNumber": "serial-2", "customerName": "friend of ann@example.com"},
        {"email": ["ann@example.com"], "serialNumber": "serial-3"},
        {"serialNumber": "serial-4", "phone": "ann@example.com"},
    ]
    lake.land("customer_landing", lines(*rejected))
    ann = person(lake)
    assert (ann.serials, ann.shared, ann.marks) == (("serial-1",), (), ())


def test_whatever_a_rejected_record_looks_like_its_serial_numbers_are_found(lake: SmallLake) -> None:
    rejected = [
        '{"EMAIL": "ann@example.com", "serialnumber": "serial-1"}',
        '{"records": [{"email": "ann@example.com", "serialNumber": "serial-2"}, {"serialNumber": "serial-bob"}]}',
        '{"email": "ann@example.com", "serialNumber": "serial-3", "phone": }',
        '{"email": "ann@example.com", "serialNumber": "serial-bob", "phone": {"email": "bob@example.com"}, }',
        '{"email": "ann@example.com", "email": "ann@EXAMPLE.com", "serialNumber": "serial-4"}',
    ]
    lake.land("customer_landing", "\n".join(rejected))
    assert person(lake).serials == tuple(f"serial-{number}" for number in (1, 2, 3, 4))


def test_a_reading_of_a_shared_device_is_whose_who_alone_moved(lake: SmallLake) -> None:
    lake.land("customer_landing", lines(*(customer(name, serialNumber="serial-shared") for name in ("ann", "bob"))))
    moves = [("ann", 0), ("ann", 1), ("bob", 1), ("bob", 2), ("zed", 0)]
    lake.land("accelerometer_landing", lines(*(movement(name, STAMP + at) for name, at in moves)))
    lake.land("step_trainer_landing", lines(*(step("shared", STAMP + at) for at in range(4))))
    assert person(lake).readings == (("serial-shared", STAMP),)
