"""Suppression while days are ingested: what lands of people who were erased, and of those who came back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stedi_assets.contracts import LANDING_TABLES
from stedi_assets.contracts import table as contract
from stedi_assets.landing.day_plan import MissingFiles
from stedi_assets.privacy.tombstones import write_tombstone
from stedi_assets.subject_requests.subject import Person
from stedi_assets_tests.kit.driven import land_partitions
from stedi_assets_tests.kit.lake import SmallLake
from stedi_assets_tests.kit.records import DAY, STAMP, customer, lines, movement, step

ERASED_AT = STAMP
SHARED_TIME = STAMP + 5
ANN = Person(
    "ann@example.com",
    "",
    serials=("serial-ann",),
    shared=("serial-shared",),
    readings=(("serial-shared", SHARED_TIME),),
    marks=("ann invented",),
)
TABLES = tuple(table.name for table in LANDING_TABLES)
COUNTS = "lines, rows, rejected, erased, json_keys(erased_under)"


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[SmallLake]:
    small = SmallLake.at(tmp_path)
    yield small
    small.close()


def erase(lake: SmallLake, person: Person, request: str, at: int = ERASED_AT) -> None:
    """Store a person's tombstone, and remove nothing."""
    privacy = lake.resources.privacy
    write_tombstone(privacy, person.tombstone(privacy, request, at))


def ingest(lake: SmallLake, missing: MissingFiles = MissingFiles.FAIL) -> None:
    for name in TABLES:
        land_partitions(lake.resources, name, [DAY], missing)


def differences(lake: SmallLake) -> dict[str, str]:
    found = lake.resources.landing_differences(lake.resources.listing())
    return {name: str(days[DAY]) for name, days in found.items()}


def test_what_lands_of_the_erased_is_left_out_and_counted(lake: SmallLake) -> None:
    erase(lake, ANN, "r1")
    rejected = [{"customerName": "Ann Invented"}, {"user": "Ann@example.com"}, {"serialNumber": "SERIAL-ANN"}]
    others = [{"customerName": "Ann Inventedly"}, {"user": "bob@example.com"}, {"serialNumber": "serial-shared"}]
    records = [
        [customer("ann"), customer("bob", serialNumber="serial-shared")],
        [movement("ann") | {"user": " ANN@Example.com"}, movement("bob")],
        [step("ann"), step("bob"), step("shared", SHARED_TIME), step("shared", SHARED_TIME + 1)],
    ]
    for name, good, theirs, other in zip(TABLES, records, rejected, others, strict=True):
        lake.land(name, lines(*good, theirs, other))
    ingest(lake)
    assert lake.rows("customer_landing", "email") == [("bob@example.com",)]
    assert lake.rows("accelerometer_landing", '"user"') == [("bob@example.com",)]
    assert lake.rows("step_trainer_landing", '"serialNumber", "sensorReadingTime"') == [
        ("serial-bob", STAMP),
        ("serial-shared", SHARED_TIME + 1),
    ]
    assert sorted(line for (line,) in lake.rows("landing_quarantine", "line")) == sorted(map(json.dumps, others))
    assert lake.rows("landing_files", f"landing_table, {COUNTS}") == [
        ("accelerometer_landing", 4, 1, 1, 2, ["r1"]),
        ("customer_landing", 4, 1, 1, 2, ["r1"]),
        ("step_trainer_landing", 6, 2, 1, 3, ["r1"]),
    ]
    assert differences(lake) == {}


def test_lines_of_gone_files_are_counted_under_each_erasure(lake: SmallLake) -> None:
    """The raw file was archived. It goes on saying how many lines it had, and what became of them."""
    moves = lines(*map(movement, ("ann", "bob", "cat")), {"user": "bob@example.com"})
    path = lake.land("accelerometer_landing", moves)
    ingest(lake)
    path.unlink()
    found = []
    for name in ("ann", "bob"):
        erase(lake, Person(f"{name}@example.com", ""), name)
        ingest(lake, MissingFiles.KEEP)
        found += lake.rows("landing_files", COUNTS)
    assert found == [(4, 2, 1, 1, ["ann"]), (4, 1, 0, 3, ["ann", "bob"])]
    assert lake.rows("accelerometer_landing", '"user"') == [("cat@example.com",)]


def test_who_registered_anew_lands_from_then_on(lake: SmallLake) -> None:
    erase(lake, ANN, "r1")
    again = ERASED_AT + 100
    lake.land("customer_landing", lines(customer("ann", registrationDate=ERASED_AT)))
    moves = [movement("ann", again + n) for n in (-1, 0, 1)]
    steps = [step("ann", again + n) for n in (-1, 0, 1)]
    lake.land("accelerometer_landing", lines(*moves))
    lake.land("step_trainer_landing", lines(*steps))
    ingest(lake)
    assert [lake.count(name) for name in TABLES] == [0, 0, 0], "who registered no later than the erasure stays erased"
    assert differences(lake) == {}

    lake.land("customer_landing", lines(customer("ann", registrationDate=again)), "again.json")
    land_partitions(lake.resources, "customer_landing", [DAY])
    assert differences(lake) == dict.fromkeys(TABLES, "somebody who was erased has registered anew")
    ingest(lake)
    assert differences(lake) == {}
    assert lake.rows("customer_landing", '"registrationDate"') == [(again,)]
    assert lake.rows("accelerometer_landing", '"timestamp"') == [(again,), (again + 1,)]
    assert lake.rows("step_trainer_landing", '"sensorReadingTime"') == [(again,), (again + 1,)]
    # Lines are judged as rows are.
    suppression = lake.resources.erased()
    for name, records in (("accelerometer_landing", moves), ("step_trainer_landing", steps)):
        judged = [suppression.of_line(contract(name), lines(one).encode().strip(), DAY) for one in records]
        assert [one is not None for one in judged] == [True, False, False]


def test_a_registration_before_a_second_erasure_brings_nobody_back(lake: SmallLake) -> None:
    erase(lake, ANN, "r1")
    lake.land("customer_landing", lines(customer("ann", registrationDate=ERASED_AT + 1)))
    ingest(lake)
    assert list(lake.resources.erased().returns()) == ["r1"]
    erase(lake, ANN, "r2", ERASED_AT + 2)
    assert lake.resources.erased().returns() == {}


def test_whoever_is_erased_while_a_day_is_read_is_left_out(lake: SmallLake, monkeypatch: pytest.MonkeyPatch) -> None:
    """The day was read before the tombstone was there, and is committed after."""
    lake.land("accelerometer_landing", lines(movement("ann"), movement("bob")))
    engine = type(lake.resources.engine)
    copy = engine.copy

    def slow(*arguments: Any) -> Any:
        new = copy(*arguments)
        if not lake.resources.erased():
            erase(lake, ANN, "r1")
        return new

    monkeypatch.setattr(engine, "copy", slow)
    land_partitions(lake.resources, "accelerometer_landing", [DAY])
    assert lake.rows("accelerometer_landing", '"user"') == [("bob@example.com",)]
    assert lake.rows("landing_files", COUNTS) == [(2, 1, 0, 1, ["r1"])]
