"""The arguments that all assets have in common, taken from their contracts.

Dagster concepts: arguments of an asset (group, owners, tags, partitions definition, backfill policy), asset inputs with
partition mappings, freshness policy.

A property of a single table does not belong here: it goes into the table's contract.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import dagster as dg

from stedi_assets.contracts import Scope, Table, Zone, table
from stedi_assets.defs.io_manager import static_metadata
from stedi_assets.defs.partitions import landing_days
from stedi_assets.errors import redact_errors

OWNERS = ["team:data-engineering"]


def asset_arguments(contract: Table, first_day: date) -> dict[str, Any]:
    """The arguments of ``@dg.asset`` that follow from a table's contract.

    Args:
        contract: of the table that the asset makes.
        first_day: the first landing day there can be.
    """
    days = landing_days(first_day)
    return {
        "key": contract.name,
        "group_name": contract.zone.value,
        "description": contract.description,
        "partitions_def": days,
        "backfill_policy": dg.BackfillPolicy.single_run(),
        "owners": OWNERS,
        "kinds": {"deltalake", "duckdb", "json"} if contract.zone is Zone.LANDING else {"deltalake", "duckdb"},
        "tags": {"zone": contract.zone.value, "identifiers": "no" if contract.anonymous else "yes"},
        "metadata": static_metadata(contract),
        "freshness_policy": freshness(contract),
        "ins": {
            upstream: dg.AssetIn(upstream, partition_mapping=_mapping(scope))
            for upstream, scope in contract.inputs.items()
        },
    }


def table_asset(
    name: str, first_day: date, deps: Sequence[str] = ()
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Makes an asset of a function that computes a table; its errors come without values of rows.

    Args:
        name: of the table.
        first_day: the first landing day there can be.
        deps: tables that it is not computed from and that come before it all the same.
    """

    def decorate(compute: Callable[..., Any]) -> dg.AssetsDefinition:
        arguments = asset_arguments(table(name), first_day)
        arguments["metadata"] |= code_reference(compute)
        asset: dg.AssetsDefinition = dg.asset(**arguments, deps=list(deps))(redact_errors(f"computing {name}")(compute))
        return asset

    return decorate


def code_reference(function: Callable[..., Any]) -> dict[str, dg.CodeReferencesMetadataValue]:
    """The link from the UI into the source of a function."""
    code = function.__code__
    source = dg.LocalFileCodeReference(file_path=code.co_filename, line_number=code.co_firstlineno)
    return {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[source])}


def freshness(contract: Table) -> dg.FreshnessPolicy:
    """The freshness policy, the age that the newest materialization may have: a warning at half of what fails."""
    return dg.FreshnessPolicy.time_window(fail_window=contract.max_age, warn_window=contract.max_age / 2)


def _mapping(scope: Scope) -> dg.PartitionMapping:
    if scope is Scope.SAME_DAYS:
        return dg.TimeWindowPartitionMapping()
    if scope is Scope.OVERLAPPING_TIMES:
        # Which other days a partition needs depends on the readings' times. Dagster draws the day before and
        # after; reconciliation looks at all of them.
        return dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=1, allow_nonexistent_upstream_partitions=True)
    return dg.AllPartitionMapping()
