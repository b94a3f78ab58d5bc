"""The funnel: how many landed readings and customers may be used, by landing day, and which rule left out the rest.

Dagster concept: materialization metadata (numbers that the UI plots by partition).

The numbers are of the rows that a run has just written; ``io_manager`` attaches them. Counts belong here. The rules
that are counted are those of ``transforms``, and what is too little is not judged here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date

from stedi_assets.contracts import table as contract
from stedi_assets.contracts.names import normalized_sql
from stedi_assets.settings import ReadingsBeforeConsent
from stedi_assets.staleness.view import LakeView

Numbers = dict[str, int]


def funnel(view: LakeView, name: str, days: Collection[date], written: Mapping[date, int]) -> dict[date, Numbers]:
    """The funnel of some landing days of a table; nothing for a table that has none.

    Args:
        view: what the rows were made from.
        name: the table.
        days: the landing days.
        written: how many rows each of them has now.

    Returns:
        Of ``accelerometer_trusted``, how many readings landed, were kept, and were left out by which rule; of
        ``customers_curated``, how many customers have their latest record on the day, consent, and have readings.
    """
    if name == "accelerometer_trusted":
        return _readings(view, days, written)
    if name == "customers_curated":
        return _customers(view, days, written)
    return {}


def _readings(view: LakeView, days: Collection[date], written: Mapping[date, int]) -> dict[date, Numbers]:
    landing = view.snapshot("accelerometer_landing")
    excluding = view.policies.readings_before_consent is ReadingsBeforeConsent.EXCLUDE
    rows = view.engine.rows(
        f"""
        SELECT landed.landing_date, count(*), count(*) FILTER (WHERE consented_at IS NULL),
               count(*) FILTER (WHERE "timestamp" < consented_at AND {excluding})
        FROM (SELECT landing_date, "timestamp", {normalized_sql("user")} AS email FROM readings) landed
             LEFT JOIN people USING (email)
        GROUP BY ALL
        """,
        readings=view.engine.relation(contract(landing.table.name), landing.select(set(days))),
        people=view.customer_names,
    )
    by_day = {day: (landed, refused, before) for day, landed, refused, before in rows}
    result = {}
    for day in days:
        landed, refused, before = by_day.get(day, (0, 0, 0))
        used = written.get(day, 0)
        result[day] = {
            "funnel/readings_landed": landed,
            "funnel/readings_kept": used,
            "funnel/left_out_without_consent": refused,
            "funnel/left_out_before_consent": before,
            "funnel/left_out_as_duplicates": landed - refused - before - used,
        }
    return result


def _customers(view: LakeView, days: Collection[date], written: Mapping[date, int]) -> dict[date, Numbers]:
    rows = view.engine.rows(
        "SELECT landing_date, count(*), count(consented_at) FROM people GROUP BY ALL",
        people=view.customer_names,
    )
    found = {day: (landed, consenting) for day, landed, consenting in rows}
    return {
        day: {
            "funnel/customers_landed": found.get(day, (0, 0))[0],
            "funnel/customers_consenting": found.get(day, (0, 0))[1],
            "funnel/customers_with_readings": written.get(day, 0),
        }
        for day in days
    }
