"""Withdrawals that others see: the process that ``test_withdrawals`` starts, and what it finds, as JSON.

One process lands withdrawals and brings the lake up to date, a second one makes tables again and again from what it
read before, and a third one reads every trusted and curated table over and over. All by one clock.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from stedi_assets.contracts import ASSET_TABLES, LANDING_TABLES
from stedi_assets.engines.duckdb import DuckDBEngine
from stedi_assets.lakehouse import Lakehouse, LakehouseError
from stedi_assets_tests.chaos.kill import without_checks
from stedi_assets_tests.chaos.lakes import KEY, LAST_DAY, day_of, files
from stedi_assets_tests.chaos.processes import all_done, ended, forked, import_before_forking, imported, stedi
from stedi_assets_tests.dagster.lake import Small, customer
from stedi_assets_tests.oracle.rules import pseudonym

PEOPLE = ("ann", "bob", "cat", "dan", "eve", "fay")
STAYING = ("kim", "lou")
WITHDRAWING = (("ann", "bob"), ("cat", "dan"))
"""Who withdraws, one group after the other."""

SHOWN = [table for table in ASSET_TABLES if table not in LANDING_TABLES and table.name != "consent_history"]
"""The tables that must not show whoever withdrew; ``consent_history`` tells when they did, by pseudonym."""

SLOW = 0.3
"""Seconds that the slow process waits between what it read and its commit."""

NAMES = {f"{name}@example.com": name for name in PEOPLE} | {f"serial-{name}": name for name in PEOPLE}
NAMES |= {pseudonym(f"{name}@example.com", KEY.encode()): name for name in PEOPLE}


def prepare(root: Path) -> None:
    """Everybody shares."""
    small = Small.at(root)
    small.land_people(*PEOPLE, *STAYING, day=LAST_DAY)
    small.close()
    bring_up_to_date(root, "home")
    imported(root / "imported.json")


def bring_up_to_date(root: Path, home: str, *how: str) -> None:
    stedi("materialize", *how, landing=root / "landing", lake=root / "lake", home=root / home)


def withdraw(root: Path) -> None:
    """Land withdrawals, group by group, and reconcile; note who must not be seen since when."""
    without_checks()
    small = Small.at(root)
    told: dict[str, float] = {}
    for number, group in enumerate(WITHDRAWING):
        gone = [customer(name, consents=False, updated=customer(name)["lastUpdateDate"] + 1) for name in group]
        text = "".join(json.dumps(one) + "\n" for one in gone)
        small.land("customer_landing", text, f"withdrawn-{number}.json", LAST_DAY)
        bring_up_to_date(root, "home")
        told |= dict.fromkeys(group, time.monotonic())
        # Long enough for whoever began before to commit.
        time.sleep(4 * SLOW)
    small.close()
    (root / "withdrawn.json").write_text(json.dumps(told))
    (root / "done").touch()


def make_slowly(root: Path) -> None:
    """Make every derived table, over and over, each commit long after its inputs were read."""
    without_checks()
    write, stopped = DuckDBEngine.write, root / "done"
    waited = [0]

    def slow(*given: Any, **how: Any) -> Any:
        new = write(*given, **how)
        waited[0] += 1
        time.sleep(SLOW)
        return new

    DuckDBEngine.write = slow  # type: ignore[method-assign]
    times = failed = 0
    while not stopped.exists():
        try:
            bring_up_to_date(root, "slow", "--force")
        except Exception as error:  # noqa: BLE001 - its inputs may keep changing: then it says so, and changes nothing
            print(f"{type(error).__name__}: {error}")
            failed += 1
        times += 1
    (root / "slow.json").write_text(json.dumps({"times": times, "failed": failed, "waited": waited[0]}))


def read(root: Path) -> None:
    """Read every trusted and curated table over and over; note when each read began and whom it showed."""
    told = []
    with DuckDBEngine(threads=1) as engine:
        while not (root / "stop").exists():
            # Whatever another process committed by now is seen, as by somebody who comes now.
            lakehouse = Lakehouse(str(root / "lake"))
            for table in SHOWN:
                began = time.monotonic()
                with contextlib.suppress(LakehouseError):
                    rows = engine.rows(
                        "SELECT * FROM stored", stored=engine.relation(table, lakehouse.snapshot(table).files)
                    )
                    shown = {NAMES[cell] for row in rows for cell in row if isinstance(cell, str) and cell in NAMES}
                    told.append((began, table.name, len(rows), sorted(shown)))
    (root / "read.json").write_text(json.dumps(told))


def main(root: Path) -> None:
    """Prepare, let them go on at once, and print what each has to say."""
    if any(all_done({"prepared": lambda: prepare(root)}, root).values()):
        sys.exit((root / "prepared.log").read_text())
    import_before_forking(root / "imported.json")
    assert {day_of(path) for path in files(root / "landing", "customer_landing")} == {LAST_DAY}
    reader = forked(lambda: read(root), root / "read.log")
    codes = all_done({"withdrawn": lambda: withdraw(root), "slow": lambda: make_slowly(root)}, root)
    # Once more after all have ended.
    time.sleep(0.5)
    (root / "stop").touch()
    codes["read"] = ended(reader)
    for name, code in codes.items():
        if code:
            sys.exit(f"{name} failed:\n{(root / f'{name}.log').read_text()[-4000:]}")
    print(json.dumps({name: json.loads((root / f"{name}.json").read_text()) for name in codes}))


if __name__ == "__main__":
    os.environ.pop("DAGSTER_HOME", None)
    main(Path(sys.argv[1]))
