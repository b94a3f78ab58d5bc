"""The kept event log stores what Dagster's own does, in the same files."""

import multiprocessing
import os
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.event_log import SqliteEventLogStorage
from sqlalchemy import text

from stedi_assets.defs.event_log import PooledSqliteEventLogStorage

OWN = ("dagster._core.storage.event_log", "SqliteEventLogStorage")
KEPT = ("stedi_assets.defs.event_log", "PooledSqliteEventLogStorage")


def opened(home: Path, storage: tuple[str, str]) -> dg.DagsterInstance:
    module, name = storage
    home.mkdir(parents=True, exist_ok=True)
    config = {"module": module, "class": name, "config": {"base_dir": str(home / "history" / "runs")}}
    overrides = {"event_log_storage": config, "telemetry": {"enabled": False}}
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides=overrides))


@dg.asset(partitions_def=dg.StaticPartitionsDefinition(["a", "b", "c"]))
def numbers(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    if context.partition_key == "b":
        msg = "on purpose"
        raise RuntimeError(msg)
    return dg.MaterializeResult(metadata={"number": len(context.partition_key)})


@dg.asset_check(asset=numbers)
def numbered() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


def run(instance: dg.DagsterInstance, partition: str) -> str:
    result = dg.materialize(
        [numbers, numbered],
        instance=instance,
        partition_key=partition,
        raise_on_error=False,
        resources={"io_manager": dg.mem_io_manager},
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    return result.run_id


def events(instance: dg.DagsterInstance, run_id: str) -> list[tuple[str | None, str | None]]:
    return [
        (entry.dagster_event.event_type_value if entry.dagster_event else None, entry.step_key)
        for entry in instance.all_logs(run_id)
    ]


def test_it_is_the_class_that_the_configuration_asks_for(tmp_path: Path) -> None:
    with opened(tmp_path, KEPT) as instance:
        assert type(instance.event_log_storage) is PooledSqliteEventLogStorage
    with opened(tmp_path, OWN) as instance:
        assert type(instance.event_log_storage) is SqliteEventLogStorage


@pytest.mark.parametrize("partition", ["a", pytest.param("b", marks=pytest.mark.slow)])
def test_it_stores_what_dagsters_own_does(tmp_path: Path, partition: str) -> None:
    stored = {}
    for storage in (OWN, KEPT):
        with opened(tmp_path / storage[1], storage) as instance:
            stored[storage] = events(instance, run(instance, partition))
    assert stored[KEPT] == stored[OWN]
    assert len(stored[KEPT]) > 10


@pytest.mark.slow
@pytest.mark.parametrize(("written", "read"), [(OWN, KEPT), (KEPT, OWN)])
def test_each_reads_what_the_other_wrote(tmp_path: Path, written: tuple[str, str], read: tuple[str, str]) -> None:
    with opened(tmp_path, written) as instance:
        run_id = run(instance, "a")
        expected = events(instance, run_id)
    with opened(tmp_path, read) as instance:
        assert events(instance, run_id) == expected
        assert instance.get_latest_materialization_event(numbers.key) is not None
        assert instance.get_materialized_partitions(numbers.key) == {"a"}
        run(instance, "c")
        assert instance.get_materialized_partitions(numbers.key) == {"a", "c"}


def test_a_table_that_is_made_later_is_seen(tmp_path: Path) -> None:
    with opened(tmp_path, KEPT) as instance:
        storage = instance.event_log_storage
        assert isinstance(storage, PooledSqliteEventLogStorage)
        assert storage.supports_asset_checks
        assert not storage.has_table("later")
        with storage.index_connection() as connection:
            connection.execute(text("CREATE TABLE later (id INTEGER)"))
        assert storage.has_table("later")


def _run_in_process(home: Path, partitions: list[str]) -> None:
    with opened(home, KEPT) as instance:
        for partition in partitions:
            run(instance, partition)


@pytest.mark.process
@pytest.mark.slow
def test_two_processes_at_once(tmp_path: Path) -> None:
    with opened(tmp_path, KEPT) as instance:
        run(instance, "a")
        spawn = multiprocessing.get_context("spawn")
        others = [spawn.Process(target=_run_in_process, args=(tmp_path, ["a", "c"] * 2)) for _ in range(2)]
        for process in others:
            process.start()
        for _ in range(2):
            run(instance, "c")
        for process in others:
            process.join(120)
        assert [process.exitcode for process in others] == [0, 0]
        runs = instance.get_runs()
        assert len(runs) == 1 + 2 + 8
        assert {one.status for one in runs} == {dg.DagsterRunStatus.SUCCESS}
        lengths = {len(events(instance, one.run_id)) for one in runs}
        assert len(lengths) == 1, "every run has all of its events"


@pytest.mark.process
def test_it_survives_fork(tmp_path: Path) -> None:
    with opened(tmp_path, KEPT) as instance:
        before = run(instance, "a")
        expected = events(instance, before)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = 0 if events(instance, before) == expected and events(instance, run(instance, "c")) else 1
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert instance.get_materialized_partitions(numbers.key) == {"a", "c"}
        run(instance, "c")
        assert len(instance.get_runs()) == 3
