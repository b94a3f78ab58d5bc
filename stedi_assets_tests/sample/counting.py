"""A second, independent computation of the tables' row counts, from the written files alone.

Here: reading landing files with the standard library and applying the design's rules in plain SQL.  Nothing of the
generator or the pipeline is used.
"""

from __future__ import annotations

import gzip
import json
import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

_DAY = timedelta(days=1)
_TEXT, _INTEGER, _NUMBER = (str,), (int,), (int, float)
_ARROW: dict[tuple[type, ...], pa.DataType] = {_TEXT: pa.string(), _INTEGER: pa.int64(), _NUMBER: pa.float64()}
_FIELDS: dict[str, dict[str, tuple[tuple[type, ...], bool]]] = {
    "customer_landing": {
        "customerName": (_TEXT, False),
        "email": (_TEXT, True),
        "phone": (_TEXT, False),
        "birthDay": (_TEXT, False),
        "serialNumber": (_TEXT, True),
        "registrationDate": (_INTEGER, False),
        "lastUpdateDate": (_INTEGER, True),
        "shareWithResearchAsOfDate": (_INTEGER, False),
        "shareWithPublicAsOfDate": (_INTEGER, False),
        "shareWithFriendsAsOfDate": (_INTEGER, False),
    },
    "accelerometer_landing": {
        "user": (_TEXT, True),
        "timestamp": (_INTEGER, True),
        "x": (_NUMBER, True),
        "y": (_NUMBER, True),
        "z": (_NUMBER, True),
    },
    "step_trainer_landing": {
        "sensorReadingTime": (_INTEGER, True),
        "serialNumber": (_TEXT, True),
        "distanceFromObject": (_INTEGER, True),
    },
}


@dataclass
class Landing:
    """What lies in a landing zone, read file by file."""

    tables: dict[str, pa.Table] = field(default_factory=dict)
    quarantined: dict[str, int] = field(default_factory=dict)
    lines: dict[str, dict[str, int]] = field(default_factory=dict)
    skipped_files: int = 0
    skipped_lines: int = 0

    def frame(self, table: str) -> pd.DataFrame:
        """Return the rows of a landing table."""
        frame: pd.DataFrame = self.tables[table].to_pandas()
        return frame


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000)


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unrepeated = dict(pairs)
    if len(unrepeated) < len(pairs):
        raise ValueError
    return unrepeated


_DECODER = json.JSONDecoder(object_pairs_hook=_unrepeated)
_EARLIEST = _milliseconds(datetime(2015, 1, 1, tzinfo=timezone.utc))


def _is_valid(value: object, types: tuple[type, ...], *, required: bool) -> bool:
    if value is None or (types is _TEXT and isinstance(value, str) and not value.strip()):
        return not required
    return type(value) in types and not (isinstance(value, float) and not math.isfinite(value))


def _parse(fields: dict[str, tuple[tuple[type, ...], bool]], line: str, latest: int) -> tuple[Any, ...] | None:
    """Return the values of a line, None where it must be quarantined."""
    try:
        row = _DECODER.decode(line)
    except ValueError:
        return None
    if not isinstance(row, dict):
        return None
    values = tuple(map(row.get, fields))
    for value, (types, required) in zip(values, fields.values(), strict=True):
        if not _is_valid(value, types, required=required):
            return None
    time: Any = row.get("timestamp", row.get("sensorReadingTime", _EARLIEST))
    if not _EARLIEST <= time <= latest or row.get("distanceFromObject", 0) < 0:
        return None
    return values


def read_landing(folder: Path) -> Landing:
    """Read all files below a landing zone's folder."""
    landing = Landing()
    for table, fields in _FIELDS.items():
        rows: list[tuple[Any, ...]] = []
        seen: set[bytes] = set()
        landing.quarantined[table] = 0
        for day_folder in sorted((folder / table).iterdir()):
            date = day_folder.name.removeprefix("landing_date=")
            day_end = _milliseconds(datetime.fromisoformat(date).replace(tzinfo=timezone.utc) + _DAY)
            latest = day_end + _DAY // timedelta(milliseconds=1)
            for path in sorted(day_folder.iterdir()):
                content = path.read_bytes()
                text = gzip.decompress(content) if path.suffix == ".gz" else content
                lines = [line for line in text.decode().split("\n") if line.strip()]
                landing.lines.setdefault(date, dict.fromkeys(_FIELDS, 0))[table] += len(lines)
                if content in seen:
                    landing.skipped_files += 1
                    landing.skipped_lines += len(lines)
                    continue
                seen.add(content)
                name = path.name
                for number, line in enumerate(lines):
                    row = _parse(fields, line, latest)
                    if row is None:
                        landing.quarantined[table] += 1
                    else:
                        rows.append((*row, date, day_end, name, number))
        types = [_ARROW[types] for types, _ in fields.values()]
        names = [*fields, "landing_date", "day_end", "file", "line"]
        schema = pa.schema(zip(names, [*types, pa.string(), pa.int64(), pa.string(), pa.int64()], strict=True))
        columns = zip(*rows, strict=True) if rows else [[] for _ in names]
        arrays = [pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)]
        landing.tables[table] = pa.Table.from_arrays(arrays, schema=schema)
    return landing


