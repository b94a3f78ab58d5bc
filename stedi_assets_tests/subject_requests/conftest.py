"""Lakes of people to forget, and of which some were forgotten; tests copy what they change."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stedi_assets.subject_requests.requests import ERASE
from stedi_assets_tests.kit.lake import SmallLake, copied
from stedi_assets_tests.kit.people import (
    IN_QUARANTINE,
    NEVER_CONSENTED,
    ON_SEVERAL_DAYS,
    SHARING,
    Forgotten,
    erase_directly,
    land,
)


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
def without_some(made: SmallLake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forgotten]:
    """Without three people, erased together under a umask that forbids nothing.

    Of one there were rows on each day, in every table; of the others in few tables.
    """
    lake = copied(made, tmp_path_factory.mktemp("without-some"))
    names = [ON_SEVERAL_DAYS, NEVER_CONSENTED, IN_QUARANTINE]
    old = os.umask(0)
    try:
        receipts = dict(zip(names, erase_directly(lake, *names), strict=True))
    finally:
        os.umask(old)
    yield Forgotten(lake, receipts)
    lake.close()


@pytest.fixture(scope="session")
def without_sharing(without_some: Forgotten, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forgotten]:
    """The same lake after the erasure of one more, who shared a device and takes its readings from raw files too."""
    lake = copied(without_some.lake, tmp_path_factory.mktemp("without-sharing"))
    (receipt,) = erase_directly(lake, SHARING, shared_devices=ERASE)
    yield Forgotten(lake, {SHARING: receipt})
    lake.close()
