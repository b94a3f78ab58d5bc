"""A lake whose partitions are run without Dagster, so that a run can die at any commit, and how it is settled.

``DrivenLake`` takes the steps that an asset and the I/O manager take, on a Delta lake in a folder. ``MemoryLake``, in
``kit.memory``, does so in memory. What a lake must hold in the end is what
``stedi_assets.reference`` computes from its files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timezone
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from stedi_assets import transforms
from stedi_assets.contracts import ASSET_TABLES, DERIVED_TABLES, LANDING_TABLES, Table
from stedi_assets.contracts import table as contract
from stedi_assets.defs.io_manager import input_frame
from stedi_assets.defs.materialize import Materializer, Outcome
from stedi_assets.defs.runs import downstream, runs
from stedi_assets.engines.duckdb import DuckDBEngine
from stedi_assets.engines.sql import named
from stedi_assets.lakehouse import Lakehouse, NewFile, VacuumedError
from stedi_assets.landing.day_plan import MissingFiles
from stedi_assets.landing.ingest import Ingestion
from stedi_assets.privacy.pseudonyms import Pseudonyms
from stedi_assets.reference import (
    COLUMNS,
    CUSTOMER_FIELDS,
    LandedFile,
    Tables,
    compute,
    normalise,
)
from stedi_assets.resources import Resources
from stedi_assets.settings import Pairing, Policies, ReadingsBeforeConsent, Settings
from stedi_assets.staleness import index
from stedi_assets.staleness.cache import LakeCache
from stedi_assets.staleness.fingerprints import expected_fingerprints
from stedi_assets.staleness.stale import stale_partitions
from stedi_assets.subject_requests.erasure import Erasure
from stedi_assets.subject_requests.progress import ErasureError
from stedi_assets.subject_requests.requests import ERASE, SHARED_DEVICES, Requests
from stedi_assets_tests.oracle.erasures import Forgotten, Known, emptied, forget, left_out
from stedi_assets_tests.oracle.histories import Erasure as ErasureStep
from stedi_assets_tests.oracle.histories import (
    History,
)

INPUTS = {table.name: table.inputs for table in DERIVED_TABLES}
KEY, OTHER_KEY = b"a key for tests", b"another key"
POLICIES = [Policies(before, pairing) for before, pairing in product(ReadingsBeforeConsent, Pairing)]
ROUNDS = 10
"""Reconciliation must be done after so many; a table is at most five steps from the landing tables."""

Rows = Counter[tuple[Any, ...]]
Partition = tuple[str, date]
Run = Callable[[Collection[str], Sequence[date]], None]


class InjectedError(RuntimeError):
    """What a run dies of in these tests."""


class MortalLakehouse(Lakehouse):
    """A lakehouse that a run can be made to die in, just before one of its commits or just after it."""

    _commits_left: int | None = None
    _dies_at: str | None = None

    @contextlib.contextmanager
    def dying(self, commits: int, name: str) -> Iterator[None]:
        """Die while a table is made, after ``commits`` more commits."""
        self._commits_left, self._dies_at = commits, name
        try:
            yield
        finally:
            self._commits_left = self._dies_at = None

    def replace(self, table: Table, days: Collection[date], files: Sequence[NewFile], **how: Any) -> int:
        # A landing table's run commits three tables; which one they are part of is in the partition.
        mine = self._dies_at in {table.name, (how.get("within") or {}).get("landing_table")}
        if mine and self._commits_left == 0:
            raise InjectedError
        version = self._replace(table, days, files, **how)
        if mine and self._commits_left is not None:
            self._commits_left -= 1
        return version

    def _replace(self, table: Table, days: Collection[date], files: Sequence[NewFile], **how: Any) -> int:
        return super().replace(table, days, files, **how)


class DrivenLake:
    """A lake in a folder, its landing zone, and a way to run partitions without Dagster."""

    resources: Resources

    def __init__(self, root: Path, policies: Policies) -> None:
        self.landing = root / "landing"
        settings = Settings(
            str(self.landing),
            str(root / "lake"),
            policies=policies,
            privacy_uri=str(root / "privacy"),
            dagster_home=root / "home",
        )
        self.lakehouse, self.engine = self._parts(settings)
        self.resources = dataclasses.replace(
            Resources.of(settings),
            engine=self.engine,
            session=self.engine,
            lakehouse=self.lakehouse,
            cache=LakeCache(),
        )
        self.configure(policies, KEY)
        self.lying: list[LandedFile] = []
        self.forgotten: list[Forgotten] = []
        self.made: Counter[str] = Counter()
        self.needless: Counter[str] = Counter()

    def _parts(self, settings: Settings) -> tuple[MortalLakehouse, DuckDBEngine]:
        return MortalLakehouse(settings.lake_uri), DuckDBEngine(threads=1)

    def configure(self, policies: Policies, key: bytes) -> None:
        """Change the settings, as between two runs."""
        self.resources = dataclasses.replace(
            self.resources,
            settings=dataclasses.replace(self.resources.settings, policies=policies),
            pseudonyms=Pseudonyms(lambda: key, self.engine.frame),
        )

    def close(self) -> None:
        self.resources.close()

    # ---- landing --------------------------------------------------------------------------------

    def arrive(self, history: History, count: int | None, start: int) -> None:
        """Put files into the landing zone."""
        history.write(self.landing, count, start=start)
        self.lying += history.files[start:count]

    def land(self, name: str, days: Sequence[date]) -> None:
        """Make partitions of a landing table."""
        land_partitions(self.resources, name, days)

    def landed(self) -> dict[str, list[date]]:
        """The days of each landing table that the landing sensor would ask for."""
        todo = self.resources.landing_differences(self.resources.listing())
        return {name: list(days) for name, days in todo.items()}

    # ---- runs -----------------------------------------------------------------------------------

    def make(self, name: str, days: Sequence[date]) -> None:
        """Make partitions of one table, as its asset and the I/O manager do."""
        self.begun(name, days)()

    def begun(self, name: str, days: Sequence[date]) -> Callable[[], None]:
        """Begin to make partitions of one table; what it gives commits them, if that is still right by then."""
        if name not in INPUTS:
            return lambda: self.land(name, days)
        return begin_partitions(self.resources, name, days)

    def run(self, tables: Collection[str], days: Sequence[date], fails_at: str | None = None, commits: int = 0) -> None:
        """Run some tables for some days, as one backfill; what depends on the table that fails is not run."""
        skipped: set[str] = set()
        for name in (table.name for table in ASSET_TABLES if table.name in tables):
            if name in skipped:
                continue
            if name != fails_at:
                self.make(name, days)
                continue
            with contextlib.suppress(InjectedError), self.lakehouse.dying(commits, name):
                self.make(name, days)
            skipped.update(downstream([name]))

    # ---- erasures -------------------------------------------------------------------------------

    def forget(self, one: ErasureStep, dies_at: tuple[str, int] | None = None) -> bool:
        """Erase somebody, in two runs if the first dies; whether that could be proven.

        It cannot where raw lines of others, or such as were left out of the tables, mention them.
        """
        known = forget(one.email, one.at, self._known())
        requests = Requests(self.resources.privacy)
        # Half of them leave the readings of shared devices in the raw files.
        shared_devices = SHARED_DEVICES[one.at % 2]
        request = requests.file(one.email, "", datetime.now(timezone.utc), shared_devices=shared_devices)

        def run() -> None:
            Erasure(self.resources, lambda days: len(self.rerun(days).runs), [request.id]).run()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("stedi_assets.subject_requests.erasure.now_ms", lambda: one.at)
            said = ""
            try:
                if dies_at is not None:
                    with contextlib.suppress(InjectedError), self.lakehouse.dying(dies_at[1], dies_at[0]):
                        run()
                run()
            except ErasureError as error:
                said = str(error)
        where = [line for line in said.splitlines()[1:-1] if not line.startswith("  landing zone, ")]
        assert not said or ("is still in" in said and not where), said
        if shared_devices == ERASE:
            self.lying = [emptied(file, known, self.forgotten) for file in self.lying]
        else:
            self.lying = [emptied(file, replace(known, readings=frozenset())) for file in self.lying]
        self.forgotten.append(known)
        return not said

    def rerun(self, landing: Mapping[str, Collection[date]]) -> Outcome:
        """Run partitions of landing tables, then reconcile; as a ``Materializer`` does."""
        for name, days in landing.items():
            self.land(name, sorted(days))
        settle(self, self.run)
        return Outcome()

    def _known(self) -> Known:
        customers, moves, steps = (self.rows(table.name) for table in LANDING_TABLES)
        quarantine = contract("landing_quarantine")
        stored = self.engine.relation(quarantine, self.lakehouse.snapshot(quarantine).files)
        rejected = self.engine.rows("SELECT line FROM stored WHERE landing_table = 'customer_landing'", stored=stored)
        return Known(
            [row[: len(CUSTOMER_FIELDS)] for row in customers],
            [line for (line,) in rejected],
            frozenset((normalise(row[0]), row[1]) for row in moves),
            frozenset((normalise(row[1]), row[0]) for row in steps),
        )

    # ---- what there is --------------------------------------------------------------------------

    def expected(self) -> Tables:
        """Every table, computed from all files that lie there at once."""
        theirs = left_out(self.forgotten, self.lying) if self.forgotten else None
        return oracle(self.lying, self.resources.settings.policies, theirs)

    def differing(self) -> dict[str, set[date]]:
        """What reconciliation would run."""
        return {name: set(days) for name, days in stale_partitions(self.resources.view()).items()}

    def rows(self, name: str) -> Rows:
        """The rows of one of the oracle's tables, as the lake has them."""
        skipped = ("landing_files", "duplicate_of IS NOT NULL AND lines > 0")
        stored, where = skipped if name == "skipped_files" else (name, "true")
        columns = COLUMNS[name]
        files = self.lakehouse.snapshot(contract(stored)).files
        select = f"SELECT {', '.join(named(column) for column in columns)} FROM stored WHERE {where}"
        return Counter(self.engine.rows(select, stored=self.engine.relation(contract(stored), files)))


