"""What is known of data files without reading them again: who is in a partition, and who consents.

Files of a table never change, so what was computed from some is right for as long as they are part of the
table. A run asks for the same several times, and the sensors' process at every tick. It is kept in memory
only: names belong into the tables and nowhere else.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from stedi_assets import transforms
from stedi_assets.contracts import Table
from stedi_assets.contracts import table as contract
from stedi_assets.engines.duckdb import DuckDBEngine, named
from stedi_assets.lakehouse import DataFile, Snapshot

Files = tuple[str, ...]

_SEEN = pa.schema([("landing_date", pa.date32()), ("value", pa.string())])


def normal(name: str) -> str:
    """An e-mail or serial number as it is compared, in SQL; the same rule as ``transforms``'."""
    return f"lower(trim({named(name)}, chr(32) || chr(9) || chr(10) || chr(13) || chr(11) || chr(12)))"


class Recall:
    """Computes what is asked for, or remembers it.

    Args:
        engine: reads the files. Not safe for several threads at once, as it is.
    """

    def __init__(self, engine: DuckDBEngine) -> None:
        self._engine = engine
        self._seen: dict[tuple[str, date], tuple[Files, pa.Array]] = {}
        self._people: tuple[Files, pa.Table] | None = None

    def seen(self, snapshot: Snapshot, column: str, days: Collection[date] | None = None) -> pa.Table:
        """The values that a column of text has on each landing day.

        Args:
            snapshot: the table.
            column: holds e-mails or serial numbers; always the same one of a table.
            days: the landing days wanted; none takes all.

        Returns:
            ``landing_date`` and ``value``, as values are compared, each once per day.
        """
        name = snapshot.table.name
        by_day = {day: _names(files) for day, files in snapshot.days().items()}
        for gone in [key for key in self._seen if key[0] == name and key[1] not in by_day]:
            del self._seen[gone]
        wanted = [day for day in by_day if days is None or day in days]
        unknown = [day for day in wanted if self._seen.get((name, day), ((), None))[0] != by_day[day]]
        if unknown:
            found = self._distinct(snapshot.table, snapshot.select(set(unknown)), column)
            for day in unknown:
                self._seen[name, day] = by_day[day], found.get(day, pa.array([], pa.string()))
        parts = [self._seen[name, day][1] for day in wanted]
        dates = [pa.repeat(pa.scalar(day, pa.date32()), len(part)) for day, part in zip(wanted, parts)]
        return pa.table([pa.chunked_array(dates, pa.date32()), pa.chunked_array(parts, pa.string())], schema=_SEEN)

    def _distinct(self, table: Table, files: Sequence[DataFile], column: str) -> dict[date, pa.Array]:
        query = f"SELECT landing_date, {normal(column)} AS value FROM readings GROUP BY ALL ORDER BY landing_date"
        rows = self._engine.arrow(query, readings=self._engine.relation(table, files)).cast(_SEEN).combine_chunks()
        runs = pc.run_end_encode(rows["landing_date"].combine_chunks())
        found: dict[date, pa.Array] = {}
        start = 0
        for day, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist()):
            found[day] = rows["value"].slice(start, end - start).combine_chunks()
            start = end
        return found

    def people(self, customers: Sequence[DataFile]) -> pa.Table:
        """Everybody who has landed, by their latest record.

        Args:
            customers: the files of ``customer_landing``.

        Returns:
            ``email``, ``serialNumber``, ``consented_at`` (see ``transforms.consents``) and ``record_landed``, the
            landing day of the record.
        """
        files = _names(customers)
        if self._people is None or self._people[0] != files:
            landed = self._engine.scan(contract("customer_landing"), customers)
            people = transforms.consents(landed, "landing_date").rename({"landing_date": "record_landed"})
            self._people = files, self._engine.collect(people)
        return self._people[1]


def _names(files: Sequence[DataFile]) -> Files:
    return tuple(file.uri for file in files)
