"""The consent sensor: which partitions it asks for, when it waits, and that what it asks for settles everything."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from stedi_assets.contracts import ASSET_TABLES, DERIVED_TABLES, Table
from stedi_assets.contracts import table as contract
from stedi_assets.defs.io_manager import RETRIES
from stedi_assets.defs.run_history import SENSOR_TAG, ActiveRun, RequestedRun
from stedi_assets.defs.runs import Run
from stedi_assets.defs.sensors.consent import BACKOFF, MAX_BACKOFF, SENSOR, due, request_name, requests
from stedi_assets_tests.kit.driven import make_partitions
from stedi_assets_tests.kit.lake import SmallLake, copied
from stedi_assets_tests.kit.records import STAMP, customer, lines, movement, step
from stedi_assets_tests.kit.ticking import Ticking

INPUTS = {table.name: table.inputs for table in DERIVED_TABLES}
NOW = 1_000_000.0
DAYS = [date(2023, 8, 1) + timedelta(days=n) for n in range(7)]
FIRST, SECOND, THIRD = DAYS[:3]
DERIVED = tuple(table.name for table in ASSET_TABLES if table.name in INPUTS)


def at(day: date, offset: int = 0) -> int:
    """A time on a day, in ms."""
    return STAMP + (day - date(2023, 8, 6)).days * 86_400_000 + offset


# ---- the pure part -----------------------------------------------------------------------------


def test_what_differs_is_asked_for() -> None:
    assert due({"customer_trusted": {FIRST}}, {}, []) == ({"customer_trusted": {FIRST}}, [])


def test_what_a_run_makes_is_left_to_it() -> None:
    stale = {"customer_trusted": {FIRST, SECOND}, "accelerometer_trusted": {FIRST}}
    on_its_way = ActiveRun(frozenset({"customer_trusted"}), FIRST, FIRST)
    wanted, messages = due(stale, {"customer_trusted": {FIRST}}, [on_its_way])
    assert wanted == {"customer_trusted": {SECOND}, "accelerometer_trusted": {FIRST}}
    assert messages == ["1 partitions that differ are being made"]


def test_a_run_that_does_not_say_which_days_makes_them_all() -> None:
    wanted, _ = due({"customer_trusted": {FIRST}}, {}, [ActiveRun(frozenset({"customer_trusted"}), None, None)])
    assert wanted == {}


def test_while_something_lands_only_what_must_go_is_asked_for() -> None:
    stale = {"accelerometer_trusted": {FIRST, SECOND}, "machine_learning_curated": {FIRST, SECOND}}
    landing = ActiveRun(frozenset({"step_trainer_landing"}), THIRD, THIRD)
    wanted, messages = due(stale, {"accelerometer_trusted": {SECOND}}, [landing])
    assert wanted == {"accelerometer_trusted": {SECOND}, "machine_learning_curated": {SECOND}}
    assert messages == ["2 partitions that differ wait until nothing lands"]


RUN = Run(("customer_trusted",), FIRST, SECOND)


def ended(at: float, failed: bool = True) -> RequestedRun:
    return RequestedRun(request_name(RUN), running=False, ended=at, failed=failed)


def ask(*history: RequestedRun, now: float = NOW) -> tuple[int | None, str]:
    requested, waiting = requests([RUN], {request_name(RUN): history}, now)
    return (requested[0].attempt if requested else None), "".join(waiting)


def test_a_run_that_succeeded_is_asked_for_again_with_another_key() -> None:
    assert ask() == (0, "")
    assert ask(ended(NOW - 1, failed=False)) == (1, "")


def test_what_failed_is_asked_for_after_longer_and_longer_pauses_and_for_ever() -> None:
    assert ask(ended(NOW), now=NOW + BACKOFF - 1)[0] is None
    assert ask(ended(NOW), now=NOW + BACKOFF) == (1, "")
    twice = ended(NOW), ended(NOW - 50)
    assert (
        ask(*twice, now=NOW + 2 * BACKOFF - 1)[1]
        == "2023-08-01 to 2023-08-02: failed 2 times, will be tried again after a pause"
    )
    assert ask(*twice, now=NOW + 2 * BACKOFF) == (2, "")
    often = [ended(NOW)] * 50
    assert ask(*often, now=NOW + MAX_BACKOFF - 1)[0] is None
    assert ask(*often, now=NOW + MAX_BACKOFF) == (50, "")


def test_a_success_settles_earlier_failures() -> None:
    assert ask(ended(NOW, failed=False), ended(NOW)) == (2, "")


def test_a_run_that_was_asked_for_is_waited_for() -> None:
    assert ask(RequestedRun(request_name(RUN), running=True, ended=0)) == (
        None,
        "2023-08-01 to 2023-08-02: a run is on its way",
    )


# ---- the real sensor ---------------------------------------------------------------------------


def person(name: str, day: date = FIRST, offset: int = 0, consents: bool = True) -> dict[str, Any]:
    """A customer record that was made on a day."""
    since = at(FIRST) if consents else None
    return customer(name, updated=at(day, offset), shareWithResearchAsOfDate=since)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallLake]:
    """Seven landing days: ann moved on three of them, bob on every one; cid does not consent and moved on two."""
    lake = SmallLake.at(tmp_path_factory.mktemp("week"))
    lake.land("customer_landing", lines(person("ann"), person("bob"), person("cid", consents=False)), day=FIRST)
    for number, day in enumerate(DAYS):
        who = ["bob", *(["ann"] if number in {2, 4, 5} else []), *(["cid"] if number in {3, 6} else [])]
        lake.land("accelerometer_landing", lines(*(movement(name, at(day, n)) for n, name in enumerate(who))), day=day)
        lake.land("step_trainer_landing", lines(*(step(name, at(day, n)) for n, name in enumerate(who))), day=day)
    make_partitions(lake.resources, [table.name for table in ASSET_TABLES], DAYS)
    yield lake
    lake.close()


@pytest.fixture
def week(made: SmallLake, tmp_path: Path) -> Iterator[SmallLake]:
    """A copy of it, to change."""
    lake = copied(made, tmp_path)
    yield lake
    lake.close()


@pytest.fixture
def ticking(week: SmallLake, without_checks: None) -> Ticking:
    return Ticking(week, SENSOR)


def land_customer(lake: SmallLake, name: str, day: date, consents: bool = True) -> None:
    """Land a customer's new record, and ingest it: the landing table only, as if the rest of its run had failed."""
    lake.land("customer_landing", lines(person(name, day, consents=consents)), name=f"{name}.json", day=day)
    make_partitions(lake.resources, ["customer_landing"], [day])


