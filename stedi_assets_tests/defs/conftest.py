from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stedi_assets.resources import today
from stedi_assets.sample import write_sample
from stedi_assets.settings import Pairing, Policies
from stedi_assets_tests.kit.lake import SmallLake, copied


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[SmallLake]:
    """An empty lake and an empty landing zone."""
    small = SmallLake.at(tmp_path)
    yield small
    small.close()


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallLake]:
    """A sample that landed today, materialized; not to be changed."""
    root = tmp_path_factory.mktemp("good")
    write_sample(str(root / "landing"), customers=40, days=2, last_day=today())
    small = SmallLake.at(root, Policies(pairing=Pairing.CUSTOMER))
    small.materialize_directly()
    yield small
    small.close()


@pytest.fixture
def spoilt(good: SmallLake, tmp_path: Path) -> Iterator[SmallLake]:
    """A copy of the good lake, to spoil."""
    small = copied(good, tmp_path)
    yield small
    small.close()
