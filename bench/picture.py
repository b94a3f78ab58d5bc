"""The picture of a report: bars of time and memory, as SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from figures import COMMANDS, MB, Spread, peak_of, seconds_of

if TYPE_CHECKING:
    from figures import Report


_COLOURS = {"stedi": "#2563eb", "duckdb": "#d97706", "pyspark": "#9ca3af"}
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
        peaks = {key: Spread(*(value / MB for value in peak_of(command))) for key, command in measured.items()}
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
