"""The code location: what ``stedi dev``, ``dg dev`` and ``dagster asset materialize`` load."""

from __future__ import annotations

import warnings

import dagster as dg

from stedi_assets.defs.build import build_definitions
from stedi_assets.settings import Settings


@dg.definitions
def defs() -> dg.Definitions:
    """Everything, for the settings of this process's environment.

    The process is Dagster's, and it puts the definitions together after this has returned. What it warns of then is
    either used on purpose (see ``asset_job``) or said of every sensor (`owners`, which none of ours has).
    """
    warnings.filterwarnings("ignore", category=dg.BetaWarning)
    warnings.filterwarnings("ignore", category=dg.PreviewWarning)
    return build_definitions(Settings.from_environment())