def files(lake: SmallLake) -> dict[tuple[str, date], frozenset[str]]:
    """The files of every partition of every derived table: new ones show what was rewritten."""
    return {
        (name, day): frozenset(file.path for file in found)
        for name in DERIVED
        for day, found in lake.resources.lakehouse.snapshot(contract(name)).days().items()
    }


def rewritten(lake: SmallLake, before: Mapping[tuple[str, date], frozenset[str]]) -> dict[str, list[int]]:
    """Of each table, which of the days were rewritten."""
    after = files(lake)
    changed: dict[str, list[int]] = {}
    for name, day in sorted(after):
        if after[name, day] != before.get((name, day)):
            changed.setdefault(name, []).append(DAYS.index(day))
    return changed


def people(lake: SmallLake, name: str, column: str) -> set[str]:
    return {str(value).partition("@")[0] for (value,) in lake.rows(name, f"DISTINCT {column}")}


def settle(ticking: Ticking, directly: bool = False) -> list[list[dg.RunRequest]]:
    """Tick and run, by Dagster or directly, until nothing is requested; what each tick requested."""
    ticks = []
    for _ in range(6):
        requested, _ = ticking.tick()
        if not requested:
            return ticks
        ticks.append(requested)
        for request in requested:
            if directly:
                ticking.make(request)
            else:
                assert ticking.run(request).success
    raise AssertionError("no end")


def test_nothing_differs(ticking: Ticking) -> None:
    assert ticking.tick() == ([], "Every table holds what it should.")
    assert ticking.tick() == ([], "Nothing has changed since every table held what it should.")


def test_a_withdrawal_rewrites_the_days_that_it_touches_and_no_others(ticking: Ticking) -> None:
    lake = ticking.lake
    ticking.tick()
    land_customer(lake, "ann", DAYS[6], consents=False)
    before = files(lake)
    versions = {name: lake.resources.lakehouse.snapshot(contract(name)).version for name in DERIVED}
    assert len(settle(ticking)) == 1
    assert rewritten(lake, before) == {
        "customer_trusted": [0],
        "accelerometer_trusted": [2, 4, 5],
        "customers_curated": [0],
        "consent_history": [0],
        "step_trainer_trusted": [2, 4, 5],
        "machine_learning_curated": [2, 4, 5],
    }
    # Days 4 and 5 follow each other: one run, one version.
    now = {name: lake.resources.lakehouse.snapshot(contract(name)).version for name in DERIVED}
    assert {name: now[name] - versions[name] for name in DERIVED} == {
        "customer_trusted": 1,
        "accelerometer_trusted": 2,
        "customers_curated": 1,
        "consent_history": 1,
        "step_trainer_trusted": 2,
        "machine_learning_curated": 2,
    }
    assert people(lake, "accelerometer_trusted", '"user"') == {"bob"}
    assert people(lake, "customers_curated", "email") == {"bob"}
    assert lake.count("machine_learning_curated") == len(DAYS)
    assert ticking.tick()[1] == "Nothing has changed since every table held what it should."


