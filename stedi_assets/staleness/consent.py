"""Which stored rows are of people who do not consent: one condition behind the checks and what is urgent.

The rules of who consents are ``transforms``'. Here is only how to see, in a stored table, whose row it is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date

from stedi_assets.contracts import READINGS_TABLES, Identifier, Table
from stedi_assets.engines.sql import named
from stedi_assets.errors import working_on
from stedi_assets.staleness.view import LakeView

CONSENTING = "SELECT email FROM customers WHERE consented_at IS NOT NULL"
_SUBJECTS = f"SELECT subject_id FROM curated WHERE email IN ({CONSENTING})"
_CONDITIONS = {
    Identifier.EMAIL: f"{{}} NOT IN ({CONSENTING})",
    # Of a shared device, a reading of somebody who consents may be used; one that nobody does, never.
    Identifier.DEVICE: '{} NOT IN (SELECT "serialNumber" FROM customers WHERE consented_at IS NOT NULL)',
    Identifier.PSEUDONYM: f"{{}} NOT IN ({_SUBJECTS})",
}


def without_consent(table: Table, *, indexed: bool = False) -> str:
    """An SQL condition on rows of ``table``: nobody who shares with research is behind the row.

    It asks two other frames: ``customers`` (see ``LakeView.customer_names``) and, for a table without identifiers,
    ``curated``, the stored ``customers_curated``.

    Args:
        table: a trusted or curated table.
        indexed: the rows are those of the readings index that speak of the table.
    """
    named_by = [("subject" if indexed else named(column.name), column.identifies) for column in table.subject_columns]
    return "(" + " OR ".join(_CONDITIONS[kind].format(name) for name, kind in named_by if kind) + ")"


def rows_without_consent(view: LakeView, table: Table, days: Collection[date] | None = None) -> Mapping[date, int]:
    """How many rows of people who do not consent the partitions of a table hold; of those that hold any.

    Args:
        view: the lake.
        table: a trusted or curated table.
        days: look at these landing days only.
    """
    indexed = table in READINGS_TABLES
    frames: dict[str, object] = {"customers": view.customer_names}
    if table.anonymous:
        curated = view.snapshot("customers_curated")
        frames["curated"] = view.engine.cached_relation(curated.table, curated.files)
    if indexed:
        frames["rows"] = view.index(table.name, days)
    else:
        frames["rows"] = view.engine.cached_relation(table, view.snapshot(table.name).select(days))
    count = "sum(readings)::BIGINT" if indexed else "count(*)"
    query = f"SELECT landing_date, {count} FROM rows WHERE {without_consent(table, indexed=indexed)} GROUP BY ALL"
    with working_on(table.name):
        return dict(view.engine.rows(query, **frames))
