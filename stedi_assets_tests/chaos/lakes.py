"""What the chaos tests share: a small landing zone, a change to it, and what a lake holds, row by row.

Nothing here opens a thread at import, so that a driver may fork after importing it.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

from stedi_assets.contracts import TABLES
from stedi_assets.engines.duckdb import DuckDBEngine
from stedi_assets.engines.sql import named
from stedi_assets.lakehouse import Lakehouse
from stedi_assets.reference import COLUMNS, Tables, compute
from stedi_assets.sample import write_sample
from stedi_assets_tests.kit.landing_zone import landed_files

KEY = "a key for these tests"
"""``STEDI_PSEUDONYM_KEY`` of every lake here."""

LAST_DAY = date(2023, 8, 6)

Partition = tuple[str, ...]
Rows = Counter[tuple[Any, ...]]
State = dict[str, dict[Partition, Rows]]
"""Of each table, of each partition that has rows, these."""


def sample(root: Path, customers: int, days: int) -> Path:
    """A landing zone of invented people."""
    write_sample(str(root), customers=customers, days=days, seed=7, last_day=LAST_DAY)
    for told in root.glob("expected_counts*"):
        told.unlink()
    return root


def copied(source: Path, target: Path) -> Path:
    """A copy with the same modification times, so that it counts as the same landing zone or lake."""
    return Path(shutil.copytree(source, target))


def again(source: Path, target: Path) -> None:
    """Make ``target`` the same as ``source``, whatever was there."""
    shutil.rmtree(target, ignore_errors=True)
    copied(source, target)


def more_readings(landing: Path, days: set[date] | None = None) -> None:
    """Rewrite the files of readings of some days (default: all) under their names, with more rows than before.

    Nothing that was there goes, and nobody's consent changes: so whoever computes a partition at any
    moment finds the rows of before, and perhaps some of those that come.
    """
    for path in files(landing, "accelerometer_landing", days):
        lines = path.read_text().splitlines()
        moved = [json.loads(line) for line in lines[::7]]
        again = [json.dumps({**reading, "x": 3.5, "y": 0.25}) for reading in moved]
        path.write_text("\n".join([*lines, *again, "{not json"]) + "\n")
    for path in files(landing, "step_trainer_landing", days):
        lines = path.read_text().splitlines()
        measured = [json.loads(line) for line in lines[::5]]
        again = [json.dumps({**reading, "distanceFromObject": 999}) for reading in measured]
        path.write_text("\n".join([*lines, *again, "[1, 2]"]) + "\n")


def other_consents(landing: Path, days: set[date] | None = None) -> None:
    """Every third customer of some days changes their mind, and a line of each day's file is broken."""
    for path in files(landing, "customer_landing", days):
        lines = path.read_text().splitlines()
        for number in range(0, len(lines), 3):
            record = json.loads(lines[number])
            if record.pop("shareWithResearchAsOfDate", None) is None:
                record["shareWithResearchAsOfDate"] = record["registrationDate"]
            lines[number] = json.dumps(record)
        path.write_text("\n".join([*lines, '{"email": "nobody@example.com"}']) + "\n")


def files(landing: Path, table: str, days: set[date] | None = None) -> list[Path]:
    """The raw files of a table."""
    return [path for path in sorted((landing / table).rglob("*.json")) if days is None or day_of(path) in days]


def day_of(path: Path) -> date:
    """The landing day of a raw file."""
    found = re.search(r"landing_date=(\d{4}-\d{2}-\d{2})", str(path))
    assert found, path
    return date.fromisoformat(found[1])


def landed_days(landing: Path) -> list[date]:
    """The landing days, in order."""
    return sorted({day_of(path) for path in files(landing, "customer_landing")})


def state(lake: Path) -> State:
    """What a lake holds. Every table is read whole, so an unreadable one raises."""
    lakehouse = Lakehouse(str(lake))
    held: State = {}
    with DuckDBEngine(threads=1) as engine:
        for name, table in TABLES.items():
            found = lakehouse.snapshot(table).files
            rows = engine.rows(
                f"SELECT {', '.join(named(c) for c in (*table.partition_by, *table.column_names))} FROM stored",
                stored=engine.relation(table, found),
            )
            held[name] = {}
            width = len(table.partition_by)
            for row in rows:
                partition = tuple(str(value) for value in row[:width])
                held[name].setdefault(partition, Counter())[row[width:]] += 1
            # What the log says must be what the files hold.
            assert sum(file.rows for file in found) == len(rows), name
    return held


def total(held: State, name: str) -> Rows:
    """All rows of a table."""
    return sum(held[name].values(), Counter())


def oracle(landing: Path) -> Tables:
    """The tables' rows by the reference computation."""
    return compute(landed_files(landing), KEY.encode())


def wrong(held: State, expected: Tables) -> list[str]:
    """In which tables a lake differs from what the oracle expects; empty if it is right."""
    found = []
    for name, rows in expected.items():
        if name == "skipped_files":
            continue
        stored = Counter()
        order = list(TABLES[name].column_names)
        cells = [order.index(column) for column in COLUMNS[name]]
        for row, count in total(held, name).items():
            stored[tuple(row[cell] for cell in cells)] += count
        if stored != rows:
            found.append(f"{name}: {(rows - stored).total()} rows are missing, {(stored - rows).total()} are too much")
    return found
