"""A lake of one landing table for each test, on one engine for each module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stedi_assets.engines.duckdb import DuckDBEngine
from stedi_assets_tests.kit.table_lake import TableLake


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDBEngine]:
    with DuckDBEngine(memory_limit="1GB", threads=2) as engine:
        yield engine


@pytest.fixture
def lake(engine: DuckDBEngine, tmp_path: Path) -> TableLake:
    return TableLake(engine, tmp_path)
