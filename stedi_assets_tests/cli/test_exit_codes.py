"""Exit codes where something is open: never 0."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stedi_assets.defs.materialize import MaterializeError, Materializer
from stedi_assets.subject_requests.progress import ErasureError
from stedi_assets_tests.kit.commands import stedi
from stedi_assets_tests.kit.driven import land_partitions
from stedi_assets_tests.kit.lake import SmallLake
from stedi_assets_tests.kit.records import DAY, customer, lines


def places(root: Path) -> dict[str, str]:
    return {
        "STEDI_LANDING_URI": str(root / "landing"),
        "STEDI_LAKE_URI": str(root / "lake"),
        "STEDI_PRIVACY_URI": str(root / "privacy"),
    }


def test_a_dry_run_of_reconcile_that_finds_something_ends_with_1(tmp_path: Path) -> None:
    lake = SmallLake.at(tmp_path)
    lake.land("customer_landing", lines(customer("ann")))
    land_partitions(lake.resources, "customer_landing", [DAY])
    lake.close()
    done = stedi(tmp_path, "reconcile", "--dry-run", **places(tmp_path))
    assert done.code == 1
    assert {(row["table"], row["why"]) for row in done.rows()} >= {("customer_trusted", "not made yet")}
    assert stedi(tmp_path, "materialize", "--dry-run", **places(tmp_path)).code == 1


def test_a_dry_run_says_what_did_not_pass_its_blocking_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables alone do not tell: they are made from the right inputs."""
    monkeypatch.setattr(Materializer, "unpassed", lambda _: {"customer_trusted": {DAY}})
    for folder in (".dagster", "landing"):
        (tmp_path / folder).mkdir()
    done = stedi(tmp_path, "materialize", "--dry-run", **places(tmp_path))
    assert done.code == 1
    assert [(row["table"], row["landing day"], row["why"]) for row in done.rows()] == [
        ("customer_trusted", str(DAY), "did not pass its blocking checks")
    ]


@pytest.mark.parametrize("error", [MaterializeError("a run failed"), ErasureError("still in 1 place(s)")])
def test_an_erasure_that_is_not_done_ends_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def failing(*_: Any) -> Any:
        raise error

    monkeypatch.setattr("stedi_assets.subject_requests.erasure.carry_out", failing)
    done = stedi(tmp_path, "erase", "-", "--now", given="ann@example.com", **places(tmp_path))
    assert done.code == 2
    assert str(error) in done.err
    assert "is done" not in done.err
    (listed,) = stedi(tmp_path, "erase", "--list", **places(tmp_path)).rows()
    assert listed["state"] == "open"
