from __future__ import annotations

from collections.abc import Iterator

import pytest

from stedi_assets_tests.kit.plays import quick_consents


@pytest.fixture
def consents_once() -> Iterator[None]:
    """Compute who consents once per version of ``customer_landing``."""
    with quick_consents():
        yield
