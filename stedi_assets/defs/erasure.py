"""The job that carries out an erasure request, the sensor that asks for it, and the queue of requests.

Dagster concepts: job with five ops, run config (the id of a request), sensor, external asset (``dg.AssetSpec``) with an
asset check.

What Dagster runs and shows of a request belongs here; what each step does is in ``subject_requests.erasure``, and what
a request is in ``subject_requests.requests``. Runs, tags and events carry the request's id and numbers, nothing of the
person.
"""

import time
from collections.abc import Callable
from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluation

from stedi_assets.defs.materialize import rebuilder
from stedi_assets.defs.run_history import ERASURE_JOB, REQUEST_TAG, SENSOR_TAG, failures_in_backoff, requested_runs
from stedi_assets.errors import redact_errors
from stedi_assets.lakehouse.fingerprint import fingerprint
from stedi_assets.resources import Resources, today
from stedi_assets.subject_requests.erasure import Erasure
from stedi_assets.subject_requests.requests import Requests

SENSOR = "erasure_sensor"
QUEUE = "erasure_requests"
CHECK = "none_overdue"

STEPS = ("begin", "forget", "rebuild", "vacuum", "prove")
"""The steps of the job: methods of ``Erasure``."""

INTERVAL = 30
"""Seconds between ticks, at the least."""

BACKOFF = 60
"""Seconds to wait after a first failure; doubled after every further one."""

MAX_BACKOFF = 60 * 60
"""Seconds that are waited at the most: a request is never given up."""

_STEP_DESCRIPTIONS = {
    "begin": "Finds out who the person is and where they are, once.",
    "forget": "Writes the tombstone, then the raw files without the person's lines.",
    "rebuild": "Takes the rows out of the landing tables and makes what follows from them anew.",
    "vacuum": "Deletes the files that no table uses any more.",
    "prove": "Looks for the person everywhere, writes the receipt and closes the request.",
}


class ErasureConfig(dg.Config):
    """The run configuration of the erasure job: the id of the request."""

    request: str


def erasure_job() -> dg.JobDefinition:
    """The job, for one request; each step can be run again."""

    @dg.config_mapping(
        config_schema={"request": dg.Field(str, description="The id of the request; `stedi erase --list` shows it.")}
    )
    def mapping(config: dict[str, str]) -> dict[str, object]:
        return {"ops": {step: {"config": {"request": config["request"]}} for step in STEPS}}

    @dg.job(
        name=ERASURE_JOB,
        description="Forgets the person of one erasure request, and proves it.",
        config=mapping,
        executor_def=dg.in_process_executor,
    )
    def erasure() -> None:
        done = None
        for step in STEPS:
            done = _op(step)() if done is None else _op(step)(done)

    return erasure


def _op(step: str) -> dg.OpDefinition:
    @dg.op(
        name=step,
        description=_STEP_DESCRIPTIONS[step],
        ins={} if step == STEPS[0] else {"before": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
    )
    def run(context: dg.OpExecutionContext, config: ErasureConfig, resources: dg.ResourceParam[Resources]) -> None:
        with redact_errors(f"the step {step} of {config.request}"):
            rebuild = rebuilder(resources, context.instance)
            erasure = Erasure(resources, rebuild, [config.request], context.log.info)
            act: Callable[[], object] = getattr(erasure, step)
            act()

    return run


def queue() -> dg.AssetSpec:
    """The requests, as the UI shows them: ids and days, nobody's name."""
    return dg.AssetSpec(
        QUEUE,
        group_name="privacy",
        description="Requests to be forgotten: which are open, under way, overdue or done.",
        owners=["team:privacy"],
        kinds={"json"},
    )


def none_overdue() -> dg.AssetChecksDefinition:
    """The check that no request is overdue."""

    @dg.asset_check(asset=QUEUE, name=CHECK, description="No request to be forgotten is overdue.")
    def check(resources: dg.ResourceParam[Resources]) -> dg.AssetCheckResult:
        passed, description, numbers = _overdue(resources)
        return dg.AssetCheckResult(passed=passed, description=description, metadata=numbers)

    return check


def _overdue(resources: Resources) -> tuple[bool, str, dict[str, int]]:
    requests = Requests(resources.privacy).all()
    overdue = [request.id for request in requests if request.state(today()) == "overdue"]
    waiting = sum(not request.is_done for request in requests)
    description = f"{waiting} requests are not done, {len(overdue)} of them overdue" + (
        f": {', '.join(overdue)}." if overdue else "."
    )
    return not overdue, description, {"not done": waiting, "overdue": len(overdue)}


def erasure_sensor(job: dg.JobDefinition) -> dg.SensorDefinition:
    """The sensor that asks for the job of every open request, and reports the queue when it changed."""

    @dg.sensor(
        name=SENSOR,
        description="Carries out requests to be forgotten, and shows which there are.",
        job=job,
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def sensor(context: dg.SensorEvaluationContext, resources: dg.ResourceParam[Resources]) -> dg.SensorResult:
        with redact_errors("reading the erasure requests"):
            requests = Requests(resources.privacy).all()
            states = [(one.id, one.state(today()), one.days_left(today())) for one in requests]
        shown = fingerprint(states)
        if states and context.cursor != shown:
            _report(context.instance, resources, states)
        runs_by_request = requested_runs(context.instance, REQUEST_TAG, [one.id for one in requests if not one.is_done])
        requested, waiting = [], []
        for request, runs in runs_by_request.items():
            failed = failures_in_backoff(runs, time.time(), BACKOFF, MAX_BACKOFF)
            if any(run.running for run in runs):
                waiting.append(f"{request} is under way")
            elif failed:
                waiting.append(f"{request} failed {failed} times and will be tried again; its last run says why")
            else:
                requested.append(
                    dg.RunRequest(
                        run_key=f"{request}-{len(runs)}",
                        run_config={"request": request},
                        tags={REQUEST_TAG: request, SENSOR_TAG: SENSOR},
                    )
                )
        if requested:
            return dg.SensorResult(run_requests=requested, cursor=shown)
        return dg.SensorResult(skip_reason=f"{'; '.join(waiting) or 'No request is open'}.", cursor=shown)

    return sensor


def _report(instance: dg.DagsterInstance, resources: Resources, states: list[tuple[str, str, int]]) -> None:
    """Put the queue and its check into the UI."""
    records = [
        dg.TableRecord({"request": request, "state": state, "days left": "" if state == "done" else days})
        for request, state, days in states
    ]
    key = dg.AssetKey(QUEUE)
    metadata: dict[str, Any] = {"requests": dg.MetadataValue.table(records), "dagster/row_count": len(records)}
    instance.report_runless_asset_event(dg.AssetMaterialization(key, metadata=metadata))
    passed, description, numbers = _overdue(resources)
    instance.report_runless_asset_event(
        AssetCheckEvaluation(
            asset_key=key, check_name=CHECK, passed=passed, description=description, metadata=dict(numbers)
        )
    )
