"""Commands that are measured in turns, with proof that each did its work: a wrong table gets no figure.

What a figure is belongs to `measure.py`, which commands there are to `parts.py`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
from deltalake import DeltaTable
from figures import Command, Run
from measure import Measurement, measure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


Tables = dict[str, int]
KEY = "the key of the benchmark"
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


def say(text: str) -> None:
    """Tell the one who waits; the tables alone go to standard output."""
    print(text, file=sys.stderr, flush=True)


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
