"""Opens the engine that the settings ask for. The only place that knows them all."""

from __future__ import annotations

from stedi_assets.engines.base import MissingEngineError
from stedi_assets.engines.duckdb import DuckDBEngine
from stedi_assets.engines.session import Session
from stedi_assets.settings import EngineName, Settings


def open_engine(settings: Settings) -> Session:
    """The engine for ``settings``.

    Raises:
        MissingEngineError: it is not available here.
    """
    if settings.engine is EngineName.SPARK:
        msg = (
            "STEDI_ENGINE is 'spark', but this version computes the tables with DuckDB only; the transforms "
            "are tested on Spark. Unset STEDI_ENGINE, or set it to 'duckdb'."
        )
        raise MissingEngineError(msg)
    return DuckDBEngine(memory_limit=settings.memory_limit)
