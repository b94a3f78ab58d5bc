"""The landing sensor: what it asks for, when it waits, and that what it asks for brings the day up to date."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date
from typing import Any

import dagster as dg
import pytest

from stedi_assets.contracts import ASSET_TABLES
from stedi_assets.defs.run_history import DAY_TAG, ERASURE_JOB, REQUEST_TAG, SENSOR_TAG, RequestedRun
from stedi_assets.defs.sensors import landing as sensors
from stedi_assets.defs.sensors.landing import BACKOFF, MAX_ATTEMPTS, SENSOR, requests
from stedi_assets.landing.differences import Difference
from stedi_assets.landing.files import LandingFile
from stedi_assets_tests.kit.lake import SmallLake
from stedi_assets_tests.kit.records import DAY, STAMP, customer, lines, movement, step
from stedi_assets_tests.kit.ticking import Ticking

pytestmark = pytest.mark.usefixtures("without_checks")

ALL = tuple(table.name for table in ASSET_TABLES)
STEPS = ("step_trainer_landing", "step_trainer_trusted", "machine_learning_curated")
NOW = 1_000_000.0

# ---- the pure part -----------------------------------------------------------------------------


def raw(path: str = "a.json", stamp: str = "1", size: int = 10, table: str = "step_trainer_landing") -> LandingFile:
    return LandingFile(table, path, DAY, size, stamp)


def ask(
    history: Sequence[RequestedRun] = (),
    now: float = NOW,
    why: Difference | None = None,
    files: Sequence[LandingFile] = (raw(),),
) -> tuple[list[sensors.Request], list[str]]:
    return requests({"step_trainer_landing": {DAY: why or Difference(new=1)}}, {DAY: files}, {DAY: history}, now)


def ended(request: sensors.Request, at: float, failed: bool = True, run_id: str = "r") -> RequestedRun:
    return RequestedRun(request.request, running=False, ended=at, failed=failed, tables=request.tables, run_id=run_id)


def test_nothing_differs() -> None:
    assert requests({}, {}, {}, NOW) == ([], [])


def test_a_day_that_differs_is_asked_for_with_what_is_made_from_it() -> None:
    (request,), waiting = ask()
    assert waiting == []
    assert request.day == DAY
    assert request.tables == STEPS
    assert request.attempt == 0
    assert request.keep == ()


def test_the_same_files_have_the_same_key_and_others_another() -> None:
    (one,), _ = ask()
    (same,), _ = ask()
    assert one.run_key == same.run_key
    others = [
        ask(files=[raw(stamp="2")]),
        ask(files=[raw(size=11)]),
        ask(files=[raw(), raw("b.json")]),
        ask(why=Difference(changed=1)),
    ]
    keys = {request.run_key for (request,), _ in others}
    assert len(keys | {one.run_key}) == 5


def test_files_of_other_tables_do_not_change_the_key() -> None:
    (one,), _ = ask()
    (other,), _ = ask(files=[raw(), raw(table="customer_landing")])
    assert one.run_key == other.run_key


def test_one_run_for_several_tables_of_a_day() -> None:
    new = Difference(new=1)
    wanted, _ = requests({"step_trainer_landing": {DAY: new}, "customer_landing": {DAY: new}}, {}, {}, NOW)
    assert [request.tables for request in wanted] == [
        (
            "customer_landing",
            "step_trainer_landing",
            "customer_trusted",
            "accelerometer_trusted",
            "customers_curated",
            "consent_history",
            "step_trainer_trusted",
            "machine_learning_curated",
        )
    ]


def test_gone_files_are_kept_only_where_there_are_any() -> None:
    differences = {
        "step_trainer_landing": {DAY: Difference(new=1, missing=2)},
        "customer_landing": {DAY: Difference(new=1)},
    }
    (request,), _ = requests(differences, {}, {}, NOW)
    assert request.keep == ("step_trainer_landing",)


def test_a_run_on_its_way_is_waited_for() -> None:
    wanted, waiting = ask([RequestedRun("another", running=True, ended=0)])
    assert wanted == []
    assert waiting == [f"{DAY}: a run is on its way"]


def test_files_that_an_erasure_writes_anew_are_its_business() -> None:
    changed, new = Difference(changed=1), Difference(new=1)
    differences = {"step_trainer_landing": {DAY: changed}}
    assert requests(differences, {}, {}, NOW, erasing=True) == ([], [f"{DAY}: an erasure is writing raw files anew"])
    for others in ({"customer_landing": {DAY: new}}, {"step_trainer_landing": {DAY: Difference(new=1, changed=1)}}):
        (request,), _ = requests({**differences, **others}, {}, {}, NOW, erasing=True)
        assert request.day == DAY
    (request,), _ = requests(differences, {}, {}, NOW)
    assert request.day == DAY


def test_failed_runs_are_tried_again_after_longer_and_longer_pauses_and_then_no_more() -> None:
    (request,), _ = ask()
    history: list[RequestedRun] = []
    at = NOW
    for attempt in range(1, MAX_ATTEMPTS):
        history.insert(0, ended(request, at, run_id=str(attempt)))
        pause = BACKOFF * 2 ** (attempt - 1)
        assert ask(history, now=at + pause - 1) == ([], [f"{DAY}: will be tried again after a pause"])
        (again,), _ = ask(history, now=at + pause)
        assert again.attempt == attempt
        assert again.run_key != request.run_key
        at += pause
    history.insert(0, ended(request, at))
    wanted, waiting = ask(history, now=at + 10**9)
    assert wanted == []
    assert "tried 4 times and still differs; look at the last run" in waiting[0]
    (changed,), _ = ask(history, now=at, files=[raw(stamp="mended")])
    assert changed.attempt == 0


def test_a_run_that_failed_after_landing_is_tried_again_though_no_file_differs() -> None:
    (request,), _ = ask()
    history = [ended(request, NOW)]
    assert requests({}, {}, {DAY: history}, NOW + 1) == ([], [f"{DAY}: will be tried again after a pause"])
    (again,), _ = requests({}, {}, {DAY: history}, NOW + BACKOFF)
    assert again.tables == STEPS
    assert again.attempt == 1
    history.insert(0, ended(again, NOW + BACKOFF, run_id="r2"))
    (third,), _ = requests({}, {}, {DAY: history}, NOW + 10 * BACKOFF)
    assert (third.request, third.attempt) == (again.request, 2)
    history = [*[ended(again, NOW) for _ in range(MAX_ATTEMPTS)], *history]
    assert "look at the last run" in requests({}, {}, {DAY: history}, NOW * 2)[1][0]


def test_a_run_that_succeeded_settles_earlier_failures() -> None:
    (request,), _ = ask()
    history = [ended(request, NOW, failed=False), ended(request, NOW - 1)]
    assert requests({}, {}, {DAY: history}, NOW + BACKOFF) == ([], [])


def test_what_an_earlier_run_did_not_make_comes_along() -> None:
    (request,), _ = ask()
    history = [ended(request, NOW)]
    new = {"accelerometer_landing": {DAY: Difference(new=1)}}
    (both,), _ = requests(new, {}, {DAY: history}, NOW + 1)
    assert "step_trainer_landing" in both.tables


# ---- the real sensor ---------------------------------------------------------------------------


@pytest.fixture
def ticking(lake: SmallLake) -> Ticking:
    return Ticking(lake, SENSOR)


def selection(request: dg.RunRequest) -> tuple[str, ...]:
    return tuple(key.to_user_string() for key in request.asset_selection or ())


def test_nothing_landed(ticking: Ticking) -> None:
    asked, messages = ticking.tick()
    assert asked == []
    assert messages == "Every landed day is as ingested."


def test_first_files_one_run_per_day(ticking: Ticking) -> None:
    ticking.lake.land_people("ann")
    ticking.lake.land_people("bob", day="2023-08-07")
    asked, _ = ticking.tick()
    assert [request.partition_key for request in asked] == ["2023-08-06", "2023-08-07"]
    assert {selection(request) for request in asked} == {ALL}
    assert asked[0].tags[DAY_TAG] == "2023-08-06"
    assert asked[0].tags[SENSOR_TAG] == SENSOR


def test_a_new_file_asks_for_its_table_and_what_is_made_from_it(ticking: Ticking) -> None:
    lake = ticking.lake
    lake.land_people("ann")
    ticking.settle(directly=True)
    lake.land("step_trainer_landing", lines(step("ann") | {"distanceFromObject": 7}), "late.json")
    (request,) = ticking.settle()
    assert selection(request) == STEPS
    assert lake.count("machine_learning_curated") == 2


@pytest.mark.slow
def test_a_file_rewritten_under_its_name(ticking: Ticking) -> None:
    lake = ticking.lake
    lake.land_people("ann")
    ticking.settle()
    path = lake.path("step_trainer_landing")
    size = path.stat().st_size
    path.write_text(path.read_text().replace("200", "300"))
    assert path.stat().st_size == size
    (request,) = ticking.settle()
    assert selection(request) == STEPS
    assert lake.rows("machine_learning_curated", '"distanceFromObject"') == [(300,)]


@pytest.mark.slow
def test_two_files_in_the_same_second(ticking: Ticking) -> None:
    lake = ticking.lake
    lake.land_people("ann")
    second = 1_691_300_000 * 10**9
    os.utime(lake.path("step_trainer_landing"), ns=(second, second))
    ticking.settle()
    late = lake.land("step_trainer_landing", lines(step("ann") | {"distanceFromObject": 7}), "late.json")
    os.utime(late, ns=(second, second))
    assert len(ticking.settle()) == 1
    assert lake.count("step_trainer_landing") == 2


@pytest.mark.slow
def test_a_file_that_is_finished_later(ticking: Ticking) -> None:
    lake = ticking.lake
    lake.land_people("ann", "bob")
    path = lake.path("step_trainer_landing")
    whole = path.read_text()
    path.write_text(whole[:-30])
    ticking.settle()
    assert lake.count("step_trainer_trusted") == 1
    assert lake.count("landing_quarantine") == 1
    path.write_text(whole)
    (request,) = ticking.settle()
    assert selection(request) == STEPS
    assert lake.count("machine_learning_curated") == 4
    assert lake.count("landing_quarantine") == 0


@pytest.mark.slow
def test_a_day_that_was_materialized_by_hand(ticking: Ticking) -> None:
    ticking.lake.land_people("ann")
    assert ticking.lake.run(ALL, DAY).success
    assert ticking.tick() == ([], "Every landed day is as ingested.")


def test_a_run_in_progress(ticking: Ticking) -> None:
    lake = ticking.lake
    lake.land_people("ann")
    (request,), _ = ticking.tick()
    run = lake.instance.create_run_for_job(lake.job, tags=dict(request.tags), status=dg.DagsterRunStatus.STARTED)
    assert ticking.tick() == ([], f"{DAY}: a run is on its way.")
    lake.instance.report_run_canceled(run)
    assert ticking.tick() == ([], f"{DAY}: will be tried again after a pause.")


class Clock:
    """The time that the sensor sees."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        real = sensors.time.time
        monkeypatch.setattr(sensors, "time", type("T", (), {"time": lambda _: real() + self.ahead})())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.mark.slow
