"""What a change makes anew, by the tables' files and not by time; and that memory never changes what is found."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import shutil
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from stedi_assets.contracts import ASSET_TABLES, DERIVED_TABLES, Identifier
from stedi_assets.contracts import table as contract
from stedi_assets.reference import ASSETS
from stedi_assets.settings import Policies, ReadingsBeforeConsent
from stedi_assets.staleness.cache import LakeCache
from stedi_assets.staleness.fingerprints import (
    Parts,
    combined,
    differing_parts,
    expected_fingerprints,
    expected_parts,
    lake_state,
)
from stedi_assets.staleness.stale import stale_partitions
from stedi_assets.staleness.view import LakeView
from stedi_assets_tests.kit.driven import INPUTS, KEY, OTHER_KEY, POLICIES, DrivenLake, settle
from stedi_assets_tests.kit.examples import chosen, drawing_afresh
from stedi_assets_tests.kit.memory import MemoryLake
from stedi_assets_tests.kit.plays import Play, plays
from stedi_assets_tests.kit.records import DAY as FIRST
from stedi_assets_tests.kit.records import STAMP, customer, lines, movement, step

DAYS = [FIRST + timedelta(days=n) for n in range(9)]
LAST = DAYS[-1]
HERS = {DAYS[2], DAYS[5], DAYS[6]}
"""The days of Ann's readings; her record landed on the first day. The others have readings on every day."""

Partitions = dict[str, set[date]]


def at(day: date) -> int:
    """A time on a landing day, in ms."""
    return STAMP + (day - FIRST).days * 86_400_000


class Watched(DrivenLake):
    """A lake in a folder, of which one looks at what a change makes anew."""

    def put(self, table: str, day: date, content: str, name: str = "part.json") -> None:
        path = self.landing / table / f"landing_date={day}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def files(self) -> dict[tuple[str, date], tuple[str, ...]]:
        return {
            (table.name, day): names
            for table in ASSET_TABLES
            for day, names in self.lakehouse.snapshot(table).contents.items()
        }

    def versions(self) -> dict[str, int]:
        return {table.name: self.lakehouse.snapshot(table).version for table in ASSET_TABLES}

    def settles(self) -> tuple[Partitions, Partitions]:
        """Ingest what landed; what differs then, and which partitions of derived tables have other files at the end."""
        before, versions = self.files(), self.versions()
        for name, days in self.landed().items():
            self.make(name, sorted(days))
        found = self.differing()
        settle(self, self.run)
        after = self.files()
        rewritten: Partitions = {}
        for name, day in {partition for partition in before.keys() | after.keys() if partition[0] in INPUTS}:
            if before.get((name, day)) != after.get((name, day)):
                rewritten.setdefault(name, set()).add(day)
        for name in INPUTS:
            assert (self.versions()[name] == versions[name]) == (name not in rewritten), name
        return found, rewritten


