"""The parts of the benchmark: what each of them measures, on which data.

How a command is measured belongs to `tasks.py`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from figures import COMMANDS, Command, DayRerun, Generator, Reconcile, Size, Tick
from tasks import ZONES, Tables, Task, lake_rows, measure_in_turns, measure_once, parquet_rows, run_script, say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


HERE = Path(__file__).resolve().parent
SIZES = {"reference": 956, "1m": 11_800, "10m": 118_000, "50m": 590_000}
"""Customers by the name of a size; each has about 85 accelerometer rows."""
CUSTOMERS_A_DAY = 50
TICK_FILES = 100_000
TICK_DAYS = 365


@dataclass(frozen=True)
class Sample:
    """A sample landing zone, and what the generator says of it."""

    landing: Path
    expected: Tables
    rows: int
    bytes: int
    last_day: date


def sample(cache: Path, customers: int, days: int) -> Sample:
    """Return the sample landing zone of this size; it is made where it is not there yet."""
    # Here, so that the rest works while the generator does not.
    from stedi_assets.sample import write_sample

    landing = cache / f"sample-{customers}-{days}"
    say(f"sample of {customers:,} customers over {days} days")
    made = write_sample(landing.as_posix(), customers=customers, days=days)
    return Sample(
        landing=landing,
        expected={table: made.expected[table] for table in ZONES},
        rows=made.rows_written,
        bytes=made.bytes_written,
        last_day=date.fromisoformat(made.last_day),
    )


def stedi() -> str:
    """The `stedi` command that belongs to this Python, else the one on the path."""
    beside = Path(sys.executable).with_name("stedi")
    return str(beside) if beside.exists() else "stedi"


def stedi_env(landing: Path, lake: Path, home: Path) -> dict[str, str]:
    """The environment in which `stedi` works on these folders."""
    return {
        "STEDI_LANDING_URI": str(landing),
        "STEDI_LAKE_URI": str(lake),
        "DAGSTER_HOME": str(home),
    }


def tasks_for(made: Sample, work: Path, commands: Sequence[str]) -> dict[str, Task]:
    """The commands over a sample, each with a folder of its own."""
    lake, home, out = work / "lake", work / "dagster", work / "out"

    def script(name: str) -> Task:
        return Task(
            command=[sys.executable, str(HERE / name), str(made.landing), str(out)],
            env={},
            fresh=[out],
            count=lambda: parquet_rows(out),
            expected=made.expected,
        )

    tasks = {
        "stedi": Task(
            command=[stedi(), "materialize"],
            env=stedi_env(made.landing, lake, home),
            fresh=[lake, home],
            count=lambda: lake_rows(lake),
            expected=made.expected,
        ),
        "duckdb": script("duckdb_script.py"),
        "pyspark": script("pyspark_job.py"),
    }
    return {name: tasks[name] for name in commands}


def measure_size(name: str, options: argparse.Namespace, work: Path) -> Size:
    """Measure the commands over one size."""
    customers = SIZES[name]
    made = sample(options.cache, customers, options.days)
    commands = [key for key in COMMANDS if key != "pyspark" or name in options.spark_sizes]
    say(f"{name}: {', '.join(COMMANDS[key] for key in commands)}")
    read_all(made.landing)
    tasks = tasks_for(made, work, commands)
    return Size(
        measured=today(),
        customers=customers,
        days=options.days,
        rows=made.expected,
        landing_bytes=made.bytes,
        commands=measure_in_turns(tasks, runs=options.runs, timeout=options.timeout),
    )


def measure_day(options: argparse.Namespace, work: Path) -> DayRerun:
    """Measure the rerun of a day in the middle of lakes that differ in their number of days."""
    tasks: dict[str, Task] = {}
    broken: dict[str, Command] = {}
    for days in options.day_lakes:
        made = sample(options.cache, CUSTOMERS_A_DAY * days, days)
        lake, home = work / f"lake-{days}", work / f"dagster-{days}"
        env = stedi_env(made.landing, lake, home)
        whole = Task([stedi(), "materialize"], env, [lake, home], _counter(lake), made.expected)
        say(f"a lake of {days} days")
        run, problem = measure_once(whole, options.timeout)
        if run is None:
            broken[str(days)] = Command(runs=[], problem=f"the lake was not made: {problem}")
            say(f"  no figure: {broken[str(days)]['problem']}")
            continue
        day = made.last_day - timedelta(days=days // 2)
        again = [stedi(), "materialize", "--day", day.isoformat(), "--force"]
        tasks[str(days)] = Task(again, env, [], _counter(lake), made.expected)
    say("rerunning one day")
    lakes = measure_in_turns(tasks, runs=options.runs, timeout=options.timeout) if tasks else {}
    return DayRerun(measured=today(), customers_a_day=CUSTOMERS_A_DAY, lakes={**lakes, **broken})


def _counter(lake: Path) -> Callable[[], Tables]:
    return lambda: lake_rows(lake)


def measure_generator(options: argparse.Namespace, work: Path) -> Generator:
    """Measure how fast a sample is made, by what the cached one of the same size holds."""
    made = sample(options.cache, options.generator_customers, options.days)
    target = work / "sample"
    numbers = ["--customers", str(options.generator_customers), "--days", str(options.days)]
    numbers += ["--last-day", made.last_day.isoformat()]

    def landed() -> Tables:
        counted: Tables = json.loads((target / "expected_counts.json").read_text())
        size = sum(path.stat().st_size for path in target.rglob("*_landing/**/*.json"))
        return counted if size == made.bytes else {}

    say(f"stedi sample, {made.rows:,} rows")
    task = Task(
        command=[stedi(), "sample", *numbers],
        env=stedi_env(target, work / "lake", work / "dagster"),
        fresh=[target, work / "lake", work / "dagster"],
        count=landed,
        expected=made.expected,
    )
    found = measure_in_turns({"sample": task}, runs=options.runs, timeout=options.timeout)
    return Generator(measured=today(), rows=made.rows, command=found["sample"])


def measure_tick(options: argparse.Namespace, work: Path) -> Tick:
    """Measure a tick of the landing sensor over many files.

    The tick itself is a Python program, `--tick-script`, because what a tick is belongs to the
    product. It gets a landing folder and an empty folder as arguments, may prepare what it
    likes, and ends with a line `{"seconds": …}`: how long the tick alone took.
    """
    tick = Tick(measured=today(), files=TICK_FILES, seconds=[], problem=None)
    script: Path = options.tick_script
    if not script.is_file():
        tick["problem"] = f"there is no bench/{script.name}"
        return tick
    landing = many_files(options.cache)
    say(f"a tick over {TICK_FILES:,} files")
    for _ in range(options.runs):
        printed, problem = run_script(script, [str(landing)], work, options.timeout)
        if printed is None or not isinstance(printed.get("seconds"), float):
            tick["seconds"] = []
            tick["problem"] = problem or "the script printed no seconds"
            break
        say(f"  {printed['seconds']:.2f} s")
        tick["seconds"].append(printed["seconds"])
    return tick


def measure_reconcile(options: argparse.Namespace, work: Path) -> Reconcile:
    """Measure ticks of reconciliation over a year of landing days, around a withdrawal (see `reconcile.py`)."""
    found = Reconcile(measured=today(), rows=0, customers=0, days=0, runs=[], problem=None)
    say("ticks of reconciliation; the lake is made first where it is not there yet")
    for _ in range(options.runs):
        printed, problem = run_script(HERE / "reconcile.py", [str(options.cache)], work, options.timeout)
        if printed is None:
            found["runs"], found["problem"] = [], problem
            break
        found["rows"], found["customers"], found["days"] = printed["rows"], printed["customers"], printed["days"]
        found["runs"].append(printed["figures"])
        say(", ".join(f"{name} {figure:,.3f}" for name, figure in printed["figures"].items()))
    return found


def many_files(cache: Path) -> Path:
    """Return a landing zone of many files of one reading each, over a year of landing days."""
    landing = cache / f"files-{TICK_FILES}"
    if landing.is_dir():
        return landing
    say(f"making {TICK_FILES:,} files")
    unfinished = landing.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    first = date(2022, 8, 7)
    for number in range(TICK_FILES):
        day = first + timedelta(days=number % TICK_DAYS)
        folder = unfinished / f"accelerometer_landing/landing_date={day.isoformat()}"
        if number < TICK_DAYS:
            folder.mkdir(parents=True)
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=timezone.utc)
        time = int(noon.timestamp() * 1000) + number
        line = f'{{"user":"nobody@example.com","timestamp":{time},"x":0.0,"y":0.0,"z":0.0}}\n'
        (folder / f"accelerometer-{time}.json").write_text(line)
    unfinished.rename(landing)
    return landing


def today() -> str:
    """The day on which a part was measured."""
    return datetime.now(tz=timezone.utc).date().isoformat()


def read_all(landing: Path) -> None:
    """Read every file once, so that the first command does not wait for the disk alone."""
    for path in landing.rglob("*.json"):
        with path.open("rb") as file:
            while file.read(1 << 24):
                pass
