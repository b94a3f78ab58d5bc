"""The harness gives no figure to a command that did not do its work, and shows what it has."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import pytest

# They prove no rule of the lake, and start processes whose memory and time they measure.
pytestmark = [pytest.mark.process, pytest.mark.slow]

BENCH = Path(__file__).resolve().parents[2] / "bench"
MODULES = ("figures", "measure", "parts", "picture", "report", "run", "targets", "tasks")
EXPECTED = {"customer_landing": 3}


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The modules of `bench/` by name: scripts beside each other, not a part of the package."""
    monkeypatch.syspath_prepend(str(BENCH))
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    return SimpleNamespace(**{name: importlib.import_module(name) for name in MODULES})


def once(harness: Any, code: str, counted: dict[str, int] = EXPECTED, timeout: float = 60) -> tuple[Any, str | None]:
    task = harness.tasks.Task([sys.executable, "-c", code], {}, [], lambda: counted, EXPECTED)
    found: tuple[Any, str | None] = harness.tasks.measure_once(task, timeout)
    return found


def test_a_command_that_did_its_work_gets_a_figure(harness: Any) -> None:
    run, problem = once(harness, "import time; time.sleep(0.2)")
    assert problem is None
    assert run["seconds"] >= 0.2


def test_a_command_with_wrong_row_counts_gets_none(harness: Any) -> None:
    assert once(harness, "", {"customer_landing": 2}) == (
        None,
        "wrong row counts: customer_landing 2 instead of 3",
    )


@pytest.mark.parametrize(
    ("code", "timeout", "problem"),
    [
        ("raise SystemExit(3)", 60, "it ended with exit code 3"),
        ("import time; time.sleep(60)", 0.5, "not done after 0.5 s"),
    ],
)
def test_a_command_that_failed_gets_none(harness: Any, code: str, timeout: float, problem: str) -> None:
    assert once(harness, code, timeout=timeout) == (None, problem)


def test_a_command_that_is_not_there_gets_none(harness: Any) -> None:
    task = harness.tasks.Task(["/nowhere/stedi", "materialize"], {}, [], lambda: EXPECTED, EXPECTED)
    assert harness.tasks.measure_once(task, 60) == (None, "there is no command 'stedi' here")


def test_tables_that_cannot_be_read_get_none(harness: Any, tmp_path: Path) -> None:
    task = harness.tasks.Task([sys.executable, "-c", ""], {}, [], lambda: harness.tasks.lake_rows(tmp_path), EXPECTED)
    run, problem = harness.tasks.measure_once(task, 60)
    assert run is None
    assert problem.startswith("its tables cannot be read")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="memory of several processes is read from /proc")
def test_memory_and_processor_time_are_those_of_the_whole_tree(harness: Any) -> None:
    hold = "import time; held = b'x' * 60_000_000; time.sleep(1)"
    start = f"subprocess.Popen([sys.executable, '-c', {hold!r}])"
    code = f"import subprocess, sys; [process.wait() for process in [{start}, {start}]]"
    run, _ = once(harness, code)
    assert run["peak_bytes"] > 120_000_000
    assert run["cpu_seconds"] > 0


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="the kernel's own figure counts the parent as well")
def test_memory_of_the_harness_is_not_counted(harness: Any) -> None:
    held = b"x" * 200_000_000
    run, _ = once(harness, "import time; time.sleep(0.2)")
    assert 1_000_000 < run["peak_bytes"] < len(held) / 2


def test_one_wrong_run_drops_the_earlier_ones(harness: Any) -> None:
    answers = iter([EXPECTED, {"customer_landing": 0}])
    task = harness.tasks.Task([sys.executable, "-c", ""], {}, [], lambda: next(answers), EXPECTED)
    found = harness.tasks.measure_in_turns({"duckdb": task}, runs=3, timeout=60)
    assert found["duckdb"]["runs"] == []
    assert "wrong row counts" in found["duckdb"]["problem"]


def test_what_was_found_is_shown_and_saved(harness: Any, tmp_path: Path) -> None:
    def command(*seconds: float) -> dict[str, object]:
        runs = [{"seconds": s, "cpu_seconds": s, "peak_bytes": 100_000_000} for s in seconds]
        return {"runs": runs, "problem": None}

    size = {
        "measured": "2023-08-06",
        "customers": 956,
        "days": 4,
        "rows": {"accelerometer_landing": 81_273},
        "landing_bytes": 10_000_000,
        "commands": {
            "stedi": command(3.0, 4.0, 5.0),
            "duckdb": {"runs": [], "problem": "it ended with exit code 1"},
            "pyspark": command(20.0, 20.0, 20.0),
        },
    }
    report = {"machine": harness.run.machine(), "sizes": {"reference": size}}
    page = tmp_path / "benchmarks.md"
    page.write_text("before\n<!-- bench:start -->\nold\n<!-- bench:end -->\nafter\n")
    harness.run.save(report, tmp_path / "benchmarks.json")

    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "\nold\n" not in text
    assert "| reference | stedi materialize | 4.00 (3.00 to 5.00) |" in text
    assert "no figure: it ended with exit code 1" in text
    assert "| ≤ 0.2 | 0.20 (0.15 to 0.25) | met |" in text
    ET.fromstring((tmp_path / "benchmarks.svg").read_text())
    assert harness.run.earlier(tmp_path / "benchmarks.json") == report
    assert "PySpark job" in harness.report.as_text(report)


def test_the_page_of_the_project_has_a_place_for_the_figures(harness: Any) -> None:
    page = (BENCH.parent / "docs" / "benchmarks.md").read_text()
    assert "new\n" in harness.report.between_markers(page, "new\n")
    with pytest.raises(ValueError, match="bench:start"):
        harness.report.between_markers("", "new\n")
