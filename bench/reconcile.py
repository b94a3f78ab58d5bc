"""Ticks of reconciliation on a large lake: the first, those with nothing to do, and those around a withdrawal.

    python bench/reconcile.py CACHE EMPTY [CUSTOMERS DAYS]

Makes, where it is not there yet, a lake of a sample in the folder `CACHE`, with one customer whose
readings landed on three days; works on links to its files in the folder `EMPTY`. A tick is what a
sensor does: the state of the tables, and where that is another one than before, what differs. One
process ticks all the time, as the sensors' does. In between the customer withdraws: the record is
ingested, and later what differs is made by `stedi materialize`, a process of its own.

Prints a table for who waits, and what `run.py` reads, `{"figures": {…}}`. Fails where something
else is made anew than the partitions of that customer.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stedi_assets.contracts import DERIVED_TABLES
from stedi_assets.contracts import table as contract
from stedi_assets.landing.ingest import Ingestion
from stedi_assets.resources import Resources
from stedi_assets.sample import write_sample
from stedi_assets.settings import Settings
from stedi_assets.staleness.fingerprints import lake_state
from stedi_assets.staleness.stale import stale_partitions

if TYPE_CHECKING:
    from collections.abc import Callable

INPUTS = {table.name: table.inputs for table in DERIVED_TABLES}
CUSTOMERS, DAYS = 425_000, 365
KEY = "the key of the benchmark"
TOUCHED = 3
"""Days on which the readings of the customer who withdraws landed."""
_IDLE_TICKS = 5
_MILLISECONDS_A_DAY = 86_400_000


def say(text: str) -> None:
    """Tell the one who waits; the figures alone go to standard output."""
    print(text, file=sys.stderr, flush=True)


# --- the lake --------------------------------------------------------------------------------


def materialize(root: Path) -> None:
    """Bring the lake below a folder up to date, in a process of its own."""
    env = {**os.environ, "STEDI_PSEUDONYM_KEY": KEY}
    env |= {"STEDI_LANDING_URI": f"{root}/landing", "STEDI_LAKE_URI": f"{root}/lake"}
    command = "import sys; sys.argv = ['stedi', 'materialize']; from stedi_assets.cli.main import main; main()"
    with (root / "materialize.log").open("w") as log:
        done = subprocess.run(
            [sys.executable, "-c", command],
            env={**env, "DAGSTER_HOME": f"{root}/dagster"},
            check=False,
            cwd=root,
            stdout=log,
            stderr=log,
        )
    if done.returncode != 0:
        sys.exit(f"stedi materialize failed; see {log.name}.")


def prepare(cache: Path, customers: int, days: int) -> Path:
    """Return the folder of the lake and its landing zone; they are made where they are not there yet."""
    root = cache / f"reconcile-{customers}-{days}"
    if (root / "done").exists():
        # What the product makes may be another since.
        materialize(root)
        return root
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    started = time.perf_counter()
    say(f"sample of {customers:,} customers over {days} days")
    made = write_sample(f"{root}/landing", customers=customers, days=days)
    add_readings(root / "landing", date.fromisoformat(made.last_day), days)
    say(f"its lake, after {time.perf_counter() - started:.0f} s")
    materialize(root)
    say(f"made in {time.perf_counter() - started:.0f} s")
    (root / "done").touch()
    return root


def add_readings(landing: Path, last_day: date, days: int) -> None:
    """Land readings of one sharing customer on two more days; say who it is in a file beside the landing zone."""
    day = last_day - timedelta(days=days // 2)
    (file, *_) = sorted((landing / "customer_landing").rglob(f"*{day}*/*.json"))
    with file.open() as records:
        sharing = (record for record in map(json.loads, records) if record.get("shareWithResearchAsOfDate"))
        # Not one who measures around midnight.
        who = next(
            record
            for record in sharing
            if landed(landing / "accelerometer_landing", record["email"], day) == {day}
            and landed(landing / "step_trainer_landing", record["serialNumber"], day) == {day}
        )
    for more in range(1, TOUCHED):
        other = day + timedelta(days=more * max(days // (2 * TOUCHED), 2))
        at = (other - date(1970, 1, 1)).days * _MILLISECONDS_A_DAY
        moves = [{"user": who["email"], "timestamp": at + n, "x": 1.0, "y": 0.0, "z": -1.0} for n in range(3)]
        steps = [
            {"sensorReadingTime": at + n, "serialNumber": who["serialNumber"], "distanceFromObject": 200}
            for n in range(3)
        ]
        write_lines(landing / f"accelerometer_landing/landing_date={other}/more.json", moves)
        write_lines(landing / f"step_trainer_landing/landing_date={other}/more.json", steps)
    (landing.parent / "who.json").write_text(json.dumps(who))


def landed(table: Path, name: str, day: date) -> set[date]:
    """On which of the days around one the readings of a customer or a device landed."""
    return {
        near
        for near in (day + timedelta(days=n) for n in (-1, 0, 1))
        for file in table.rglob(f"*{near}*/*.json")
        if name.encode() in file.read_bytes()
    }


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write a landing file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def linked(root: Path, empty: Path) -> Path:
    """Return a folder with links to the same files: none of them is ever written again."""
    work = empty / "reconcile"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for part in ("landing", "lake"):
        shutil.copytree(root / part, work / part, copy_function=os.link)
    shutil.copytree(root / "dagster", work / "dagster")
    return work


# --- ticks -----------------------------------------------------------------------------------


def withdraw(root: Path, last_day: date) -> None:
    """Land a record of the customer that withdraws, and ingest that day of `customer_landing`, as a run does."""
    who = json.loads((root.parent / "who.json").read_text())
    who |= {"shareWithResearchAsOfDate": None, "lastUpdateDate": who["lastUpdateDate"] + 1000 * _MILLISECONDS_A_DAY}
    write_lines(root / f"landing/customer_landing/landing_date={last_day}/withdrawal.json", [who])
    resources = resources_of(root)
    table = contract("customer_landing")
    files = resources.listing(frozenset([last_day])).by_day(table.name)
    Ingestion(resources.session, resources.lakehouse, resources.landing, table).run([last_day], files)
    resources.close()


def resources_of(root: Path) -> Resources:
    """The lake below a folder, as a process has it that just began."""
    return Resources.of(Settings(landing_uri=f"{root}/landing", lake_uri=f"{root}/lake", pseudonym_key=KEY))


class Ticking:
    """A process that ticks.

    Args:
        root: the folder of the lake.
    """

    def __init__(self, root: Path) -> None:
        self.resources = resources_of(root)
        self._cursor = ""

    def tick(self) -> tuple[float, dict[str, set[date]]]:
        """Return how long a tick took, and what differs."""
        started = time.perf_counter()
        view = self.resources.view()
        found: dict[str, Any] = {}
        now = lake_state(view)
        if now != self._cursor:
            found = stale_partitions(view)
            self._cursor = "" if found else now
            del view
            self.resources.close()
        return time.perf_counter() - started, found

    def look(self) -> float:
        """Return how long it takes to look at everything, though nothing changed."""
        self._cursor = ""
        return self.tick()[0]

    def files(self) -> dict[tuple[str, date], tuple[str, ...]]:
        """The files of each partition."""
        return {
            (name, day): files
            for name in INPUTS
            for day, files in self.resources.lakehouse.snapshot(contract(name)).contents.items()
        }


def resident() -> int:
    """How many bytes this process has resident."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def counted(found: dict[str, set[date]]) -> dict[str, int]:
    """How many partitions of each table."""
    return {name: len(days) for name, days in found.items()}


