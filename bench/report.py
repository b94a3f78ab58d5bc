"""What the benchmark found, as data, plain text, Markdown and a picture.

Measuring belongs to `measure.py`, what is measured to `run.py`. The figures are kept as the
JSON that is saved, so that a later run can renew a part of them.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, NamedTuple, TypedDict
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BEGIN = "<!-- bench:start -->"
END = "<!-- bench:end -->"

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
_COLOURS = {"stedi": "#2563eb", "duckdb": "#d97706", "pyspark": "#9ca3af"}
_MB = 1_000_000
_GB = 1_000_000_000


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
    """All of it; a part that was not measured is missing."""

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


class Target(NamedTuple):
    """A target of the project and what was reached."""

    what: str
    wanted: str
    reached: str
    met: bool | None

    @property
    def verdict(self) -> str:
        """Say whether it was met."""
        return {True: "met", False: "missed", None: "not measured"}[self.met]


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


# --- the targets -----------------------------------------------------------------------------


def targets(report: Report) -> list[Target]:
    """Cache the figures against what the project set out to reach."""
    return [
        _ratio_target(report, "reference", "pyspark", 0.2),
        _ratio_target(report, "10m", "duckdb", 1.5),
        _memory_target(report, "10m", 1.2),
        _growth_target(report),
        _memory_target(report, "50m", 2.0),
        _day_target(report),
        _generator_target(report),
        _tick_target(report),
        *_reconcile_targets(report),
    ]


def _command(report: Report, size: str, name: str) -> Command | None:
    """The command over a size, where there are figures of it."""
    measured = report.get("sizes", {}).get(size)
    command = measured["commands"].get(name) if measured else None
    return command if command and command["runs"] else None


def _ratio_target(report: Report, size: str, other: str, limit: float) -> Target:
    what = f"{size}: time of `stedi materialize`, times the {COMMANDS[other]}"
    ours, theirs = _command(report, size, "stedi"), _command(report, size, other)
    if not ours or not theirs:
        return Target(what, f"≤ {limit}", "-", None)
    ratio = ratio_of(ours, theirs)
    return Target(what, f"≤ {limit}", ratio.text(2), ratio.median <= limit)


def _memory_target(report: Report, size: str, limit: float) -> Target:
    what = f"{size}: peak memory of `stedi materialize`, GB"
    ours = _command(report, size, "stedi")
    if not ours:
        return Target(what, f"< {limit}", "-", None)
    # A limit on memory holds for every run, not for the one in the middle.
    peak = Spread(*(value / _GB for value in peak_of(ours)))
    return Target(what, f"< {limit}", peak.text(2), peak.high < limit)


def _growth_target(report: Report) -> Target:
    what = "50m against 10m: growth of time, divided by growth of rows"
    small, large = _command(report, "10m", "stedi"), _command(report, "50m", "stedi")
    if not small or not large:
        return Target(what, "≤ 1", "-", None)
    rows = [report["sizes"][size]["rows"]["accelerometer_landing"] for size in ("10m", "50m")]
    growth = seconds_of(large).median / seconds_of(small).median / (rows[1] / rows[0])
    return Target(what, "≤ 1", f"{growth:.2f}", growth <= 1)


def _day_target(report: Report) -> Target:
    what, limit = "rerunning one small day: lake of 365 days, times the lake of 5", 1.3
    lakes = report["day"]["lakes"] if "day" in report else {}
    small, large = lakes.get("5"), lakes.get("365")
    if not small or not large or not small["runs"] or not large["runs"]:
        return Target(what, f"≤ {limit}", "-", None)
    ratio = ratio_of(large, small)
    return Target(what, f"≤ {limit}", ratio.text(2), ratio.median <= limit)


def _generator_target(report: Report) -> Target:
    what, wanted = "`stedi sample`: million rows a second", "≥ 1"
    if "generator" not in report or not report["generator"]["command"]["runs"]:
        return Target(what, wanted, "-", None)
    rows = report["generator"]["rows"]
    runs = report["generator"]["command"]["runs"]
    speed = Spread.of([rows / 1e6 / run["seconds"] for run in runs])
    return Target(what, wanted, speed.text(2), speed.median >= 1)


def _tick_target(report: Report) -> Target:
    what, limit = "a tick of the landing sensor over 100,000 files, seconds", 10
    if "tick" not in report or not report["tick"]["seconds"]:
        return Target(what, f"< {limit}", "-", None)
    seconds = Spread.of(report["tick"]["seconds"])
    return Target(what, f"< {limit}", seconds.text(2), seconds.median < limit)


def _reconcile_targets(report: Report) -> list[Target]:
    runs = report["reconcile"]["runs"] if "reconcile" in report else []
    targets = []
    for figure, limit in (("first", 3.0), ("look", 1.0), ("withdrawal", 2.0)):
        what = f"365 days, 36 million rows: {RECONCILE_TICKS[figure]}, seconds"
        if not runs:
            targets.append(Target(what, f"< {limit}", "-", None))
            continue
        seconds = Spread.of([run[figure] for run in runs])
        targets.append(Target(what, f"< {limit}", seconds.text(3), seconds.median < limit))
    what, limit = "365 days, 36 million rows: more resident after the first tick, MB", 150
    grown = Spread.of([run["remembered_bytes"] / _MB for run in runs]) if runs else None
    reached = grown.text(0) if grown else "-"
    targets.append(Target(what, f"≤ {limit}", reached, grown.median <= limit if grown else None))
    return targets


# --- tables ----------------------------------------------------------------------------------

_SIZES_HEADER = ("size", "command", "seconds", "times DuckDB", "CPU s", "peak MB")
_TARGETS_HEADER = ("target", "wanted", "reached", "")


def _size_rows(report: Report) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, size in report.get("sizes", {}).items():
        yardstick = _command(report, name, "duckdb")
        for key, command in size["commands"].items():
            if command["problem"] is not None:
                rows.append((name, COMMANDS[key], f"no figure: {command['problem']}", "", "", ""))
                continue
            ratio = ratio_of(command, yardstick).text(2) if yardstick and key != "duckdb" else ""
            cpu = statistics.median(run["cpu_seconds"] for run in command["runs"])
            peak = Spread(*(value / _MB for value in peak_of(command)))
            seconds = seconds_of(command).text(2)
            rows.append((name, COMMANDS[key], seconds, ratio, f"{cpu:.1f}", peak.text(0)))
    return rows


def _other_rows(report: Report) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    if "day" in report:
        for days, command in report["day"]["lakes"].items():
            rows.append((f"one day rerun in a lake of {days} days", _seconds(command)))
    if "generator" in report:
        made = report["generator"]
        rows.append((f"stedi sample, {made['rows']:,} rows", _seconds(made["command"])))
    if "tick" in report:
        tick = report["tick"]
        text = f"no figure: {tick['problem']}"
        if tick["seconds"]:
            text = Spread.of(tick["seconds"]).text(2)
        rows.append((f"landing sensor tick, {tick['files']:,} files", text))
    if "reconcile" in report:
        rows += _reconcile_rows(report["reconcile"])
    return rows


def _reconcile_rows(reconcile: Reconcile) -> list[tuple[str, ...]]:
    lake = f"reconciliation, {reconcile['days']} days, {reconcile['rows']:,} accelerometer rows"
    runs = reconcile["runs"]
    if not runs:
        return [(lake, f"no figure: {reconcile['problem']}")]
    rows: list[tuple[str, ...]] = [
        (f"{lake}: {what}", Spread.of([run[figure] for run in runs]).text(3))
        for figure, what in RECONCILE_TICKS.items()
    ]
    for figure, what in (("remembered_bytes", "more resident after the first tick"), ("peak_bytes", "peak memory")):
        rows.append((f"{lake}: {what}, MB", Spread.of([run[figure] / _MB for run in runs]).text(0)))
    return rows


def _seconds(command: Command) -> str:
    if command["problem"] is not None:
        return f"no figure: {command['problem']}"
    return seconds_of(command).text(2)


def _sample_lines(report: Report) -> list[str]:
    return [
        f"{name}: {size['customers']:,} customers over {size['days']} landing days, "
        f"{size['rows']['accelerometer_landing']:,} accelerometer rows, "
        f"{size['landing_bytes'] / _MB:,.0f} MB of JSON, measured on {size['measured']}"
        for name, size in report.get("sizes", {}).items()
    ]


def _machine_line(report: Report) -> str:
    machine = dict(report["machine"])
    cores, memory = machine.pop("cores"), machine.pop("memory_gb")
    versions = ", ".join(f"{name} {version}" for name, version in machine.items())
    return f"{cores} cores, {memory} GB; {versions}"


def _aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    table = [list(header), *map(list, rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return [line.rstrip() for line in lines]


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    return [line(header), line(["---"] * len(header)), *map(line, rows)]


def _tables(report: Report, render: Callable[[Sequence[str], Sequence[Sequence[str]]], list[str]]) -> list[str]:
    """The tables of a report, each as a block of lines, in the way that `render` does it."""
    blocks = []
    if sizes := _size_rows(report):
        blocks.append("\n".join(render(_SIZES_HEADER, sizes)))
    if others := _other_rows(report):
        blocks.append("\n".join(render(("", "seconds"), others)))
    found = [(t.what, t.wanted, t.reached, t.verdict) for t in targets(report)]
    blocks.append("\n".join(render(_TARGETS_HEADER, found)))
    return blocks


def as_text(report: Report) -> str:
    """Return the report for a terminal."""
    blocks = [_machine_line(report), "\n".join(_sample_lines(report)), *_tables(report, _aligned)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def as_markdown(report: Report, picture: str, raw: str) -> str:
    """Return the report for `docs/benchmarks.md`, naming its picture and its raw figures."""
    blocks = [
        f"{_machine_line(report)}.",
        "\n".join(f"- {line}" for line in _sample_lines(report)),
        "Medians, with the least and the most in brackets.",
        f"![Time and memory by size]({picture})",
        *_tables(report, _markdown),
        f"Every run: [{raw}]({raw}).",
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def between_markers(page: str, block: str) -> str:
    """Return the page with the block in the place of what lies between its markers.

    Raises:
        ValueError: the page does not have the two markers, in this order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        msg = f"the page must hold the lines {BEGIN} and {END}, for the figures between them"
        raise ValueError(msg)
    return f"{before}{BEGIN}\n{block}{END}{after}"


