"""The erasure sensor, its job, and the queue in the UI."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import dagster as dg
import pytest

from stedi_assets.defs.erasure import BACKOFF, CHECK, QUEUE, SENSOR
from stedi_assets.defs.run_history import ERASURE_JOB
from stedi_assets.subject_requests.requests import Request, Requests
from stedi_assets_tests.kit.lake import SmallLake
from stedi_assets_tests.kit.ticking import Ticking

pytestmark = pytest.mark.usefixtures("without_checks")

KEY = dg.AssetKey(QUEUE)


@pytest.fixture
def ticking(tmp_path: Path) -> Iterator[Ticking]:
    lake = SmallLake.at(tmp_path)
    lake.land_people("ann", "bob")
    lake.materialize_directly()
    yield Ticking(lake, SENSOR)
    lake.close()


def file(lake: SmallLake, email: str, due: int = 30) -> Request:
    return Requests(lake.resources.privacy).file(email, "", datetime.now(timezone.utc) - timedelta(days=2), due)


def carry_out(lake: SmallLake, asked: dg.RunRequest) -> bool:
    job = lake.definitions.resolve_job_def(ERASURE_JOB)
    result = job.execute_in_process(
        instance=lake.instance, run_config=asked.run_config, tags=asked.tags, raise_on_error=False
    )
    return result.success


def passed(lake: SmallLake) -> bool:
    """What the UI says of overdue requests."""
    (record,) = lake.instance.event_log_storage.get_asset_check_execution_history(dg.AssetCheckKey(KEY, CHECK), limit=1)
    assert record.event is not None
    assert record.event.dagster_event is not None
    return record.event.dagster_event.asset_check_evaluation_data.passed


def test_a_request_is_asked_for_once_and_shown_until_it_is_done(ticking: Ticking) -> None:
    lake = ticking.lake
    assert ticking.tick() == ([], "No request is open.")
    request = file(lake, "ann@example.com")
    (asked,), _ = ticking.tick()
    assert asked.run_config == {"request": request.id}
    assert "ann" not in str(asked)
    assert passed(lake)
    assert carry_out(lake, asked)
    assert Requests(lake.resources.privacy).get(request.id).is_done
    assert lake.rows("customer_trusted", "email") == [("bob@example.com",)]
    assert ticking.tick() == ([], "No request is open.")
    event = lake.instance.get_latest_materialization_event(KEY)
    assert event is not None
    assert event.asset_materialization is not None
    (shown,) = event.asset_materialization.metadata["requests"].records
    assert shown.data == {"request": request.id, "state": "done", "days left": ""}


def test_an_overdue_request_fails_the_check(lake: SmallLake) -> None:
    ticking = Ticking(lake, SENSOR)
    file(ticking.lake, "ann@example.com", due=1)
    ticking.tick()
    assert not passed(ticking.lake)


@pytest.mark.slow
def test_a_failed_erasure_is_tried_again_after_a_pause(ticking: Ticking, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = ticking.lake
    note = lake.root / "landing" / "note.txt"
    note.write_text("ann@example.com")
    request = file(lake, "ann@example.com")
    (asked,), _ = ticking.tick()
    assert not carry_out(lake, asked)
    assert ticking.tick() == ([], f"{request.id} failed 1 times and will be tried again; its last run says why.")
    note.unlink()
    now = datetime.now(timezone.utc).timestamp()
    monkeypatch.setattr("stedi_assets.defs.erasure.time.time", lambda: now + BACKOFF + 1)
    (asked,), _ = ticking.tick()
    assert carry_out(lake, asked)
    assert Requests(lake.resources.privacy).get(request.id).is_done
