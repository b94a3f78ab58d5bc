"""Which runs count as under way, by their status in a real instance."""

from __future__ import annotations

from datetime import date

import dagster as dg
from dagster import DagsterRunStatus as Status
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from stedi_assets.defs.run_history import ERASURE_JOB, EVERY_TABLE, active_runs, is_erasing

DAY = date(2023, 8, 6)
BEGUN = {Status.STARTING, Status.STARTED, Status.CANCELING}
WAITING = {Status.QUEUED, Status.NOT_STARTED}
# Dagster wants to know of a queued run where its job comes from.
ORIGIN = RemoteJobOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "repository"), ERASURE_JOB)


@dg.op
def nothing() -> None:
    """Do nothing."""


@dg.job(name=ERASURE_JOB)
def erasure() -> None:
    """Stand for the job of that name."""
    nothing()


def test_runs_by_their_status() -> None:
    """A run is active until it has ended. An erasure that waits for its turn does not keep landing from going on."""
    with dg.DagsterInstance.ephemeral() as instance:
        tags = {"dagster/partition": str(DAY)}
        for status in Status:
            run = instance.create_run_for_job(erasure, status=status, tags=tags, remote_job_origin=ORIGIN)
            active = active_runs(instance)
            assert bool(active) == (status in BEGUN | WAITING), status
            for one in active:
                assert (one.tables, one.first_day, one.last_day) == (frozenset(EVERY_TABLE), DAY, DAY)
            assert is_erasing(instance) == (status in BEGUN), status
            instance.delete_run(run.run_id)