@pytest.mark.slow
def test_a_grant_brings_back_the_readings_that_landed_before(ticking: Ticking) -> None:
    lake = ticking.lake
    land_customer(lake, "cid", DAYS[5])
    before = files(lake)
    settle(ticking)
    changed = rewritten(lake, before)
    assert changed["accelerometer_trusted"] == [3, 6]
    assert changed["step_trainer_trusted"] == [3, 6]
    assert changed["machine_learning_curated"] == [3, 6]
    assert people(lake, "accelerometer_trusted", '"user"') == {"ann", "bob", "cid"}
    assert lake.count("machine_learning_curated") == len(DAYS) + 3 + 2


@pytest.mark.slow
def test_a_customer_who_lands_after_their_readings(ticking: Ticking) -> None:
    lake = ticking.lake
    lake.land("accelerometer_landing", lines(movement("dan", at(SECOND))), name="dan.json", day=SECOND)
    lake.materialize()
    land_customer(lake, "dan", DAYS[6])
    settle(ticking)
    assert people(lake, "accelerometer_trusted", '"user"') == {"ann", "bob", "dan"}
    assert people(lake, "customers_curated", "email") == {"ann", "bob", "dan"}


@pytest.mark.slow
def test_a_new_reading_of_a_customer_registered_earlier(ticking: Ticking) -> None:
    """The day was landed, and the rest of its run failed; the customer had no readings before."""
    lake = ticking.lake
    land_customer(lake, "eve", SECOND)
    settle(ticking)
    assert "eve" not in people(lake, "customers_curated", "email")
    lake.land("accelerometer_landing", lines(movement("eve", at(DAYS[6]))), name="eve.json", day=DAYS[6])
    assert lake.run(["accelerometer_landing"], DAYS[6]).success
    settle(ticking)
    assert "eve" in people(lake, "customers_curated", "email")


def test_a_table_changed_by_hand(ticking: Ticking) -> None:
    lake = ticking.lake
    ticking.tick()
    whole = lake.rows("accelerometer_trusted")
    table = contract("accelerometer_trusted")
    engine, lakehouse = lake.resources.engine, lake.resources.lakehouse
    nothing = engine.frame(lakehouse_rows(lake, table).slice(0, 0))
    lakehouse.replace(table, [THIRD], engine.write(nothing, lakehouse, table, {THIRD: "0" * 16}))
    assert lake.rows("accelerometer_trusted") != whole
    before = files(lake)
    settle(ticking, directly=True)
    assert rewritten(lake, before) == {"accelerometer_trusted": [2], "machine_learning_curated": [2]}
    assert lake.rows("accelerometer_trusted") == whole


def lakehouse_rows(lake: SmallLake, table: Table) -> Any:
    return lake.resources.engine.relation(table, lake.resources.lakehouse.snapshot(table).files).to_arrow_table()


def test_a_table_that_is_gone(ticking: Ticking) -> None:
    lake = ticking.lake
    pairs = lake.rows("machine_learning_curated")
    ticking.tick()
    shutil.rmtree(lake.resources.lakehouse.root(contract("machine_learning_curated")))
    settle(ticking, directly=True)
    assert lake.rows("machine_learning_curated") == pairs


@pytest.mark.slow
def test_a_failed_run_is_asked_for_again(ticking: Ticking, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = ticking.lake
    ticking.tick()
    land_customer(lake, "ann", DAYS[6], consents=False)
    requested, _ = ticking.tick()
    with monkeypatch.context() as broken:
        broken.setattr("stedi_assets.engines.duckdb.DuckDBEngine.write", raising(OSError("disk full")))
        for request in requested:
            assert not ticking.run(request).success
    again, messages = ticking.tick()
    assert again == []
    assert "failed 1 times, will be tried again after a pause" in messages
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + BACKOFF + 1)
    settle(ticking)
    assert people(lake, "accelerometer_trusted", '"user"') == {"bob"}


def raising(error: Exception) -> Any:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_a_request_names_tables_and_days_and_nobody(ticking: Ticking) -> None:
    land_customer(ticking.lake, "ann", DAYS[6], consents=False)
    requested, _ = ticking.tick()
    spans = {(request.partition_key, *sorted(request.tags.values())) for request in requested}
    assert all(request.tags[SENSOR_TAG] == SENSOR for request in requested)
    assert {request.partition_key for request in requested} == {None, str(DAYS[0]), str(DAYS[2])}
    assert any({str(DAYS[4]), str(DAYS[5])} <= set(span[1:]) for span in spans)
    assert "ann" not in str(requested)


