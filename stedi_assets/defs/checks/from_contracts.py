"""Checks that follow from any contract: schema, required values, unique key, ranges, age, row counts.

Dagster concept: the content of asset checks, which ``build`` hands to Dagster.

A check belongs here if the contract alone says what it verifies. One that knows a table by name belongs to ``rules``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import dagster as dg

from stedi_assets.contracts import Column, DataType, Table
from stedi_assets.contracts.line import EARLIEST
from stedi_assets.contracts.names import WHITE_SPACE_SQL
from stedi_assets.contracts.render import arrow_schema
from stedi_assets.defs.checks.model import Check, CheckContext, CheckOutcome, has_few_names
from stedi_assets.engines.sql import named
from stedi_assets.expected_counts import expected_counts
from stedi_assets.resources import today

WARN = dg.AssetCheckSeverity.WARN


def contract_checks(table: Table) -> list[Check]:
    """The checks that the contract asks for."""
    checks = [
        Check("schema", "The stored columns are the contract's, in name and type.", _schema, blocking=True),
        Check(
            "required",
            "No required value is null or blank.",
            _required,
            blocking=True,
            measures={f"lacking {c.name}": f"count(*) FILTER (WHERE {_lacks(c)})" for c in _required_in_rows(table)},
        ),
    ]
    if table.key:
        key = ", ".join(named(name) for name in table.key)
        checks.append(
            Check(
                "unique_key",
                f"Within a landing day, {', '.join(table.key)} are unique.",
                _unique,
                blocking=True,
                measures={"rows": "count(*)", "distinct keys": f"count(DISTINCT hash({key}))"},
            )
        )
    limits = _limits(table)
    if limits:
        checks.append(
            Check(
                "ranges",
                "Numbers and times lie within what the contract allows.",
                _ranges,
                blocking=True,
                measures={f"outside {name}": f"count(*) FILTER (WHERE {sql})" for name, sql in limits.items()},
            )
        )
    checks += [
        Check(
            "newest_landing_day",
            f"The newest landing day is at most {table.max_age.days} days old.",
            _newest,
            severity=WARN,
            whole=True,
        ),
        Check(
            "row_count",
            "The table has as many rows as expected, where an expectation is set (STEDI_EXPECTED_COUNTS).",
            _row_count,
            severity=WARN,
            whole=True,
        ),
    ]
    return checks


def _schema(checked: CheckContext) -> CheckOutcome:
    stored = checked.snapshot.schema
    expected = arrow_schema(checked.table)
    if stored is None:
        return CheckOutcome(passed=False, description="The table does not exist.")
    stored_types = {field.name: str(field.type).replace("large_", "").removesuffix("_view") for field in stored}
    expected_types = {field.name: str(field.type) for field in expected}
    names = {**stored_types, **expected_types}
    differing = sorted(name for name in names if stored_types.get(name) != expected_types.get(name))
    return CheckOutcome(
        passed=not differing,
        description=f"Columns that are missing, of another type or too many: {', '.join(differing) or 'none'}.",
        numbers={"columns": len(stored_types)},
    )


def _required(checked: CheckContext) -> CheckOutcome:
    required = [column for column in checked.table.data_columns if column.required]
    in_rows = _required_in_rows(checked.table)
    counts = {column.name: checked.measured[f"lacking {column.name}"] for column in in_rows}
    names = [column for column in required if column not in in_rows]
    if names:
        select = ", ".join(f"coalesce(sum(n) FILTER (WHERE {_lacks(column)}), 0)::BIGINT" for column in names)
        found = checked.query(f"SELECT {select} FROM texts", texts=checked.texts)
        counts |= zip((column.name for column in names), found, strict=True)
    lacking = {column.name: counts[column.name] for column in required if counts[column.name]}
    return CheckOutcome(
        passed=not lacking,
        description="Rows without a required value: " + (_listed(lacking) or "none") + ".",
        numbers={f"lacking {name}": count for name, count in lacking.items()},
    )


def _required_in_rows(table: Table) -> Sequence[Column]:
    """The required columns that are looked at row by row; of many rows with few names, not the names."""
    required = [column for column in table.data_columns if column.required]
    return [column for column in required if column.type is not DataType.TEXT] if has_few_names(table) else required


def _lacks(column: Column) -> str:
    name = named(column.name)
    if column.type is not DataType.TEXT:
        return f"{name} IS NULL"
    # Trimming is slow; only what starts with white space (or is empty) can be blank.
    return f"{name} IS NULL OR ({name} < '!' AND trim({name}, {WHITE_SPACE_SQL}) = '')"


def _unique(checked: CheckContext) -> CheckOutcome:
    # Equal keys have equal hashes. Unequal ones may have too, once in a million tables of ten million
    # rows; then the slower count decides.
    rows, distinct = checked.measured["rows"], checked.measured["distinct keys"]
    if rows != distinct:
        key = ", ".join(named(name) for name in checked.table.key)
        (distinct,) = checked.query(f"SELECT count(*) FROM (SELECT DISTINCT {key}, landing_date FROM rows)")
    return CheckOutcome(
        passed=rows == distinct,
        description=f"{rows - distinct} of {rows} rows repeat the key of another.",
        numbers={"rows": rows, "repeated": rows - distinct},
    )


def _limits(table: Table) -> dict[str, str]:
    """Of each column with a range, the SQL condition of a row that lies outside."""
    limits = {c.name: f"{named(c.name)} < {c.minimum}" for c in table.columns if c.minimum is not None}
    time = table.event_time
    if time is not None:
        # The last bound moves with the landing day: two days after its start, exclusive.
        limits[time] = f"{named(time)} < {EARLIEST} OR {named(time)} >= epoch_ms(landing_date + INTERVAL 2 DAY)"
    return limits


def _ranges(checked: CheckContext) -> CheckOutcome:
    counts = {name: checked.measured[f"outside {name}"] for name in _limits(checked.table)}
    violations = {name: count for name, count in counts.items() if count}
    return CheckOutcome(
        passed=not violations,
        description="Rows outside the allowed range: " + (_listed(violations) or "none") + ".",
        numbers={f"outside {name}": count for name, count in violations.items()},
    )


def _newest(checked: CheckContext) -> CheckOutcome:
    days = [file.landing_date for file in checked.snapshot.files if file.rows]
    if not days:
        return CheckOutcome(passed=False, description="The table has no rows.")
    age = today() - max(days)
    return CheckOutcome(
        passed=age <= checked.table.max_age,
        description=f"The newest landing day with rows is {max(days)}, {age.days} days ago; at most "
        f"{checked.table.max_age / timedelta(days=1):g} days are expected.",
        numbers={"age in days": age.days},
    )


def _row_count(checked: CheckContext) -> CheckOutcome:
    expected = expected_counts(checked.resources.settings).get(checked.table.name)
    rows = checked.snapshot.rows()
    if expected is None:
        return CheckOutcome(
            passed=True, description=f"{rows} rows; nothing says how many are expected.", numbers={"rows": rows}
        )
    return CheckOutcome(
        passed=rows == expected,
        description=f"{rows} rows; {expected} are expected once every landing day has been run.",
        numbers={"rows": rows, "expected": expected},
    )


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in counts.items())
