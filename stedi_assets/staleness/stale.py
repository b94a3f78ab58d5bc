"""Which partitions are stale, and why: what the sensors and ``stedi materialize`` make anew.

Level-triggered, as a Kubernetes controller is: it compares what the tables hold with what they should
hold *now*, so an update that was lost, a run that failed or read an older state, and a table changed
by hand are all found the next time. It keeps no state of its own and changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date

from stedi_assets.contracts import DERIVED_TABLES
from stedi_assets.contracts import table as contract
from stedi_assets.staleness.consent import rows_without_consent
from stedi_assets.staleness.fingerprints import combined, differing_parts, expected_parts
from stedi_assets.staleness.view import LakeView


def stale_partitions(view: LakeView) -> dict[str, dict[date, tuple[str, ...]]]:
    """The partitions of the derived tables that are not made from what they should be made from.

    Of a table whose inputs differ, what it should be made from is judged by what these should be; what
    that does not tell (who has readings at all, which readings of other days pair) is found once they
    are made, so the caller runs what differs until nothing does.

    Returns:
        Of each table with such partitions, their landing days, and which parts of their inputs differ.
    """
    should: dict[str, Mapping[date, str | None]] = {}
    result: dict[str, dict[date, tuple[str, ...]]] = {}
    for table in DERIVED_TABLES:
        stored = view.snapshot(table.name).fingerprints()
        expected = expected_parts(view, table.name, assumed=should)
        # A partition that nothing speaks for any more must lose its rows.
        orphaned = stored.keys() - expected.keys()
        if orphaned:
            expected |= expected_parts(view, table.name, orphaned, assumed=should)
        should[table.name] = {day: combined(parts) for day, parts in expected.items()}
        stale = {
            day: ("not made yet",) if day not in stored else differing_parts(stored[day], parts)
            for day, parts in expected.items()
            if stored.get(day) != should[table.name][day]
        }
        if stale:
            result[table.name] = stale
    return result


def reasons(view: LakeView, stale: Mapping[str, Mapping[date, tuple[str, ...]]]) -> dict[tuple[str, date], str]:
    """Why partitions differ, in words for people: ``consent of 1 person, landed files``.

    Args:
        view: the lake.
        stale: what :func:`stale_partitions` gave for it.
    """
    found = {}
    for name, days in stale.items():
        people = _people_concerned(view, name, [day for day, parts in days.items() if "consent" in parts])
        for day, parts in days.items():
            number = people.get(day, 0)
            said = [
                f"consent of {number} {'person' if number == 1 else 'people'}" if part == "consent" and number else part
                for part in parts
            ]
            found[name, day] = ", ".join(said)
    return found


def _people_concerned(view: LakeView, name: str, days: Collection[date]) -> dict[date, int]:
    """Of how many people a table holds rows and should not, or the other way round, where that can be counted."""
    if name not in {"customer_trusted", "accelerometer_trusted"} or not days:
        return {}
    if name == "customer_trusted":
        trusted = view.snapshot(name)
        column, stored, landed = "email", view.engine.relation(trusted.table, trusted.select(days)), view.customer_names
    else:
        column, stored, landed = "subject", view.index(name, days), view.index("accelerometer_landing", days)
    rows = view.engine.rows(
        f"""
        WITH has AS (SELECT landing_date, {column} AS email FROM stored),
        should_have AS (
            SELECT l.landing_date, l.{column} AS email FROM landed l
            SEMI JOIN (SELECT email FROM customers WHERE consented_at IS NOT NULL) c ON l.{column} = c.email
        )
        SELECT landing_date, count(*) FROM (
            (FROM has EXCEPT FROM should_have) UNION ALL (FROM should_have EXCEPT FROM has)
        ) GROUP BY ALL
        """,
        stored=stored,
        landed=landed,
        customers=view.customer_names,
    )
    return dict(rows)


def rows_to_remove(view: LakeView, stale: Mapping[str, Collection[date]]) -> dict[str, dict[date, int]]:
    """Of partitions that differ, those that hold rows of people who do not consent, and how many rows.

    Args:
        view: the lake.
        stale: of each table, the landing days that differ.
    """
    found = {
        name: dict(rows_without_consent(view, contract(name), days))
        for name, days in stale.items()
        if contract(name).consenting
    }
    return {name: days for name, days in found.items() if days}
