"""What the sensors do about runs that failed, were mended by hand or are under way; nothing is run here.

Dagster's part is played by hand: runs are created of requests and reported as failed, on a real instance.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest

from stedi_assets.contracts import ASSET_TABLES, LANDING_TABLES
from stedi_assets.defs import erasure
from stedi_assets.defs.asset_job import JOB
from stedi_assets.defs.run_history import DAY_TAG, ERASURE_JOB, REQUEST_TAG, SENSOR_TAG
from stedi_assets.defs.sensors import consent, landing
from stedi_assets.subject_requests.requests import Requests
from stedi_assets_tests.kit.driven import land_partitions
from stedi_assets_tests.kit.lake import SmallLake, copied
from stedi_assets_tests.kit.records import DAY, lines, movement
from stedi_assets_tests.kit.ticking import Ticking

pytestmark = pytest.mark.usefixtures("without_checks")

WEEK = 7 * 24 * 60 * 60
ALL = tuple(table.name for table in ASSET_TABLES)
REQUEST = dg.RunRequest(tags={DAY_TAG: str(DAY), REQUEST_TAG: "some files", SENSOR_TAG: landing.SENSOR})


class Clock:
    """The time that the sensors see."""

    ahead = 0.0

    def time(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (landing, consent, erasure):
        monkeypatch.setattr(module, "time", SimpleNamespace(time=clock.time))
    return clock


@pytest.fixture(scope="module")
def ann(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallLake]:
    """A day whose landing tables are as its raw files are, and nothing is made from them; not to be changed."""
    lake = SmallLake.at(tmp_path_factory.mktemp("ann"))
    lake.land_people("ann")
    for table in LANDING_TABLES:
        land_partitions(lake.resources, table.name, [DAY])
    yield lake
    lake.close()


@pytest.fixture
def landed(ann: SmallLake, tmp_path: Path) -> Iterator[SmallLake]:
    """A copy of it, to change."""
    lake = copied(ann, tmp_path)
    yield lake
    lake.close()


def started(lake: SmallLake, request: dg.RunRequest, job: str = JOB) -> dg.DagsterRun:
    """The run that Dagster makes of a request, under way."""
    return lake.instance.create_run_for_job(
        lake.definitions.resolve_job_def(job),
        run_config=request.run_config,
        tags=request.tags,
        status=dg.DagsterRunStatus.STARTED,
    )


def report_made(lake: SmallLake, names: Collection[str]) -> None:
    for name in names:
        lake.instance.report_runless_asset_event(dg.AssetMaterialization(name, partition=str(DAY)))


def test_a_failed_run_is_settled_once_all_that_it_was_to_make_was_made_by_hand(landed: SmallLake, clock: Clock) -> None:
    ticking = Ticking(landed, landing.SENSOR)
    run = started(landed, REQUEST)
    report_made(landed, ALL)
    landed.instance.report_run_failed(run)
    assert ticking.tick() == ([], f"{DAY}: will be tried again after a pause.")
    report_made(landed, ALL[:-1])
    clock.ahead = landing.BACKOFF + 5
    (again,), _ = ticking.tick()
    assert {key.to_user_string() for key in again.asset_selection or ()} == set(ALL), (
        "what was made before it counts not"
    )
    report_made(landed, ALL[-1:])
    assert ticking.tick() == ([], "Every landed day is as ingested.")


@pytest.mark.parametrize("failed_ago", [WEEK - 60, WEEK + 60])
def test_a_failed_run_is_remembered_for_a_week(landed: SmallLake, clock: Clock, failed_ago: float) -> None:
    landed.instance.report_run_failed(started(landed, REQUEST))
    clock.ahead = failed_ago
    asked, _ = Ticking(landed, landing.SENSOR).tick()
    assert bool(asked) == (failed_ago < WEEK)


@pytest.mark.parametrize("erasing", [(True, False), (False, True), (False, False)])
def test_an_erasure_that_begins_or_ends_while_the_sensor_looks_counts(
    landed: SmallLake, monkeypatch: pytest.MonkeyPatch, erasing: tuple[bool, bool]
) -> None:
    landed.land("accelerometer_landing", lines(movement("bob")))
    answers = iter(erasing)
    monkeypatch.setattr(landing, "is_erasing", lambda _: next(answers))
    asked, says = Ticking(landed, landing.SENSOR).tick()
    if any(erasing):
        assert (asked, says) == ([], f"{DAY}: an erasure is writing raw files anew.")
    else:
        assert [request.partition_key for request in asked] == [str(DAY)]


def test_rows_of_archived_files_are_kept_where_a_file_is_new(landed: SmallLake) -> None:
    landed.path("accelerometer_landing").unlink()
    landed.land("accelerometer_landing", lines(movement("bob")), "late.json")
    (request,), _ = Ticking(landed, landing.SENSOR).tick()
    assert request.run_config == {"ops": {"accelerometer_landing": {"config": {"missing_files": "KEEP"}}}}


def test_the_consent_sensor_looks_again_until_nothing_differs(landed: SmallLake, clock: Clock) -> None:
    """A tick that asks for nothing, since a run is on its way or failed, must not be the last that looks."""
    ticking = Ticking(landed, consent.SENSOR)
    (asked,), _ = ticking.tick()
    run = started(landed, asked)
    assert ticking.tick()[0] == []
    landed.instance.report_run_failed(run)
    assert ticking.tick() == ([], f"{DAY}: failed 1 times, will be tried again after a pause.")
    clock.ahead = consent.BACKOFF + 5
    (again,), _ = ticking.tick()
    assert again.tags == asked.tags
    assert again.run_key != asked.run_key


def test_an_erasure_that_failed_is_asked_for_again_after_a_pause(lake: SmallLake, clock: Clock) -> None:
    request = Requests(lake.resources.privacy).file("ann@example.com", "", datetime.now(timezone.utc))
    ticking = Ticking(lake, erasure.SENSOR)
    (asked,), _ = ticking.tick()
    run = started(lake, asked, ERASURE_JOB)
    assert ticking.tick() == ([], f"{request.id} is under way.")
    lake.instance.report_run_failed(run)
    assert ticking.tick() == ([], f"{request.id} failed 1 times and will be tried again; its last run says why.")
    clock.ahead = erasure.BACKOFF + 5
    (again,), _ = ticking.tick()
    assert again.run_config == {"request": request.id}
    assert again.run_key != asked.run_key


def test_the_queue_is_shown_again_only_when_it_changed(lake: SmallLake) -> None:
    requests = Requests(lake.resources.privacy)
    ticking = Ticking(lake, erasure.SENSOR)

    def shown() -> int:
        return len(lake.instance.fetch_materializations(dg.AssetKey(erasure.QUEUE), limit=10).records)

    request = requests.file("ann@example.com", "", datetime.now(timezone.utc))
    (asked,), _ = ticking.tick()
    assert shown() == 1
    run = started(lake, asked, ERASURE_JOB)
    for _ in range(2):
        assert ticking.tick()[0] == []
    assert shown() == 1
    lake.instance.report_run_failed(run)
    requests.close(request, 0)
    for _ in range(2):
        assert ticking.tick() == ([], "No request is open.")
    assert shown() == 2
