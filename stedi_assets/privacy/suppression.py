"""Which rows and lines are those of the erased: the one definition, for what lands and for what is erased.

* A customer record is, unless its ``registrationDate`` is later than the erasure: whoever registers anew is a new
  customer.
* An accelerometer reading of such an e-mail is, unless it was taken after the new registration.
* A step reading of a device that was theirs alone is, unless somebody registered the device anew before it was taken;
  of a shared device, the readings that could be told to be theirs.
* A rejected line is, where the e-mail, a serial number of theirs alone, or their name or phone number stands in it,
  as a value or a word by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import pyarrow as pa

from stedi_assets.contracts import Table
from stedi_assets.contracts import table as contract
from stedi_assets.contracts.line import Rejected, Value, validate_line
from stedi_assets.contracts.names import normalize, normalized_sql
from stedi_assets.engines.session import Session
from stedi_assets.engines.sql import list_of, named
from stedi_assets.lakehouse import Lakehouse
from stedi_assets.privacy.tombstones import Tombstone, Tombstones

_NEVER = 2**63 - 1
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"?')
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))")
_BARE = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_E_MAIL = re.compile(r"[^\s\"'<>(){}\[\],;:\\]+@[^\s\"'<>(){}\[\],;:\\]+")
_WORD = re.compile(r"[\w-]+")


@dataclass(frozen=True)
class Return:
    """That somebody registered anew after an erasure.

    Args:
        person: the e-mail, in ms since 1970; never, where it did not.
        device: a serial number that was this person's alone, likewise.
    """

    person: int = _NEVER
    device: int = _NEVER

    def __str__(self) -> str:
        return "/".join("" if at == _NEVER else str(at) for at in (self.person, self.device))


class Suppression:
    """The people who were erased, as the rules need them.

    Args:
        engine: reads rows.
        lakehouse: knows who registered anew.
        tombstones: of the erased.
    """

    def __init__(self, engine: Session, lakehouse: Lakehouse, tombstones: Tombstones) -> None:
        self._engine = engine
        self._lakehouse = lakehouse
        self.tombstones = tombstones

    def __bool__(self) -> bool:
        return bool(self.tombstones)

    # ---- who came back --------------------------------------------------------------------------

    def returns(self) -> Mapping[str, Return]:
        """Per request, whether and when its person, or somebody with their device, registered anew."""
        if not self.tombstones:
            return {}
        customers = contract("customer_landing")
        snapshot = self._lakehouse.snapshot(customers)
        return snapshot.remember(f"returns {self.tombstones.state}", lambda: self._returns(customers, snapshot.files))

    def _returns(self, customers: Table, files: Iterable[Any]) -> dict[str, Return]:
        since = min(stone.erased_at for stone in self.tombstones)
        rows = self._engine.rows(
            f'SELECT {normalized_sql("email")}, {normalized_sql("serialNumber")}, "registrationDate" FROM customers '
            f'WHERE "registrationDate" > {since}',
            customers=self._engine.relation(customers, list(files)),
        )
        found: dict[str, Return] = {}
        for email, serial, registered in rows:
            stone = self.tombstones.of_email(email)
            if stone is not None and registered > stone.erased_at:
                known = found.get(stone.request, Return())
                found[stone.request] = Return(min(known.person, registered), known.device)
            stone = self.tombstones.of_serial(serial)
            if stone is not None and registered > stone.erased_at:
                known = found.get(stone.request, Return())
                found[stone.request] = Return(known.person, min(known.device, registered))
        return found

    # ---- rows -----------------------------------------------------------------------------------

    def marked(self, table: Table, rows: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation | None:
        """The rows of a landing table with the ``request`` under which the person behind each was erased.

        Args:
            table: the landing table.
            rows: some of its rows.

        Returns:
            The rows and ``request``, null where nobody was erased; none where that is so of all.
        """
        if not self.tombstones:
            return None
        if table.name == "step_trainer_landing":
            return self._marked_steps(rows)
        column, condition = {
            "customer_landing": ("email", '"registrationDate" > erased_at'),
            "accelerometer_landing": ("user", '"timestamp" >= returned'),
        }[table.name]
        returns = self.returns()
        gone = [
            (value, stone.request, stone.erased_at, returns.get(stone.request, Return()).person)
            for value in self._distinct(rows, column)
            if (stone := self.tombstones.of_email(value)) is not None
        ]
        return self._join(rows, gone, f"{normalized_sql(column)} = who", condition)

    def _marked_steps(self, rows: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation | None:
        returns = self.returns()
        gone: list[tuple[str, str, int, int]] = []
        shared: list[str] = []
        for serial in self._distinct(rows, "serialNumber"):
            stone = self.tombstones.of_serial(serial)
            if stone is not None:
                gone.append((serial, stone.request, stone.erased_at, returns.get(stone.request, Return()).device))
            elif self.tombstones.is_shared(serial):
                shared.append(serial)
        serial = normalized_sql("serialNumber")
        marked = self._join(rows, gone, f"{serial} = who", '"sensorReadingTime" >= returned')
        if not shared:
            return marked
        times = self._engine.rows(
            f'SELECT DISTINCT {serial}, "sensorReadingTime" FROM steps '
            f"WHERE {serial} IN (SELECT unnest({list_of(shared)}))",
            steps=rows,
        )
        read = [
            (device, time, stone.request)
            for device, time in times
            if (stone := self.tombstones.of_reading(device, time)) is not None
        ]
        if not read:
            return marked
        theirs = pa.table(
            [[one[0] for one in read], [one[1] for one in read], [one[2] for one in read]],
            names=["device", "taken", "whose"],
        )
        known = marked if marked is not None else rows.project("*, NULL::VARCHAR AS request")
        other = self._engine.connection.from_arrow(theirs)
        columns = ", ".join(named(name) for name in rows.columns)
        return (
            known.set_alias("r")
            .join(other.set_alias("t"), f'{serial} = device AND "sensorReadingTime" = taken', how="left")
            .project(f"{columns}, coalesce(request, whose) AS request")
        )

    def _join(
        self, rows: duckdb.DuckDBPyRelation, gone: list[tuple[str, str, int, int]], same: str, unless: str
    ) -> duckdb.DuckDBPyRelation | None:
        if not gone:
            return None
        who, request, erased_at, returned = zip(*gone)
        people = pa.table([who, request, erased_at, returned], names=["who", "request", "erased_at", "returned"])
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
        """The tombstone of whoever is behind a line of a raw file, if they were erased.

        Args:
            table: the landing table that its file is meant for.
            line: without the line feed.
            landing_date: the day its file landed.
        """
        if table.source is None:
            msg = f"{table.name} is not a landing table."
            raise ValueError(msg)
        verdict = validate_line(line, table.source, landing_date)
        if verdict is None:
            return None
        if isinstance(verdict, Rejected):
            return self.of_rejected(line.decode("utf-8", "backslashreplace"))
        return self._of_values(table.name, dict(zip((field.name for field in table.source.fields), verdict)))

    def _of_values(self, table: str, values: Mapping[str, Value]) -> Tombstone | None:
        if table == "customer_landing":
            stone = self.tombstones.of_email(normalize(str(values["email"])))
            registered = values["registrationDate"]
            new = stone is not None and isinstance(registered, int) and registered > stone.erased_at
            return None if new else stone
        if table == "accelerometer_landing":
            stone = self.tombstones.of_email(normalize(str(values["user"])))
            return self._unless_returned(stone, "person", values["timestamp"])
        serial = normalize(str(values["serialNumber"]))
        stone = self._unless_returned(self.tombstones.of_serial(serial), "device", values["sensorReadingTime"])
        if stone is None and self.tombstones.is_shared(serial):
            stone = self.tombstones.of_reading(serial, int(str(values["sensorReadingTime"])))
        return stone

    def _unless_returned(self, stone: Tombstone | None, what: str, time: Value) -> Tombstone | None:
        if stone is None:
            return None
        returned = getattr(self.returns().get(stone.request, Return()), what)
        return None if isinstance(time, int) and time >= returned else stone

    def of_rejected(self, line: str) -> Tombstone | None:
        """The tombstone of whoever a rejected line names, if they were erased."""
        if not self.tombstones:
            return None
        for value in values_in(line):
            stone = (
                self.tombstones.of_email(value) or self.tombstones.of_serial(value) or self.tombstones.of_mark(value)
            )
            if stone is not None:
                return stone
        return None


def values_in(line: str) -> Iterator[str]:
    """Whatever in a line that is no JSON object of a table may be a value: quoted texts, e-mails and words."""
    seen = set()
    plain = _ESCAPE.sub(_unescaped, line)
    found = [_ESCAPE.sub(_unescaped, text) for text in _QUOTED.findall(line)]
    for text in (*found, *_E_MAIL.findall(plain), *_WORD.findall(plain)):
        for value in (normalize(text), normalize(text).strip(".")):
            if value and value not in seen:
                seen.add(value)
                yield value


def _unescaped(match: re.Match[str]) -> str:
    digits, character = match.groups()
    return chr(int(digits, 16)) if digits else _BARE.get(character, character)
