"""Which stored rows are of people who do not consent: one condition behind the checks and what is urgent.

The rules of who consents are ``transforms``'. Here is only how to see, in a stored table, whose row it is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date

import pyarrow as pa

from stedi_assets.contracts import Table
from stedi_assets.contracts import table as contract
from stedi_assets.engines.duckdb import named
from stedi_assets.recall import WHOSE
from stedi_assets.staleness.view import LakeView

CONSENTING = "SELECT email FROM people WHERE consented_at IS NOT NULL"
_SUBJECTS = f"SELECT subject_id FROM curated WHERE email IN ({CONSENTING})"


def without_consent(table: Table) -> str:
    """An SQL condition on rows of ``table``: nobody who shares with research is behind the row.

    It asks two other frames: ``people`` (see ``Recall.people``) and, for a table without identifiers, ``curated``,
    the stored ``customers_curated``.
    """
    if table.anonymous:
        return f"(subject_id NOT IN ({_SUBJECTS}) OR device_subject_id NOT IN ({_SUBJECTS}))"
    if "serialNumber" in table.column_names and "email" not in table.column_names:
        # Of a shared device, a reading of somebody who consents may be used; one that nobody does, never.
        return '"serialNumber" NOT IN (SELECT "serialNumber" FROM people WHERE consented_at IS NOT NULL)'
    who = "email" if "email" in table.column_names else "user"
    return f"{named(who)} NOT IN ({CONSENTING})"


def rows_without_consent(view: LakeView, table: Table, days: Collection[date] | None = None) -> Mapping[date, int]:
    """How many rows of people who do not consent the partitions of a table hold; of those that hold any.

    Args:
        view: the lake.
        table: a trusted or curated table.
        days: look at these landing days only.
    """
    snapshot = view.snapshot(table.name)
    files = snapshot.select(days)
    if table.name in WHOSE and days is None:
        # Only the days on which such people are seen need a look at their rows.
        found = _of(view, table, "seen", seen=view.recall.seen_names(snapshot))
        files = snapshot.select(found.keys())
    if not files:
        return {}
    return _of(view, table, "rows", rows=view.engine.relation(table, files))


def _of(view: LakeView, table: Table, of: str, **frames: object) -> dict[date, int]:
    people: pa.Table = view.recall.people_table(view.snapshot("customer_landing"))
    if table.anonymous:
        curated = contract("customers_curated")
        frames["curated"] = view.engine.relation(curated, view.snapshot(curated.name).files)
    query = f"SELECT landing_date, count(*) FROM {of} WHERE {without_consent(table)} GROUP BY ALL"
    return dict(view.engine.rows(query, people=people, **frames))
