"""The targets of the project, and whether the figures of a report meet them."""

from __future__ import annotations

from typing import NamedTuple

from figures import COMMANDS, GB, MB, RECONCILE_TICKS, Report, Spread, command_over, peak_of, ratio_of, seconds_of


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


def targets(report: Report) -> list[Target]:
    """Compare the figures of a report with the targets of the project."""
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


def _ratio_target(report: Report, size: str, other: str, limit: float) -> Target:
    what = f"{size}: time of `stedi materialize`, times the {COMMANDS[other]}"
    ours, theirs = command_over(report, size, "stedi"), command_over(report, size, other)
    if not ours or not theirs:
        return Target(what, f"≤ {limit}", "-", None)
    ratio = ratio_of(ours, theirs)
    return Target(what, f"≤ {limit}", ratio.text(2), ratio.median <= limit)


def _memory_target(report: Report, size: str, limit: float) -> Target:
    what = f"{size}: peak memory of `stedi materialize`, GB"
    ours = command_over(report, size, "stedi")
    if not ours:
        return Target(what, f"< {limit}", "-", None)
    # A limit on memory holds for every run, not for the one in the middle.
    peak = Spread(*(value / GB for value in peak_of(ours)))
    return Target(what, f"< {limit}", peak.text(2), peak.high < limit)


def _growth_target(report: Report) -> Target:
    what = "50m against 10m: growth of time, divided by growth of rows"
    small, large = command_over(report, "10m", "stedi"), command_over(report, "50m", "stedi")
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
    grown = Spread.of([run["remembered_bytes"] / MB for run in runs]) if runs else None
    reached = grown.text(0) if grown else "-"
    targets.append(Target(what, f"≤ {limit}", reached, grown.median <= limit if grown else None))
    return targets
