"""Puts the definitions of the code location together.

Dagster concept: definitions (``dg.Definitions``) of the code location.

Whatever Dagster is to know is listed here; what it does lies in the other modules. Pure: reads no environment and
opens no file, so that tests build definitions of their own.
"""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from stedi_assets.defs.asset_job import JOB, build_asset_job
from stedi_assets.defs.erasure import erasure_job, erasure_sensor, none_overdue, queue
from stedi_assets.defs.sensors import consent_sensor, landing_sensor
from stedi_assets.resources import Resources
from stedi_assets.settings import Settings


def build_definitions(
    settings: Settings,
    resources: Resources | None = None,
    loggers: Mapping[str, dg.LoggerDefinition] | None = None,
) -> dg.Definitions:
    """The whole code location: the job of all tables, the erasure job, and the sensors that ask for runs of them.

    Args:
        settings: which lake, and how.
        resources: the parts to use; by default those that the settings ask for.
        loggers: where runs log to; by default Dagster's console.
    """
    erasure = erasure_job()
    return dg.Definitions.merge(
        build_asset_job(settings, resources, loggers),
        dg.Definitions(
            assets=[queue()],
            asset_checks=[none_overdue()],
            jobs=[erasure],
            sensors=[landing_sensor(JOB), consent_sensor(JOB), erasure_sensor(erasure)],
        ),
    )