_TABLES = """
create or replace table latest as
    select lower(trim(email)) as email, lower(trim(serialNumber)) as serial,
        shareWithResearchAsOfDate as since, since > 0 and since < day_end as consents
    from customer_landing
    qualify row_number() over (
        partition by lower(trim(email)) order by lastUpdateDate desc, landing_date desc, file desc, line desc
    ) = 1;
create or replace table history as
    select email, consents, lag(consents, 1, false) over (
        partition by email order by lastUpdateDate, landing_date, file, line
    ) as before
    from (
        select * replace (lower(trim(email)) as email),
            coalesce(shareWithResearchAsOfDate > 0 and shareWithResearchAsOfDate < day_end, false) as consents
        from customer_landing
    );
create or replace table moves as
    select distinct lower(trim("user")) as email, "timestamp" as t, x, y, z, landing_date from accelerometer_landing;
create or replace table steps as
    select row_number() over () as id, * from (
        select distinct lower(trim(serialNumber)) as serial, sensorReadingTime as t, distanceFromObject, landing_date
        from step_trainer_landing
    );
create or replace table accelerometer_trusted as
    select moves.* from moves join latest using (email) where coalesce(consents, false) and ($include or t >= since);
create or replace table claims as
    select id, steps.t, steps.serial, latest.email,
        coalesce(consents, false) and ($include or steps.t >= since) as willing,
        exists (from moves where moves.email = latest.email and moves.t = steps.t) as worn
    from steps join latest using (serial);
create or replace table judged as
    select id, count(*) as claimants, bool_or(willing) as any_willing,
        bool_and(willing) or (bool_or(willing and worn) and not bool_or(worn and not willing)) as used
    from claims group by id;
create or replace table step_trainer_trusted as select steps.* from steps join judged using (id) where used;
create or replace table pairs as
    select step_trainer_trusted.landing_date as step_day, accelerometer_trusted.landing_date as move_day,
        exists (
            from claims where claims.id = step_trainer_trusted.id and claims.email = accelerometer_trusted.email
        ) as same_customer
    from step_trainer_trusted join accelerometer_trusted using (t);
"""


@dataclass(frozen=True)
class Pairs:
    """Rows of `machine_learning_curated`, and how many of them have halves that landed on different days."""

    rows: int
    different_days: int
    steps_first: int
    steps_last: int


@dataclass(frozen=True)
class Counts:
    """What the tables must hold, but for `machine_learning_curated`, which is in `by_timestamp` and `by_customer`."""

    tables: dict[str, int]
    by_timestamp: Pairs
    by_customer: Pairs
    left_out: int
    shared_serial_numbers: int


def count_tables(landing: Landing, *, include: bool) -> Counts:
    """Apply the rules; `include` keeps readings before consent."""
    connection = duckdb.connect()
    for table, rows in landing.tables.items():
        connection.register(table, rows)
    connection.execute(_TABLES.replace("$include", str(include)))

    def count(query: str) -> int:
        return int(connection.sql(f"select count(*) from {query}").fetchall()[0][0])

    def pairs(which: str) -> Pairs:
        pairs = f"pairs where {which}"
        return Pairs(
            count(pairs),
            count(f"{pairs} and step_day <> move_day"),
            count(f"{pairs} and step_day < move_day"),
            count(f"{pairs} and step_day > move_day"),
        )

    return Counts(
        tables={
            **{table: count(table) for table in _FIELDS},
            "landing_quarantine": sum(landing.quarantined.values()),
            "customer_trusted": count("latest where consents"),
            "accelerometer_trusted": count("accelerometer_trusted"),
            "customers_curated": count("(select distinct email from accelerometer_trusted)"),
            "consent_history": count("history where consents and not before"),
            "step_trainer_trusted": count("step_trainer_trusted"),
        },
        by_timestamp=pairs("true"),
        by_customer=pairs("same_customer"),
        left_out=count("judged where any_willing and not used"),
        shared_serial_numbers=count("(select serial from latest group by serial having count(*) > 1)"),
    )
