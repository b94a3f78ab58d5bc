"""The figures of a benchmark, as the JSON that is saved, and their medians and spreads.

Neither targets (`targets.py`) nor anything that is shown (`report.py`, `picture.py`) belongs here.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, NamedTuple, TypedDict

if TYPE_CHECKING:
    from collections.abc import Sequence


COMMANDS = {
    "stedi": "stedi materialize",
    "duckdb": "DuckDB script",
    "pyspark": "PySpark job",
}
RECONCILE_TICKS = {
    "first": "first tick of a process",
    "idle": "tick where no table has changed",
    "look": "tick that looks and finds nothing",
    "withdrawal": "tick that finds a withdrawal of 3 days",
    "afterwards": "tick after the 3 days were made anew",
}
"""The ticks of reconciliation by the names of their figures."""
MB = 1_000_000
GB = 1_000_000_000


class Run(TypedDict):
    """One run of a command."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


class Command(TypedDict):
    """The runs of a command, or why there are no figures."""

    runs: list[Run]
    problem: str | None


class Size(TypedDict):
    """The commands over one sample."""

    measured: str
    customers: int
    days: int
    rows: dict[str, int]
    landing_bytes: int
    commands: dict[str, Command]


class DayRerun(TypedDict):
    """Rerunning one day, by the number of days in the lake."""

    measured: str
    customers_a_day: int
    lakes: dict[str, Command]


class Generator(TypedDict):
    """Making a sample."""

    measured: str
    rows: int
    command: Command


class Tick(TypedDict):
    """One tick of the landing sensor."""

    measured: str
    files: int
    seconds: list[float]
    problem: str | None


class Reconcile(TypedDict):
    """Ticks of reconciliation around a withdrawal; each run has the figures that `reconcile.py` names."""

    measured: str
    rows: int
    customers: int
    days: int
    runs: list[dict[str, float]]
    problem: str | None


class Report(TypedDict, total=False):
    """All figures; a part that was not measured is missing."""

    machine: dict[str, str | int]
    sizes: dict[str, Size]
    day: DayRerun
    generator: Generator
    tick: Tick
    reconcile: Reconcile


class Spread(NamedTuple):
    """A median with the least and the most."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of some values, at least one."""
        return cls(statistics.median(values), min(values), max(values))

    def text(self, digits: int) -> str:
        """Return it as `median (low to high)`."""
        return f"{self.median:,.{digits}f} ({self.low:,.{digits}f} to {self.high:,.{digits}f})"


def seconds_of(command: Command) -> Spread:
    """Return the wall time of a command that has runs."""
    return Spread.of([run["seconds"] for run in command["runs"]])


def peak_of(command: Command) -> Spread:
    """Return the peak memory in bytes of a command that has runs."""
    return Spread.of([run["peak_bytes"] for run in command["runs"]])


def ratio_of(one: Command, other: Command) -> Spread:
    """Return how many times longer `one` takes: of the medians, and the range over the rounds."""
    rounds = [a["seconds"] / b["seconds"] for a, b in zip(one["runs"], other["runs"], strict=True)]
    return Spread(seconds_of(one).median / seconds_of(other).median, min(rounds), max(rounds))


def command_over(report: Report, size: str, name: str) -> Command | None:
    """The command over a size, where there are figures of it."""
    measured = report.get("sizes", {}).get(size)
    command = measured["commands"].get(name) if measured else None
    return command if command and command["runs"] else None