def land_partitions(
    resources: Resources, name: str, days: Sequence[date], missing: MissingFiles = MissingFiles.FAIL
) -> None:
    """Make partitions of a landing table, as its asset does."""
    files = resources.listing(frozenset(days)).by_day(name)
    Ingestion(
        resources.session,
        resources.lakehouse,
        resources.landing,
        contract(name),
        missing=missing,
        erased=resources.erased,
    ).run(days, files)


def begin_partitions(resources: Resources, name: str, days: Sequence[date]) -> Callable[[], None]:
    """Compute partitions of a derived table; what it gives commits them, if that is still right by then."""
    view = resources.view()
    inputs = {upstream: input_frame(resources.engine, view, name, upstream, days) for upstream in INPUTS[name]}
    frame = transformed(resources, name, inputs, days)
    fingerprints = expected_fingerprints(view, name, days)
    files = resources.engine.write(frame, resources.lakehouse, contract(name), fingerprints)

    def finish() -> None:
        with resources.lakehouse.committing(), contextlib.suppress(VacuumedError):
            if view.is_current() or expected_fingerprints(resources.view(), name, days) == fingerprints:
                resources.lakehouse.replace(contract(name), days, files)

    return finish


def transformed(resources: Resources, name: str, inputs: Mapping[str, Any], days: Sequence[date]) -> Any:
    """What a transform makes of its inputs, with the arguments that its asset gives it."""
    policies = resources.settings.policies
    arguments: dict[str, Any] = {}
    if name in {"accelerometer_trusted", "step_trainer_trusted", "machine_learning_curated"}:
        arguments["readings_before_consent"] = policies.readings_before_consent
    if name == "customers_curated":
        arguments["subject_ids"] = resources.pseudonyms.subject_ids(inputs["customer_trusted"])
    if name == "consent_history":
        who = transforms.ever_consenting(inputs["customer_landing"], days)
        arguments["subject_ids"] = resources.pseudonyms.subject_ids(who)
    if name == "machine_learning_curated":
        arguments |= {"days": days, "pairing": policies.pairing}
    return getattr(transforms, name)(**inputs, **arguments)