def test_a_failed_run_is_tried_again_a_few_times(ticking: Ticking, clock: Clock) -> None:
    lake = ticking.lake
    lake.land_people("ann")
    path = lake.path("accelerometer_landing", "broken.json.gz")
    path.write_bytes(b"\x1f\x8b not gzip at all")
    (request,), _ = ticking.tick()
    assert not ticking.run(request).success
    landed = lake.count("customer_landing"), lake.count("accelerometer_landing")
    assert landed == (1, 0), "the other tables of the day are there"
    for attempt in range(MAX_ATTEMPTS):
        # Now only one table differs, which is another request.
        if attempt:
            assert ticking.tick()[0] == [], "not at once"
            clock.ahead = BACKOFF * 2 ** (attempt - 1) + 60
        (request,), _ = ticking.tick()
        assert "accelerometer_landing" in selection(request)
        assert not ticking.run(request).success
        clock.ahead = 0
    clock.ahead = 10**6
    asked, messages = ticking.tick()
    assert asked == []
    assert f"{DAY}: tried {MAX_ATTEMPTS} times and still differs; look at the last run" in messages
    path.unlink()
    ticking.settle()
    assert lake.count("machine_learning_curated") == 1


@pytest.mark.slow
def test_a_run_that_fails_after_landing_is_not_forgotten(
    ticking: Ticking, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = ticking.lake
    lake.land_people("ann")
    (request,), _ = ticking.tick()
    with monkeypatch.context() as patched:
        patched.setattr("stedi_assets.transforms.step_trainer_trusted", _raise)
        assert not ticking.run(request).success
    assert lake.count("step_trainer_landing") == 1
    assert lake.count("step_trainer_trusted") == 0
    assert ticking.tick() == ([], f"{DAY}: will be tried again after a pause.")
    clock.ahead += BACKOFF
    (again,), _ = ticking.tick()
    assert selection(again) == ALL
    assert ticking.run(again).success
    assert lake.count("machine_learning_curated") == 1
    assert ticking.tick() == ([], "Every landed day is as ingested.")


@pytest.mark.slow
def test_a_failed_run_that_somebody_made_good_by_hand_is_settled(
    ticking: Ticking, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = ticking.lake
    lake.land_people("ann")
    (request,), _ = ticking.tick()
    with monkeypatch.context() as patched:
        patched.setattr("stedi_assets.transforms.step_trainer_trusted", _raise)
        assert not ticking.run(request).success
    assert lake.run(ALL, DAY).success
    clock.ahead += BACKOFF
    assert ticking.tick() == ([], "Every landed day is as ingested.")


def _raise(*_: Any) -> Any:
    msg = "this transform has a defect"
    raise RuntimeError(msg)


def test_folders_of_other_days_are_said_and_left_alone(ticking: Ticking) -> None:
    lake = ticking.lake
    lake.land("customer_landing", lines(customer("ann")), day="2099-01-01")
    lake.land("customer_landing", lines(customer("ann")), day="1999-01-01")
    lake.land("customer_landing", lines(customer("ann")), day="2023-02-30")
    asked, messages = ticking.tick()
    assert asked == []
    assert "landing_date=2099-01-01/part.json: left alone, dated 2099-01-01" in messages
    assert "dated 1999-01-01" in messages
    assert "2023-02-30, which does not exist" in messages
    lake.land_people("ann")
    assert [request.partition_key for request in ticking.settle(directly=True)] == [str(DAY)]


def test_a_file_of_zero_bytes(ticking: Ticking) -> None:
    ticking.lake.land("step_trainer_landing", "")
    assert [selection(request) for request in ticking.settle()] == [STEPS]


def test_archived_files_are_no_reason_to_run(ticking: Ticking) -> None:
    lake = ticking.lake
    lake.land_people("ann")
    ticking.settle(directly=True)
    for path in (lake.root / "landing").rglob("part.json"):
        path.unlink()
    assert ticking.tick() == ([], "Every landed day is as ingested.")
    assert lake.count("machine_learning_curated") == 1


@pytest.mark.slow
def test_a_run_drops_the_rows_of_archived_files_only_by_their_number(ticking: Ticking) -> None:
    """So nobody drops them who does not know how many there are: by a slip, or from a page that starts runs."""
    lake = ticking.lake
    lake.land_people("ann")
    ticking.settle(directly=True)
    for path in (lake.root / "landing" / "accelerometer_landing").rglob("part.json"):
        path.unlink()

    def drop(**confirmed: int) -> dg.ExecuteInProcessResult:
        config = {"missing_files": "DROP", **confirmed}
        return lake.run(["accelerometer_landing"], DAY, config={"ops": {"accelerometer_landing": {"config": config}}})

    for confirmed in ({}, {"rows_to_drop": 2}):
        failure = drop(**confirmed).failure_data_for_node("accelerometer_landing")
        assert "If all of them are to go, set rows_to_drop: 1." in str(failure)
        assert lake.count("accelerometer_landing") == 1
    assert drop(rows_to_drop=1).success
    assert lake.count("accelerometer_landing") == 0


@pytest.mark.slow
def test_a_late_file_on_a_day_whose_files_are_archived(ticking: Ticking) -> None:
    lake = ticking.lake
    lake.land_people("ann")
    ticking.settle()
    for path in (lake.root / "landing").rglob("part.json"):
        path.unlink()
    lake.land("accelerometer_landing", lines(movement("ann") | {"x": 9.0}), "late.json")
    (request,) = ticking.settle()
    assert request.run_config == {"ops": {"accelerometer_landing": {"config": {"missing_files": "KEEP"}}}}
    assert lake.count("accelerometer_landing") == 2
    assert lake.count("machine_learning_curated") == 2


def test_a_request_names_what_it_is_for(ticking: Ticking) -> None:
    ticking.lake.land("step_trainer_landing", lines(step("ann", STAMP)))
    (request,), _ = ticking.tick()
    assert request.run_key == f"{DAY}-{request.tags[REQUEST_TAG]}-0"
    assert request.partition_key == str(date(2023, 8, 6))


@pytest.mark.slow
def test_what_an_erasure_wrote_anew_is_not_asked_for(ticking: Ticking) -> None:
    lake = ticking.lake
    lake.land_people("ann", "bob")
    lake.materialize()
    lake.land("step_trainer_landing", lines(step("ann")))
    begun = lake.instance.create_run_for_job(
        lake.definitions.resolve_job_def(ERASURE_JOB), run_config={"request": "erasure-1"}
    )
    lake.instance.report_run_canceling(begun)  # any state but queued will do
    assert ticking.tick() == ([], f"{DAY}: an erasure is writing raw files anew.")
    lake.instance.report_run_canceled(begun)
    (asked,), _ = ticking.tick()
    assert asked.partition_key == str(DAY)
