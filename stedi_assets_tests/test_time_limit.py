"""The limit on the time that a test without a marker may take, as ``conftest.py`` holds it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py").read_text()

TESTS = """
    import time
    import pytest

    @pytest.fixture(scope="module", params=[1])
    def shared(): time.sleep(0.15)

    @pytest.fixture(scope="module")
    def shared_too(): time.sleep(0.15)

    @pytest.fixture
    def own(): time.sleep(0.15)

    @pytest.fixture
    def asking(request): request.getfixturevalue("shared_too")

    def test_quick(): pass
    def test_with_a_slow_fixture_of_the_module(shared): pass
    def test_asking_for_a_slow_fixture_of_the_module(asking): pass
    def test_with_a_slow_fixture_of_its_own(own): pass
    def test_slow(): time.sleep(0.15)
    @pytest.mark.slow
    def test_marked(): time.sleep(0.15)
    @pytest.mark.parametrize("value", [pytest.param(1, marks=pytest.mark.spark)])
    def test_marked_by_a_parameter(value): time.sleep(0.15)
"""


def test_an_unmarked_test_that_takes_too_long_fails(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makeini("[pytest]\nmarkers =\n    process\n    spark\n    slow\n")
    pytester.makepyfile(test_it=TESTS)
    off = [
        argument for name in ("randomly", "xdist", "cacheprovider", "pytest_cov") for argument in ("-p", f"no:{name}")
    ]
    with monkeypatch.context() as patched:
        patched.setenv("STEDI_TEST_SECONDS", "0.1")
        patched.setattr(os, "getloadavg", lambda: (1.0, 1.0, 1.0))
        result = pytester.runpytest_inprocess(*off)
    assert result.parseoutcomes() == {"passed": 5, "failed": 2}
    result.stdout.fnmatch_lines(
        [
            "*::test_with_a_slow_fixture_of_its_own took 0.? s, more than the 0.1 s*",
            "*::test_slow took 0.? s, more than the 0.1 s*Make it faster, or mark it with process*",
        ]
    )
