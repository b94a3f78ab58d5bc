"""What somebody has to look at, though every table is made: it keeps ``stedi materialize`` from saying "up to date".

Dagster concept: asset checks, evaluated on whole tables and without a run.

Which checks those are is said where they are defined (``Check.keeps_open``), and so is what each says.
"""

from __future__ import annotations

from stedi_assets.contracts import ASSET_TABLES
from stedi_assets.defs.checks.build import checks_of, outcomes
from stedi_assets.defs.checks.model import CheckContext
from stedi_assets.resources import Resources

OPEN_CHECKS = frozenset(check.name for table in ASSET_TABLES for check in checks_of(table) if check.keeps_open)
"""The names of the checks that keep a lake open."""


def open_matters(resources: Resources) -> dict[tuple[str, str], str]:
    """What is open in a lake.

    Args:
        resources: the lake.

    Returns:
        Of each check that found something, by table and name, what it says.
    """
    matters = {}
    for table in ASSET_TABLES:
        checks = [check for check in checks_of(table) if check.keeps_open]
        for check, outcome in outcomes(CheckContext(resources, table, None, checks)) if checks else ():
            if not outcome.passed:
                matters[table.name, check.name] = outcome.description
    return matters
