"""The benchmark behind `make bench`: `stedi materialize` beside what one would write by hand.

    python bench/run.py --sizes reference,10m,50m --runs 3 --out docs/benchmarks.json

Each command is a whole process on an empty folder, the commands of a size take turns within one
run of this program, and a command whose tables have the wrong number of rows gets no figure.
Prints the tables; saves every run as JSON, a picture, and the tables in the Markdown page of the
same name. A part that is not asked for keeps its earlier figures, if they are of this machine.

What a figure is belongs to `measure.py`, how it is shown to `report.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pyarrow.parquet as pq
from deltalake import DeltaTable
from measure import Measurement, measure
from report import (
    COMMANDS,
    Command,
    DayRerun,
    Generator,
    Reconcile,
    Report,
    Run,
    Size,
    Tick,
    as_markdown,
    as_svg,
    as_text,
    between_markers,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent

ZONES = {
    "customer_landing": "landing",
    "accelerometer_landing": "landing",
    "step_trainer_landing": "landing",
    "customer_trusted": "trusted",
    "accelerometer_trusted": "trusted",
    "customers_curated": "curated",
    "step_trainer_trusted": "trusted",
    "machine_learning_curated": "curated",
}
SIZES = {"reference": 956, "1m": 11_800, "10m": 118_000, "50m": 590_000}
"""Customers by the name of a size; each has about 85 accelerometer rows."""

PACKAGES = ("dagster", "duckdb", "deltalake", "pyarrow", "narwhals", "pyspark")
CUSTOMERS_A_DAY = 50
TICK_FILES = 100_000
TICK_DAYS = 365
KEY = "benchmark"

Tables = dict[str, int]


@dataclass(frozen=True)
class Task:
    """A command to measure, and how to tell that it did its work.

    Args:
        command: the program and its arguments.
        env: what it needs in the environment beyond this process's own.
        fresh: folders that are emptied before each run.
        count: the rows of each table afterwards.
        expected: what they must be.
    """

    command: Sequence[str]
    env: Mapping[str, str]
    fresh: Sequence[Path]
    count: Callable[[], Tables]
    expected: Tables


@dataclass(frozen=True)
class Sample:
    """A sample landing zone, and what the generator says of it."""

    landing: Path
    expected: Tables
    rows: int
    bytes: int
    last_day: date


def say(text: str) -> None:
    """Tell the one who waits; the tables alone go to standard output."""
    print(text, file=sys.stderr, flush=True)


# --- measuring -------------------------------------------------------------------------------


def measure_in_turns(tasks: Mapping[str, Task], *, runs: int, timeout: float) -> dict[str, Command]:
    """Run every task `runs` times, in turns, another one first in each round.

    A task that fails or makes a wrong table gets no figures, and no further runs.
    """
    found = {name: Command(runs=[], problem=None) for name in tasks}
    names = list(tasks)
    for round_number in range(runs):
        start = round_number % len(names)
        for name in names[start:] + names[:start]:
            command = found[name]
            if command["problem"] is not None:
                continue
            run, command["problem"] = measure_once(tasks[name], timeout)
            if run is None:
                command["runs"] = []  # the others are not to be trusted either
                say(f"  {name}: no figure: {command['problem']}")
            else:
                command["runs"].append(run)
                say(f"  {name}: {run['seconds']:.2f} s, {run['peak_bytes'] / 1e6:,.0f} MB")
    return found


def measure_once(task: Task, timeout: float) -> tuple[Run | None, str | None]:
    """Run a task once: its figures, or why there are none (without names of this machine)."""
    for folder in task.fresh:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as cwd:  # so that no file of the current folder is found
        try:
            found = measure(task.command, env=_env(task.env), cwd=Path(cwd), timeout=timeout)
        except FileNotFoundError:
            return None, f"there is no command {Path(task.command[0]).name!r} here"
    if found.exit_code != 0:
        say(_indented(found.tail))
        if found.exit_code == -signal.SIGKILL and found.seconds >= timeout:
            return None, f"not done after {timeout:g} s"
        return None, f"it ended with exit code {found.exit_code}"
    try:
        counted = task.count()
    except Exception as error:
        say(_indented(str(error)))
        return None, f"its tables cannot be read ({type(error).__name__})"
    if wrong := differences(counted, task.expected):
        return None, f"wrong row counts: {wrong}"
    return _as_run(found), None


def differences(counted: Tables, expected: Tables) -> str:
    """Say which tables do not have the rows that they should; empty where all do."""
    return ", ".join(
        f"{table} {counted.get(table, 0):,} instead of {rows:,}"
        for table, rows in expected.items()
        if counted.get(table) != rows
    )


def _as_run(found: Measurement) -> Run:
    return Run(
        seconds=round(found.seconds, 4),
        cpu_seconds=round(found.cpu_seconds, 2),
        peak_bytes=found.peak_bytes,
    )


def _env(extra: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment without what would configure the product, and with `extra`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("STEDI_", "DAGSTER_"))}
    return {**kept, "STEDI_PSEUDONYM_KEY": KEY, **extra}


def _indented(text: str) -> str:
    return "\n".join(f"    | {line}" for line in text.strip().splitlines()[-15:])


# --- counting --------------------------------------------------------------------------------


def parquet_rows(out: Path) -> Tables:
    """Count the rows of `OUT/<table>.parquet` or of the files in `OUT/<table>/`."""
    return {
        table: sum(
            pq.read_metadata(path).num_rows
            for path in (*out.glob(f"{table}.parquet"), *out.glob(f"{table}/**/*.parquet"))
        )
        for table in ZONES
    }


def lake_rows(lake: Path) -> Tables:
    """Count the rows of a lake's tables from their Parquet files, not from what anyone says."""
    return {
        table: sum(
            pq.read_metadata(uri.removeprefix("file://")).num_rows
            for uri in DeltaTable((lake / zone / table).as_posix()).file_uris()
        )
        for table, zone in ZONES.items()
    }


