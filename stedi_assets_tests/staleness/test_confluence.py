"""Confluence: any runs, in any order, with failures, end with the same rows.

What belongs here: random landing histories and schedules (``oracle.histories``) played on a lake, and
the comparison of every table with ``stedi_assets.reference``, which computes them from the files at once. They
are played in three ways:

* by Dagster, as in production, on a Delta lake;
* by a driver that takes the same steps without Dagster, so that a run can die at any commit;
* by the same driver on a lake in memory, with landing tables made by the oracle, at less than a tenth
  of the time. What is tested there is the transforms, the fingerprints and reconciliation, so settings
  change on the way, and partitions are made one by one in orders that no table's inputs ask for.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import tempfile
from collections.abc import Collection, Sequence
from datetime import date
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedi_assets.contracts import ASSET_TABLES, LANDING_TABLES
from stedi_assets.defs.asset_job import build_assets, build_resources
from stedi_assets.defs.runs import runs
from stedi_assets.reference import (
    ASSETS,
    LandedFile,
    land,
    latest_records,
    normalise,
    pseudonym,
)
from stedi_assets.reference import consents as consented
from stedi_assets.settings import Policies, ReadingsBeforeConsent
from stedi_assets_tests.kit.driven import (
    KEY,
    OTHER_KEY,
    POLICIES,
    DrivenLake,
    assert_right,
    oracle,
    settle,
)
from stedi_assets_tests.kit.examples import chosen, drawing_afresh
from stedi_assets_tests.kit.memory import MemoryLake, Saved
from stedi_assets_tests.kit.plays import Play, play, plays
from stedi_assets_tests.kit.records import accelerometer_record as worn
from stedi_assets_tests.kit.records import customer_record as customer
from stedi_assets_tests.kit.records import step_record as step
from stedi_assets_tests.oracle.erasures import left_out
from stedi_assets_tests.oracle.histories import (
    DAYS,
    EMAILS,
    MOMENTS,
    STRANGER,
    erasures,
    histories,
    schedules,
)


@pytest.mark.usefixtures("consents_once")
@drawing_afresh(1, 12)
@given(plays(chosen(4, 8)))
def test_any_runs_end_with_the_same_rows_in_memory(this: Play) -> None:
    play(MemoryLake(Path("/nowhere"), this.final), this)


@drawing_afresh(1, 3)
@given(plays(chosen(2, 4)))
def test_any_runs_end_with_the_same_rows(this: Play) -> None:
    with tempfile.TemporaryDirectory() as root, contextlib.closing(DrivenLake(Path(root), this.final)) as lake:
        play(lake, this)


@st.composite
def plays_with_erasures(draw: st.DrawFn) -> Play:
    history, erased = draw(erasures(draw(histories(forms=False))))
    steps = draw(schedules(history, 3))
    return Play(history, steps, draw(st.sampled_from(POLICIES)), False, draw(st.integers(0, 2**32)), erased)


@pytest.mark.slow
@drawing_afresh(1, 3)
@given(plays_with_erasures())
def test_any_runs_and_erasures_end_with_the_same_rows(this: Play) -> None:
    with tempfile.TemporaryDirectory() as root, contextlib.closing(DrivenLake(Path(root), this.final)) as lake:
        play(lake, this)
        assert_nobody_too_much(lake)


def assert_nobody_too_much(lake: DrivenLake) -> None:
    """Who does not consent, or was erased and did not come back, is in no trusted or curated table.

    ``consent_history`` names nobody: of who withdrew, it may keep closed intervals; of the erased, nothing.
    """
    theirs = left_out(lake.forgotten, lake.lying)
    latest = latest_records(land(lake.lying, theirs).customers)
    sharing = {email for email, record in latest.items() if consented(record)}
    unknown = {one.email for one in lake.forgotten} - latest.keys()
    for table in ASSET_TABLES:
        cells = {str(cell) for row in lake.rows(table.name) for cell in row}
        if table.name not in {*(one.name for one in LANDING_TABLES), "consent_history"}:
            refused = {*EMAILS, STRANGER} - sharing
            assert not cells & {*refused, *(pseudonym(one, KEY) for one in refused)}, table.name
        assert not cells & {pseudonym(one, KEY) for one in unknown}, table.name
        assert not {normalise(cell) for cell in cells} & unknown, table.name


# --- by Dagster ---------------------------------------------------------------------------------


class DagsterLake(DrivenLake):
    """A lake whose partitions Dagster runs, as in production."""

    def __init__(self, root: Path, policies: Policies) -> None:
        super().__init__(root, policies)
        self.instance = dg.DagsterInstance.ephemeral()
        self.assets = build_assets(self.resources.settings)

    def run(self, tables: Collection[str], days: Sequence[date], fails_at: str | None = None, commits: int = 0) -> None:
        dying = contextlib.nullcontext() if fails_at is None else self.lakehouse.dying(commits, fails_at)
        with dying:
            dg.materialize(
                self.assets,
                selection=dg.AssetSelection.assets(*tables),
                resources=build_resources(self.resources),
                instance=self.instance,
                tags={
                    "dagster/asset_partition_range_start": days[0].isoformat(),
                    "dagster/asset_partition_range_end": days[-1].isoformat(),
                },
                raise_on_error=False,
            )

    def close(self) -> None:
        super().close()
        self.instance.dispose()


@pytest.mark.slow
@drawing_afresh(1, 2)
@given(plays(max_steps=4))
def test_any_runs_end_with_the_same_rows_by_dagster(this: Play) -> None:
    this = dataclasses.replace(this, changing=False)
    with tempfile.TemporaryDirectory() as root, contextlib.closing(DagsterLake(Path(root), this.final)) as lake:
        play(lake, this)


# --- cases --------------------------------------------------------------------------------------
DAY_1, DAY_2, DAY_3 = DAYS[:3]
NOON = MOMENTS[0]
ANN, BOB, CAT = "ann@example.com", "bob@example.com", "cat@example.com"
DEFAULT = Policies()


class Story:
    """What happens to a lake in memory, file by file and run by run."""

    def __init__(self, policies: Policies = DEFAULT) -> None:
        self.lake = MemoryLake(Path("/nowhere"), policies)
        self.policies = policies

    def lands(self, day: date, table: str, *records: dict[str, object]) -> None:
        """A file of records arrives, and its day of the landing table is run."""
        name = f"{table}_landing"
        path = f"{name}/landing_date={day}/{len(self.lake.lying)}.json"
        self.lake.lying.append(LandedFile(name, day, path, "\n".join(map(json.dumps, records)).encode()))
        self.lake.make(name, [day])

    def goes(self, day: date, table: str) -> None:
        """The files of a day are taken away, and their rows with them."""
        name = f"{table}_landing"
        self.lake.lying = [file for file in self.lake.lying if (file.table, file.landing_date) != (name, day)]
        self.lake.make(name, [day])

    def settles(self) -> None:
        """Reconciliation ends, and with the right rows."""
        settle(self.lake, self.lake.run)
        assert_right(self.lake, oracle(self.lake.lying, self.policies), ASSETS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mover", "stale"),
    [
        *((BOB, (name,)) for name in ASSETS[3:]),
        *(pytest.param(BOB, (name, "machine_learning_curated"), marks=pytest.mark.slow) for name in ASSETS[3:-1]),
        (ANN, ("machine_learning_curated",)),
    ],
    ids=str,
)
def test_a_withdrawal_that_reached_some_tables_and_was_taken_back(mover: str, stale: tuple[str, ...]) -> None:
    """What was made while she did not share is found, though all is as before when she does again."""
    story = Story()
    story.lake.restore(two_who_share(mover))
    story.lands(DAY_2, "customer", customer(ANN, "a", None, 2))
    for name in stale:
        story.lake.make(name, [DAY_1, DAY_2])
    story.lands(DAY_3, "customer", customer(ANN, "a", update=3))
    story.settles()


@functools.cache
def two_who_share(mover: str) -> Saved:
    """Ann and Bob share; of a millisecond in which Ann made a step, the movement is of the ``mover``."""
    story = Story()
    story.lands(DAY_1, "customer", customer(ANN, "a"), customer(BOB, "b"))
    story.lands(DAY_1, "accelerometer", worn(mover), worn(ANN, NOON + 1), worn(BOB, NOON + 1))
    story.lands(DAY_1, "step_trainer", step("a"), step("b", NOON + 1))
    story.settles()
    return story.lake.saved()


def test_a_customer_who_was_curated_from_a_stale_row_is_found() -> None:
    """Even if everything but their readings is in the end as it was before."""
    story = Story()
    story.lands(DAY_1, "customer", customer(ANN, "a"), customer(BOB, "b"))
    story.lands(DAY_1, "accelerometer", worn(BOB))
    story.lands(DAY_2, "accelerometer", worn(ANN))
    story.settles()
    # Her latest record is another day's now; the row of the first is not made anew before she is curated from it.
    story.lands(DAY_3, "customer", customer(ANN, "a", update=3))
    story.lake.make("customers_curated", [DAY_1])
    story.goes(DAY_3, "customer")
    story.goes(DAY_2, "accelerometer")
    story.lake.make("accelerometer_trusted", [DAY_2])
    story.settles()


@pytest.mark.slow
def test_pairs_made_of_another_keys_pseudonyms_are_found() -> None:
    story = Story()
    story.lands(DAY_1, "customer", customer(ANN, "a"))
    story.lands(DAY_1, "accelerometer", worn(ANN))
    story.lands(DAY_1, "step_trainer", step("a"))
    story.lake.configure(DEFAULT, OTHER_KEY)
    settle(story.lake, story.lake.run)
    story.lake.configure(DEFAULT, KEY)
    story.lake.make("machine_learning_curated", [DAY_1])
    story.settles()


@pytest.mark.slow
def test_a_customer_under_two_keys_has_their_pairs_once() -> None:
    story = Story()
    story.lands(DAY_1, "customer", customer(ANN, "a"))
    story.lands(DAY_1, "accelerometer", worn(ANN))
    story.lands(DAY_1, "step_trainer", step("a"))
    story.lake.configure(DEFAULT, OTHER_KEY)
    settle(story.lake, story.lake.run)
    story.lake.configure(DEFAULT, KEY)
    story.lands(DAY_2, "customer", customer(ANN, "a", update=2))
    story.lake.run(("customer_trusted", "customers_curated"), [DAY_2])
    story.lake.make("machine_learning_curated", [DAY_1])
    assert story.lake.rows("customers_curated").total() == 2
    assert story.lake.rows("machine_learning_curated").total() == 1
    story.settles()


ALIKE: list[tuple[str, date, dict[str, object], dict[str, object]]] = [
    (ANN, DAY_1, {"customerName": None}, {"customerName": "~"}),
    (BOB, DAY_2, {"customerName": "A\x1fB", "phone": "C"}, {"customerName": "A", "phone": "B\x1fC"}),
    (CAT, DAY_3, {"customerName": "A", "phone": None}, {"customerName": None, "phone": "A"}),
]
"""Of whom, in a partition of their own: fields before and after."""


def test_records_that_look_alike_are_told_apart() -> None:
    story = Story()
    for email, day, before, _ in ALIKE:
        story.lands(day, "customer", customer(email, email, **before))
        story.lands(day, "accelerometer", worn(email))
    story.settles()
    for email, day, _, after in ALIKE:
        story.lands(day, "customer", customer(email, email, **after))
    assert story.lake.differing()["customer_trusted"] == {day for _, day, _, _ in ALIKE}
    story.settles()


PER_READING = ("accelerometer_trusted", "step_trainer_trusted", "machine_learning_curated")


@pytest.mark.parametrize("before", ReadingsBeforeConsent)
def test_another_date_of_consent_counts_where_it_leaves_readings_out(before: ReadingsBeforeConsent) -> None:
    story = Story(Policies(before))
    story.lands(DAY_1, "customer", customer(ANN, "a", NOON))
    story.lands(DAY_1, "accelerometer", *(worn(ANN, NOON + n) for n in range(4)))
    story.lands(DAY_1, "step_trainer", *(step("a", NOON + n) for n in range(4)))
    story.settles()
    story.lands(DAY_1, "customer", customer(ANN, "a", NOON + 2, update=2))
    found = story.lake.differing()
    assert found["customer_trusted"] == {DAY_1}
    excluding = before is ReadingsBeforeConsent.EXCLUDE
    assert [name in found for name in PER_READING] == [excluding] * 3
    story.settles()
    assert [story.lake.rows(name).total() for name in PER_READING] == [2 if excluding else 4] * 3


# Each change, and the days whose readings may be made anew: not those of people whom it does not concern.
@pytest.mark.parametrize(
    ("change", "concerned"),
    [
        # One has pairs across days, the other none.
        pytest.param(
            [customer(ANN, "a", 2, 2), customer(BOB, "b", 2, 2)],
            set(),
            id="share since another date",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            [
                customer(ANN, "a", update=2, phone="5550100"),
                customer(CAT, "c", None, 2),
                customer("eve@example.com", "e", update=2),
                customer("fay@example.com", "x", None, 2),
            ],
            set(),
            id="another phone, a stranger who shares, one who does not, one who claims a device nobody uses",
        ),
        pytest.param([customer(ANN, "a", None, 2)], {DAY_1}, id="withdraws"),
        pytest.param(
            [customer(CAT, "b", None, 2)], {DAY_2}, id="a stranger who refuses claims a device", marks=pytest.mark.slow
        ),
    ],
)
def test_only_the_days_concerned_are_made_anew(change: list[dict[str, object]], concerned: set[date]) -> None:
    story = Story()
    story.lake.restore(two_with_readings_of_a_day_each())
    story.lands(DAYS[3], "customer", *change)
    named: set[date] = set()
    while todo := story.lake.differing():
        named |= {day for name in PER_READING for day in todo.get(name, ())}
        for one in runs(todo):
            story.lake.run(one.tables, one.days)
    story.settles()
    assert named & {DAY_1, DAY_2, DAY_3} <= concerned | ({DAY_3} if DAY_2 in concerned else set())


@functools.cache
def two_with_readings_of_a_day_each() -> Saved:
    """Ann and Bob share and have readings of different days; what Bob did on his landed on a later day too."""
    story = Story()
    story.lands(DAY_1, "customer", customer(ANN, "a"), customer(BOB, "b"), customer("dee@example.com", "x"))
    for day, email, serial in ((DAY_1, ANN, "a"), (DAY_2, BOB, "b")):
        story.lands(day, "accelerometer", worn(email, NOON + day.day))
        story.lands(day, "step_trainer", step(serial, NOON + day.day))
    story.lands(DAY_3, "accelerometer", worn(BOB, NOON + DAY_2.day, 2.0))
    story.settles()
    return story.lake.saved()


def test_who_was_the_only_one_of_a_day_withdraws() -> None:
    """Nothing speaks for the partition of that day any more."""
    story = Story()
    story.lands(DAY_1, "customer", customer(ANN, "a"))
    story.settles()
    story.lands(DAY_2, "customer", customer(ANN, "a", None, 2))
    story.settles()


def test_the_earlier_half_of_a_pair_changes() -> None:
    """Both are of a single moment, and of different days."""
    story = Story()
    story.lands(DAY_1, "customer", customer(ANN, "a"))
    story.lands(DAY_1, "accelerometer", worn(ANN))
    story.lands(DAY_2, "step_trainer", step("a"))
    story.settles()
    story.goes(DAY_1, "accelerometer")
    story.lands(DAY_1, "accelerometer", worn(ANN, x=9.0))
    story.settles()


def test_a_movement_that_says_whose_a_shared_device_was_lands_later() -> None:
    story = Story()
    story.lands(DAY_1, "customer", customer(ANN, "shared"), customer(BOB, "shared"), customer(CAT, "c"))
    story.lands(DAY_1, "accelerometer", worn(CAT), worn(ANN, NOON + 1), worn(BOB, NOON + 1))
    story.lands(DAY_1, "step_trainer", step("shared"))
    story.settles()
    story.lands(DAY_2, "accelerometer", worn(ANN))
    story.settles()


def test_a_claim_that_came_and_went_while_the_step_readings_were_stale() -> None:
    """The pairs were made of stale step readings. Once these are right again, only the pairs' own part tells."""
    story = Story()
    story.lands(DAY_1, "customer", customer(ANN, "a"), customer(BOB, "b"))
    story.lands(DAY_1, "accelerometer", worn(BOB), worn(ANN, NOON + 1))
    story.lands(DAY_1, "step_trainer", step("a"))
    story.settles()
    # Cat never moved.
    story.lands(DAY_2, "customer", customer(CAT, "a", update=2))
    story.lake.make("machine_learning_curated", [DAY_1])
    story.lands(DAY_3, "customer", customer(CAT, "c", update=3))
    story.settles()
