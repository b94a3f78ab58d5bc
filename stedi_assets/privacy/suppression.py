"""Suppression of erased people: the one definition of their rows and lines, for what lands and for what is erased.

* A customer record is theirs, unless its ``registrationDate`` is later than the erasure: whoever registers anew is a
  new customer.
* An accelerometer reading of their e-mail is theirs, unless it was taken after the new registration.
* A step reading of a device that was theirs alone is theirs, unless somebody registered the device anew before it was
  taken; of a shared device, the readings that could be attributed to them.
* A rejected text is theirs, where their e-mail stands in it; and, where nobody's does, a serial number of theirs alone,
  or their name or phone number as a value. What it says of others stays: it may be their withdrawal.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import pyarrow as pa

from stedi_assets.contracts import Identifier, Table
from stedi_assets.contracts.line import Rejected, Value, validate_line
from stedi_assets.contracts.names import normalize, normalized_sql
from stedi_assets.engines.session import Session
from stedi_assets.engines.sql import list_of, named
from stedi_assets.lakehouse import Lakehouse
from stedi_assets.privacy.identity import CUSTOMERS, EMAIL, REGISTERED, SERIAL
from stedi_assets.privacy.mentions import addresses_in, fields_in, has_address, values_in
from stedi_assets.privacy.tombstones import Tombstone, Tombstones

_NEVER = 2**63 - 1


@dataclass(frozen=True)
class Return:
    """The new registrations after an erasure.

    Args:
        person: the first one of the e-mail, in ms since 1970; never, where there is none.
        device: the first one of a serial number that was this person's alone, likewise.
    """

    person: int = _NEVER
    device: int = _NEVER

    def __str__(self) -> str:
        return "/".join("" if at == _NEVER else str(at) for at in (self.person, self.device))


class Suppression:
    """The rules that recognise erased people in rows and lines.

    Args:
        engine: the engine that reads rows.
        lakehouse: the tables, which say who registered anew.
        tombstones: the tombstones of the erased people.
    """

    def __init__(self, engine: Session, lakehouse: Lakehouse, tombstones: Tombstones) -> None:
        self._engine = engine
        self._lakehouse = lakehouse
        self.tombstones = tombstones

    def __bool__(self) -> bool:
        return bool(self.tombstones)

    # ---- new registrations --------------------------------------------------------------------------

    def returns(self) -> Mapping[str, Return]:
        """The new registrations since each erasure.

        Returns:
            Those of each request whose person, or somebody with their device, registered anew.
        """
        if not self.tombstones:
            return {}
        snapshot = self._lakehouse.snapshot(CUSTOMERS)
        if not snapshot.files:
            return {}
        return snapshot.remember(f"returns {self.tombstones.state}", lambda: self._returns(snapshot.files))

    def _returns(self, files: Iterable[Any]) -> dict[str, Return]:
        since = min(tombstone.erased_at for tombstone in self.tombstones)
        rows = self._engine.rows(
            f"SELECT {normalized_sql(EMAIL)}, {normalized_sql(SERIAL)}, {named(REGISTERED)} FROM customers "
            f"WHERE {named(REGISTERED)} > {since}",
            customers=self._engine.relation(CUSTOMERS, list(files)),
        )
        found: dict[str, Return] = {}
        for email, serial, registered in rows:
            tombstone = self.tombstones.of_email(email)
            if tombstone is not None and registered > tombstone.erased_at:
                known = found.get(tombstone.request, Return())
                found[tombstone.request] = Return(min(known.person, registered), known.device)
            tombstone = self.tombstones.of_serial(serial)
            if tombstone is not None and registered > tombstone.erased_at:
                known = found.get(tombstone.request, Return())
                found[tombstone.request] = Return(known.person, min(known.device, registered))
        return found

    # ---- rows -----------------------------------------------------------------------------------

    def marked(self, table: Table, rows: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation | None:
        """Mark rows of a landing table with the request under which the person behind each was erased.

        Args:
            table: the landing table.
            rows: rows of it.

        Returns:
            The rows with the column ``request``, null where nobody was erased; none if it is null in all of them.
        """
        if not self.tombstones:
            return None
        subject, time = table.subject_column, table.event_time
        if subject.identifies is Identifier.DEVICE:
            return self._marked_readings_of_devices(rows, subject.name, str(time))
        unless = f"{named(time)} >= returned" if time else f"{named(REGISTERED)} > erased_at"
        returns = self.returns()
        erased = [
            (value, tombstone.request, tombstone.erased_at, returns.get(tombstone.request, Return()).person)
            for value in self._distinct(rows, subject.name)
            if (tombstone := self.tombstones.of_email(value)) is not None
        ]
        return self._join(rows, erased, f"{normalized_sql(subject.name)} = name", unless)

    def _marked_readings_of_devices(
        self, rows: duckdb.DuckDBPyRelation, column: str, event_time: str
    ) -> duckdb.DuckDBPyRelation | None:
        returns = self.returns()
        erased: list[tuple[str, str, int, int]] = []
        shared: list[str] = []
        for serial in self._distinct(rows, column):
            tombstone = self.tombstones.of_serial(serial)
            if tombstone is not None:
                erased.append(
                    (serial, tombstone.request, tombstone.erased_at, returns.get(tombstone.request, Return()).device)
                )
            elif self.tombstones.is_shared(serial):
                shared.append(serial)
        serial, time = normalized_sql(column), named(event_time)
        marked = self._join(rows, erased, f"{serial} = name", f"{time} >= returned")
        if not shared:
            return marked
        times = self._engine.rows(
            f"SELECT DISTINCT {serial}, {time} FROM readings WHERE {serial} IN (SELECT unnest({list_of(shared)}))",
            readings=rows,
        )
        read = [
            (device, taken, tombstone.request)
            for device, taken in times
            if (tombstone := self.tombstones.of_reading(device, taken)) is not None
        ]
        if not read:
            return marked
        attributed = pa.table(
            [[one[0] for one in read], [one[1] for one in read], [one[2] for one in read]],
            names=["device", "taken", "whose"],
        )
        known = marked if marked is not None else rows.project("*, NULL::VARCHAR AS request")
        other = self._engine.connection.from_arrow(attributed)
        columns = ", ".join(named(name) for name in rows.columns)
        return (
            known.set_alias("r")
            .join(other.set_alias("t"), f"{serial} = device AND {time} = taken", how="left")
            .project(f"{columns}, coalesce(request, whose) AS request")
        )

    def _join(
        self, rows: duckdb.DuckDBPyRelation, erased: list[tuple[str, str, int, int]], same: str, unless: str
    ) -> duckdb.DuckDBPyRelation | None:
        if not erased:
            return None
        names, request, erased_at, returned = zip(*erased, strict=True)
        people = pa.table([names, request, erased_at, returned], names=["name", "request", "erased_at", "returned"])
        columns = ", ".join(named(name) for name in rows.columns)
        return (
            rows.set_alias("r")
            .join(
                self._engine.connection.from_arrow(people).set_alias("g"),
                f"{same} AND NOT coalesce({unless}, false)",
                how="left",
            )
            .project(f"{columns}, request")
        )

    def _distinct(self, rows: duckdb.DuckDBPyRelation, column: str) -> list[str]:
        return [
            value
            for (value,) in self._engine.rows(f"SELECT DISTINCT {normalized_sql(column)} FROM landed", landed=rows)
        ]

    # ---- lines ----------------------------------------------------------------------------------

    def of_line(self, table: Table, line: bytes, landing_date: date) -> Tombstone | None:
        """The tombstone of the person behind a line of a raw file, if they were erased.

        Args:
            table: the landing table that its file is meant for.
            line: the line without its line feed.
            landing_date: the day on which its file landed.

        Raises:
            ValueError: the table is not a landing table.
        """
        source = table.landing_source
        result = validate_line(line, source, landing_date)
        if result is None:
            return None
        if isinstance(result, Rejected):
            return self.of_rejected(line.decode("utf-8", "backslashreplace"))
        return self._of_values(table, dict(zip((field.name for field in source.fields), result, strict=True)))

    def _of_values(self, table: Table, values: Mapping[str, Value]) -> Tombstone | None:
        subject = table.subject_column
        name = normalize(str(values[subject.name]))
        if table.event_time is None:
            tombstone = self.tombstones.of_email(name)
            registered = values[REGISTERED]
            new = tombstone is not None and isinstance(registered, int) and registered > tombstone.erased_at
            return None if new else tombstone
        time = values[table.event_time]
        if subject.identifies is Identifier.EMAIL:
            tombstone = self.tombstones.of_email(name)
            return None if _is_since(time, self._return_of(tombstone).person) else tombstone
        tombstone = self.tombstones.of_serial(name)
        if tombstone is not None and not _is_since(time, self._return_of(tombstone).device):
            return tombstone
        return self.tombstones.of_reading(name, int(str(time))) if self.tombstones.is_shared(name) else None

    def _return_of(self, tombstone: Tombstone | None) -> Return:
        return Return() if tombstone is None else self.returns().get(tombstone.request, Return())

    def of_rejected(self, line: str) -> Tombstone | None:
        """The tombstone of the person whom a rejected text names, if they were erased.

        Args:
            line: the text as it is quarantined.
        """
        if not self.tombstones:
            return None
        values = list(values_in(line))
        found: Iterator[Tombstone] = filter(None, map(self.tombstones.of_email, values))
        if not has_address(line):
            found = itertools.chain(
                found,
                filter(None, map(self.tombstones.of_serial, values)),
                filter(None, map(self.tombstones.of_mark, fields_in(line))),
            )
        return next(found, None)

    def left_of_rejected(self, line: str) -> str:
        """What stays of a rejected text that names an erased person: whom else it may speak of.

        Args:
            line: the text as it is quarantined.

        Returns:
            The e-mails in it of others, and of erased people who are customers again; where it has no e-mail, the
            serial numbers that somebody registered anew.
        """
        addresses = addresses_in(line, lambda value: self._is_gone(self.tombstones.of_email(value)))
        if addresses or has_address(line):
            return " ".join(addresses)
        devices = ((value, self.tombstones.of_serial(value)) for value in values_in(line))
        return " ".join(value for value, one in devices if one and self._return_of(one).device != _NEVER)

    def _is_gone(self, tombstone: Tombstone | None) -> bool:
        return tombstone is not None and self._return_of(tombstone).person == _NEVER


def _is_since(time: Value, registered: int) -> bool:
    return isinstance(time, int) and time >= registered
