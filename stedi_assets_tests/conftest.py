"""Fixtures that tests of several packages ask for."""

from __future__ import annotations

import pytest


@pytest.fixture
def without_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the asset checks out of runs: they only read, and take half of the time. For tests of what runs make."""
    monkeypatch.setattr("stedi_assets.defs.build.build_checks", lambda _: [])
