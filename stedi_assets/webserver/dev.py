"""What ``stedi dev`` runs: the code location, the webserver behind the guard and the daemon, until somebody ends it.

Dagster's own ``dev`` does this, and always starts ``python -m dagster_webserver``. Here it starts
``python -m stedi_assets.webserver`` instead; the rest is Dagster's.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from subprocess import Popen
from typing import Any

from dagster._cli import dev as dagster_dev
from dagster_shared.cli import WorkspaceOpts

from stedi_assets.settings import prepare_dagster

DAGSTERS = [sys.executable, "-m", "dagster_webserver"]
"""How Dagster starts its webserver."""

GUARDED = [sys.executable, "-m", "stedi_assets.webserver"]
"""How it is started behind the guard."""


class UnguardedError(RuntimeError):
    """Dagster did not start its webserver as this version knows it, so the guard could not be put before it.

    Remedy: install the tested versions, those of `constraints.txt`.
    """


def serve(workspace: Path, port: int) -> bool:
    """Serve the UI on this machine and run the daemon, until Ctrl-C or until one of them ends by itself.

    Args:
        workspace: the ``workspace.yaml`` that names the code location.
        port: of the UI, on 127.0.0.1.

    Returns:
        Whether it was ended by somebody, and nothing failed.

    Raises:
        UnguardedError: the webserver would have no guard; nothing is served.
    """
    services: list[Popen[Any]] = []
    # Whether it is there is asked here: where Dagster has no such name any more, nothing is served.
    unguarded = dagster_dev.open_ipc_subprocess  # type: ignore[attr-defined]

    def start(command: Sequence[str], **options: Any) -> Popen[Any]:
        service: Popen[Any] = unguarded(behind_the_guard(command, is_first=not services), **options)
        services.append(service)
        return service

    prepare_dagster()
    dagster_dev.open_ipc_subprocess = start  # type: ignore[attr-defined,assignment]
    dagster_dev.dev_command_impl(
        code_server_log_level="warning",
        log_level="info",
        log_format="colored",
        port=str(port),
        host="127.0.0.1",
        use_legacy_code_server_behavior=False,
        shutdown_pipe=None,
        verbose=False,
        workspace_opts=WorkspaceOpts(workspace=(str(workspace),)),
    )
    return not any(service.returncode for service in services)


def behind_the_guard(command: Sequence[str], is_first: bool) -> list[str]:
    """The command of one of Dagster's services; that of the webserver, the first, with the guard.

    Args:
        command: as Dagster has it.
        is_first: whether no other was started before.

    Raises:
        UnguardedError: the first one is not the webserver.
    """
    if not is_first:
        return list(command)
    if list(command[:3]) != DAGSTERS:
        msg = f"Dagster starts {command[2]!r} first, where 'dagster_webserver' was expected. Nothing is served."
        raise UnguardedError(msg)
    return [*GUARDED, *command[3:]]
