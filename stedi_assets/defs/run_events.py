"""What a run does while it goes on, as Dagster's events tell of it.

Dagster concept: a logger, through which the events of a run in this process come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from logging import Handler, Logger, LogRecord, getLogger
from typing import Any

import dagster as dg

from stedi_assets.defs.runs import Run

LOGGER = "progress"
"""The name of the logger in a run's configuration."""


@dataclass(frozen=True)
class Progress:
    """An event of a run, for a caller that shows how runs go on.

    Args:
        run: the run that is going on.
        step: table (or its checks) that was begun or finished; empty when the run begins.
        finished: whether it was finished.
    """

    run: Run
    step: str = ""
    finished: bool = False


class RunWatcher:
    """Watches runs, one after another.

    Args:
        progress: called as runs go on.
    """

    def __init__(self, progress: Callable[[Progress], None] | None = None) -> None:
        self._progress = progress or (lambda _: None)
        self._run: Run | None = None
        self.failures: dict[str, str] = {}
        """Of each step of the latest run that failed, the reason."""

    def begin(self, run: Run) -> None:
        """Watch a run from here on.

        Args:
            run: it.
        """
        self._run, self.failures = run, {}
        self._progress(Progress(run))

    def logger(self) -> dg.LoggerDefinition:
        """The logger through which the events of runs come, to be configured as :data:`LOGGER`."""

        def forwarding(_: dg.InitLoggerContext) -> Logger:
            logger = getLogger("stedi.runs")
            logger.setLevel("DEBUG")
            logger.propagate = False
            logger.handlers = [_EventHandler(self._event)]
            return logger

        return dg.LoggerDefinition(forwarding, description="Passes on what a run does.")

    def _event(self, event: Any) -> None:
        if self._run is None:
            return
        kind = event.event_type_value
        if kind in {"STEP_START", "STEP_SUCCESS"}:
            self._progress(Progress(self._run, event.step_key, finished=kind == "STEP_SUCCESS"))
        elif kind == "STEP_FAILURE":
            self.failures[event.step_key] = _reason(event.event_specific_data.error)


class _EventHandler(Handler):
    """Hands Dagster's events to a function."""

    def __init__(self, on_event: Callable[[Any], None]) -> None:
        super().__init__()
        self._on_event = on_event

    def emit(self, record: LogRecord) -> None:
        meta = getattr(record, "dagster_meta", {})
        event = meta.get("dagster_event") if isinstance(meta, dict) else None
        if event is not None:
            self._on_event(event)


def _reason(error: Any) -> str:
    """The message of the innermost cause, without its traceback."""
    while error is not None and error.cause is not None:
        error = error.cause
    return "unknown" if error is None else str(error.message).strip()


def steps(run: Run) -> Iterator[str]:
    """The steps that a run has, by name: each table and its checks."""
    for table in run.tables:
        yield table
        yield f"{table}_checks"
