"""A lake of one landing table, ingested without Dagster: its raw files, what differs, what became of every line."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow as pa

from stedi_assets.contracts import table as contract
from stedi_assets.engines.duckdb import DuckDBEngine
from stedi_assets.lakehouse import Lakehouse, Snapshot
from stedi_assets.landing.day_plan import MissingFiles
from stedi_assets.landing.differences import day_differences
from stedi_assets.landing.files import LandingZone
from stedi_assets.landing.ingest import DayReport, Ingestion
from stedi_assets.landing.manifest import ManifestEntry, manifest_entries, recorded_fingerprints
from stedi_assets_tests.kit.records import DAY, NOON, step_record

STEPS, CUSTOMERS, MOVES = "step_trainer_landing", "customer_landing", "accelerometer_landing"
D1, D2, D3 = DAY, date(2023, 8, 7), date(2023, 8, 8)
NOT_JSON = "not one JSON object"


def step(number: int, time: int = NOON) -> bytes:
    return json.dumps(step_record("s", time, number), separators=(",", ":")).encode() + b"\n"


def steps(*numbers: int) -> bytes:
    return b"".join(step(number) for number in numbers)


class TableLake:
    """A landing zone and a lake, with the landing table that a test is about."""

    def __init__(self, engine: DuckDBEngine, root: Path, table: str = STEPS) -> None:
        self.engine = engine
        self.root = root
        self.table = contract(table)
        self.lakehouse = Lakehouse(str(root / "lake"))
        self.zone = LandingZone(str(root / "raw"))

    def put(self, name: str, content: bytes, day: date | None = DAY) -> Path:
        folder = self.root / "raw" / self.table.name
        path = folder / (name if day is None else f"landing_date={day}/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def path(self, name: str, day: date | None = DAY) -> str:
        return f"{self.table.name}/{name}" if day is None else f"{self.table.name}/landing_date={day}/{name}"

    def run(
        self, *days: date, missing: MissingFiles = MissingFiles.FAIL, rows_to_drop: int | None = None
    ) -> dict[date, DayReport]:
        listing = self.zone.list(date(2022, 1, 1), date(2099, 1, 1))
        ingestion = Ingestion(
            self.engine, self.lakehouse, self.zone, self.table, missing=missing, rows_to_drop=rows_to_drop
        )
        return ingestion.run(days or [DAY], listing.by_day(self.table.name))

    def snapshot(self, name: str) -> Snapshot:
        return self.lakehouse.snapshot(contract(name))

    def plan(self) -> dict[date, str]:
        found = day_differences(
            self.table.name,
            self.zone.list(date(2022, 1, 1), date(2099, 1, 1)),
            self.record(),
            self.snapshot(self.table.name).fingerprints(),
            recorded_fingerprints(self.snapshot("landing_files"), self.table),
            recorded_fingerprints(self.snapshot("landing_quarantine"), self.table),
            limits=self.zone.limits,
        )
        return {day: str(difference) for day, difference in found.items()}

    def settle(self, order: Callable[[list[date]], list[date]] = sorted) -> int:
        """Run what differs, a day at a time, until nothing does."""
        for ran in range(30):
            days = order(list(self.plan()))
            if not days:
                return ran
            self.run(days[0])
        msg = f"it never settles: {self.plan()}"
        raise AssertionError(msg)

    def record(self) -> list[ManifestEntry]:
        return manifest_entries(self.engine, self.lakehouse, self.table)

    def rows(self, name: str | None = None) -> list[dict[str, object]]:
        table = contract(name or self.table.name)
        rows: pa.Table = self.engine.relation(table, self.snapshot(table.name).files).to_arrow_table()
        return rows.to_pylist()

    def numbers(self) -> list[int]:
        return sorted(int(str(row["distanceFromObject"])) for row in self.rows())

    def quarantine(self) -> list[tuple[str, int, str, str]]:
        return sorted(
            (str(r["source_file"]).rpartition("/")[2], int(str(r["source_line"])), str(r["reason"]), str(r["line"]))
            for r in self.rows("landing_quarantine")
        )

    def state(self) -> dict[str, list[str]]:
        """All rows of all three tables."""
        return {
            name: sorted(json.dumps(row, default=str) for row in self.rows(name))
            for name in (self.table.name, "landing_quarantine", "landing_files")
        }

    def versions(self) -> list[int]:
        return [self.snapshot(name).version for name in (self.table.name, "landing_quarantine", "landing_files")]
