"""The lake at one moment, and the readings index: what a later commit changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stedi_assets.contracts import table as contract
from stedi_assets.staleness import index
from stedi_assets_tests.kit.driven import land_partitions
from stedi_assets_tests.kit.lake import SmallLake
from stedi_assets_tests.kit.records import DAY, lines, movement

NAME = "accelerometer_landing"


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[SmallLake]:
    small = SmallLake.at(tmp_path)
    small.land(NAME, lines(movement("ann")))
    land_partitions(small.resources, NAME, [DAY])
    yield small
    small.close()


def land_more(lake: SmallLake) -> None:
    lake.land(NAME, lines(movement("bob")), "more.json")
    land_partitions(lake.resources, NAME, [DAY])


def test_a_view_is_current_until_something_that_it_looked_at_is_committed(lake: SmallLake) -> None:
    looked, elsewhere = lake.resources.view(), lake.resources.view()
    looked.snapshot(NAME)
    elsewhere.snapshot("customer_landing")
    assert looked.is_current()
    land_more(lake)
    assert not looked.is_current()
    assert elsewhere.is_current()


def test_the_index_of_files_that_were_replaced_meanwhile_is_not_written(
    lake: SmallLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may be of somebody who was erased meanwhile, and the index names people."""
    resources = lake.resources
    write = type(resources.engine).write

    def slow(*arguments: Any) -> Any:
        files = write(*arguments)
        monkeypatch.undo()
        land_more(lake)
        return files

    monkeypatch.setattr(type(resources.engine), "write", slow)
    assert not index.write(resources.engine, resources.lakehouse, contract(NAME), [DAY])
    assert lake.rows("readings_index") == []
    assert not list((lake.root / "lake").rglob("readings_index/**/*.parquet"))
    assert index.write(resources.engine, resources.lakehouse, contract(NAME), [DAY])
    assert lake.rows("readings_index", "subject") == [("ann@example.com",), ("bob@example.com",)]


def test_an_index_of_other_files_is_not_used_and_is_written_again(lake: SmallLake) -> None:
    resources = lake.resources

    def subjects() -> list[Any]:
        return sorted(resources.view().index(NAME)["subject"].to_pylist())

    assert index.write(resources.engine, resources.lakehouse, contract(NAME), [DAY])
    assert subjects() == ["ann@example.com"]
    assert index.fill(resources.engine, resources.lakehouse) == {}
    land_more(lake)
    assert subjects() == ["ann@example.com", "bob@example.com"]
    assert index.fill(resources.engine, resources.lakehouse) == {NAME: {DAY}}
    assert index.fill(resources.engine, resources.lakehouse) == {}
