"""What an erasure does with the readings of devices that others claim too: a false claim must not destroy them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stedi_assets.subject_requests.erasure import find_to_be_erased
from stedi_assets.subject_requests.explain import explain
from stedi_assets.subject_requests.places import find_places
from stedi_assets.subject_requests.progress import Progress
from stedi_assets.subject_requests.requests import ERASE, HIDE, RequestError, Requests
from stedi_assets.subject_requests.subject import Person
from stedi_assets_tests.kit.lake import SmallLake, copied
from stedi_assets_tests.kit.people import erase_directly, erasure, request
from stedi_assets_tests.kit.records import DAY, STAMP, customer, lines, movement, step

NEXT_DAY = "2023-08-07"
OF_BOB = [STAMP, STAMP + 1, STAMP + 2]
"""When bob's device measured; bob does not consent and did not move then, and mal says that he did."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallLake]:
    """Mal claims bob's device a day after bob did, and moved whenever it measured."""
    lake = SmallLake.at(tmp_path_factory.mktemp("claims"))
    lake.land("customer_landing", lines(customer("bob", consents=False), customer("eve")))
    lake.land("step_trainer_landing", lines(*(step("bob", at) for at in OF_BOB), step("eve")))
    lake.land("customer_landing", lines(customer("mal", serialNumber="serial-bob")), day=NEXT_DAY)
    lake.land("accelerometer_landing", lines(*(movement("mal", at) for at in OF_BOB[:2]), movement("eve")))
    lake.materialize_directly()
    yield lake
    lake.close()


@pytest.fixture
def lake(made: SmallLake, tmp_path: Path) -> Iterator[SmallLake]:
    lake = copied(made, tmp_path)
    yield lake
    lake.close()


def readings(lake: SmallLake) -> list[int]:
    """The times of the readings of bob's device in the landing table."""
    return sorted(time for serial, time in _steps(lake) if serial == "serial-bob")


def _steps(lake: SmallLake) -> list[tuple[Any, ...]]:
    return lake.rows("step_trainer_landing", '"serialNumber", "sensorReadingTime"')


def raw(lake: SmallLake) -> str:
    return lake.path("step_trainer_landing").read_text()


@pytest.mark.slow
def test_they_are_hidden_and_left_unless_somebody_says_otherwise(lake: SmallLake) -> None:
    before = raw(lake)
    (receipt,) = erase_directly(lake, "mal")
    assert receipt["shared_devices"] == {"serial_numbers": 1, "readings": 2, "in_raw_files": "left"}
    assert readings(lake) == OF_BOB[2:]
    assert raw(lake) == before
    # A day that is read again hides them still.
    assert not lake.materialize_directly(force=True).differing
    assert readings(lake) == OF_BOB[2:]


@pytest.mark.slow
def test_they_go_from_raw_files_too_where_an_officer_says_so(lake: SmallLake) -> None:
    before = raw(lake).splitlines()
    (receipt,) = erase_directly(lake, "mal", shared_devices=ERASE)
    assert receipt["shared_devices"] == {"serial_numbers": 1, "readings": 2, "in_raw_files": "erased"}
    assert readings(lake) == OF_BOB[2:]
    assert raw(lake).splitlines() == ["", "", *before[2:]]


@pytest.mark.slow
def test_what_was_left_goes_with_a_later_request(lake: SmallLake) -> None:
    before = raw(lake).splitlines()
    erase_directly(lake, "mal")
    assert (found_steps(lake, HIDE), found_steps(lake, ERASE)) == ((0, 0), (2, 2))
    (receipt,) = erase_directly(lake, "mal", shared_devices=ERASE)
    assert receipt["found"] == {"raw files": {"step_trainer_landing": 2}}
    assert receipt["shared_devices"] == {"serial_numbers": 1, "readings": 2, "in_raw_files": "erased"}
    assert raw(lake).splitlines() == ["", "", *before[2:]]
    assert readings(lake) == OF_BOB[2:]


@pytest.mark.slow
@pytest.mark.usefixtures("without_dagster")
def test_the_choice_holds_once_an_erasure_is_begun(lake: SmallLake) -> None:
    """Else a receipt says that they were left, of a file that has lost them."""
    asked = request(lake, "mal", ERASE)
    steps = erasure(lake, asked)
    steps.begin()
    with pytest.raises(RequestError, match="is under way with --shared-devices erase"):
        request(lake, "mal", HIDE)
    assert request(lake, "mal").id == asked.id
    (receipt,) = steps.run()
    assert receipt["shared_devices"]["in_raw_files"] == "erased"
    assert raw(lake).startswith("\n\n")


def test_a_choice_that_changes_while_it_is_begun_counts(lake: SmallLake, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, real = request(lake, "mal", HIDE), find_places

    def changing(*args: Any) -> Any:
        monkeypatch.undo()
        request(lake, "mal", ERASE)
        return real(*args)

    monkeypatch.setattr("stedi_assets.subject_requests.erasure.find_places", changing)
    erasure(lake, asked).begin()
    begun = Requests(lake.resources.privacy).get(asked.id)
    assert begun.shared_devices == ERASE
    assert sum(place.number for place in Progress.of(begun).found if "step_trainer" in place.location) > 2


def found_steps(lake: SmallLake, shared_devices: str) -> tuple[int, int]:
    """What a dry run says of mal: step readings in raw files that would go, and readings of shared devices."""
    _, places, readings = find_to_be_erased(lake.resources, "mal@example.com", shared_devices)
    in_raw_files = [place for place in places if place.kind == "raw file" and "step_trainer" in place.location]
    return sum(place.number for place in in_raw_files), readings


@pytest.mark.parametrize(("shared_devices", "found"), [(HIDE, (0, 2)), (ERASE, (2, 2))])
def test_a_dry_run_counts_them_as_the_erasure_would(
    made: SmallLake, shared_devices: str, found: tuple[int, int]
) -> None:
    assert found_steps(made, shared_devices) == found


def test_it_is_explained_whose_claim_takes_readings_away(made: SmallLake) -> None:
    resources = made.resources
    told = {one.table: one.reasons for one in explain(resources, Person.of(resources, "bob@example.com"))}
    assert told["step_trainer_trusted"][-1] == (
        "2 are used only because others claim the device since "
        f"{NEXT_DAY} (customer_landing/landing_date={NEXT_DAY}/part.json, line 1)"
    )
    assert "mal@" not in str(told), "an explanation may be handed to the person"
    # To mal, it is bob's claim that keeps the third reading out.
    told = {one.table: one.reasons for one in explain(resources, Person.of(resources, "mal@example.com"))}
    assert told["step_trainer_trusted"][-1] == (
        "1 of these are left out only because others claim the device since "
        f"{DAY} (customer_landing/landing_date={DAY}/part.json, line 1)"
    )
