"""How time grows with what is read.

A hostile input that is four times as long may take no more than eight times as long. What takes time with the square of
its length takes sixteen times as long.
"""

from __future__ import annotations

import time
from collections.abc import Callable

RUNS = 3
MOST = 8.0
"""Times as long that what is four times as long may take."""
LEAST_SECONDS = 0.05
"""What takes less is not told from noise."""


def assert_grows_with_length(work: Callable[[int], object], length: int) -> None:
    """Assert that work takes time that grows with the length of what it works on.

    Args:
        work: works on something of a length; what it works on must be as quick to make.
        length: the shorter of the two lengths that are compared.
    """
    short, long = _seconds(work, length), _seconds(work, 4 * length)
    assert long <= MOST * max(short, LEAST_SECONDS), f"{short:.3f} s, and {long:.3f} s for what is four times as long"


def _seconds(work: Callable[[int], object], length: int) -> float:
    """The least of the processor's seconds of several runs: the others had to share caches and processors."""

    def once() -> float:
        started = time.process_time()
        work(length)
        return time.process_time() - started

    return min(once() for _ in range(RUNS))
