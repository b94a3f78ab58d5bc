"""Confluence (design section 3): any runs, in any order, with failures, end with the same rows.

What belongs here: random landing histories and schedules (``oracle.histories``) played on a real lake,
and the comparison of every table with ``oracle.rules``, which computes them from the files at once.
They are played in two ways: by Dagster, as in production, and by a driver that takes the same steps
without it, some ten times as fast, and so can afford what a schedule of the oracle's does not have:
policies and keys that change on the way, partitions made one by one in an arbitrary order, and runs
that die at any of their commits.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import dagster as dg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from stedi_assets import transforms
from stedi_assets.build import build_assets, build_resources
from stedi_assets.contracts import ASSET_TABLES, LANDING_TABLES, Table
from stedi_assets.contracts import table as contract
from stedi_assets.derivation import INPUTS
from stedi_assets.engines.duckdb import DuckDBEngine, named
from stedi_assets.io_manager import LakehouseIOManager
from stedi_assets.lakehouse import Lakehouse, NewFile
from stedi_assets.landing.ingest import Ingestion, ingested_files, recorded_fingerprints
from stedi_assets.landing.record import plan
from stedi_assets.platform import Platform
from stedi_assets.pseudonyms import Pseudonyms
from stedi_assets.reconcile import differing, downstream, runs
from stedi_assets.settings import Pairing, Policies, ReadingsBeforeConsent, Settings
from stedi_assets_tests.oracle.histories import DAYS, History, histories, schedules
from stedi_assets_tests.oracle.histories import Step as Scheduled
from stedi_assets_tests.oracle.rules import ASSETS, COLUMNS, Tables, compute

KEY, OTHER_KEY = b"a key for tests", b"another key"
POLICIES = [Policies(before, pairing) for before, pairing in product(ReadingsBeforeConsent, Pairing)]
ROUNDS = 10
"""Reconciliation must be done after so many; a table is at most five steps from the landing tables."""

Partition = tuple[str, date]


class InjectedError(RuntimeError):
    """What a run dies of in these tests."""


class MortalLakehouse(Lakehouse):
    """A lakehouse that a run can be made to die in, just before one of its commits or just after it."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self._commits_left: int | None = None

    @contextlib.contextmanager
    def dying(self, commits: int) -> Iterator[None]:
        """Die after ``commits`` more commits."""
        self._commits_left = commits
        try:
            yield
        finally:
            self._commits_left = None

    def replace(self, table: Table, days: Collection[date], files: Sequence[NewFile], **how: Any) -> int:
        self._die()
        version = super().replace(table, days, files, **how)
        if self._commits_left is not None:
            self._commits_left -= 1
        return version

    def _die(self) -> None:
        if self._commits_left == 0:
            raise InjectedError