BEFORE = [
    pytest.param(ReadingsBeforeConsent.INCLUDE, id="include"),
    pytest.param(ReadingsBeforeConsent.EXCLUDE, id="exclude", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", params=BEFORE)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Policies]:
    """A lake that is up to date, to be copied."""
    root, policies = tmp_path_factory.mktemp("lake"), Policies(request.param)
    with contextlib.closing(Watched(root, policies)) as lake:
        lake.put("customer_landing", FIRST, lines(*map(customer, ("ann", "bob", "cat")), customer("dee", False)))
        for day in DAYS:
            names = ["bob", "cat", *(["ann"] if day in HERS else []), *(["dee"] if day in {DAYS[1], DAYS[7]} else [])]
            lake.put("accelerometer_landing", day, lines(*(movement(name, at(day)) for name in names)))
            lake.put("step_trainer_landing", day, lines(*(step(name, at(day)) for name in names)))
        lake.run(ASSETS, DAYS)
        settle(lake, lake.run)
    return root, policies


@pytest.fixture
def lake(made: tuple[Path, Policies], tmp_path: Path) -> Iterator[Watched]:
    shutil.copytree(made[0], tmp_path, dirs_exist_ok=True)
    with contextlib.closing(Watched(tmp_path, made[1])) as lake:
        assert lake.differing() == {}
        yield lake


PEOPLE = ("customer_trusted", "customers_curated", "consent_history")
READINGS = ("accelerometer_trusted", "step_trainer_trusted", "machine_learning_curated")


def test_nothing_is_made_anew_where_nothing_changed(lake: Watched) -> None:
    before = lake_state(lake.resources.view())
    assert lake.settles() == ({}, {})
    assert lake_state(lake.resources.view()) == before


def test_a_withdrawal_makes_the_days_anew_on_which_they_moved(lake: Watched) -> None:
    lake.put("customer_landing", LAST, lines(customer("ann", False, updated=at(LAST))))
    found, rewritten = lake.settles()
    # Her record leaves the day on which it landed; a day on which only refusals landed has no rows, and no partition.
    assert found == {
        "customer_trusted": {FIRST},
        "accelerometer_trusted": HERS,
        "customers_curated": {FIRST},
        "consent_history": {FIRST},
        "step_trainer_trusted": HERS,
        "machine_learning_curated": HERS,
    }
    assert rewritten == found


@pytest.mark.slow
def test_a_grant_makes_the_days_anew_on_which_they_moved(lake: Watched) -> None:
    lake.put("customer_landing", LAST, lines(customer("dee", updated=at(LAST))))
    found, rewritten = lake.settles()
    hers = {DAYS[1], DAYS[7]}
    assert found["accelerometer_trusted"] == hers
    assert rewritten == {**{name: {LAST} for name in PEOPLE}, **dict.fromkeys(READINGS, hers)}


@pytest.mark.slow
def test_a_late_record_counts_if_it_was_written_later(lake: Watched) -> None:
    lake.put("customer_landing", DAYS[4], lines(customer("ann", False, updated=STAMP - 2000)))
    assert lake.settles() == ({}, {})
    lake.put("customer_landing", DAYS[3], lines(customer("ann", False, updated=STAMP)))
    _, rewritten = lake.settles()
    assert rewritten == {**{name: {FIRST} for name in PEOPLE}, **dict.fromkeys(READINGS, HERS)}


@pytest.mark.slow
def test_a_day_that_landed_again_is_made_anew_with_what_pairs_with_it(lake: Watched) -> None:
    day = DAYS[7]
    # What she did before landed on this day too: it pairs with the steps of that day.
    names = ("bob", "cat", "dee")
    lake.put("accelerometer_landing", day, lines(*(movement(n, at(day)) for n in names), movement("ann", at(DAYS[5]))))
    _, rewritten = lake.settles()
    assert rewritten == {"accelerometer_trusted": {day}, "machine_learning_curated": {day}}
    # The steps of her device are another day's.
    lake.put("customer_landing", LAST, lines(customer("ann", False, updated=at(LAST))))
    _, rewritten = lake.settles()
    moved = HERS | {day}
    assert [rewritten[name] for name in READINGS] == [moved, HERS, moved]
    # Of a pair across days only the steps change: it lies in the partition of the movement.
    lake.put("step_trainer_landing", DAYS[5], lines(step("bob", at(DAYS[5])), step("bob", at(DAYS[5]) + 1)))
    _, rewritten = lake.settles()
    assert rewritten == {name: {DAYS[5]} for name in READINGS[1:]}


@pytest.mark.slow
def test_a_record_that_is_gone_counts_no_more(lake: Watched) -> None:
    """Even if its file was removed from the lake before anybody looked."""
    lake.put("customer_landing", LAST, lines(customer("ann", False, updated=at(LAST))), "ann.json")
    lake.settles()
    lake.put("customer_landing", LAST, lines(customer("bob", updated=STAMP - 5000)), "ann.json")
    for name, days in lake.landed().items():
        lake.make(name, days)
    lake.lakehouse.vacuum(contract("customer_landing"))
    _, rewritten = lake.settles()
    # Bob consents since the record that landed last now: his interval lies there.
    expected = {**{name: {FIRST} for name in PEOPLE}, **dict.fromkeys(READINGS, HERS)}
    assert rewritten == {**expected, "consent_history": {FIRST, LAST}}


def test_the_state_is_another_whenever_something_may_differ(lake: Watched) -> None:
    seen = {lake_state(lake.resources.view())}

    def other() -> bool:
        now = lake_state(lake.resources.view())
        return now not in seen and not seen.add(now)  # type: ignore[func-returns-value]

    assert not other()
    lake.make("machine_learning_curated", [LAST])
    assert other()
    lake.put("customer_landing", LAST, lines(customer("eve")))
    lake.make("customer_landing", [LAST])
    assert other()
    lake.configure(lake.resources.settings.policies, OTHER_KEY)
    assert other()
    for policies in set(POLICIES) - {lake.resources.settings.policies}:
        lake.configure(policies, OTHER_KEY)
        assert other()
    # As another process sees it.
    view = lake.resources.view()
    assert lake_state(fresh(lake)) == lake_state(view)


def test_every_part_of_a_table_with_pseudonyms_is_keyed(lake: Watched) -> None:
    """The names of files carry digests of the parts: whoever sees a name must not be able to test a guess."""
    names = [t.name for t in DERIVED_TABLES if any(c.identifies is Identifier.PSEUDONYM for c in t.columns)]
    assert names == ["customers_curated", "consent_history", "machine_learning_curated"]

    def parts() -> dict[str, Parts]:
        view = lake.resources.view()
        return {name: expected_parts(view, name, [FIRST])[FIRST] for name in names}

    before = parts()
    lake.configure(lake.resources.settings.policies, OTHER_KEY)
    for name, after in parts().items():
        assert [part for part, digest in after.items() if before[name][part] == digest] == ["rules version"]
        assert differing_parts(combined(before[name]), after) == ("pseudonym key",)


# --- memory ---------------------------------------------------------------------------------------


def fresh(lake: DrivenLake) -> LakeView:
    """The lake, by a process that remembers nothing."""
    return dataclasses.replace(lake.resources, cache=LakeCache()).view()


def assert_remembered_right(lake: DrivenLake, days: Sequence[date], pick: random.Random) -> None:
    one, other = lake.resources.view(), fresh(lake)
    for name in INPUTS:
        whole = expected_fingerprints(one, name)
        assert expected_fingerprints(other, name) == whole, name
        # A view remembers, too: another one is asked for some of the days.
        asked = pick.choice((lake.resources.view, lambda: fresh(lake)))()
        some = expected_fingerprints(asked, name, days)
        assert some == {day: whole.get(day, some[day]) for day in days}, name


@pytest.mark.usefixtures("consents_once")
@drawing_afresh(1, 8)
@given(plays(chosen(2, 5)))
def test_what_is_remembered_makes_no_difference(this: Play) -> None:
    """After every landing, run and removal, a long-lived process finds what one finds that has just begun."""
    lake: Any = MemoryLake(Path("/nowhere"), this.final)
    pick = random.Random(this.seed)
    days = this.history.days() or DAYS
    arrived = 0
    for one in this.steps:
        lake.arrive(this.history, one.arrived, arrived)
        arrived = one.arrived
        if this.changing:
            lake.configure(pick.choice(POLICIES), pick.choice((KEY, KEY, OTHER_KEY)))
        if lake.lying and pick.random() < 0.3:
            gone = pick.choice(lake.lying)
            lake.lying = [file for file in lake.lying if file is not gone]
            lake.make(gone.table, [gone.landing_date])
        lake.run(one.tables, one.days(), one.fails_at, pick.randrange(4))
        if pick.random() < 0.3:
            lake.run(ASSETS, days)
        assert_remembered_right(lake, pick.sample(days, pick.randint(1, len(days))), pick)
    assert stale_partitions(lake.resources.view()) == stale_partitions(fresh(lake))
