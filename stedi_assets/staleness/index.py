"""The readings index: of each landing day and table of readings, whose readings there are, how many, and when.

A partition of the index is named after the data files that it was computed from, which never change. So it is either
right for the files that a table has now, or it is seen to be of others; a day without a right one is computed from
the readings themselves. Nothing is wrong where the index is missing, only slower.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date
from functools import lru_cache

import pyarrow as pa

from stedi_assets.contracts import READINGS_TABLES, Privacy, Table
from stedi_assets.contracts import table as contract
from stedi_assets.contracts.names import normalized_sql
from stedi_assets.engines.session import Session
from stedi_assets.engines.sql import named
from stedi_assets.errors import working_on
from stedi_assets.lakehouse import DataFile, Lakehouse, Snapshot
from stedi_assets.lakehouse.fingerprint import fingerprint
from stedi_assets.lakehouse.snapshot import by_landing_day

_INDEX = contract("readings_index")


class ReadingsIndex:
    """The index at one version of it.

    Args:
        engine: reads it, and computes what it lacks.
        stored: the stored table.
    """

    def __init__(self, engine: Session, stored: Snapshot) -> None:
        self._engine = engine
        self._stored = stored

    def of(self, snapshot: Snapshot, days: Collection[date] | None = None, *, hashed: bool = False) -> pa.Table:
        """Whose readings a table has.

        Args:
            snapshot: a table of readings.
            days: the landing days wanted; none takes all.
            hashed: with a hash for each subject: it joins in a third of the time, and takes a third of the memory.

        Returns:
            One row per landing day and subject: ``landing_date``, ``subject``, ``readings`` (not where ``hashed``),
            ``first_time``, ``last_time``, ``content``.
        """
        stored, missing = self._split(snapshot, days)
        subject = "hash(subject) AS subject" if hashed else "subject, readings"
        columns = f"landing_date, {subject}, first_time, last_time, content"
        query = f"SELECT {columns} FROM stored"
        frames = {"stored": self._engine.cached_relation(_INDEX, stored)}
        if missing:
            query += f" UNION ALL SELECT {columns} FROM ({_aggregate(snapshot.table)})"
            frames["readings"] = self._engine.relation(snapshot.table, snapshot.select(missing))
        return self._engine.arrow(query, **frames)

    def missing(self, snapshot: Snapshot) -> set[date]:
        """The landing days of a table of readings for which no right partition is stored."""
        return self._split(snapshot, None)[1]

    def _split(self, snapshot: Snapshot, days: Collection[date] | None) -> tuple[list[DataFile], set[date]]:
        """The files of the right partitions, and the days that lack one."""
        stored = by_landing_day(self._stored.part("readings_table", snapshot.table.name))
        right: list[DataFile] = []
        missing = set()
        for day, files in snapshot.days().items():
            if (days is None or day in days) and any(file.rows for file in files):
                wanted, found = partition_name(snapshot.table, files), stored.get(day, [])
                if found and all(file.fingerprint == wanted for file in found):
                    right += found
                else:
                    missing.add(day)
        return right, missing


def write(engine: Session, lakehouse: Lakehouse, table: Table, days: Collection[date]) -> bool:
    """Write the index of some landing days of a table, as it is stored now.

    Returns:
        Whether it was written: not of other tables than those of readings, and not where these days were replaced
        meanwhile.
    """
    if table not in READINGS_TABLES or not days:
        return False
    snapshot = lakehouse.snapshot(table)
    rows = engine.arrow(_aggregate(table), readings=engine.relation(table, snapshot.select(days)))
    within = {"readings_table": table.name}
    rows = rows.append_column("readings_table", pa.repeat(pa.scalar(table.name), rows.num_rows))
    stored = snapshot.days()
    names = {day: partition_name(table, stored.get(day, ())) for day in days}
    files = engine.write(engine.frame(rows), lakehouse, _INDEX, names, within)
    with lakehouse.committing():
        # Whose readings were erased meanwhile must not come back by name.
        current = lakehouse.snapshot(table).days()
        if any(partition_name(table, current.get(day, ())) != name for day, name in names.items()):
            for file in files:
                lakehouse.discard(_INDEX, file)
            return False
        lakehouse.replace(_INDEX, days, files, within=within)
    return True


def fill(engine: Session, lakehouse: Lakehouse) -> dict[str, set[date]]:
    """Write what is missing: of tables that another version wrote, or whose run was killed before its index.

    Returns:
        Of each table of readings, the landing days that were written.
    """
    index = ReadingsIndex(engine, lakehouse.snapshot(_INDEX))
    missing = {table.name: index.missing(lakehouse.snapshot(table)) for table in READINGS_TABLES}
    for name, days in missing.items():
        with working_on(name):
            write(engine, lakehouse, contract(name), days)
    return {name: days for name, days in missing.items() if days}


def partition_name(table: Table, files: Sequence[DataFile]) -> str:
    """The fingerprint of an index partition: which files of which table it was computed from."""
    return _partition_name(table.name, tuple(sorted(file.path for file in files)))


@lru_cache(maxsize=10_000)
def _partition_name(table: str, paths: tuple[str, ...]) -> str:
    # Asked for every landing day whenever the index is.
    return fingerprint(_INDEX.name, _INDEX.column_names, table, paths)


def _aggregate(table: Table) -> str:
    """SQL of the index rows of the frame ``readings``."""
    subject, time = named(table.subject_column.name), named(str(table.event_time))
    what = ", ".join(named(column.name) for column in table.columns if column.privacy is Privacy.SENSOR)
    # Many readings, few names: a name is normalized once for each way in which it is written. The hash is compared
    # with what was stored only, so it may be another one in another version of DuckDB.
    return f"""
        SELECT landing_date, {normalized_sql("name")} AS subject, sum(readings)::BIGINT AS readings,
               min(first_time) AS first_time, max(last_time) AS last_time,
               (sum(content) % 9223372036854775807)::BIGINT AS content
        FROM (
            SELECT landing_date, {subject} AS name, count(*) AS readings, min({time}) AS first_time,
                   max({time}) AS last_time, sum(hash({what})) AS content
            FROM readings WHERE {subject} IS NOT NULL GROUP BY ALL
        ) GROUP BY ALL"""
