"""How many random examples a property is tried on: few in ``make test``, many in ``make test-all``.

``STEDI_TEST_PROFILE`` says which: ``few`` or ``all``. ``STEDI_TEST_EXAMPLES=100`` takes a hundred times as many of
either, for a night.
"""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, Phase, settings

PROFILES = ("few", "all")


def profile() -> str:
    """The profile that is asked for."""
    name = os.environ.get("STEDI_TEST_PROFILE", PROFILES[0])
    if name not in PROFILES:
        raise ValueError(f"STEDI_TEST_PROFILE is {name!r}; it takes {' or '.join(map(repr, PROFILES))}")
    return name


def register_profiles() -> None:
    """Tell Hypothesis: no deadlines, as the tests' own limits hold, and all the checks that make sense without them."""
    for name in PROFILES:
        settings.register_profile(name, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile(profile())


def chosen(few: int, many: int) -> int:
    """The size of something: ``few`` in ``make test``, ``many`` in ``make test-all``."""
    return few if profile() == "few" else many


def examples(few: int, many: int) -> int:
    """How many examples to take: ``few`` in ``make test``, ``many`` in ``make test-all``."""
    return chosen(few, many) * int(os.environ.get("STEDI_TEST_EXAMPLES", "1"))


def drawing_afresh(few: int, many: int) -> Any:
    """Settings for a property of which each example is slow: see the docstring of ``oracle.histories``."""
    return settings(
        max_examples=examples(few, many),
        deadline=None,
        backend="hypothesis-urandom",
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
