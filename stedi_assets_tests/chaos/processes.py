"""Forked processes that run ``stedi``: the package is imported once, so that dozens of runs are quick."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

from stedi_assets_tests.chaos.lakes import KEY


def imported(told: Path) -> None:
    """Note what this process has imported."""
    told.write_text(json.dumps(sorted(sys.modules)))


def import_before_forking(told: Path) -> None:
    """Import what another process did, so that no process forked from here must: it takes 1.5 s."""
    for name in json.loads(told.read_text()):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    assert threading.active_count() == 1


def forked(work: Callable[[], object], log: Path) -> int:
    """Do some work in a child process, its output in a file; gives the child's process id.

    Its exit code is 0, or 1 if the work raised. To be called before this process has threads.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        with log.open("ab") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        work()
        code = 0
    except BaseException:  # noqa: BLE001 - the child ends here, whatever happened
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def ended(child: int) -> int:
    """Wait for a child; its exit code, or the negative number of the signal that ended it."""
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def stedi(*arguments: str, landing: Path, lake: Path, home: Path) -> None:
    """Run the ``stedi`` command in this process, in the folder ``home``, below which Dagster keeps its state."""
    from stedi_assets.cli.main import cli

    home.mkdir(parents=True, exist_ok=True)
    os.chdir(home)
    os.environ.pop("DAGSTER_HOME", None)
    os.environ.update(STEDI_LANDING_URI=str(landing), STEDI_LAKE_URI=str(lake), STEDI_PSEUDONYM_KEY=KEY)
    cli(list(arguments), standalone_mode=False)


def all_done(work: Mapping[str, Callable[[], object]], folder: Path, at_once: int = 2) -> dict[str, int]:
    """Do named pieces of work in child processes, some at once; their exit codes."""
    running: dict[int, str] = {}
    codes: dict[str, int] = {}
    left = list(work.items())
    while left or running:
        while left and len(running) < at_once:
            name, piece = left.pop(0)
            running[forked(piece, folder / f"{name}.log")] = name
        for child in list(running):
            # Not any child: others than these may be waited for elsewhere.
            found, status = os.waitpid(child, os.WNOHANG)
            if found:
                codes[running.pop(child)] = os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    return codes


def wait_until(moment: float) -> None:
    """Sleep until ``time.monotonic()`` is ``moment``."""
    time.sleep(max(0.0, moment - time.monotonic()))