# ---- a run that read an older state --------------------------------------------------------------


@pytest.mark.slow
def test_a_run_that_read_an_older_state_does_not_bring_anybody_back(
    week: SmallLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ann withdraws, and all is reconciled, while a run that read the earlier state is about to commit."""
    other = SmallLake.at(week.root, instance=week.instance)
    write = type(week.resources.engine).write
    withdrew: list[bool] = []

    def slow(engine: Any, frame: Any, lakehouse: Any, table: Table, *more: Any) -> Any:
        written = write(engine, frame, lakehouse, table, *more)
        if table.name == "accelerometer_trusted" and engine is week.resources.engine and not withdrew:
            withdrew.append(True)
            land_customer(other, "ann", DAYS[6], consents=False)
            other.materialize()
            assert people(other, "accelerometer_trusted", '"user"') == {"bob"}
        return written

    monkeypatch.setattr(type(week.resources.engine), "write", slow)
    result = week.run(["accelerometer_trusted"], THIRD)
    assert result.success
    assert [event.event_type_value for event in result.all_events].count("STEP_UP_FOR_RETRY") == 1
    assert people(week, "accelerometer_trusted", '"user"') == {"bob"}
    other.close()


@pytest.mark.slow
def test_a_run_whose_inputs_never_rest_gives_up(week: SmallLake, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some attempts the run fails, and the table is as it was."""
    other = SmallLake.at(week.root, instance=week.instance)
    write = type(week.resources.engine).write
    rounds = iter(range(100))

    def slow(engine: Any, frame: Any, lakehouse: Any, table: Table, *more: Any) -> Any:
        written = write(engine, frame, lakehouse, table, *more)
        if table.name == "accelerometer_trusted" and engine is week.resources.engine:
            turn = next(rounds)
            other.land(
                "customer_landing",
                lines(person("ann", DAYS[6], turn, consents=turn % 2 == 1)),
                name=f"{turn}.json",
                day=DAYS[6],
            )
            assert other.run(["customer_landing"], DAYS[6]).success
        return written

    before = files(week)
    monkeypatch.setattr(type(week.resources.engine), "write", slow)
    assert not week.run(["accelerometer_trusted"], THIRD).success
    assert next(rounds) == RETRIES + 1
    assert files(week) == before
    other.close()


def test_new_files_that_are_vacuumed_before_they_are_committed_are_written_again(
    week: SmallLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = type(week.resources.engine).write
    vacuumed: list[int] = []

    def slow(engine: Any, frame: Any, lakehouse: Any, table: Table, *more: Any) -> Any:
        written = write(engine, frame, lakehouse, table, *more)
        if not vacuumed:
            vacuumed.append(lakehouse.vacuum(table))
        return written

    rows = week.rows("accelerometer_trusted")
    monkeypatch.setattr(type(week.resources.engine), "write", slow)
    assert week.run(["accelerometer_trusted"], THIRD).success
    assert vacuumed[0] >= 1
    assert week.rows("accelerometer_trusted") == rows


# ---- consent of the whole table ------------------------------------------------------------------


def whole_table_checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {
        evaluation.asset_key.to_user_string(): evaluation.passed
        for evaluation in result.get_asset_check_evaluations()
        if evaluation.check_name == "consent_of_the_whole_table"
    }


@pytest.mark.slow
def test_the_check_sees_every_landing_day(week: SmallLake) -> None:
    consenting = [table.name for table in ASSET_TABLES if table.consenting]
    assert whole_table_checks(week.run(consenting, SECOND)) == dict.fromkeys(consenting, True)
    land_customer(week, "ann", DAYS[6], consents=False)
    result = week.run(consenting, SECOND)
    # Ann has nothing on that day, so the run goes on, and says that other days must be mended.
    assert result.success
    assert whole_table_checks(result) == dict.fromkeys(consenting, False)
    week.materialize()
    assert whole_table_checks(week.run(consenting, SECOND)) == dict.fromkeys(consenting, True)


@pytest.mark.slow
def test_what_was_mended_is_no_warning(week: SmallLake) -> None:
    """The landing day's own run finds rows of ann on other days; reconciliation takes them out."""
    week.land("customer_landing", lines(person("ann", DAYS[6], consents=False)), day=DAYS[6])
    warned = {check for _, check, _ in week.materialize().warnings}
    assert "consent_of_the_whole_table" not in warned