class Lake:
    """A lake in a folder, its landing zone, and a way to run partitions without Dagster."""

    engine: ClassVar[DuckDBEngine] = DuckDBEngine(threads=1)
    """One for all examples: opening it costs more than most of them."""

    def __init__(self, root: Path, policies: Policies) -> None:
        settings = Settings(str(root / "landing"), str(root / "lake"), policies=policies)
        self.landing = root / "landing"
        self.lakehouse = MortalLakehouse(settings.lake_uri)
        whole = Platform.of(settings)
        self.platform = dataclasses.replace(whole, engine=self.engine, lakehouse=self.lakehouse)
        self.configure(policies, KEY)
        self.needless = self.made = 0

    def configure(self, policies: Policies, key: bytes) -> None:
        """Change the settings, as between two runs."""
        self.platform = dataclasses.replace(
            self.platform,
            settings=dataclasses.replace(self.platform.settings, policies=policies),
            pseudonyms=Pseudonyms(lambda: key, self.engine.frame),
        )

    # ---- runs -----------------------------------------------------------------------------------

    def make(self, name: str, days: Sequence[date]) -> None:
        """Make partitions of one table, as its asset and the I/O manager do."""
        table = contract(name)
        if name not in INPUTS:
            files = self.platform.listing(frozenset(days)).by_day(name)
            Ingestion(self.engine, self.lakehouse, self.platform.landing, table).run(days, files)
            return
        view = self.platform.view()
        inputs = {upstream: view.input(name, upstream, days) for upstream in INPUTS[name]}
        frame = self._transformed(name, inputs, days)
        files = self.engine.write(frame, self.lakehouse, table, view.fingerprints(name, days))
        self.lakehouse.replace(table, days, files)

    def _transformed(self, name: str, inputs: dict[str, Any], days: Sequence[date]) -> Any:
        policies = self.platform.settings.policies
        arguments: dict[str, Any] = {}
        if name in {"accelerometer_trusted", "step_trainer_trusted", "machine_learning_curated"}:
            arguments["readings_before_consent"] = policies.readings_before_consent
        if name == "customers_curated":
            arguments["subject_ids"] = self.platform.pseudonyms.subject_ids(inputs["customer_trusted"])
        if name == "machine_learning_curated":
            arguments |= {"days": days, "pairing": policies.pairing}
        return getattr(transforms, name)(**inputs, **arguments)

    def run(self, tables: Collection[str], days: Sequence[date], fails_at: str | None = None, commits: int = 0) -> None:
        """Run some tables for some days, as one backfill; what depends on the table that fails is not run."""
        skipped: set[str] = set()
        for name in (table.name for table in ASSET_TABLES if table.name in tables):
            if name in skipped:
                continue
            if name != fails_at:
                self.make(name, days)
                continue
            with contextlib.suppress(InjectedError), self.lakehouse.dying(commits):
                self.make(name, days)
            skipped.update(downstream([name]))

    # ---- what is still to do --------------------------------------------------------------------

    def landed(self) -> dict[str, list[date]]:
        """The days of each landing table that the landing sensor would ask for."""
        record = self.lakehouse.snapshot(contract("landing_files"))
        listing = self.platform.listing()
        return {
            table.name: list(
                plan(
                    table.name,
                    listing,
                    ingested_files(self.engine, self.lakehouse, table),
                    self.lakehouse.snapshot(table).fingerprints(),
                    recorded_fingerprints(record, table),
                )
            )
            for table in LANDING_TABLES
        }

    def differing(self) -> dict[str, set[date]]:
        """What reconciliation would run."""
        return differing(self.platform.view())

    # ---- what there is --------------------------------------------------------------------------

    def rows(self, name: str) -> Counter[tuple[Any, ...]]:
        """The rows of a table of the oracle's, as the lake has them."""
        stored, where = {
            "skipped_files": ("landing_files", "duplicate_of IS NOT NULL AND lines > 0"),
        }.get(name, (name, "true"))
        columns = ["source_line" if column == "line_number" else column for column in COLUMNS[name]]
        files = self.lakehouse.snapshot(contract(stored)).files
        select = f"SELECT {', '.join(named(column) for column in columns)} FROM stored WHERE {where}"
        return Counter(self.engine.rows(select, stored=self.engine.relation(contract(stored), files)))

    def partition(self, name: str, day: date) -> Counter[tuple[Any, ...]]:
        """The rows of one partition."""
        return of_day(self.rows(name), day)

    def tables(self) -> Tables:
        """Every table of the oracle's, as the lake has it."""
        return {name: self.rows(name) for name in COLUMNS}


def settle_landing(lake: Lake, run: Any) -> None:
    """Run every landed day that is not up to date."""
    for _ in range(ROUNDS):
        todo = {name: days for name, days in lake.landed().items() if days}
        if not todo:
            return
        for name, days in todo.items():
            for day in days:
                run(downstream([name]), [day])
    pytest.fail(f"after {ROUNDS} rounds the landing sensor still asks for {todo}")


def settle(lake: Lake, run: Any) -> None:
    """Reconcile until nothing differs, as ``stedi materialize`` does."""
    for _ in range(ROUNDS):
        todo = lake.differing()
        if not todo:
            return
        for one in runs(todo):
            run(one.tables, one.days)
    pytest.fail(f"after {ROUNDS} rounds reconciliation still finds {lake.differing()}")


