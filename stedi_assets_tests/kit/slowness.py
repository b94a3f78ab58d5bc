"""How much longer than on an idle machine a test may take, where it measures time.

``STEDI_TEST_SECONDS`` says it of a slow machine: how long a test without a marker may take there, instead of five
seconds. The load says it of a machine that does other work too.
"""

from __future__ import annotations

import os

SECONDS = 5.0
"""How long a test without a marker may take, on a machine that is neither slow nor busy."""


def slowness() -> float:
    """By how much to stretch the seconds that something may take; 1 on a machine that is neither slow nor busy."""
    crowd = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    return crowd * float(os.environ.get("STEDI_TEST_SECONDS", SECONDS)) / SECONDS
