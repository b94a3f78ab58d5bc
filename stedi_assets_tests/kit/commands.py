"""The ``stedi`` command, in this process or as a process of its own, and what its user gets to see.

In this process it is the same ``main()`` with a folder, an environment and streams of its own; only the interpreter
does not end with it. A test whose point is the process (pipes, exit codes, what others see of it) starts a real one
and is marked ``process``.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from stedi_assets.cli import main as command_line

STEDI = Path(sys.executable).with_name("stedi")
"""The installed command."""


@dataclass(frozen=True)
class Done:
    """A command that has ended.

    Args:
        code: the exit code.
        out: what it printed on standard output.
        err: what it printed on standard error.
    """

    code: int
    out: str
    err: str

    def rows(self) -> list[dict[str, str]]:
        """The rows of CSV that it printed."""
        return list(csv.DictReader(io.StringIO(self.out)))


class EndedError(Exception):
    """The command wants to end the process."""


def clean_environment(folder: Path, **more: str) -> dict[str, str]:
    """The environment of a user's process: without the settings of this one."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("STEDI_", "DAGSTER_", "PYTEST"))}
    return {**kept, "PWD": str(folder), "DAGSTER_DISABLE_TELEMETRY": "1", "COLUMNS": "120", **more}


@contextlib.contextmanager
def as_in_a_process(folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """Be in a folder, with an environment, and leave both and the warnings' filters as they were."""
    before, variables = Path.cwd(), dict(os.environ)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    try:
        with warnings.catch_warnings():
            yield
    finally:
        os.chdir(before)
        os.environ.clear()
        os.environ.update(variables)


def stedi(folder: Path, *arguments: str, given: str = "", **env: str) -> Done:
    """Run ``stedi`` in a folder, in this process.

    Args:
        folder: the current folder of the command.
        arguments: its arguments.
        given: its standard input.
        env: its settings.
    """
    code = None

    def end(with_code: int) -> None:
        nonlocal code
        code = with_code
        raise EndedError

    with (
        as_in_a_process(folder, clean_environment(folder, **env)),
        pytest.MonkeyPatch.context() as patch,
        CliRunner().isolation(input=given) as (out, err, _),
    ):
        patch.setattr(command_line, "_end", end)
        patch.setattr(sys, "argv", [str(STEDI), *arguments])
        with contextlib.suppress(EndedError):
            command_line.main()
        sys.stdout.flush()
        sys.stderr.flush()
        printed = out.getvalue().decode(), err.getvalue().decode()
    assert code is not None
    return Done(code, *printed)


def stedi_process(folder: Path, *arguments: str, given: str = "", **env: str) -> Done:
    """Run ``stedi`` in a folder, as a process of its own, whose output goes to a pipe."""
    done = subprocess.run(
        [str(STEDI), *arguments],
        cwd=folder,
        env=clean_environment(folder, **env),
        input=given,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)
