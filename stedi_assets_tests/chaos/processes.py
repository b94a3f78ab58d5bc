"""Forked processes that run ``stedi``: the package is imported once, so that dozens of runs are quick.

Here too is what the tests of killed runs share: how the process that forks is started, and how it tries every kill.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stedi_assets_tests.chaos.lakes import KEY

SPILLED = "spilled"
"""The folder for temporary files, beside the folder in which a command runs."""

REPOSITORY = Path(__file__).parents[2]


def told(module: str, *arguments: object) -> Any:
    """Run a module of this package in a process of its own, which may fork as it has no threads; the JSON it prints."""
    done = subprocess.run(
        [sys.executable, "-m", f"stedi_assets_tests.chaos.{module}", *map(str, arguments)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


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
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def ended(child: int) -> int:
    """Wait for a child; its exit code, or the negative number of the signal that ended it."""
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def in_a_child(work: Callable[[], Any], file: Path) -> Any:
    """What some work gives, done in a child process: this one will fork again, and must not have threads by then.

    Args:
        work: gives what can be pickled.
        file: takes it meanwhile.
    """
    log = file.with_suffix(".log")
    code = ended(forked(lambda: file.write_bytes(pickle.dumps(work())), log))
    assert code == 0, log.read_text()
    return pickle.loads(file.read_bytes())


def stedi(*arguments: str, landing: Path, lake: Path, home: Path) -> None:
    """Run the ``stedi`` command in this process, in the folder ``home``, below which Dagster keeps its state."""
    from stedi_assets.cli.main import cli
    from stedi_assets.cli.output import DIFFERS

    home.mkdir(parents=True, exist_ok=True)
    os.chdir(home)
    (home.parent / SPILLED).mkdir(exist_ok=True)
    tempfile.tempdir = str(home.parent / SPILLED)
    os.environ.pop("DAGSTER_HOME", None)
    os.environ.update(STEDI_LANDING_URI=str(landing), STEDI_LAKE_URI=str(lake), STEDI_PSEUDONYM_KEY=KEY)
    try:
        cli(list(arguments), standalone_mode=False)
    except SystemExit as end:
        # All is made, and the lines that could not be read must be looked at: the landing zones here have some.
        if (arguments[0], end.code) != ("materialize", DIFFERS):
            raise


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


def die() -> None:
    """As if the power went."""
    os.kill(os.getpid(), signal.SIGKILL)


def without_checks() -> None:
    """Leave the asset checks out of this process's runs: they only read, and take half of the time."""
    import stedi_assets.defs.asset_job

    stedi_assets.defs.asset_job.build_checks = lambda _: []  # type: ignore[assignment]


def with_state_in_memory() -> None:
    """Leave Dagster's state of this process's runs in memory."""
    import dagster as dg

    import stedi_assets.defs.instance

    stedi_assets.defs.instance.open_instance = lambda _: dg.DagsterInstance.ephemeral()


def killed(prepare: Callable[[], object], work: Callable[[], object], log: Path, seconds: float | None) -> int:
    """Do some work in a child process that is killed; its exit code.

    Args:
        prepare: makes what the work begins with, also a second time.
        work: what the child does.
        log: takes its output.
        seconds: until it is killed from here; none where it kills itself. Whatever ends before is prepared and done
            again and killed sooner: the machine was slower when it was measured how long this takes.
    """
    for _ in range(4):
        prepare()
        child = forked(work, log)
        if seconds is None:
            return ended(child)
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        code = ended(child)
        if code != 0:
            break
        seconds *= 0.6
    return code


def all_killed(
    root: Path,
    prepare: Callable[[], object],
    measure: Mapping[str, Callable[[], object]],
    kills: Sequence[Any],
    trial: Callable[[int, Sequence[Any]], object],
) -> dict[str, object]:
    """Try every kill, in processes of their own: one alone, then two in a trial, of which one kills the rerun.

    Args:
        root: a folder to work in.
        prepare: makes what every trial begins with, and calls ``imported``.
        measure: undisturbed runs by name; each leaves what it measured in ``<name>.json`` below ``root``.
        kills: when to kill; dataclasses.
        trial: given a number and one or two kills, leaves what it found after each in ``trial-<number>.json``.

    Returns:
        What was ``measured``, and the ``results``: what each trial found.
    """
    for work in ({"prepared": prepare}, measure):
        # One at a time, as the trials' times are compared with what is measured here.
        for name, code in all_done(work, root, at_once=1).items():
            if code:
                sys.exit(f"{name} failed:\n{(root / f'{name}.log').read_text()}")
        import_before_forking(root / "imported.json")
    trials = [some for n in range(0, len(kills), 3) for some in split(kills[n : n + 3])]
    codes = all_done({f"trial-{n}": lambda n=n, some=some: trial(n, some) for n, some in enumerate(trials)}, root)
    results = []
    for number, some in enumerate(trials):
        found = root / f"trial-{number}.json"
        if found.exists():
            results += json.loads(found.read_text())
            continue
        said = f"exit code {codes[f'trial-{number}']}: {(root / f'trial-{number}.log').read_text()[-4000:]}"
        results += [{"kill": asdict(kill), "code": None, "wrong": [said]} for kill in some]
    return {"measured": {name: json.loads((root / f"{name}.json").read_text()) for name in measure}, "results": results}


def split(three: Sequence[Any]) -> list[Sequence[Any]]:
    """The first alone, the others together."""
    return [some for some in (three[:1], three[1:]) if some]


def wait_until(moment: float) -> None:
    """Sleep until ``time.monotonic()`` is ``moment``."""
    time.sleep(max(0.0, moment - time.monotonic()))
