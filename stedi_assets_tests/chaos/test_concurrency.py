"""Eight processes write at once, a ninth reads: nobody sees anything between, and the rows are right in the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stedi_assets_tests.chaos.concurrency import SCENARIOS, WRITERS

REPOSITORY = Path(__file__).parents[2]

CLEAR = (
    # Lost to other writers, with nothing changed.
    "WriteConflictError",
    "other writers came first",
    "Something else keeps changing them",
    # A check that read a table while another process was about to make it anew.
    "blocking asset check failed",
)
"""What a writer that did not end well may say. Anything else is a defect."""


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_eight_processes_at_once(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stedi_assets_tests.chaos.concurrency", str(tmp_path), name],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout)
    reader = told["reader"]
    assert isinstance(reader, dict), reader
    print(
        f"{name}: {WRITERS - len(told['failed'])} of {WRITERS} ended well in {told['seconds']} s; "
        f"the tables were read {reader['times']} times, {reader['between']} times between two states"
    )
    assert reader["odd"] == []
    assert {who: said for who, said in told["failed"].items() if not any(clear in said for clear in CLEAR)} == {}
    assert told["settled_well"], told["settled"]
    assert "Every table was up to date." in told["settled"][-1]
    assert told["wrong"] == []
