"""SIGKILL at 30 moments of a run: every table is as before or as after, and a rerun needs no cleaning.

Every third kill is alone; of the others one hits a run, and one the run that comes next.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from stedi_assets_tests.chaos.processes import told

KILLS = 30
SEED = 20230806


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_run_leaves_every_table_as_before_or_as_after(tmp_path: Path) -> None:
    started = time.monotonic()
    said = told("kill", tmp_path, SEED, KILLS)
    results = said["results"]
    killed = [result for result in results if result["code"] == -9]
    halfway = [result for result in killed if 0 < result["new"] < result["changed"]]
    print(
        f"{len(killed)} of {len(results)} runs killed, {len(halfway)} between two tables, "
        f"in {time.monotonic() - started:.0f} s; {said['measured']}"
    )
    assert [result for result in results if result["wrong"]] == []
    assert len(results) == KILLS
    assert {result["code"] for result in results} <= {-9, 0}
    # The moments fell into the runs, and many between the first write and the last.
    assert len(killed) >= KILLS * 0.8
    assert len(halfway) >= KILLS // 3
    assert all(result["new"] == result["changed"] for result in results if result["code"] == 0)
