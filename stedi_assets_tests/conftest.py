"""Fixtures that tests of several packages ask for, and the limit on how long a test may take.

A test that carries none of the markers ``process``, ``spark`` and ``slow`` belongs to ``make test``, which is to be
done in two minutes. It fails if it takes more than five seconds: its own time and that of the fixtures that are set
up for it alone. ``STEDI_TEST_SECONDS`` sets another limit on a slow machine, and the limit grows with the load of a
machine that does other work too.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from stedi_assets_tests.kit.examples import profile, register_profiles
from stedi_assets_tests.kit.slowness import SECONDS, slowness

register_profiles()

SLOW = 10
"""About the seconds that a test with a marker takes."""

MARKERS = ("process", "spark", "slow")
"""A test with one of these may take longer."""


def limit() -> float:
    """The seconds that a test without such a marker may take, on this machine and now."""
    return SECONDS * slowness()


def is_slow(item: pytest.Item) -> bool:
    """Whether a test may take longer: it is marked, or tries as many random examples as ``make test-all`` does."""
    has_many_examples = profile() == "all" and getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
    return has_many_examples or any(item.get_closest_marker(name) for name in MARKERS)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the files whose tests may take longest, and leave slow tests out of what coverage is measured of.

    A file that takes minutes and comes last keeps one processor waiting. Tracing costs slow tests a fifth more time,
    and what the floor holds is that the tests of ``make test`` reach the code.
    """
    weights: Counter[object] = Counter()
    for item in items:
        marker = item.get_closest_marker("timeout")
        weights[item.path] += (marker.args[0] if marker else 0) + SLOW * any(map(item.get_closest_marker, MARKERS))
    items.sort(key=lambda item: -weights[item.path])
    if config.pluginmanager.hasplugin("_cov"):
        for item in items:
            if is_slow(item):
                item.add_marker("no_cover")


class Stopwatch:
    """The time of one test, without what fixtures of a wider scope take that are set up meanwhile."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._nested = [0.0]

    @contextlib.contextmanager
    def measure(self, counts: bool) -> Iterator[None]:
        """Measure what happens inside; add it to ``seconds`` if it ``counts``."""
        started = time.perf_counter()
        self._nested.append(0.0)
        try:
            yield
        finally:
            took = time.perf_counter() - started
            own = took - self._nested.pop()
            self._nested[-1] += took
            if counts:
                self.seconds += own


STOPWATCH = pytest.StashKey[Stopwatch]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Any:
    with item.stash.setdefault(STOPWATCH, Stopwatch()).measure(counts=True):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> Any:
    stopwatch = request._pyfuncitem.stash.setdefault(STOPWATCH, Stopwatch())
    with stopwatch.measure(counts=fixturedef.scope == "function"):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report: pytest.TestReport = yield
    stopwatch = item.stash.get(STOPWATCH, None)
    if call.when == "call" and report.passed and not is_slow(item) and stopwatch and stopwatch.seconds > limit():
        report.outcome = "failed"
        report.longrepr = (
            f"{item.nodeid} took {stopwatch.seconds:.1f} s, more than the {limit():.2g} s that a test of `make test` "
            f"may take. Make it faster, or mark it with {', '.join(MARKERS[:-1])} or {MARKERS[-1]}. On a slow machine, "
            "set STEDI_TEST_SECONDS to a higher limit."
        )
    return report


@pytest.fixture
def without_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the asset checks out of runs: they only read, and take half of the time. For tests of what runs make."""
    monkeypatch.setattr("stedi_assets.defs.asset_job.build_checks", lambda _: [])


@pytest.fixture
def without_dagster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a ``Materializer`` make tables without Dagster's runs, which take most of the time. See ``run_directly``."""
    from stedi_assets_tests.kit.driven import leave_out_dagster

    leave_out_dagster(monkeypatch)