def make_partitions(
    resources: Resources, tables: Collection[str], days: Sequence[date], gone: Collection[str] = ()
) -> None:
    """Make partitions of some tables, with their index, as their assets and the I/O manager do.

    Args:
        resources: the lake.
        tables: each after those that it is made from.
        days: the landing days.
        gone: the landing tables whose rows are kept where their raw files are gone.
    """
    for name in tables:
        if name in INPUTS:
            begin_partitions(resources, name, days)()
        else:
            land_partitions(resources, name, days, MissingFiles.KEEP if name in gone else MissingFiles.FAIL)
        index.write(resources.engine, resources.lakehouse, contract(name), days)


def run_directly(materializer: Materializer, call: Any, run: Any, missing: Mapping[str, Collection[date]]) -> bool:
    """Make what a run is to make, as its assets and the I/O manager do, without Dagster: in a tenth of the time.

    It stands for ``Materializer._execute_one`` where Dagster is not the point; an error is raised as it is.
    """
    gone = [name for name in run.tables if set(run.days) & set(missing.get(name, ()))]
    make_partitions(materializer._resources, run.tables, run.days, gone)
    call.outcome.runs.append(run)
    return True


def leave_out_dagster(patch: pytest.MonkeyPatch) -> None:
    """Have every ``Materializer`` run partitions directly. No run is recorded then, nor that a check failed."""
    patch.setattr(Materializer, "_execute_one", run_directly)
    patch.setattr(Materializer, "unpassed", lambda _: {})


