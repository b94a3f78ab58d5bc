"""Asset checks: what a table promises, verified on the rows that are stored.

Dagster concept: asset check.

``from_contracts`` generates checks from the contracts, ``rules`` has those that say something only one table can,
``build`` makes Dagster's checks of both. Results hold counts and names of columns and rules, no value of a row. A check
judges and changes nothing.
"""

from stedi_assets.defs.checks.build import build_checks

__all__ = ["build_checks"]
