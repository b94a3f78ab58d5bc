"""Kills runs: the process that ``test_kill`` starts, and what it finds, as JSON.

A run brings a lake from an old state to a new one, in a process of its own that is SIGKILLed: by its
parent after some share of the time that a whole run takes, or by itself on entering, on leaving or
during one of its writes.
"""

from __future__ import annotations

import json
import pickle
import random
import shutil
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import stedi_assets.defs.checks
import stedi_assets.defs.materialize  # noqa: F401 - imported before the forks
from stedi_assets.contracts import TABLES
from stedi_assets.engines.duckdb import DuckDBEngine
from stedi_assets.lakehouse import Lakehouse
from stedi_assets_tests.chaos.lakes import (
    LAST_DAY,
    State,
    again,
    copied,
    more_readings,
    oracle,
    other_consents,
    sample,
    state,
    wrong,
)
from stedi_assets_tests.chaos.processes import (
    all_killed,
    die,
    imported,
    in_a_child,
    killed,
    stedi,
    with_state_in_memory,
    without_checks,
)

DAYS = 3
CUSTOMERS = 16
WRITES = {"commit": (Lakehouse, "replace"), "copy": (DuckDBEngine, "copy")}
"""What a run writes with: the commit of a partition, and the writing of a Parquet file before it."""

DURING = {"commit": 0.02, "copy": 0.01}
"""Seconds within which a kill during a write comes."""


@dataclass(frozen=True)
class Kill:
    """When a run is killed.

    Args:
        what: ``time``, ``commit`` or ``copy``.
        share: how far into the run, or which of its writes, from 0 to 1.
        how: ``enter``, ``leave`` or ``during`` a write.
        after: seconds after entering a write, for ``during``.
        empty: the run starts on an empty lake instead of an old one.
        whole: the run has its asset checks, and Dagster's state is stored. Neither changes a table, and both take time.
    """

    what: str
    share: float
    how: str = ""
    after: float = 0.0
    empty: bool = False
    whole: bool = False


def plans(seed: int, count: int) -> list[Kill]:
    """Random moments: a third anywhere in the run, the others in its writes."""
    pick = random.Random(seed)
    kills = []
    for number in range(count):
        empty, whole = number % 4 == 3, number % 10 == 0
        if number % 3 == 0:
            # One in each stretch of the run, so that they are spread over its length.
            kills.append(Kill("time", (number + 3 * pick.random()) / (count + 3), empty=empty, whole=whole))
            continue
        what = "commit" if number % 3 == 1 else pick.choice(("commit", "copy"))
        how = pick.choice(("enter", "leave", "during", "during"))
        kills.append(Kill(what, pick.random(), how, pick.uniform(0, DURING[what]), empty, whole))
    return kills


def prepare(root: Path) -> None:
    """Two landing zones and the lakes that they give."""
    without_checks()
    old, new = sample(root / "old" / "landing", CUSTOMERS, DAYS), root / "new" / "landing"
    copied(old, new)
    more_readings(new, {LAST_DAY - timedelta(days=1)})
    other_consents(new, {LAST_DAY, LAST_DAY - timedelta(days=2)})
    # One instance for all, so that the states below differ in nothing else.
    home = root / "home"
    stedi("materialize", landing=old, lake=root / "old" / "lake", home=home)
    stedi("materialize", landing=new, lake=root / "new" / "lake", home=home)
    for name, landing in (("old", old), ("new", new)):
        held = state(root / name / "lake")
        mistaken = wrong(held, oracle(landing))
        if mistaken:
            raise AssertionError(mistaken)
        (root / name / "state.pickle").write_bytes(pickle.dumps(held))
    imported(root / "imported.json")


def run(landing: Path, here: Path, whole: bool) -> None:
    """Make all tables of a lake, in one run; see ``Kill.whole``."""
    if not whole:
        without_checks()
        with_state_in_memory()
    stedi("materialize", "--force", landing=landing, lake=here / "lake", home=here / "home")


