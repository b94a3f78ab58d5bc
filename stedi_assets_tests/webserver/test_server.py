"""Dagster's webserver with the guard before it: that it is there, and what of Dagster's it relies on."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from dagster._cli import dev as dagster_dev
from dagster_graphql.schema import create_schema
from dagster_webserver import cli as dagster_webserver
from dagster_webserver.webserver import DagsterWebserver
from graphql import ExecutionResult
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Route

from stedi_assets.webserver import dev, server
from stedi_assets.webserver.guard import Guard


def test_the_guard_is_asked_before_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Starlette] = []

    def unguarded(*_: Any, **__: Any) -> Starlette:
        return Starlette(middleware=[Middleware(GZipMiddleware)])

    monkeypatch.setattr(dagster_webserver, "create_app_from_workspace_process_context", unguarded)
    monkeypatch.setattr(
        dagster_webserver,
        "main",
        lambda: served.append(dagster_webserver.create_app_from_workspace_process_context(None, "")),
    )
    monkeypatch.setenv("STEDI_UI_ORIGIN", "https://lake.example.org")
    server.main()
    first = served[0].user_middleware[0]

    assert first.cls is Guard
    assert first.kwargs == {"origins": ["https://lake.example.org"]}


def test_the_routes_that_change_something_are_those_that_the_guard_is_tested_with() -> None:
    """A route that a new version brings is to be looked at, and its requests added to the tests of the guard."""
    routes: list[Any] = DagsterWebserver(None).build_routes()  # type: ignore[type-var]
    of_posts = {
        route.path
        for route in routes
        if isinstance(route, Route) and not {"GET"} >= (route.methods or set()) - {"HEAD"}
    }

    assert of_posts == {
        "/graphql",
        "/report_asset_materialization/{asset_key:path}",
        "/report_asset_check/{asset_key:path}",
        "/report_asset_observation/{asset_key:path}",
    }


def test_a_websocket_carries_no_mutation() -> None:
    """So the guard need not read what is sent over one; Dagster gives what comes to ``subscribe``."""
    mutation = 'mutation { setConcurrencyLimit(concurrencyKey: "x", limit: 1) }'
    result = asyncio.run(create_schema().subscribe(mutation))

    assert isinstance(result, ExecutionResult)
    assert "The subscription field 'setConcurrencyLimit' is not defined" in str(result.errors)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What ``stedi dev`` starts, of which nothing runs."""
    commands: list[list[str]] = []

    def start(command: list[str], **_: Any) -> Popen[bytes]:
        commands.append(command)
        service = Popen.__new__(Popen)
        service.returncode = 0
        return service

    monkeypatch.setattr(dagster_dev, "open_ipc_subprocess", start)
    for name in ("DAGSTER_HOME", "DAGSTER_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "")
    return commands


def test_stedi_dev_starts_the_webserver_behind_the_guard(
    started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def dagsters(**_: Any) -> None:
        dagster_dev.open_ipc_subprocess([sys.executable, "-m", "dagster_webserver", "--port", "3000"])
        dagster_dev.open_ipc_subprocess([sys.executable, "-m", "dagster._daemon", "run"])

    monkeypatch.setattr(dagster_dev, "dev_command_impl", dagsters)

    assert dev.serve(Path("workspace.yaml"), 3000)
    assert started == [
        [sys.executable, "-m", "stedi_assets.webserver", "--port", "3000"],
        [sys.executable, "-m", "dagster._daemon", "run"],
    ]


def test_stedi_dev_serves_nothing_where_dagster_starts_its_webserver_in_another_way(
    started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def dagsters(**_: Any) -> None:
        dagster_dev.open_ipc_subprocess([sys.executable, "-m", "dagster", "webserver"])

    monkeypatch.setattr(dagster_dev, "dev_command_impl", dagsters)

    with pytest.raises(dev.UnguardedError, match="'dagster_webserver' was expected"):
        dev.serve(Path("workspace.yaml"), 3000)
    assert started == []
