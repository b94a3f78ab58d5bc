"""The job that materializes every table: its assets, their checks and the resources that they use.

Dagster concepts: asset job, assets and asset checks put together, resources by name.

What a run of tables needs belongs here, so that ``materialize`` and the erasure job can run tables. What asks for runs
(sensors) and the erasure job itself do not: ``build`` adds them for the code location. Pure: reads no environment and
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
from stedi_assets.defs.io_manager import LakehouseIOManager
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
    """The resources of assets, checks, ops and sensors, by the name under which these ask for them."""
    return {
        "resources": resources,
        "policies": resources.settings.policies,
        "pseudonyms": resources.pseudonyms,
        "cache": resources.engine.cache,
        "io_manager": LakehouseIOManager(resources),
    }


def build_asset_job(
    settings: Settings,
    resources: Resources | None = None,
    loggers: Mapping[str, dg.LoggerDefinition] | None = None,
) -> dg.Definitions:
    """The job of all tables and everything that its runs need.

    Args:
        settings: which lake, and how.
        resources: the parts to use; by default those that the settings ask for.
        loggers: where runs log to; by default Dagster's console.
    """
    return dg.Definitions(
        assets=[*build_assets(settings), *side_tables(settings.first_day)],
        jobs=[
            dg.define_asset_job(
                JOB,
                dg.AssetSelection.assets(*(table.name for table in ASSET_TABLES)),
                description="Every table of the days it is run for, in one process.",
            )
        ],
        resources=build_resources(resources or Resources.of(settings)),
        executor=dg.in_process_executor,
        loggers=loggers,
    )
