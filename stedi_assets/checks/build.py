"""Makes Dagster's asset checks: one operation per table, so that the table is read as seldom as possible."""

from collections.abc import Iterator
from datetime import date

import dagster as dg

from stedi_assets.checks.measures import generated
from stedi_assets.checks.model import Check, Checked, Verdict
from stedi_assets.checks.rules import written
from stedi_assets.contracts import ASSET_TABLES, Table
from stedi_assets.errors import described, withheld
from stedi_assets.io_manager import days_between
from stedi_assets.partitions import landing_days
from stedi_assets.platform import Platform


def checks_of(table: Table) -> list[Check]:
    """All checks of a table, those that the contract generates first."""
    return [*generated(table), *written(table)]


def build_checks(first_day: date) -> list[dg.AssetChecksDefinition]:
    """The checks of every table that is materialized."""
    return [_checks(table, first_day) for table in ASSET_TABLES]


def _checks(table: Table, first_day: date) -> dg.AssetChecksDefinition:
    checks = {check.name: check for check in checks_of(table)}

    @dg.multi_asset_check(
        name=f"{table.name}_checks",
        specs=[
            dg.AssetCheckSpec(
                check.name,
                asset=table.name,
                description=check.says,
                blocking=check.blocking,
                partitions_def=landing_days(first_day),
            )
            for check in checks.values()
        ],
        can_subset=True,
    )
    def run(
        context: dg.AssetCheckExecutionContext, platform: dg.ResourceParam[Platform]
    ) -> Iterator[dg.AssetCheckResult]:
        days = None
        if context.has_partition_key or context.has_partition_key_range:
            keys = context.partition_key_range
            days = set(days_between(keys.start, keys.end))
        checked = Checked(platform, table, days)
        as_declared = True
        for key in sorted(context.selected_asset_check_keys, key=lambda key: list(checks).index(key.name)):
            check = checks[key.name]
            verdict = _judged(check, checked, as_declared)
            as_declared = as_declared and (check.name != "schema" or verdict.passed)
            yield dg.AssetCheckResult(
                asset_key=key.asset_key,
                check_name=key.name,
                passed=verdict.passed,
                severity=check.severity,
                description=verdict.says,
                metadata=dict(verdict.numbers),
            )

    return run


def _judged(check: Check, checked: Checked, as_declared: bool) -> Verdict:
    """The verdict of a check.

    Of a table with other columns than its contract's, what cannot be judged has failed. Any other error is
    one of this code or of the machine, and raises.
    """
    with withheld(f"checking {check.name} of {checked.table.name}"):
        try:
            return check.judge(checked)
        except Exception as error:
            if as_declared:
                raise
            return Verdict(passed=False, says=f"Cannot be judged, see the schema check: {described(error)}")
