"""Dagster's instance of a lake, as commands open it without a daemon.

Dagster concept: instance, with the project's storages.
"""

from __future__ import annotations

from pathlib import Path

import dagster as dg
from dagster._core.instance.ref import InstanceRef
from filelock import FileLock

from stedi_assets.settings import dagster_configuration


def open_instance(home: Path) -> dg.DagsterInstance:
    """Dagster's instance in ``home``, made if it is not there.

    As in ``stedi dev``, the ``dagster.yaml`` in ``DAGSTER_HOME`` counts, or in the current folder where it is not set.
    Without one, the state lies where Dagster has it by default, and is stored as this project's ``dagster.yaml`` asks.
    """
    home.mkdir(parents=True, exist_ok=True)
    # Dagster's SQLite storages make their tables when they are first opened, and fail if another process does so
    # in the same moment.
    with FileLock(home / ".opening"):
        return _opened(home)


def _opened(home: Path) -> dg.DagsterInstance:
    configured = dagster_configuration()
    if (configured / "dagster.yaml").exists():
        return dg.DagsterInstance.from_config(str(configured))
    overrides = {
        "run_storage": _stored("dagster._core.storage.runs", "SqliteRunStorage", home / "history"),
        "event_log_storage": _stored(
            "stedi_assets.defs.event_log", "PooledSqliteEventLogStorage", home / "history" / "runs"
        ),
        "schedule_storage": _stored("dagster._core.storage.schedules", "SqliteScheduleStorage", home / "schedules"),
        "compute_logs": {
            "module": "dagster._core.storage.noop_compute_log_manager",
            "class": "NoOpComputeLogManager",
        },
        "telemetry": {"enabled": False},
    }
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides=overrides))


def _stored(module: str, name: str, folder: Path) -> dict[str, object]:
    return {"module": module, "class": name, "config": {"base_dir": str(folder)}}
