"""Puts the definitions of the code location together.

Dagster concept: definitions (``dg.Definitions``), with the asset job of all tables and the resources by name.

Whatever Dagster is to know is listed here; what it does lies in the other modules. Pure: reads no environment and
opens no file, so that tests build definitions of their own.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import dagster as dg

from stedi_assets.contracts import ASSET_TABLES
from stedi_assets.defs.assets.curated import curated_assets
from stedi_assets.defs.assets.landing import landing_assets, side_tables
from stedi_assets.defs.assets.trusted import trusted_assets
from stedi_assets.defs.checks import build_checks
from stedi_assets.defs.erasure import erasure_job, erasure_sensor, none_overdue, queue
from stedi_assets.defs.io_manager import LakehouseIOManager
from stedi_assets.defs.sensors import consent_sensor, landing_sensor
from stedi_assets.resources import Resources
from stedi_assets.settings import Settings

JOB = "lakehouse"
"""The job that materializes every table."""


def build_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """The assets that are materialized, with their checks."""
    first_day = settings.first_day
    with warnings.catch_warnings():
        # Single-run backfills and mappings over several days are beta in Dagster 1.13, and used on purpose.
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return [
            *landing_assets(first_day),
            *trusted_assets(first_day),
            *curated_assets(first_day),
            *build_checks(first_day),
        ]


def build_resources(resources: Resources) -> dict[str, object]:
    """What the assets and checks ask for by name."""
    return {
        "resources": resources,
        "policies": resources.settings.policies,
        "pseudonyms": resources.pseudonyms,
        "cache": resources.engine.cache,
        "io_manager": LakehouseIOManager(resources),
    }


def build_definitions(
    settings: Settings,
    resources: Resources | None = None,
    loggers: Mapping[str, dg.LoggerDefinition] | None = None,
) -> dg.Definitions:
    """The whole code location.

    Args:
        settings: which lake, and how.
        resources: the parts to use; by default those that the settings ask for.
        loggers: where runs log to; by default Dagster's console.
    """
    assets = build_assets(settings)
    job = dg.define_asset_job(
        JOB,
        dg.AssetSelection.assets(*(table.name for table in ASSET_TABLES)),
        description="Every table of the days it is run for, in one process.",
    )
    erasure = erasure_job()
    return dg.Definitions(
        assets=[*assets, *side_tables(settings.first_day), queue()],
        asset_checks=[none_overdue()],
        jobs=[job, erasure],
        sensors=[landing_sensor(job), consent_sensor(job), erasure_sensor(erasure)],
        resources=build_resources(resources or Resources.of(settings)),
        executor=dg.in_process_executor,
        loggers=loggers,
    )
