"""Which partitions are stale, and which runs make them anew: the plan of the sensors and of ``stedi materialize``.

Level-triggered, as a Kubernetes controller is: it compares what the tables hold with what they should
hold *now*, so an update that was lost, a run that failed or read an older state, and a table changed
by hand are all found the next time. It keeps no state of its own and changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from stedi_assets.contracts import ASSET_TABLES, DERIVED_TABLES
from stedi_assets.contracts import table as contract
from stedi_assets.staleness.consent import rows_without_consent
from stedi_assets.staleness.fingerprints import combined, differing_parts
from stedi_assets.staleness.view import LakeView

RUN_ROWS = 20_000_000
"""Rows of inputs that a run of several days may have."""


@dataclass(frozen=True)
class Run:
    """One run to request: some tables of some consecutive landing days."""

    tables: tuple[str, ...]
    first_day: date
    last_day: date

    @property
    def days(self) -> list[date]:
        """The landing days, in order."""
        return [self.first_day + timedelta(days=n) for n in range((self.last_day - self.first_day).days + 1)]


def differing(view: LakeView) -> dict[str, dict[date, tuple[str, ...]]]:
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
        expected = view.parts(table.name, assumed=should)
        # A partition that nothing speaks for any more must lose its rows.
        orphaned = stored.keys() - expected.keys()
        if orphaned:
            expected |= view.parts(table.name, orphaned, assumed=should)
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
        stale: what :func:`differing` gave for it.
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
        column, stored, landed = "email", view.engine.relation(trusted.table, trusted.select(days)), view.customers
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
        customers=view.customers,
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


def row_counts(view: LakeView, tables: Mapping[str, Collection[date]]) -> dict[date, int]:
    """How many rows the inputs of the tables to make have, per landing day."""
    rows: dict[date, int] = {}
    for upstream in {name for table in tables for name in contract(table).inputs}:
        for file in view.snapshot(upstream).files:
            rows[file.landing_date] = rows.get(file.landing_date, 0) + file.rows
    return rows


def state(view: LakeView) -> str:
    """A short text that stays the same while nothing that :func:`differing` looks at changes.

    A sensor that found nothing to do need not look again until this is another. It costs a look at each
    table's log.
    """
    return view.state()


def runs(tables: Mapping[str, Iterable[date]], sizes: Mapping[date, int] | None = None, limit: int = 0) -> list[Run]:
    """Group what differs into runs: consecutive days on which the same tables differ.

    Args:
        tables: of each table, the landing days to run.
        sizes: how much there is to do on each day, in the unit of ``limit``.
        limit: no run of several days has more to do than this.

    Returns:
        The runs, in order of their days.
    """
    by_day: dict[date, tuple[str, ...]] = {}
    for name in (table.name for table in ASSET_TABLES):
        for day in tables.get(name, ()):
            by_day[day] = (*by_day.get(day, ()), name)
    result: list[Run] = []
    size = 0
    for day, names in sorted(by_day.items()):
        last = result[-1] if result else None
        more = (sizes or {}).get(day, 0)
        consecutive = last is not None and last.tables == names and day - last.last_day == timedelta(days=1)
        if last is not None and consecutive and (not limit or size + more <= limit):
            result[-1] = Run(names, last.first_day, day)
            size += more
        else:
            result.append(Run(names, day, day))
            size = more
    return result


def downstream(tables: Iterable[str]) -> tuple[str, ...]:
    """``tables`` and every table that is made from them, in an order in which they can be made."""
    wanted = set(tables)
    for table in ASSET_TABLES:
        if wanted & table.inputs.keys():
            wanted.add(table.name)
    return tuple(table.name for table in ASSET_TABLES if table.name in wanted)
