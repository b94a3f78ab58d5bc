"""A reader never sees too much: once a withdrawal is reconciled, no read shows that person, whoever else writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stedi_assets_tests.chaos.withdrawals import PEOPLE, SHOWN, SLOW, WITHDRAWING

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.slow
def test_no_read_shows_who_withdrew_once_that_is_reconciled(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stedi_assets_tests.chaos.withdrawals", str(tmp_path)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout)
    reads, since = told["read"], told["withdrawn"]
    print(f"{len(reads)} reads")
    too_much = [(table, who) for began, table, _, shown in reads for who in shown if began > since.get(who, began)]
    assert too_much == []
    # There was something to see: everybody at first, some to the end, and reads after each withdrawal.
    everybody = {table for _, table, _, shown in reads if shown == sorted(PEOPLE)}
    assert everybody == {table.name for table in SHOWN}
    assert all(count for _, _, count, _ in reads)
    for group in WITHDRAWING:
        assert sum(began > since[group[0]] for began, *_ in reads) > len(SHOWN)
    # Whoever was slow came to an end, with what is right by then.
    assert [told[table] for table in SLOW] == [len(WITHDRAWING)] * len(SLOW)