def settle_landing(lake: DrivenLake, run: Run) -> None:
    """Run every landed day that is not up to date."""
    for _ in range(ROUNDS):
        todo = lake.landed()
        if not todo:
            return
        for name, days in todo.items():
            for day in days:
                run(downstream([name]), [day])
    pytest.fail(f"after {ROUNDS} rounds the landing sensor still asks for {lake.landed()}")


def settle(lake: DrivenLake, run: Run) -> None:
    """Reconcile until nothing differs, as ``stedi materialize`` does."""
    for _ in range(ROUNDS):
        todo = lake.differing()
        if not todo:
            return
        for one in runs(todo):
            run(one.tables, one.days)
    pytest.fail(f"after {ROUNDS} rounds reconciliation still finds {lake.differing()}")


def settle_in_any_order(lake: DrivenLake, expected: Tables, pick: random.Random) -> None:
    """Make what differs partition by partition, in an order that no table's inputs ask for."""
    for _ in range(ROUNDS):
        todo = shuffled(lake.differing(), pick)
        if not todo:
            return
        for name, day in todo:
            lake.made[name] += 1
            lake.needless[name] += of_day(lake.rows(name), day) == of_day(expected[name], day)
            lake.make(name, [day])
    pytest.fail(f"after {ROUNDS} rounds reconciliation still finds {lake.differing()}")


def shuffled(partitions: Mapping[str, set[date]], pick: random.Random) -> list[Partition]:
    listed = [(name, day) for name, days in partitions.items() for day in sorted(days)]
    pick.shuffle(listed)
    return listed


def of_day(rows: Rows, day: date) -> Rows:
    """Of a derived table's rows, those of a partition: ``landing_date`` is their last cell."""
    return Counter({row: count for row, count in rows.items() if row[-1] == day})


def assert_right(lake: DrivenLake, expected: Tables, names: Collection[str] = tuple(COLUMNS)) -> None:
    for name in names:
        stored = lake.rows(name)
        assert stored == expected[name], (
            f"{name}: {expected[name] - stored} is missing, {stored - expected[name]} is too much"
        )


def oracle(
    files: Sequence[LandedFile], policies: Policies, theirs: Callable[[str, bytes, date], bool] | None = None
) -> Tables:
    """Every table, computed from all files at once, but for the lines of the erased."""
    return compute(files, KEY, policies.readings_before_consent.value, policies.pairing.value, theirs)
