"""Withdrawals that others see: the processes that ``test_withdrawals`` starts, and what they find, as JSON.

One process lands withdrawals and brings the lake up to date. Meanwhile others, one for each derived table, have read
the tables as they were before, and commit when that is done. And one reads every trusted and curated table over and
over. All by one clock.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from stedi_assets.contracts import ASSET_TABLES, LANDING_TABLES
from stedi_assets.engines.duckdb import DuckDBEngine
from stedi_assets.lakehouse import Lakehouse
from stedi_assets_tests.chaos.kill import without_checks
from stedi_assets_tests.chaos.lakes import LAST_DAY
from stedi_assets_tests.chaos.processes import all_done, ended, forked, import_before_forking, imported
from stedi_assets_tests.kit.lake import SmallLake
from stedi_assets_tests.kit.records import customer, lines

PEOPLE = ("ann", "bob", "cat", "dan", "kim", "lou")
WITHDRAWING = (("ann", "bob"), ("cat", "dan"))
"""Who withdraws, one group after the other; the others stay."""

SLOW = [table.name for table in ASSET_TABLES if table not in LANDING_TABLES]
"""The tables that somebody makes slowly."""

SHOWN = [table for table in ASSET_TABLES if table.name in SLOW and table.name != "consent_history"]
"""The tables that must not show whoever withdrew; ``consent_history`` tells when they did, by pseudonym."""

PATIENCE = 120
"""Seconds after which waiting for another process is given up."""

AFTERWARDS = 1.0
"""Seconds for which the tables are read after the last commit."""


def wait_for(*flags: Path) -> None:
    """Wait until other processes have put up their flags."""
    end = time.monotonic() + PATIENCE
    while not all(flag.exists() for flag in flags):
        if time.monotonic() > end:
            msg = f"{[flag.name for flag in flags if not flag.exists()]} never came"
            raise TimeoutError(msg)
        time.sleep(0.01)


def prepare(root: Path) -> None:
    """Everybody shares."""
    without_checks()
    small = SmallLake.at(root)
    small.land_people(*PEOPLE, day=LAST_DAY)
    small.materialize()
    names = {}
    for name in PEOPLE:
        email = f"{name}@example.com"
        names |= dict.fromkeys((email, f"serial-{name}", small.resources.pseudonyms.subject_id(email)), name)
    (root / "names.json").write_text(json.dumps(names))
    small.close()
    imported(root / "imported.json")


def withdraw(root: Path) -> None:
    """Land withdrawals, group by group, and reconcile; note when each was done."""
    without_checks()
    small = SmallLake.at(root)
    told = {}
    for number, group in enumerate(WITHDRAWING):
        wait_for(*(root / f"{table}-{number}.read" for table in SLOW))
        gone = [customer(name, consents=False, updated=customer(name)["lastUpdateDate"] + 1) for name in group]
        small.land("customer_landing", lines(*gone), f"withdrawn-{number}.json", LAST_DAY)
        small.materialize()
        told |= dict.fromkeys(group, time.monotonic())
        (root / f"{number}.reconciled").touch()
        wait_for(*(root / f"{table}-{number}.ended" for table in SLOW))
    small.close()
    (root / "withdrawn.json").write_text(json.dumps(told))


def make_slowly(root: Path, table: str) -> None:
    """Make a table of what was read before each withdrawal, and commit it when that is reconciled."""
    without_checks()
    write = DuckDBEngine.write
    number = 0

    def slow(*given: Any, **how: Any) -> Any:
        new = write(*given, **how)
        (root / f"{table}-{number}.read").touch()
        wait_for(root / f"{number}.reconciled")
        return new

    DuckDBEngine.write = slow  # type: ignore[method-assign]
    small = SmallLake.at(root)
    succeeded = 0
    for number in range(len(WITHDRAWING)):
        result = small.run([table], LAST_DAY)
        succeeded += result.success
        (root / f"{table}-{number}.ended").touch()
    small.close()
    (root / f"{table}.json").write_text(json.dumps(succeeded))


def read(root: Path) -> None:
    """Read every trusted and curated table over and over; note when each read began and whom it showed."""
    names = json.loads((root / "names.json").read_text())
    told = []
    with DuckDBEngine(threads=1) as engine:
        while not (root / "stop").exists():
            # As somebody who comes now: what another process committed by now is seen.
            lakehouse = Lakehouse(str(root / "lake"))
            for table in SHOWN:
                began = time.monotonic()
                stored = engine.relation(table, lakehouse.snapshot(table).files)
                rows = engine.rows("SELECT * FROM stored", stored=stored)
                shown = {names[cell] for row in rows for cell in row if isinstance(cell, str) and cell in names}
                told.append((began, table.name, len(rows), sorted(shown)))
            time.sleep(0.02)
    (root / "read.json").write_text(json.dumps(told))


def main(root: Path) -> None:
    """Prepare, let them go on at once, and print what each has to say."""
    if any(all_done({"prepared": lambda: prepare(root)}, root).values()):
        sys.exit((root / "prepared.log").read_text())
    import_before_forking(root / "imported.json")
    reader = forked(lambda: read(root), root / "read.log")
    work = {table: lambda table=table: make_slowly(root, table) for table in SLOW}
    codes = all_done({"withdrawn": lambda: withdraw(root), **work}, root, at_once=len(work) + 1)
    time.sleep(AFTERWARDS)
    (root / "stop").touch()
    codes["read"] = ended(reader)
    for name, code in codes.items():
        if code:
            sys.exit(f"{name} failed:\n{(root / f'{name}.log').read_text()[-4000:]}")
    print(json.dumps({name: json.loads((root / f"{name}.json").read_text()) for name in codes}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
