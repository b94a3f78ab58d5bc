"""``stedi dev``: Dagster's UI and the sensors on this machine."""

from __future__ import annotations

import importlib.util
import socket
import sys
from pathlib import Path

import click

from stedi_assets.cli.output import FAILED, Failure

WORKSPACE = Path("workspace.yaml")


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True, help="The port of the UI.")
def dev(port: int) -> None:
    """Serve Dagster's UI on this machine, with the sensors on, until Ctrl-C.

    Run it in the project's folder, where workspace.yaml and dagster.yaml lie. The UI answers to this machine
    alone, and refuses what foreign web pages have the browser send. It has no authentication: see docs/deploy.md.
    """
    if importlib.util.find_spec("dagster_webserver") is None:
        raise Failure("Dagster's UI is not installed. Install it: pip install 'stedi-assets[ui]'")
    if not WORKSPACE.is_file():
        raise Failure(f"There is no {WORKSPACE} in {Path.cwd()}. Run `stedi dev` in the project's folder.")
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise Failure(f"Port {port} of 127.0.0.1 cannot be used: {error.strerror}. Name another: --port.") from error
    from stedi_assets.webserver.dev import serve

    if not serve(WORKSPACE, port):
        sys.exit(FAILED)
