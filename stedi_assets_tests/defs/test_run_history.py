"""Which runs count as under way, by their status in a real instance."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import dagster as dg
import pytest
from dagster import DagsterRunStatus as Status
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from stedi_assets.defs.run_history import ERASURE_JOB, EVERY_TABLE, active_runs, is_erasing

DAY = date(2023, 8, 6)
BEGUN = {Status.STARTING, Status.STARTED, Status.CANCELING}
WAITING = {Status.QUEUED, Status.NOT_STARTED}
# Dagster wants to know of a queued run where its job comes from.
ORIGIN = RemoteJobOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "repository"), ERASURE_JOB)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def create(instance: dg.DagsterInstance, status: Status) -> None:
    @dg.op
    def nothing() -> None:
        pass

    @dg.job(name=ERASURE_JOB)
    def job() -> None:
        nothing()

    instance.create_run_for_job(job, status=status, tags={"dagster/partition": str(DAY)}, remote_job_origin=ORIGIN)


@pytest.mark.parametrize("status", sorted(Status, key=str))
def test_a_run_is_active_until_it_has_ended(instance: dg.DagsterInstance, status: Status) -> None:
    create(instance, status)
    active = active_runs(instance)
    assert bool(active) == (status in BEGUN | WAITING)
    for run in active:
        assert (run.tables, run.first_day, run.last_day) == (frozenset(EVERY_TABLE), DAY, DAY)


@pytest.mark.parametrize("status", sorted(Status, key=str))
def test_an_erasure_is_going_on_once_it_has_begun(instance: dg.DagsterInstance, status: Status) -> None:
    """One that waits for its turn writes no raw files yet: landing must not wait for it."""
    create(instance, status)
    assert is_erasing(instance) == (status in BEGUN)