def assert_right(lake: Lake, expected: Tables) -> None:
    for name, rows in expected.items():
        stored = lake.rows(name)
        assert stored == rows, f"{name}: {rows - stored} is missing, {stored - rows} is too much"


def oracle(history: History, policies: Policies, key: bytes = KEY, arrived: int | None = None) -> Tables:
    return compute(
        history.arrived(arrived), key, policies.readings_before_consent.value, policies.pairing.value
    )


# --- without Dagster ----------------------------------------------------------------------------


def play(root: Path, history: History, steps: Sequence[Scheduled], final: Policies, changing: bool, seed: int) -> Lake:
    """Play a schedule, land and reconcile what is left, and compare with the oracle.

    Args:
        root: an empty folder.
        history: what lands.
        steps: what is run meanwhile.
        final: the policies in the end.
        changing: whether policies and the key are others before.
        seed: of the choices that the schedule does not make.
    """
    pick = random.Random(seed)
    lake = Lake(root, final)
    arrived = 0
    for step in steps:
        history.write(lake.landing, step.arrived, start=arrived)
        arrived = step.arrived
        if changing:
            lake.configure(pick.choice(POLICIES), pick.choice((KEY, KEY, OTHER_KEY)))
        lake.run(step.tables, step.days(), step.fails_at, pick.randrange(4))
        if pick.random() < 0.2:
            # Reconciliation comes at any time, and gets done in part.
            for partition in shuffled(lake.differing(), pick)[: pick.randrange(6)]:
                lake.run([partition[0]], [partition[1]])
    history.write(lake.landing, start=arrived)
    lake.configure(final, KEY)
    settle_landing(lake, lake.run)

    expected = oracle(history, final)
    if pick.random() < 0.5:
        settle(lake, lake.run)
    else:
        settle_in_any_order(lake, expected, pick)
    assert_right(lake, expected)
    # What is right stays so, and is not asked for again.
    lake.run(ASSETS, [pick.choice(DAYS)])
    for name in pick.choices(ASSETS, k=3):
        days = sorted(lake.lakehouse.snapshot(contract(name)).days())
        lake.run([name], [pick.choice(days)])
    assert lake.differing() == {}
    assert_right(lake, expected)
    return lake


def shuffled(partitions: dict[str, set[date]], pick: random.Random) -> list[Partition]:
    listed = [(name, day) for name, days in partitions.items() for day in sorted(days)]
    pick.shuffle(listed)
    return listed


def settle_in_any_order(lake: Lake, expected: Tables, pick: random.Random) -> None:
    """Make what differs partition by partition, in an order that no table's inputs ask for."""
    for _ in range(ROUNDS):
        todo = shuffled(lake.differing(), pick)
        if not todo:
            return
        for name, day in todo:
            lake.made += 1
            lake.needless += lake.partition(name, day) == of_day(expected[name], day)
            lake.make(name, [day])
    pytest.fail(f"after {ROUNDS} rounds reconciliation still finds {lake.differing()}")


def of_day(rows: Counter[tuple[Any, ...]], day: date) -> Counter[tuple[Any, ...]]:
    """Of a derived table's rows, those of a partition: ``landing_date`` is their last cell."""
    return Counter({row: count for row, count in rows.items() if row[-1] == day})


@settings(
    max_examples=20,
    deadline=None,
    backend="hypothesis-urandom",
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data(), final=st.sampled_from(POLICIES), changing=st.sampled_from((False, False, True)), seed=st.integers(0, 2**32))
def test_any_runs_end_with_the_same_rows(data: st.DataObject, final: Policies, changing: bool, seed: int) -> None:
    history = data.draw(histories())
    steps = data.draw(schedules(history))
    with tempfile.TemporaryDirectory() as root:
        play(Path(root), history, steps, final, changing, seed)
