"""``stedi dev`` says what is missing before it starts anything. What it serves is tested in ``e2e``."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from stedi_assets_tests.kit.commands import stedi
from stedi_assets_tests.kit.servers import free_port


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, int]]:
    """What would be served."""
    calls: list[tuple[Path, int]] = []

    def serve(workspace: Path, port: int) -> bool:
        calls.append((workspace, port))
        return True

    monkeypatch.setattr("stedi_assets.webserver.dev.serve", serve)
    return calls


def test_it_serves_the_workspace_of_the_folder(tmp_path: Path, asked: list[tuple[Path, int]]) -> None:
    (tmp_path / "workspace.yaml").touch()
    port = free_port()

    assert stedi(tmp_path, "dev", "--port", str(port)).code == 0
    assert asked == [(Path("workspace.yaml"), port)]


def test_it_fails_where_a_service_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "workspace.yaml").touch()
    monkeypatch.setattr("stedi_assets.webserver.dev.serve", lambda *_: False)

    assert stedi(tmp_path, "dev", "--port", str(free_port())).code == 2


def test_a_port_that_is_taken_is_said_at_once(tmp_path: Path, asked: list[tuple[Path, int]]) -> None:
    (tmp_path / "workspace.yaml").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = stedi(tmp_path, "dev", "--port", str(port))

    assert (done.code, asked) == (2, [])
    assert f"Port {port} of 127.0.0.1 cannot be used" in done.err
    assert "--port" in done.err


def test_another_folder_is_said_at_once(tmp_path: Path, asked: list[tuple[Path, int]]) -> None:
    done = stedi(tmp_path, "dev")

    assert (done.code, asked) == (2, [])
    assert f"There is no workspace.yaml in {tmp_path}" in " ".join(done.err.split())


def test_a_ui_that_is_not_installed_is_said_at_once(
    tmp_path: Path, asked: list[tuple[Path, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "workspace.yaml").touch()
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    done = stedi(tmp_path, "dev")

    assert (done.code, asked) == (2, [])
    assert "pip install 'stedi-assets[ui]'" in done.err