# --- the parts -------------------------------------------------------------------------------


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


def run_script(
    script: Path, arguments: Sequence[str], work: Path, timeout: float
) -> tuple[dict[str, Any] | None, str | None]:
    """Run a program of the product with an empty folder as its last argument.

    Returns the JSON of its last line, or why there is none.
    """
    empty = work / script.stem
    shutil.rmtree(empty, ignore_errors=True)
    empty.mkdir(parents=True)
    output = work / f"{script.stem}.json"
    # The harness reads no output of what it measures, so a shell puts it into a file.
    command = ["sh", "-c", 'exec "$0" "$@" > "$SCRIPT_OUTPUT"', sys.executable]
    command += [str(script), *arguments, str(empty)]
    found = measure(command, env=_env({"SCRIPT_OUTPUT": str(output)}), cwd=empty, timeout=timeout)
    try:
        printed = json.loads(output.read_text().splitlines()[-1])
    except (IndexError, ValueError):
        printed = None
    if found.exit_code != 0 or not isinstance(printed, dict):
        say(_indented(found.tail))
        return None, f"the script ended with exit code {found.exit_code} and no figures"
    return printed, None


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


# --- saving ----------------------------------------------------------------------------------


def machine() -> dict[str, str | int]:
    """What the figures depend on; nothing that names this machine."""
    found: dict[str, str | int] = {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else _cores(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def _cores() -> int:
    return os.cpu_count() or 1


def today() -> str:
    """The day on which a part was measured."""
    return datetime.now(tz=timezone.utc).date().isoformat()


def read_all(landing: Path) -> None:
    """Read every file once, so that the first command does not wait for the disk alone."""
    for path in landing.rglob("*.json"):
        with path.open("rb") as file:
            while file.read(1 << 24):
                pass


def earlier(out: Path) -> Report:
    """Return the saved report that this run renews a part of; an empty one of this machine."""
    fresh = Report(machine=machine(), sizes={})
    if not out.exists():
        return fresh
    saved = cast("Report", json.loads(out.read_text()))
    if saved.get("machine") != fresh["machine"]:
        say("the saved figures are of another machine or other versions: they are dropped")
        return fresh
    return saved


def save(report: Report, out: Path) -> None:
    """Write the raw figures, the picture, and the tables into the page of the same name."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    picture, page = out.with_suffix(".svg"), out.with_suffix(".md")
    picture.write_text(as_svg(report))
    if page.exists():
        block = as_markdown(report, picture.name, out.name)
        page.write_text(between_markers(page.read_text(), block))


# --- the command line ------------------------------------------------------------------------


def _names(allowed: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = [name for name in text.split(",") if name]
        if unknown := [name for name in names if name not in allowed]:
            msg = f"{', '.join(unknown)}: there are {', '.join(allowed)}"
            raise argparse.ArgumentTypeError(msg)
        return names

    return parse


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",") if number]


PARTS = ("tables", "day", "generator", "tick", "reconcile")


def parser() -> argparse.ArgumentParser:
    """The options."""
    cache = Path(tempfile.gettempdir()) / "stedi-bench"
    options = argparse.ArgumentParser(
        description="Measure `stedi materialize` beside a DuckDB script and a PySpark job."
    )
    add = options.add_argument
    add("--parts", type=_names(PARTS), default=list(PARTS), help="default: %(default)s")
    add("--sizes", type=_names(list(SIZES)), default=["reference", "10m", "50m"],
        help=f"of {', '.join(SIZES)}; default: %(default)s")  # fmt: skip
    add("--spark-sizes", type=_names(list(SIZES)), default=["reference"],
        help="sizes that the PySpark job runs on; default: %(default)s")  # fmt: skip
    add("--runs", type=int, default=3, help="of each command; default: %(default)s")
    add("--days", type=int, default=4, help="landing days of each size; default: %(default)s")
    add("--day-lakes", type=_numbers, default=[5, 365],
        help="days of the lakes in which one day is rerun; default: %(default)s")  # fmt: skip
    add("--generator-customers", type=int, default=SIZES["10m"],
        help="customers of the sample whose making is measured; default: %(default)s")  # fmt: skip
    add("--tick-script", type=Path, default=HERE / "landing_tick.py",
        help="the program that makes a tick; see measure_tick")  # fmt: skip
    add("--timeout", type=float, default=3600, help="seconds for a run; default: %(default)s")
    add("--cache", type=Path, default=cache, help="where samples are kept; default: %(default)s")
    add("--out", type=Path, default=ROOT / "docs" / "benchmarks.json",
        help="the raw figures; the picture and the page lie beside it")  # fmt: skip
    return options


@contextlib.contextmanager
def work_folder(cache: Path) -> Iterator[Path]:
    """A folder on the samples' disk for what the commands make."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="work-", dir=cache) as folder:
        yield Path(folder)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what was asked for, save it after each part, print it all."""
    options = parser().parse_args(arguments)
    options.cache = options.cache.resolve()
    report = earlier(options.out)
    if "tables" in options.parts:
        for name in options.sizes:
            with work_folder(options.cache) as work:
                report["sizes"][name] = measure_size(name, options, work)
            report["sizes"] = {key: report["sizes"][key] for key in SIZES if key in report["sizes"]}
            save(report, options.out)
    if "day" in options.parts:
        with work_folder(options.cache) as work:
            report["day"] = measure_day(options, work)
        save(report, options.out)
    if "generator" in options.parts:
        with work_folder(options.cache) as work:
            report["generator"] = measure_generator(options, work)
        save(report, options.out)
    if "tick" in options.parts:
        with work_folder(options.cache) as work:
            report["tick"] = measure_tick(options, work)
        save(report, options.out)
    if "reconcile" in options.parts:
        with work_folder(options.cache) as work:
            report["reconcile"] = measure_reconcile(options, work)
        save(report, options.out)
    print(as_text(report))


if __name__ == "__main__":
    main()
