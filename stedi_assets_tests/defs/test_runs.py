"""What is run again: tables downstream of others, and runs of consecutive days."""

from __future__ import annotations

from datetime import date

import pytest

from stedi_assets.contracts import (
    ASSET_TABLES,
)
from stedi_assets.defs.runs import Run, downstream, runs


def days(*numbers: int) -> list[date]:
    return [date(2023, 8, number) for number in numbers]


def test_downstream() -> None:
    every = tuple(table.name for table in ASSET_TABLES)
    assert downstream([]) == ()
    assert downstream(["customer_landing"]) == (every[0], *every[3:])
    assert downstream(["step_trainer_landing"]) == (
        "step_trainer_landing",
        "step_trainer_trusted",
        "machine_learning_curated",
    )
    assert downstream(["machine_learning_curated"]) == ("machine_learning_curated",)
    assert downstream(["machine_learning_curated", "customers_curated"]) == (every[5], *every[7:])


def test_runs() -> None:
    a, b, c = "customer_trusted", "accelerometer_trusted", "machine_learning_curated"
    assert runs({}) == []
    assert runs({a: set()}) == []
    found = runs({c: set(days(1, 2, 3, 5)), b: set(days(2, 3)), a: set(days(9))})
    assert found == [
        Run((c,), *days(1, 1)),
        Run((b, c), *days(2, 3)),
        Run((c,), *days(5, 5)),
        Run((a,), *days(9, 9)),
    ]
    assert found[1].days == days(2, 3)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(0, [(1, 4)]), (1, [(1, 1), (2, 2), (3, 3), (4, 4)]), (10, [(1, 2), (3, 3), (4, 4)]), (100, [(1, 4)])],
)
def test_runs_do_not_grow_beyond_the_limit(limit: int, expected: list[tuple[int, int]]) -> None:
    sizes = dict(zip(days(1, 2, 3, 4), (4, 6, 20, 1), strict=True))
    name = "accelerometer_trusted"
    assert runs({name: set(sizes)}, sizes, limit) == [Run((name,), *days(*ends)) for ends in expected]
