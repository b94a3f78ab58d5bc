"""Runs that collide: the process that ``test_concurrency`` starts, and what it finds, as JSON.

Eight processes bring the same lake up to date at once, each its own day or all the same one, while a
ninth reads every table over and over.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import stedi_assets.defs.checks
import stedi_assets.defs.materialize  # noqa: F401 - imported before the forks
from stedi_assets.contracts import TABLES
from stedi_assets_tests.chaos.lakes import (
    LAST_DAY,
    Rows,
    State,
    copied,
    more_readings,
    oracle,
    sample,
    state,
    total,
    wrong,
)
from stedi_assets_tests.chaos.processes import all_done, ended, forked, stedi, wait_until, without_checks

WRITERS = 8
CUSTOMERS = 24
SETTLING = 2
"""Times that ``stedi materialize`` may be needed afterwards: once to settle, once to say that nothing is left."""

CHECKED = (0, 4)
"""The writers whose runs have their asset checks, which only read: it is the others who make a table meanwhile."""

START = 1.5
"""Seconds after which all writers begin at the same moment."""


@dataclass(frozen=True)
class Scenario:
    """Who writes what.

    Args:
        days: the landing day that each writer runs.
        empty: on an empty lake; else on one that holds the old state.
        shared: one folder of Dagster's for all, else one for each.
        force: run the days even where another writer has brought them up to date.
    """

    days: tuple[date, ...]
    empty: bool
    shared: bool
    force: bool


DAYS = tuple(LAST_DAY - timedelta(days=n) for n in reversed(range(WRITERS)))
SAME = (DAYS[3],) * WRITERS
SCENARIOS = {
    # All of them make the tables, and Dagster's state, that are not there yet.
    "different-days-of-an-empty-lake": Scenario(DAYS, empty=True, shared=True, force=False),
    # Nothing but the tables tells them of each other, and all of them change what is there.
    "same-day-with-an-instance-each": Scenario(SAME, empty=False, shared=False, force=True),
}


def prepare(root: Path, scenario: Scenario) -> None:
    """The landing zone of before and of now, and the lake of before."""
    without_checks()
    old, new = sample(root / "old" / "landing", CUSTOMERS, WRITERS), root / "new" / "landing"
    copied(old, new)
    more_readings(new, set(scenario.days))
    held: State = {name: {} for name in TABLES}
    if not scenario.empty:
        stedi("materialize", landing=old, lake=root / "lake", home=root / "old" / "home")
        held = state(root / "lake")
    (root / "old" / "state.pickle").write_bytes(pickle.dumps(held))
    # The lake that one run gives, with nobody else about.
    stedi("materialize", landing=new, lake=root / "new" / "lake", home=root / "new" / "home")
    alone = state(root / "new" / "lake")
    mistaken = wrong(alone, oracle(new))
    if mistaken:
        raise AssertionError(mistaken)
    (root / "new" / "state.pickle").write_bytes(pickle.dumps(alone))


def write(root: Path, scenario: Scenario, number: int, begin: float) -> None:
    """One writer: ``stedi materialize --day``."""
    home = root / "homes" / ("shared" if scenario.shared else str(number))
    force = ["--force"] if scenario.force else []
    day = scenario.days[number].isoformat()
    if number not in CHECKED:
        without_checks()
    wait_until(begin)
    stedi("materialize", "--day", day, *force, landing=root / "new" / "landing", lake=root / "lake", home=home)


def read(root: Path) -> None:
    """Read every table over and over, until all is written; what was odd goes into a file."""
    old: State = pickle.loads((root / "old" / "state.pickle").read_bytes())
    new: State = pickle.loads((root / "new" / "state.pickle").read_bytes())
    odd: list[str] = []
    times = seen_between = 0
    while not (root / "done").exists() or not times:
        try:
            now = state(root / "lake")
        except Exception as error:
            odd.append(f"{type(error).__name__}: {error}")
            now = {}
        for name, held in now.items():
            odd += [
                f"{name} of {p}: {what}"
                for p in held
                if (what := oddity(name, held[p], old[name].get(p), new[name].get(p)))
            ]
        seen_between += bool(now) and now not in (old, new)
        times += 1
    (root / "reader.json").write_text(json.dumps({"times": times, "between": seen_between, "odd": odd}))


def oddity(name: str, held: Rows, before: Rows | None, after: Rows | None) -> str:
    """What is wrong with a partition that was read while others wrote; empty if nothing is.

    What a file gives is there whole or not at all. A derived partition may also have been made when some of
    its inputs had landed: it has no row that neither state has, none twice, and lacks none of before.
    """
    before, after = before or type(held)(), after or type(held)()
    if held in (before, after):
        return ""
    if name.endswith("_landing") or name in {"landing_quarantine", "landing_files"}:
        return "neither as before nor as after"
    if held - (before | after):
        return f"{(held - (before | after)).total()} rows that belong to neither state"
    if before - held:
        return f"{(before - held).total()} rows of before are gone"
    return ""


def play(root: Path, scenario: Scenario) -> dict[str, object]:
    """Write and read at once, then settle."""
    done = all_done({"prepared": lambda: prepare(root, scenario)}, root)
    if any(done.values()):
        sys.exit((root / "prepared.log").read_text())
    (root / "homes").mkdir()
    started = time.monotonic()
    reader = forked(lambda: read(root), root / "reader.log")
    begin = time.monotonic() + START
    writers = {f"writer-{n}": writer(root, scenario, n, begin) for n in range(WRITERS)}
    codes = all_done(writers, root, at_once=WRITERS)
    took = time.monotonic() - started
    (root / "done").touch()
    read_well = ended(reader) == 0
    said = {name: (root / f"{name}.log").read_text()[-3000:] for name, code in codes.items() if code}
    settled = all_done({f"settled-{n}": lambda: settle(root) for n in range(SETTLING)}, root, at_once=1)
    found = all_done({"compared": lambda: compare(root)}, root)
    return {
        "seconds": round(took, 1),
        "failed": said,
        "reader": json.loads((root / "reader.json").read_text()) if read_well else (root / "reader.log").read_text(),
        "settled": [(root / f"{name}.log").read_text()[-3000:] for name in settled],
        "settled_well": not any(settled.values()),
        "wrong": json.loads((root / "compared.json").read_text())
        if not any(found.values())
        else [(root / "compared.log").read_text()[-3000:]],
    }


def writer(root: Path, scenario: Scenario, number: int, begin: float) -> Callable[[], None]:
    """What a writer's process does."""
    return lambda: write(root, scenario, number, begin)


def settle(root: Path) -> None:
    """``stedi materialize``, by an instance that has seen none of the runs."""
    without_checks()
    stedi("materialize", landing=root / "new" / "landing", lake=root / "lake", home=root / "homes" / "settling")


def compare(root: Path) -> None:
    """Whether the lake holds what one run alone would have made, row by row."""
    new: State = pickle.loads((root / "new" / "state.pickle").read_bytes())
    held = state(root / "lake")
    found = wrong(held, oracle(root / "new" / "landing"))
    found += [f"{name} is not as one run makes it" for name in TABLES if total(held, name) != total(new, name)]
    (root / "compared.json").write_text(json.dumps(found))


if __name__ == "__main__":
    os.environ.pop("DAGSTER_HOME", None)
    print(json.dumps(play(Path(sys.argv[1]), SCENARIOS[sys.argv[2]])))
