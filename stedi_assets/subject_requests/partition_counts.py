"""Row counts and content hashes of every partition, so that an erasure can show what it removed and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from stedi_assets.contracts import TABLES, Table
from stedi_assets.engines.duckdb import named
from stedi_assets.lakehouse import Snapshot
from stedi_assets.privacy.suppression import Suppression
from stedi_assets.resources import Resources
from stedi_assets.subject_requests.subject import Person, frames, theirs

Partition = tuple[str, str]
"""Table and landing day."""

_OF_FILES = "landing_files"


@dataclass(frozen=True)
class Count:
    """What a partition holds.

    Args:
        rows: of everybody.
        theirs: of the people who are erased.
        others: hash of the content of the other rows, whatever their order.
    """

    rows: int
    theirs: int
    others: str


def accounts(resources: Resources, people: Sequence[Person], erased: Suppression) -> dict[Partition, Count]:
    """Count every partition of every table that has rows.

    Args:
        resources: the lake.
        people: whose rows are told apart.
        erased: the rules that know them, for rejected lines.
    """
    found: dict[Partition, Count] = {}
    for table in TABLES.values():
        snapshot = resources.lakehouse.snapshot(table)
        if not snapshot.rows():
            continue
        rows = _quarantine(resources, snapshot, erased) if table.name == "landing_quarantine" else None
        rows = rows if rows is not None else _counted(resources, snapshot, people)
        found |= {(table.name, day.isoformat()): count for day, count in rows.items()}
    return found


def _counted(resources: Resources, snapshot: Snapshot, people: Sequence[Person]) -> dict[date, Count]:
    table = snapshot.table
    rows = resources.engine.rows(
        f"""
        SELECT landing_date, count(*), count(*) FILTER (WHERE theirs),
               CAST(coalesce(sum(content) FILTER (WHERE NOT theirs), 0) % 18446744073709551616 AS VARCHAR)
        FROM (SELECT landing_date, {theirs(table)} AS theirs, {_content(table)} AS content FROM stored)
        GROUP BY ALL
        """,
        stored=resources.engine.relation(table, snapshot.files),
        **frames(people),
    )
    return {day: Count(number, own, others) for day, number, own, others in rows}


def _quarantine(resources: Resources, snapshot: Snapshot, erased: Suppression) -> dict[date, Count]:
    table = snapshot.table
    rows = resources.engine.rows(
        f"SELECT landing_date, line, {_content(table)} FROM stored",
        stored=resources.engine.relation(table, snapshot.files),
    )
    found: dict[date, tuple[int, int, int]] = {}
    for day, line, content in rows:
        number, own, others = found.get(day, (0, 0, 0))
        if erased.of_rejected(line) is not None:
            found[day] = number + 1, own + 1, others
        else:
            found[day] = number + 1, own, (others + content) % 2**64
    return {day: Count(number, own, str(others)) for day, (number, own, others) in found.items()}


def _content(table: Table) -> str:
    # Of the record of files, sizes, digests and counts change with the files.
    columns = ["source_file"] if table.name == _OF_FILES else table.column_names
    return f"hash({', '.join(named(name) for name in columns)})::HUGEINT"


def compared(before: Mapping[Partition, Count], after: Mapping[Partition, Count]) -> list[dict[str, object]]:
    """What became of each partition that lost or gained rows or whose other rows are not what they were.

    Returns:
        Of each: rows before, removed (the person's), after, and whether the others are identical. A derived table may
        have others' rows that it did not have before, or lack some: a device that a person who refused shared may be
        used once they are gone, and the pairs of others with their readings go.
    """
    rows = []
    for name, day in sorted(before.keys() | after.keys()):
        was, now = before.get((name, day), _NOTHING), after.get((name, day), _NOTHING)
        if was == now:
            continue
        rows.append(
            {
                "table": name,
                "landing_date": day,
                "before": was.rows,
                "removed": was.theirs,
                "after": now.rows,
                "others_identical": was.others == now.others and was.rows - was.theirs == now.rows,
            }
        )
    return rows


_NOTHING = Count(0, 0, "0")


def document(counts: Mapping[Partition, Count]) -> list[list[object]]:
    """As JSON takes it."""
    return [[*partition, count.rows, count.theirs, count.others] for partition, count in sorted(counts.items())]


def from_document(rows: Iterable[Iterable[object]]) -> dict[Partition, Count]:
    """From what :func:`document` gave."""
    return {
        (str(name), str(day)): Count(int(str(number)), int(str(own)), str(others))
        for name, day, number, own, others in rows
    }
