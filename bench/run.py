"""The benchmark behind `make bench`: `stedi materialize` beside what one would write by hand.

    python bench/run.py --sizes reference,10m,50m --runs 3 --out docs/benchmarks.json

Each command is a whole process on an empty folder, the commands of a size take turns within one
run of this program, and a command whose tables have the wrong number of rows gets no figure.
Prints the tables; saves every run as JSON, a picture, and the tables in the Markdown page of the
same name. A part that is not asked for keeps its earlier figures, if they are of this machine.

What is measured belongs to `parts.py`, how to `tasks.py` and `measure.py`, how it is shown to `report.py` and
`picture.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import tempfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, cast

from figures import Report
from parts import HERE, SIZES, measure_day, measure_generator, measure_reconcile, measure_size, measure_tick
from picture import as_svg
from report import as_markdown, as_text, between_markers
from tasks import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


PACKAGES = ("dagster", "duckdb", "deltalake", "pyarrow", "narwhals", "pyspark")
PARTS = ("tables", "day", "generator", "tick", "reconcile")


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
    add("--out", type=Path, default=HERE.parent / "docs" / "benchmarks.json",
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
