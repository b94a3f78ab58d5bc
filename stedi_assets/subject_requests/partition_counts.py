"""Row counts and content hashes of every partition: with them an erasure shows that nothing else went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from stedi_assets.contracts import TABLES, Table
from stedi_assets.engines.sql import named
from stedi_assets.lakehouse import Snapshot
from stedi_assets.resources import Resources
from stedi_assets.subject_requests.matching import QUARANTINE, Subjects, subject_condition

Partition = tuple[str, str]
"""Table and landing day."""

_MANIFEST = "landing_files"


@dataclass(frozen=True)
class PartitionCount:
    """The count of a partition.

    Args:
        rows: all rows.
        subject_rows: rows of the data subjects.
        others: hash of the content of the other rows, whatever their order.
    """

    rows: int
    subject_rows: int
    others: str


EMPTY = PartitionCount(0, 0, "0")
"""The count of a partition without rows."""


def count_partitions(resources: Resources, subjects: Subjects) -> dict[Partition, PartitionCount]:
    """Count every partition of every table that has rows.

    Args:
        resources: the lake.
        subjects: whose rows are counted apart from those of others.
    """
    found: dict[Partition, PartitionCount] = {}
    for table in TABLES.values():
        snapshot = resources.lakehouse.snapshot(table)
        if not snapshot.rows():
            continue
        count = _count_rejected if table.name == QUARANTINE else _count_rows
        found |= {
            (table.name, day.isoformat()): counted for day, counted in count(resources, snapshot, subjects).items()
        }
    return found


def _count_rows(resources: Resources, snapshot: Snapshot, subjects: Subjects) -> dict[date, PartitionCount]:
    table = snapshot.table
    rows = resources.session.rows(
        f"""
        SELECT landing_date, count(*), count(*) FILTER (WHERE own),
               CAST(coalesce(sum(content) FILTER (WHERE NOT own), 0) % 18446744073709551616 AS VARCHAR)
        FROM (SELECT landing_date, {subject_condition(table)} AS own, {_content(table)} AS content FROM stored)
        GROUP BY ALL
        """,
        stored=resources.session.relation(table, snapshot.files),
        **subjects.frames(),
    )
    return {day: PartitionCount(number, own, others) for day, number, own, others in rows}


def _count_rejected(resources: Resources, snapshot: Snapshot, subjects: Subjects) -> dict[date, PartitionCount]:
    table = snapshot.table
    rows = resources.session.rows(
        f"SELECT landing_date, line, {_content(table)} FROM stored",
        stored=resources.session.relation(table, snapshot.files),
    )
    found: dict[date, tuple[int, int, int]] = {}
    for day, line, content in rows:
        number, own, others = found.get(day, (0, 0, 0))
        if subjects.own_rejected(line):
            found[day] = number + 1, own + 1, others
        else:
            found[day] = number + 1, own, (others + content) % 2**64
    return {day: PartitionCount(number, own, str(others)) for day, (number, own, others) in found.items()}


def _content(table: Table) -> str:
    # In the manifest, sizes, digests and counts change with the files.
    # Which of the texts of its line a row comes from changes when one before it on that line goes.
    columns = [name for name in table.column_names if name != "source_object"]
    columns = ["source_file"] if table.name == _MANIFEST else columns
    return f"hash({', '.join(named(name) for name in columns)})::HUGEINT"


def compare_counts(
    before: Mapping[Partition, PartitionCount], after: Mapping[Partition, PartitionCount]
) -> list[dict[str, object]]:
    """Compare the counts before and after an erasure.

    Others' rows of a derived table may differ: a device that a person who refused shared may be used once they are
    gone, and the pairs of others with their readings go. So may the row of a shared device in the readings index,
    which counts the readings of all who share it.

    Args:
        before: the counts before.
        after: the counts after.

    Returns:
        Of each partition that differs: rows before, removed (the person's) and after, and whether the others are
        identical.
    """
    rows = []
    for name, day in sorted(before.keys() | after.keys()):
        old, new = before.get((name, day), EMPTY), after.get((name, day), EMPTY)
        if old == new:
            continue
        rows.append(
            {
                "table": name,
                "landing_date": day,
                "before": old.rows,
                "removed": old.subject_rows,
                "after": new.rows,
                "others_identical": old.others == new.others and old.rows - old.subject_rows == new.rows,
            }
        )
    return rows


def document(counts: Mapping[Partition, PartitionCount]) -> list[list[object]]:
    """Counts as JSON takes them.

    Args:
        counts: of each partition.
    """
    return [[*partition, count.rows, count.subject_rows, count.others] for partition, count in sorted(counts.items())]


def from_document(rows: Iterable[Iterable[object]]) -> dict[Partition, PartitionCount]:
    """Counts from their JSON document.

    Args:
        rows: what :func:`document` returned.
    """
    return {
        (str(name), str(day)): PartitionCount(int(str(number)), int(str(own)), str(others))
        for name, day, number, own, others in rows
    }
