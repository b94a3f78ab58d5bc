"""SIGKILL at 30 moments of an erasure: no table is torn, and the rerun ends as if nothing had happened.

``STEDI_TEST_EXAMPLES`` takes a multiple of 30.
Every third kill is alone; of the others one hits an erasure, and one its rerun.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from stedi_assets_tests.chaos.processes import told
from stedi_assets_tests.kit.examples import examples

KILLS = examples(30, 30)
SEED = 20230801


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_erasure_is_carried_out_by_the_next_run(tmp_path: Path) -> None:
    started = time.monotonic()
    said = told("erase", tmp_path, SEED, KILLS)
    results = said["results"]
    killed = [result for result in results if result["code"] == -9]
    print(
        f"{len(killed)} of {len(results)} erasures killed, in {time.monotonic() - started:.0f} s; {said['measured']}; "
        f"{[(result.get('at'), result['kill']['how'], result.get('new')) for result in results]}"
    )
    assert [result for result in results if result["wrong"]] == []
    assert len(results) == KILLS
    assert {result["code"] for result in results} <= {-9, 0}
    # The moments fell into the erasures: before the first table was changed, between two tables, and after the last.
    assert len(killed) >= KILLS * 0.8
    for first, last in ((0, 0), (1, killed[0]["changed"] - 1), (killed[0]["changed"],) * 2):
        assert sum(first <= result["new"] <= last for result in killed) >= 3
    assert len({result["at"] for result in killed}) >= 5