def measure(root: Path, whole_run: bool) -> None:
    """How many writes a run has, and how long it takes."""
    counts = dict.fromkeys(WRITES, 0)
    for name, (owner, method) in WRITES.items():
        whole = getattr(owner, method)

        def counted(*given: Any, name: str = name, whole: Any = whole, **how: Any) -> Any:
            counts[name] += 1
            return whole(*given, **how)

        setattr(owner, method, counted)
    here = root / measured_as(whole_run)
    copied(root / "old" / "lake", here / "lake")
    copied(root / "home", here / "home")
    started = time.monotonic()
    run(root / "new" / "landing", here, whole_run)
    (root / f"{here.name}.json").write_text(json.dumps({"seconds": time.monotonic() - started, **counts}))


def measured_as(whole: bool) -> str:
    """The name of what was measured of a run; see ``Kill.whole``."""
    return "whole-run" if whole else "run-without-checks"


def arm(kill: Kill, left: int) -> None:
    """Make this process kill itself at one of its writes, after so many others of that kind."""
    owner, method = WRITES[kill.what]
    whole = getattr(owner, method)

    def deadly(*given: Any, **how: Any) -> Any:
        nonlocal left
        left -= 1
        if left != -1:
            return whole(*given, **how)
        if kill.how == "enter":
            die()
        if kill.how == "during":
            threading.Timer(kill.after, die).start()
        result = whole(*given, **how)
        if kill.how == "leave":
            die()
        return result

    setattr(owner, method, deadly)


def between(now: State, old: State, new: State) -> list[str]:
    """The tables that hold neither their old nor their new state; empty if there is none."""
    found = []
    for name, table in TABLES.items():
        before, after, held = old[name], new[name], now[name]
        torn = [p for p in {**before, **after, **held} if held.get(p) not in (before.get(p), after.get(p))]
        if torn:
            found.append(f"{name}: {len(torn)} partitions are neither as before nor as after")
        # A run replaces all its days of a table in one commit; the side tables' once per landing table.
        elif table.partition_by == ("landing_date",) and held not in (before, after):
            found.append(f"{name}: some days are as before, others as after")
    return found


def trial(root: Path, number: int, kills: Sequence[Kill]) -> None:
    """Kill one run and perhaps the next, look at what each left, run what is stale, and look at that."""
    empty, whole = kills[0].empty, kills[0].whole
    measured = json.loads((root / f"{measured_as(whole)}.json").read_text())
    old: State = pickle.loads((root / "old" / "state.pickle").read_bytes())
    new: State = pickle.loads((root / "new" / "state.pickle").read_bytes())
    here, before, landing = root / f"trial-{number}", root / f"trial-{number}-before", root / "new" / "landing"
    copied(root / "home", before / "home")
    if empty:
        old = {name: {} for name in old}
    else:
        copied(root / "old" / "lake", before / "lake")
    changed = [name for name in TABLES if old[name] != new[name]]
    results: list[dict[str, Any]] = []
    for kill in kills:

        def doomed(kill: Kill = kill) -> None:
            if kill.what != "time":
                arm(kill, int(kill.share * measured[kill.what]))
            run(landing, here, whole)

        seconds = kill.share * measured["seconds"] if kill.what == "time" else None
        code = killed(lambda: again(before, here), doomed, root / f"trial-{number}-killed.log", seconds)
        left = in_a_child(lambda: state(here / "lake"), root / f"trial-{number}.left")
        told = {"changed": len(changed), "new": sum(left[name] == new[name] for name in changed)}
        results.append({"kill": asdict(kill), "code": code, "wrong": between(left, old, new), **told})
        again(here, before)
    if not whole:
        without_checks()
    stedi("materialize", landing=landing, lake=here / "lake", home=here / "home")
    settled = state(here / "lake")
    results[-1]["wrong"] += [f"after the rerun, {name} is wrong" for name in TABLES if settled[name] != new[name]]
    (root / f"trial-{number}.json").write_text(json.dumps(results))
    shutil.rmtree(here)
    shutil.rmtree(before)


def main(root: Path, seed: int, count: int) -> None:
    """Prepare, kill, and print what was found."""
    measures = {measured_as(whole): lambda whole=whole: measure(root, whole) for whole in (True, False)}
    told = all_killed(root, lambda: prepare(root), measures, plans(seed, count), lambda *one: trial(root, *one))
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
