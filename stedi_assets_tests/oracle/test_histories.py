"""The strategies of landing histories are well formed, and reach every situation that the rules know."""

from __future__ import annotations

import contextlib
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from stedi_assets.reference import ASSETS, COLUMNS, Landing, Row, Tables, land, refine
from stedi_assets_tests.kit.examples import examples
from stedi_assets_tests.kit.landing_zone import landed_files
from stedi_assets_tests.oracle.histories import DAYS, History, Step, histories, schedules
from stedi_assets_tests.reference.landed import DAY_1, DAY_2, DAY_3, KEY, emails, rows

few = settings(max_examples=examples(20, 60), deadline=None, suppress_health_check=[HealthCheck.too_slow])


@few
@given(histories())
def test_a_history_can_be_written_and_read(tmp_path_factory: pytest.TempPathFactory, history: History) -> None:
    root = tmp_path_factory.mktemp("landing")
    half = len(history.files) // 2
    history.write(root, half)
    assert len([path for path in root.rglob("*.json*") if path.is_file()]) == half
    history.write(root, start=half)
    assert list(landed_files(root)) == sorted(history.files, key=lambda file: file.path)
    assert set(history.days()) <= set(DAYS)


@few
@given(st.data())
def test_a_schedule_runs_every_landed_day_after_its_last_file(data: st.DataObject) -> None:
    history = data.draw(histories())
    schedule = data.draw(schedules(history))
    arrivals = [one.arrived for one in schedule]
    assert arrivals == sorted(arrivals)
    for number, file in enumerate(history.files, start=1):
        assert any(one.covers(file.landing_date, number) for one in schedule)
    for one in schedule:
        assert one.days()[0] == one.first <= one.last == one.days()[-1]
        assert one.fails_at is None or one.fails_at in one.tables
        assert set(one.tables) <= set(ASSETS)


def test_a_failed_or_partial_run_covers_nothing() -> None:
    assert Step(DAY_1, DAY_3, 2).covers(DAY_2, 2)
    assert not Step(DAY_1, DAY_3, 2).covers(DAY_2, 3)
    assert not Step(DAY_1, DAY_1, 2).covers(DAY_2, 2)
    assert not Step(DAY_1, DAY_3, 2, ("customer_landing",)).covers(DAY_2, 2)
    assert not Step(DAY_1, DAY_3, 2, ASSETS, "customer_landing").covers(DAY_2, 2)


def pair_situations(tables: Tables) -> set[str]:
    """Name what there is among the pairs that the product may get wrong."""
    found = set()
    columns = ("same_customer", "device_subject_id")
    for same_customer, device in rows(tables, "machine_learning_curated", *columns):
        found.add(f"a pair, same customer: {same_customer}, device known: {device is not None}")
    if any(count > 1 for count in tables["machine_learning_curated"].values()):
        found.add("the same pair of readings landed on two days")
    return found


def device_situations(landing: Landing, tables: Tables) -> set[str]:
    """Name what there is among customers and their devices that the product may get wrong."""
    found = set()
    last: dict[str, tuple[int, str]] = {}
    for record in landing.customers:
        known = last.get(record.email, (-1, ""))
        if known[0] == record.last_update:
            found.add("a tie in lastUpdateDate")
        last[record.email] = max(known, (record.last_update, record.serial_number))

    consenting: dict[str, set[bool]] = {}
    claims = Counter(serial for _, serial in last.values())
    trusted = {email for (email,) in emails(tables)}
    for email, (_, serial) in last.items():
        consenting.setdefault(serial, set()).add(email in trusted)
    used = {row[:2] for row in tables["step_trainer_trusted"]}
    for one in landing.steps:
        mixed = len(consenting.get(one.serial_number, ())) > 1
        number = min(claims[one.serial_number], 2)
        is_used = (one.time, one.serial_number) in used
        found.add(f"a step reading, claimants: {number}, mixed: {mixed}, used: {is_used}")
    return found


WANTED = {
    *COLUMNS,
    *(f"{table}, other under exclude" for table in ASSETS[4:] if table != "consent_history"),
    "an interval that ended",
    "an interval that ended and another that holds",
    "two intervals that say the same",
    "a pair, same customer: True, device known: True",
    "a pair, same customer: False, device known: True",
    "a pair, same customer: False, device known: False",
    "the same pair of readings landed on two days",
    "a tie in lastUpdateDate",
    "a step reading, claimants: 0, mixed: False, used: False",
    "a step reading, claimants: 1, mixed: False, used: False",
    "a step reading, claimants: 1, mixed: False, used: True",
    "a step reading, claimants: 2, mixed: False, used: False",
    "a step reading, claimants: 2, mixed: False, used: True",
    "a step reading, claimants: 2, mixed: True, used: False",
    "a step reading, claimants: 2, mixed: True, used: True",
}


def history_situations(tables: Tables) -> set[str]:
    """Name what there is among the intervals of consent that the product may get wrong."""
    found = set()
    intervals: dict[object, list[Row]] = {}
    for subject, _, *interval in rows(tables, "consent_history"):
        intervals.setdefault(subject, []).append(tuple(interval))
    for of_subject in intervals.values():
        ended = [interval for interval in of_subject if interval[1] is not None]
        if ended:
            found.add("an interval that ended" + (" and another that holds" if len(of_subject) > len(ended) else ""))
        if len(set(of_subject)) < len(of_subject):
            found.add("two intervals that say the same")
    return found


class AllSeenError(Exception):
    """Ends the search below."""


@pytest.mark.slow
def test_the_strategy_reaches_every_situation() -> None:
    missing = set(WANTED)

    @settings(
        max_examples=1000,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        backend="hypothesis-urandom",
    )
    @given(histories())
    def look(history: History) -> None:
        landing = land(history.files)
        tables, others = refine(landing, KEY), refine(landing, KEY, "exclude")
        missing.difference_update(
            {table for table in COLUMNS if tables[table]},
            {f"{one}, other under exclude" for one in COLUMNS if tables[one] != others[one]},
            pair_situations(tables),
            device_situations(landing, tables),
            history_situations(tables),
        )
        if not missing:
            raise AllSeenError

    with contextlib.suppress(AllSeenError):
        look()
    assert not missing
