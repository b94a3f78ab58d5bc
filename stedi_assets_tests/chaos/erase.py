"""Kills erasures: the process that ``test_erase`` starts, and what it finds, as JSON.

An erasure forgets somebody who is in every table, in a process of its own that is SIGKILLed: by its parent after some
share of the time that a whole erasure takes, or by itself on entering, on leaving or during one of its writes. Then it
is carried out once more.
"""

from __future__ import annotations

import gzip
import json
import os
import pickle
import random
import re
import shutil
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import stedi_assets.defs.checks
import stedi_assets.defs.materialize  # noqa: F401 - imported before the forks
from stedi_assets.contracts import TABLES
from stedi_assets.engines.duckdb import DuckDBEngine
from stedi_assets.lakehouse import Lakehouse
from stedi_assets.privacy.folder import open_privacy_folder
from stedi_assets.reference import pseudonym
from stedi_assets.resources import Resources
from stedi_assets.settings import Settings
from stedi_assets.staleness.stale import stale_partitions
from stedi_assets.subject_requests.receipts import Receipts
from stedi_assets.subject_requests.requests import Requests
from stedi_assets_tests.chaos.kill import between
from stedi_assets_tests.chaos.lakes import KEY, State, again, copied, state
from stedi_assets_tests.chaos.processes import (
    SPILLED,
    all_killed,
    die,
    imported,
    in_a_child,
    killed,
    stedi,
    with_state_in_memory,
    without_checks,
)
from stedi_assets_tests.kit.lake import SmallLake
from stedi_assets_tests.kit.people import DAYS, NOW, ON_SEVERAL_DAYS, email, land, mentions

FORGOTTEN = ON_SEVERAL_DAYS
WRITES = {
    "commit": (Lakehouse, "replace"),
    "copy": (DuckDBEngine, "copy"),
    "discard": (Lakehouse, "discard"),
    "vacuum": (Lakehouse, "vacuum"),
    "flush": (os, "fsync"),
    "rename": (Path, "replace"),
}
"""What an erasure writes with. Requests, tombstones, receipts and raw files are flushed and then renamed."""

DURING = 0.01
"""Seconds within which a kill during a write comes."""


@dataclass(frozen=True)
class Kill:
    """When an erasure is killed.

    Args:
        how: ``time``, or ``enter``, ``leave`` or ``during`` a write.
        share: how far into the erasure, or which of its writes, from 0 to 1; for a rerun, of what is left.
        after: seconds after entering a write, for ``during``.
        stored: Dagster's state is stored in its folder, not in memory only, which takes longer.
    """

    how: str
    share: float
    after: float = 0.0
    stored: bool = False


def plans(seed: int, count: int) -> list[Kill]:
    """Random moments, one in each stretch of the erasure: every other by the clock, the others by its writes.

    Most of the time goes by in the runs that make the tables anew, most kinds of writes are before and after.
    """
    pick = random.Random(seed)
    kills = []
    for number in range(count):
        share = (number + pick.random()) / count
        how = "time" if number % 2 == 0 else pick.choice(("enter", "leave", "during"))
        kills.append(Kill(how, share, pick.uniform(0, DURING), stored=number % 5 == 4))
    return kills


def erase(here: Path, stored: bool) -> None:
    """``stedi erase --open``, in a lake of its own; without asset checks, which only read."""
    without_checks()
    if not stored:
        with_state_in_memory()
    stedi("erase", "--open", landing=here / "landing", lake=here / "lake", home=here / "home")


def prepare(root: Path) -> None:
    """A lake with a request, and one from which its person was erased undisturbed."""
    old, new = root / "old", root / "new"
    small = SmallLake.at(old)
    land(small, DAYS[:1])
    small.close()
    without_checks()
    stedi("materialize", landing=old / "landing", lake=old / "lake", home=old / "home")
    Requests(open_privacy_folder(Settings.from_environment().privacy_uri)).file(
        email(FORGOTTEN), "asked by letter", NOW
    )
    # A process that was killed before has spilled rows of the person.
    dead = old / SPILLED / "stedi-spill-dead"
    dead.mkdir()
    (dead / "block").write_text(email(FORGOTTEN))
    assert mentioned(old) == {"landing", "lake", "home", SPILLED}
    copied(old, new)
    erase(new, stored=True)
    for here in (old, new):
        (root / f"{here.name}.pickle").write_bytes(pickle.dumps(state(here / "lake")))
    imported(root / "imported.json")


def measure(root: Path, stored: bool) -> None:
    """How many writes a whole erasure has, and how long it takes."""
    count = 0

    def counted(whole: Any) -> Any:
        def wrapped(*given: Any, **how: Any) -> Any:
            nonlocal count
            count += 1
            return whole(*given, **how)

        return wrapped

    for owner, method in WRITES.values():
        setattr(owner, method, counted(getattr(owner, method)))
    here = copied(root / "old", root / measured_as(stored))
    started = time.monotonic()
    erase(here, stored)
    (root / f"{here.name}.json").write_text(json.dumps({"seconds": time.monotonic() - started, "writes": count}))


