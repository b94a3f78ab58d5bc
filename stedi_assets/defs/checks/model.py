"""The model of a check and of its context: the rows, tables and resources that it reads.

Dagster concept: none of its own; ``build`` makes asset checks of these.

The types of a check, its outcome and its view of the stored rows belong here, without a check itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any

import dagster as dg
import duckdb
import pyarrow as pa

from stedi_assets.contracts import DataType, Table
from stedi_assets.contracts import table as contract
from stedi_assets.engines.sql import named
from stedi_assets.lakehouse import Snapshot
from stedi_assets.resources import Resources


@dataclass(frozen=True)
class CheckOutcome:
    """The result of a check.

    Args:
        passed: whether the promise holds.
        description: one sentence with numbers, for whoever sees it fail.
        numbers: for plots over time.
    """

    passed: bool
    description: str
    numbers: Mapping[str, int] = field(default_factory=dict)


class CheckContext:
    """The stored rows of some landing days of a table, and what they are checked against.

    Args:
        resources: the lake and what reads it.
        table: the contract of the table.
        days: the landing days; none for the whole table.
        checks: the checks that will be evaluated.
    """

    def __init__(
        self, resources: Resources, table: Table, days: Collection[date] | None, checks: Iterable[Check] = ()
    ) -> None:
        self.resources = resources
        self.table = table
        self.days = days
        self.checks = tuple(checks)
        self._measures = {name: sql for check in self.checks for name, sql in check.measures.items()}

    @cached_property
    def snapshot(self) -> Snapshot:
        """The stored table."""
        return self.resources.lakehouse.snapshot(self.table)

    def relation(self, name: str, days: Collection[date] | None = None) -> duckdb.DuckDBPyRelation:
        """The stored rows of another table, of all days unless some are named."""
        snapshot = self.resources.lakehouse.snapshot(contract(name))
        return self.resources.session.cached_relation(contract(name), snapshot.select(days))

    @property
    def rows(self) -> duckdb.DuckDBPyRelation:
        """The stored rows that are checked."""
        return self.resources.session.relation(self.table, self.snapshot.select(self.days))

    @cached_property
    def texts(self) -> duckdb.DuckDBPyRelation | pa.Table:
        """The text columns of the rows that are checked, and how many rows (``n``) each line stands for.

        Derived readings have few names among many rows, so whoever looks at the names need not look at every row.
        Of other tables, every row is a line.
        """
        columns = ", ".join(named(c.name) for c in self.table.data_columns if c.type is DataType.TEXT)
        if has_few_names(self.table):
            query = f"SELECT {columns}, count(*) AS n FROM checked GROUP BY ALL"
            return self.resources.session.arrow(query, checked=self.rows)
        return self.rows.project(f"{columns}, 1::BIGINT AS n")

    @cached_property
    def measured(self) -> Mapping[str, int]:
        """The numbers that all checks measure of the rows (see ``Check.measures``), from one scan of the table."""
        return dict(
            zip(self._measures, self.query(f"SELECT {', '.join(self._measures.values())} FROM rows"), strict=True)
        )

    @property
    def people(self) -> pa.Table:
        """Every customer with the device they claim and since when they consent, by the records that landed."""
        return self.resources.view().customer_names

    def query(self, sql: str, **frames: duckdb.DuckDBPyRelation | pa.Table) -> tuple[Any, ...]:
        """The only row of a query over the checked ``rows`` and other named frames."""
        return self.resources.session.rows(sql, rows=self.rows, **frames)[0]


def has_few_names(table: Table) -> bool:
    """Whether a table has far fewer names than rows: derived readings."""
    return table.source is None and not table.has_one_row_per_subject


@dataclass(frozen=True)
class Check:
    """A check of one table.

    Args:
        name: unique among the table's checks.
        description: what it promises, in a sentence.
        evaluate: looks.
        blocking: whether what is made from the table must wait for it to pass.
        severity: whether failing is an error or a warning.
        whole: whether it is about the whole table, whichever days were run.
        keeps_open: whether somebody must look at what it finds, so that no command says "up to date" until it passes.
        measures: SQL aggregates over the checked rows that it needs, by name; checks may share them.
    """

    name: str
    description: str
    evaluate: Callable[[CheckContext], CheckOutcome]
    blocking: bool = False
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR
    whole: bool = False
    keeps_open: bool = False
    measures: Mapping[str, str] = field(default_factory=dict)
