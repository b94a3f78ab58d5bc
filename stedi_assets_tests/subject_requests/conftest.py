"""Lakes of people to forget, and of which some were forgotten; tests copy what they change."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stedi_assets_tests.kit.lake import SmallLake, copied
from stedi_assets_tests.kit.people import ON_SEVERAL_DAYS, SHARING, Forgotten, erase_directly, land


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallLake]:
    """Three days of everybody, materialized; not to be changed."""
    lake = SmallLake.at(tmp_path_factory.mktemp("people"))
    land(lake)
    lake.materialize_directly()
    yield lake
    lake.close()


@pytest.fixture
def checked(made: SmallLake, tmp_path: Path) -> Iterator[SmallLake]:
    """A copy of it, to change."""
    small = copied(made, tmp_path)
    yield small
    small.close()


@pytest.fixture
def lake(checked: SmallLake, without_dagster: None) -> SmallLake:
    """The same, whose tables are made without Dagster."""
    return checked


@pytest.fixture(scope="session")
def without_ann(made: SmallLake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forgotten]:
    """Of whom there were rows on each day, in every table; erased under a umask that forbids nothing."""
    lake = copied(made, tmp_path_factory.mktemp("without-ann"))
    old = os.umask(0)
    try:
        (receipt,) = erase_directly(lake, ON_SEVERAL_DAYS)
    finally:
        os.umask(old)
    yield Forgotten(lake, receipt)
    lake.close()


@pytest.fixture(scope="session")
def without_both(without_ann: Forgotten, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forgotten]:
    """The same lake after the erasure of somebody who shared a device."""
    lake = copied(without_ann.lake, tmp_path_factory.mktemp("without-both"))
    (receipt,) = erase_directly(lake, SHARING)
    yield Forgotten(lake, receipt)
    lake.close()
