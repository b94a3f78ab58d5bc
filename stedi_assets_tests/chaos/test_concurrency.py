"""Eight processes write at once, a ninth reads: nobody sees anything between, and the rows are right in the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from stedi_assets_tests.chaos.concurrency import SCENARIOS, WRITERS
from stedi_assets_tests.chaos.processes import told

CLEAR = (
    # Lost to other writers, with nothing changed.
    "WriteConflictError",
    "other writers came first",
    "Something else keeps changing them",
    # A check that read a table while another process was about to make it anew.
    "blocking asset check failed",
)
"""What a writer that did not end well may say. Anything else is a defect."""


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SCENARIOS)
def test_eight_processes_at_once(name: str, tmp_path: Path) -> None:
    said = told("concurrency", tmp_path, name)
    reader = said["reader"]
    assert isinstance(reader, dict), reader
    print(
        f"{name}: {WRITERS - len(said['failed'])} of {WRITERS} ended well in {said['seconds']} s; "
        f"the tables were read {reader['times']} times, {reader['between']} times between two states"
    )
    assert reader["odd"] == []
    assert {who: said for who, said in said["failed"].items() if not any(clear in said for clear in CLEAR)} == {}
    assert said["settled_well"], said["settled"]
    assert "Every table was up to date." in said["settled"][-1]
    assert said["wrong"] == []
