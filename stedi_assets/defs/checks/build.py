"""Makes Dagster's asset checks: one operation per table, so that the table is read as seldom as possible.

Dagster concept: multi-asset check (``dg.multi_asset_check``), with blocking checks and severities.

How results are reported for each partition of a run belongs here; what a check verifies belongs to ``from_contracts``
and ``rules``.
"""

from collections.abc import Collection, Iterator
from datetime import date

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData

from stedi_assets.contracts import ASSET_TABLES, Table
from stedi_assets.defs.checks.claims import checks_of_claims
from stedi_assets.defs.checks.deliveries import checks_of_deliveries
from stedi_assets.defs.checks.from_contracts import contract_checks
from stedi_assets.defs.checks.model import Check, CheckContext, CheckOutcome
from stedi_assets.defs.checks.rules import table_checks
from stedi_assets.defs.io_manager import days_between
from stedi_assets.defs.partitions import landing_days
from stedi_assets.errors import described, redact_errors
from stedi_assets.resources import Resources

MAX_DAYS_REPORTED = 31
"""Days of one run beyond which a check reports on the run as a whole: every report is an event to store."""

Result = dg.AssetCheckResult | dg.AssetCheckEvaluation | dg.Output[None]
Materializations = dict[date, AssetCheckEvaluationTargetMaterializationData | None]


def checks_of(table: Table) -> list[Check]:
    """All checks of a table, those that the contract generates first."""
    return [*contract_checks(table), *checks_of_deliveries(table), *checks_of_claims(table), *table_checks(table)]


def whole_table_checks() -> frozenset[tuple[str, str]]:
    """Table and name of each check that is about the whole table, whichever days were run."""
    return frozenset((table.name, check.name) for table in ASSET_TABLES for check in checks_of(table) if check.whole)


def build_checks(first_day: date) -> list[dg.AssetChecksDefinition]:
    """The checks of every table that is materialized."""
    return [_checks(table, first_day) for table in ASSET_TABLES]


def _checks(table: Table, first_day: date) -> dg.AssetChecksDefinition:
    checks = {check.name: check for check in checks_of(table)}

    specs = {
        check.name: dg.AssetCheckSpec(
            check.name,
            asset=table.name,
            description=check.description,
            blocking=check.blocking,
            # Of the whole table too: Dagster plans every check of a run for each of its days, and shows a check that is
            # reported for none of them as skipped.
            partitions_def=landing_days(first_day),
        )
        for check in checks.values()
    }

    @dg.multi_asset_check(name=f"{table.name}_checks", specs=list(specs.values()), can_subset=True)
    def run(context: dg.AssetCheckExecutionContext, resources: dg.ResourceParam[Resources]) -> Iterator[Result]:
        days = None
        if context.has_partition_key or context.has_partition_key_range:
            keys = context.partition_key_range
            days = set(days_between(keys.start, keys.end))
        selected = sorted(context.selected_asset_check_keys, key=lambda key: list(checks).index(key.name))
        checked = CheckContext(resources, table, days, [checks[key.name] for key in selected])
        materializations: Materializations | None = None
        for key, (check, outcome) in zip(selected, outcomes(checked), strict=True):
            if days is None or len(days) == 1 or len(days) > MAX_DAYS_REPORTED:
                yield dg.AssetCheckResult(
                    asset_key=key.asset_key,
                    check_name=key.name,
                    passed=outcome.passed,
                    severity=check.severity,
                    description=outcome.description,
                    metadata=dict(outcome.numbers),
                )
            else:
                if materializations is None:
                    materializations = _materializations(context.instance, key.asset_key, days)
                yield from _of_each_day(specs[key.name], check.severity, outcome, materializations)

    return run


def _of_each_day(
    spec: dg.AssetCheckSpec, severity: dg.AssetCheckSeverity, outcome: CheckOutcome, days: Materializations
) -> Iterator[Result]:
    """The outcome on a run of several days, as one on each.

    Dagster stores the result of such a run without a partition, and shows the check of each as skipped.
    """
    span = f"{min(days)} to {max(days)}"
    yield dg.Output(None, output_name=spec.get_python_identifier())
    for day, materialization in days.items():
        yield dg.AssetCheckEvaluation(
            asset_key=spec.asset_key,
            check_name=spec.name,
            passed=outcome.passed,
            severity=severity,
            description=f"{outcome.description} (Of {span}.)",
            metadata={"landing days": span, **outcome.numbers},
            blocking=spec.blocking,
            partition=day.isoformat(),
            target_materialization_data=materialization,
        )


def _materializations(instance: dg.DagsterInstance, asset_key: dg.AssetKey, days: Collection[date]) -> Materializations:
    """The materialization that the stored rows of each day come from, as Dagster knows them."""
    materializations: Materializations = {}
    for day in sorted(days):
        wanted = dg.AssetRecordsFilter(asset_key, asset_partitions=[day.isoformat()])
        records = instance.fetch_materializations(wanted, limit=1).records
        materializations[day] = None
        if records:
            materializations[day] = AssetCheckEvaluationTargetMaterializationData(
                storage_id=records[0].storage_id,
                run_id=records[0].event_log_entry.run_id,
                timestamp=records[0].timestamp,
            )
    return materializations


def outcomes(checked: CheckContext) -> Iterator[tuple[Check, CheckOutcome]]:
    """Evaluate the checks of a context, in their order.

    Args:
        checked: the rows, and the checks.

    Returns:
        Each check with its outcome.
    """
    schema_matches = True
    for check in checked.checks:
        outcome = _evaluated(check, checked, schema_matches)
        schema_matches = schema_matches and (check.name != "schema" or outcome.passed)
        yield check, outcome


def _evaluated(check: Check, checked: CheckContext, schema_matches: bool) -> CheckOutcome:
    """The outcome of a check.

    Of a table with other columns than its contract's, what cannot be evaluated has failed. Any other error is
    one of this code or of the machine, and raises.
    """
    with redact_errors(f"checking {check.name} of {checked.table.name}"):
        try:
            return check.evaluate(checked)
        except Exception as error:
            if schema_matches:
                raise
            why = f"Cannot be evaluated, see the schema check: {described(error)}"
            return CheckOutcome(passed=False, description=why)
