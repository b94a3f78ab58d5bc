"""The tables of a report, as plain text and as the Markdown of `docs/benchmarks.md`."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from figures import (
    COMMANDS,
    MB,
    RECONCILE_TICKS,
    Command,
    Reconcile,
    Report,
    Spread,
    command_over,
    peak_of,
    ratio_of,
    seconds_of,
)
from targets import targets

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


BEGIN = "<!-- bench:start -->"
END = "<!-- bench:end -->"
_SIZES_HEADER = ("size", "command", "seconds", "times DuckDB", "CPU s", "peak MB")
_TARGETS_HEADER = ("target", "wanted", "reached", "")


def _size_rows(report: Report) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, size in report.get("sizes", {}).items():
        yardstick = command_over(report, name, "duckdb")
        for key, command in size["commands"].items():
            if command["problem"] is not None:
                rows.append((name, COMMANDS[key], f"no figure: {command['problem']}", "", "", ""))
                continue
            ratio = ratio_of(command, yardstick).text(2) if yardstick and key != "duckdb" else ""
            cpu = statistics.median(run["cpu_seconds"] for run in command["runs"])
            peak = Spread(*(value / MB for value in peak_of(command)))
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
        rows.append((f"{lake}: {what}, MB", Spread.of([run[figure] / MB for run in runs]).text(0)))
    return rows


def _seconds(command: Command) -> str:
    if command["problem"] is not None:
        return f"no figure: {command['problem']}"
    return seconds_of(command).text(2)


def _sample_lines(report: Report) -> list[str]:
    return [
        f"{name}: {size['customers']:,} customers over {size['days']} landing days, "
        f"{size['rows']['accelerometer_landing']:,} accelerometer rows, "
        f"{size['landing_bytes'] / MB:,.0f} MB of JSON, measured on {size['measured']}"
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