def median(of: Callable[[], float]) -> float:
    """The median of some calls."""
    return statistics.median(of() for _ in range(_IDLE_TICKS))


def main(cache: str, empty: str, customers: int = CUSTOMERS, days: int = DAYS) -> None:
    """Prepare, tick, withdraw, tick, make, tick; print how long the ticks took."""
    root = linked(prepare(Path(cache), customers, days), Path(empty))
    shutil.copy(Path(cache) / f"reconcile-{customers}-{days}" / "who.json", root.parent / "who.json")
    ticking = Ticking(root)
    figures: dict[str, float] = {}
    before = resident()
    figures["first"], found = ticking.tick()
    if found:
        sys.exit(f"The lake is not up to date: {counted(found)}")
    figures["remembered_bytes"] = resident() - before
    figures["idle"] = median(lambda: ticking.tick()[0])
    figures["look"] = median(ticking.look)
    files = ticking.files()
    last_day = max(day for name, day in files if name == "accelerometer_trusted")
    withdraw(root, last_day)
    figures["withdrawal"], found = ticking.tick()
    touched = counted(found)
    started = time.perf_counter()
    materialize(root)
    figures["materialize"] = time.perf_counter() - started
    figures["afterwards"], found = ticking.tick()
    now = ticking.files()
    rewritten: dict[str, int] = {}
    for name, day in files.keys() | now.keys():
        rewritten[name] = rewritten.get(name, 0) + (files.get((name, day)) != now.get((name, day)))
    expected = {
        name: TOUCHED if name in {"accelerometer_trusted", "step_trainer_trusted", "machine_learning_curated"} else 1
        for name in INPUTS
    }
    if found or rewritten != expected or touched != expected:
        sys.exit(f"Found {touched}, rewritten {rewritten}, left {counted(found)}; expected {expected}.")
    figures["touched"] = TOUCHED
    figures["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    rows = ticking.resources.lakehouse.snapshot(contract("accelerometer_landing")).rows()
    say(f"{rows:,} accelerometer rows, {days} landing days, {customers:,} customers")
    for name, figure in figures.items():
        say(f"  {name:18} {f'{figure / 1e6:,.0f} MB' if name.endswith('bytes') else f'{figure:,.3f}'}")
    print(json.dumps({"rows": rows, "customers": customers, "days": days, "figures": figures}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
