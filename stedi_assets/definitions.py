"""The code location: what ``dagster dev``, ``dg`` and ``dagster asset materialize`` load."""

from __future__ import annotations

import dagster as dg

from stedi_assets.defs.build import build_definitions
from stedi_assets.settings import Settings


@dg.definitions
def defs() -> dg.Definitions:
    """Everything, for the settings of this process's environment."""
    return build_definitions(Settings.from_environment())