def measured_as(stored: bool) -> str:
    """The folder of what was measured of an erasure, with Dagster's state stored or not."""
    return "stored" if stored else "in-memory"


def arm(kill: Kill, left: int, told: Path) -> None:
    """Make this process kill itself at one of its writes, after so many others, and say first which kind it is."""

    def deadly(name: str, whole: Any) -> Any:
        def wrapped(*given: Any, **how: Any) -> Any:
            nonlocal left
            left -= 1
            if left != -1:
                return whole(*given, **how)
            told.write_text(name)
            if kill.how == "enter":
                die()
            if kill.how == "during":
                threading.Timer(kill.after, die).start()
            result = whole(*given, **how)
            if kill.how == "leave":
                die()
            return result

        return wrapped

    for name, (owner, method) in WRITES.items():
        setattr(owner, method, deadly(name, getattr(owner, method)))


def mentioned(here: Path) -> set[str]:
    """The places below a folder that say something of the forgotten: bytes of files, Parquet decoded."""
    values = [*mentions([FORGOTTEN]), f"{FORGOTTEN} invented", pseudonym(email(FORGOTTEN), KEY.encode())]
    pattern = re.compile(rf"(?<![\w.])(?:{'|'.join(map(re.escape, values))})(?![\w-]|\.\w)".encode())
    found = set()
    for path in sorted(here.rglob("*")):
        if not path.is_file():
            continue
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        if path.suffix == ".parquet":
            data += repr(pq.read_table(path, partitioning=None).to_pylist()).encode()
        if pattern.search(data.lower()):
            found.add(path.relative_to(here).parts[0])
    return found


def faults(here: Path) -> list[str]:
    """What is wrong after an erasure that ended; in the process that carried it out."""
    resources = Resources.of(Settings.from_environment())
    receipts, requests = Receipts(resources.privacy), Requests(resources.privacy).all()
    found = receipts.faults()
    if [name.partition("-")[2] for name in receipts.names()] != [request.id for request in requests]:
        found.append(f"the receipts are {receipts.names()}")
    found += [f"{request.id} is not done" for request in requests if not request.is_done]
    found += [f"{place} mentions the forgotten" for place in mentioned(here)]
    found += [f"{name} has files of no version" for name, t in TABLES.items() if resources.lakehouse.unused_files(t)]
    found += [f"{name} differs" for name in stale_partitions(resources.view())]
    found += [f"{name} differs" for name in resources.landing_differences(resources.listing())]
    beside = [path for place in ("landing", "home/data/privacy") for path in (here / place).rglob(".*.*")]
    found += [f"{path.name} was left" for path in beside]
    resources.close()
    return found


def trial(root: Path, number: int, kills: Sequence[Kill]) -> None:
    """Kill one erasure and perhaps its rerun, look at what each left, carry it out again, and look at that."""
    stored = kills[0].stored
    measured = json.loads((root / f"{measured_as(stored)}.json").read_text())
    old: State = pickle.loads((root / "old.pickle").read_bytes())
    new: State = pickle.loads((root / "new.pickle").read_bytes())
    here, before = root / f"trial-{number}", root / f"trial-{number}-before"
    at = root / f"trial-{number}.write"
    copied(root / "old", before)
    changed = [name for name in TABLES if old[name] != new[name]]
    results: list[dict[str, Any]] = []
    left_over = 1.0
    # How far the first came is known if it is killed at a write; a rerun does not do that again.
    for kill in sorted(kills, key=lambda kill: kill.how == "time"):
        share = kill.share * left_over
        left_over -= kill.share

        def doomed(kill: Kill = kill, share: float = share) -> None:
            if kill.how != "time":
                arm(kill, int(share * measured["writes"]), at)
            erase(here, stored)

        seconds = share * measured["seconds"] if kill.how == "time" else None
        at.write_text("")
        code = killed(lambda: again(before, here), doomed, root / f"trial-{number}-killed.log", seconds)
        left = in_a_child(lambda: state(here / "lake"), root / f"trial-{number}.left")
        results.append(
            {
                "kill": asdict(kill),
                "at": at.read_text(),
                "code": code,
                "wrong": between(left, old, new),
                "changed": len(changed),
                "new": sum(left[name] == new[name] for name in changed),
            }
        )
        again(here, before)
    erase(here, stored)
    found = faults(here)
    settled = state(here / "lake")
    found += [f"{name} is wrong" for name in TABLES if settled[name] != new[name]]
    results[-1]["wrong"] += [f"after the rerun: {fault}" for fault in found]
    (root / f"trial-{number}.json").write_text(json.dumps(results))
    shutil.rmtree(here)
    shutil.rmtree(before)


def main(root: Path, seed: int, count: int) -> None:
    """Prepare, kill, and print what was found."""
    measures = {measured_as(stored): lambda stored=stored: measure(root, stored) for stored in (True, False)}
    told = all_killed(root, lambda: prepare(root), measures, plans(seed, count), lambda *one: trial(root, *one))
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