# --- picture ---------------------------------------------------------------------------------

_WIDTH = 900
_LABEL = 150
_BAR = 250
_ROW = 26
_HEAD = 34
_TOP = 44


def as_svg(report: Report) -> str:
    """Return bars of time and of memory, a group for each size, each on a scale of its own."""
    shapes: list[str] = []
    y = _TOP
    left, right = _LABEL, _LABEL + (_WIDTH - _LABEL) // 2
    shapes.append(_text(left, 22, "time, seconds", bold=True))
    shapes.append(_text(right, 22, "peak memory, MB", bold=True))
    for name, size in report.get("sizes", {}).items():
        measured = {key: command for key, command in size["commands"].items() if command["runs"]}
        if not measured:
            continue
        rows = size["rows"]["accelerometer_landing"]
        shapes.append(_text(8, y + 18, f"{name}: {rows:,} accelerometer rows", bold=True))
        y += _HEAD
        times = {key: seconds_of(command) for key, command in measured.items()}
        peaks = {key: Spread(*(value / _MB for value in peak_of(command))) for key, command in measured.items()}
        for key in measured:
            shapes.append(_text(8, y + 14, COMMANDS[key]))
            for x, spreads in ((left, times), (right, peaks)):
                scale = _BAR / max(spread.high for spread in spreads.values())
                shapes += _bar(x, y, spreads[key], scale, _COLOURS[key])
            y += _ROW
        y += 12
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" width="{_WIDTH}" '
        f'height="{y}" font-family="system-ui, sans-serif" font-size="13" role="img">\n'
        "<title>Time and peak memory by size: medians, with lines from the least to the most"
        "</title>\n"
        f'<rect width="{_WIDTH}" height="{y}" fill="#ffffff"/>\n' + "\n".join(shapes) + "\n</svg>\n"
    )


def _text(x: float, y: float, text: str, *, bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x:.0f}" y="{y:.0f}" fill="#1f2937"{weight}>{escape(text)}</text>'


def _bar(x: float, y: float, spread: Spread, scale: float, colour: str) -> list[str]:
    """A bar up to the median, a line from the least to the most, and the median in figures."""
    median, low, high = (value * scale for value in spread)
    middle = y + 9
    line = f"M{x + low:.1f} {middle}H{x + high:.1f}"
    ends = "".join(f"M{x + end:.1f} {middle - 4}v8" for end in (low, high))
    size = f'width="{median:.1f}" height="18" rx="2"'
    return [
        f'<rect x="{x:.0f}" y="{y}" {size} fill="{colour}"/>',
        f'<path d="{line}{ends}" stroke="#1f2937" fill="none"/>',
        _text(x + high + 8, y + 14, f"{spread.median:,.{2 if spread.median < 100 else 0}f}"),
    ]
