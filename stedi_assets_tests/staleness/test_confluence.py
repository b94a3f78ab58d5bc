"""Confluence (design section 3): any runs, in any order, with failures, end with the same rows.

What belongs here: random landing histories and schedules (``oracle.histories``) played on a lake, and
the comparison of every table with ``oracle.rules``, which computes them from the files at once. They
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
import json
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date, datetime, timezone
from itertools import product
from pathlib import Path
from typing import Any

import dagster as dg
import narwhals.stable.v2 as nw
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from stedi_assets import transforms
from stedi_assets.contracts import ASSET_TABLES, DERIVED_TABLES, LANDING_TABLES, Table
from stedi_assets.contracts import table as contract
from stedi_assets.contracts.render import arrow_schema
from stedi_assets.defs.build import build_assets, build_resources
from stedi_assets.defs.materialize import Outcome
from stedi_assets.engines.duckdb import DuckDBEngine, named
from stedi_assets.lakehouse import DataFile, Lakehouse, NewFile, Snapshot, VacuumedError
from stedi_assets.lakehouse.fingerprint import fingerprint
from stedi_assets.landing.ingest import Ingestion
from stedi_assets.privacy.pseudonyms import Pseudonyms
from stedi_assets.resources import Resources
from stedi_assets.settings import Pairing, Policies, ReadingsBeforeConsent, Settings
from stedi_assets.staleness.customers import LatestRecords
from stedi_assets.staleness.plan import differing, downstream, runs
from stedi_assets.subject_requests.erasure import Erasure, ErasureError
from stedi_assets.subject_requests.requests import Requests
from stedi_assets.transforms import customers, pairs, readings
from stedi_assets_tests.kit.examples import drawing_afresh
from stedi_assets_tests.oracle.erasures import Forgotten, Known, emptied, forget, left_out
from stedi_assets_tests.oracle.histories import (
    DAYS,
    EMAILS,
    MOMENTS,
    STRANGER,
    History,
    erasures,
    histories,
    schedules,
)
from stedi_assets_tests.oracle.histories import Erasure as ErasureStep
from stedi_assets_tests.oracle.histories import Step as Scheduled
from stedi_assets_tests.oracle.rules import (
    ASSETS,
    COLUMNS,
    CUSTOMER_FIELDS,
    LandedFile,
    Tables,
    compute,
    land,
    latest_records,
    normalise,
    pseudonym,
)
from stedi_assets_tests.oracle.rules import consents as consented

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


class Lake:
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
            lakehouse=self.lakehouse,
            latest_records=LatestRecords(self.engine),
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
        resources = self.resources
        files = resources.listing(frozenset(days)).by_day(name)
        Ingestion(self.engine, self.lakehouse, resources.landing, contract(name), erased=resources.erased).run(
            days, files
        )

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
        view = self.resources.view()
        inputs = {upstream: view.input(name, upstream, days) for upstream in INPUTS[name]}
        frame = self._transformed(name, inputs, days)
        fingerprints = view.fingerprints(name, days)
        files = self.engine.write(frame, self.lakehouse, contract(name), fingerprints)

        def finish() -> None:
            with self.lakehouse.committing(), contextlib.suppress(VacuumedError):
                if view.is_current() or self.resources.view().fingerprints(name, days) == fingerprints:
                    self.lakehouse.replace(contract(name), days, files)

        return finish

    def _transformed(self, name: str, inputs: dict[str, Any], days: Sequence[date]) -> Any:
        policies = self.resources.settings.policies
        arguments: dict[str, Any] = {}
        if name in {"accelerometer_trusted", "step_trainer_trusted", "machine_learning_curated"}:
            arguments["readings_before_consent"] = policies.readings_before_consent
        if name == "customers_curated":
            arguments["subject_ids"] = self.resources.pseudonyms.subject_ids(inputs["customer_trusted"])
        if name == "consent_history":
            who = transforms.ever_consenting(inputs["customer_landing"], days)
            arguments["subject_ids"] = self.resources.pseudonyms.subject_ids(who)
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
        request = requests.file(one.email, "", datetime.now(timezone.utc))

        def run() -> None:
            # Its runs are this lake's, so there is nothing to record.
            Erasure(self.resources, None, requests.get(request.id)).run()  # type: ignore[arg-type]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("stedi_assets.subject_requests.erasure._now", lambda: one.at)
            patch.setattr("stedi_assets.defs.materialize.Materializer", lambda *_: self)
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
        self.forgotten.append(known)
        self.lying = [emptied(file, known) for file in self.lying]
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
        return {name: set(days) for name, days in differing(self.resources.view()).items()}

    def rows(self, name: str) -> Rows:
        """The rows of one of the oracle's tables, as the lake has them."""
        skipped = ("landing_files", "duplicate_of IS NOT NULL AND lines > 0")
        stored, where = skipped if name == "skipped_files" else (name, "true")
        columns = ["source_line" if column == "line_number" else column for column in COLUMNS[name]]
        files = self.lakehouse.snapshot(contract(stored)).files
        select = f"SELECT {', '.join(named(column) for column in columns)} FROM stored WHERE {where}"
        return Counter(self.engine.rows(select, stored=self.engine.relation(contract(stored), files)))


class MemoryLakehouse(MortalLakehouse):
    """A lakehouse whose files nobody else can see."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self._files: dict[str, tuple[DataFile, ...]] = {}

    def committing(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def snapshot(self, table: Table) -> Snapshot:
        snapshot = Snapshot(table, self.root(table), None)
        snapshot.__dict__["files"] = self._files.get(table.name, ())
        return snapshot

    def _replace(self, table: Table, days: Collection[date], files: Sequence[NewFile], **how: Any) -> int:
        kept = [file for file in self._files.get(table.name, ()) if file.landing_date not in days]
        self._files[table.name] = (*kept, *(self._file(table, file) for file in files))
        return 0

    def _file(self, table: Table, new: NewFile) -> DataFile:
        return DataFile(
            path=new.path,
            uri=f"{self.root(table)}/{new.path}",
            landing_date=date.fromisoformat(new.partition["landing_date"]),
            partition=new.partition,
            rows=new.rows,
            size=new.size,
            fingerprint=new.path.rpartition("/")[2][:-45],
            minimum=new.minimum,
            maximum=new.maximum,
        )


class MemoryEngine(DuckDBEngine):
    """Frames are PyArrow's, files are kept in memory; DuckDB computes only what is written in SQL."""

    def __init__(self) -> None:
        super().__init__(threads=1)
        self.stored: dict[str, pa.Table] = {}
        self._scanned: dict[object, Any] = {}

    def relation(self, table: Table, files: Sequence[DataFile]) -> Any:
        return self.connection.from_arrow(self._rows(table, files))

    def _rows(self, table: Table, files: Sequence[DataFile]) -> pa.Table:
        return pa.concat_tables([arrow_schema(table).empty_table(), *(self.stored[file.uri] for file in files)])

    def scan(self, table: Table, files: Sequence[DataFile]) -> Any:
        key = (table.name, *(file.uri for file in files))
        if key not in self._scanned:
            self._scanned[key] = self.frame(self._rows(table, files))
        return self._scanned[key]

    def forget(self) -> None:
        """Make room for another lake."""
        self.stored.clear()
        self._scanned.clear()

    def frame(self, rows: pa.Table) -> Any:
        return nw.from_native(rows).lazy()

    def collect(self, frame: Any) -> pa.Table:
        return frame.to_native()

    def write(
        self,
        frame: Any,
        lakehouse: Lakehouse,
        table: Table,
        fingerprints: Mapping[date, str],
        within: Mapping[str, str] | None = None,
    ) -> list[NewFile]:
        rows = self.collect(frame).cast(arrow_schema(table))
        written = []
        for day, name in fingerprints.items():
            partition = {"landing_date": day.isoformat()}
            path = lakehouse.new_path(partition, name)
            part = rows.filter(pc.equal(rows["landing_date"], day))
            self.stored[f"{lakehouse.root(table)}/{path}"] = part
            told = [column.name for column in table.data_columns if column.statistics and part.num_rows]
            least, most = ({c: f(part[c]).as_py() for c in told} for f in (pc.min, pc.max))
            written.append(NewFile(path, partition, part.num_rows, 0, least, most, {}))
        return written


class MemoryLake(Lake):
    """A lake in memory. What lands in it are the oracle's landing tables."""

    lakehouse: MemoryLakehouse
    engine: MemoryEngine
    shared = MemoryEngine()
    """Opening DuckDB takes longer than most examples."""

    def _parts(self, settings: Settings) -> tuple[MortalLakehouse, DuckDBEngine]:
        self.shared.forget()
        return MemoryLakehouse(settings.lake_uri), self.shared

    def close(self) -> None:
        pass

    def arrive(self, history: History, count: int | None, start: int) -> None:
        self.lying += history.files[start:count]

    def _landing(self, name: str) -> dict[date, list[LandedFile]]:
        """The files of each day that count, and are not copies of such."""
        first: dict[bytes, LandedFile] = {}
        for file in sorted(self.lying, key=lambda file: (file.landing_date, file.path)):
            if file.table == name:
                first.setdefault(file.content, file)
        days: dict[date, list[LandedFile]] = {file.landing_date: [] for file in self.lying if file.table == name}
        for file in first.values():
            days[file.landing_date].append(file)
        return days

    def land(self, name: str, days: Sequence[date]) -> None:
        table, lying = contract(name), self._landing(name)
        names = {day: fingerprint(name, lying.get(day, [])) for day in days}
        landed = land(file for day in days for file in lying.get(day, ())).tables[name].elements()
        rows = [dict(zip(COLUMNS[name], row)) for row in landed]
        frame = self.engine.frame(pa.Table.from_pylist(rows, arrow_schema(table)))
        self.lakehouse.replace(table, days, self.engine.write(frame, self.lakehouse, table, names))

    def landed(self) -> dict[str, list[date]]:
        todo: dict[str, list[date]] = {}
        for table in LANDING_TABLES:
            stored = self.lakehouse.snapshot(table).fingerprints()
            for day, files in self._landing(table.name).items():
                if stored.get(day) != fingerprint(table.name, files):
                    todo.setdefault(table.name, []).append(day)
        return todo


def settle_landing(lake: Lake, run: Run) -> None:
    """Run every landed day that is not up to date."""
    for _ in range(ROUNDS):
        todo = lake.landed()
        if not todo:
            return
        for name, days in todo.items():
            for day in days:
                run(downstream([name]), [day])
    pytest.fail(f"after {ROUNDS} rounds the landing sensor still asks for {lake.landed()}")


def settle(lake: Lake, run: Run) -> None:
    """Reconcile until nothing differs, as ``stedi materialize`` does."""
    for _ in range(ROUNDS):
        todo = lake.differing()
        if not todo:
            return
        for one in runs(todo):
            run(one.tables, one.days)
    pytest.fail(f"after {ROUNDS} rounds reconciliation still finds {lake.differing()}")


def settle_in_any_order(lake: Lake, expected: Tables, pick: random.Random) -> None:
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


def assert_right(lake: Lake, expected: Tables, names: Collection[str] = tuple(COLUMNS)) -> None:
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


# --- without Dagster ----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Play:
    """What is played.

    Args:
        history: what lands.
        steps: what is run meanwhile.
        final: the policies in the end.
        changing: whether policies and the key are others before.
        seed: of the choices that the schedule does not make.
        erasures: of whom, and when.
    """

    history: History
    steps: Sequence[Scheduled]
    final: Policies
    changing: bool
    seed: int
    erasures: Sequence[ErasureStep] = ()


@st.composite
def plays(draw: st.DrawFn, max_steps: int = 8) -> Play:
    history = draw(histories())
    steps = draw(schedules(history, max_steps))
    changing = draw(st.sampled_from((False, False, True)))
    return Play(history, steps, draw(st.sampled_from(POLICIES)), changing, draw(st.integers(0, 2**32)))


def play(lake: Lake, this: Play) -> None:
    """Play a schedule, land and reconcile what is left, and compare with the oracle."""
    pick = random.Random(this.seed)
    arrived = 0
    left = list(this.erasures)
    for step in this.steps:
        # Somebody else's run, that has read before and commits after.
        days = this.history.days()
        slow = lake.begun(pick.choice(list(INPUTS)), [pick.choice(days)]) if days and pick.random() < 0.3 else None
        while left and left[0].after <= step.arrived:
            arrived = arrive_and_forget(lake, this.history, arrived, left.pop(0), pick)
        lake.arrive(this.history, step.arrived, arrived)
        arrived = step.arrived
        if this.changing:
            lake.configure(pick.choice(POLICIES), pick.choice((KEY, KEY, OTHER_KEY)))
        lake.run(step.tables, step.days(), step.fails_at, pick.randrange(4))
        if slow is not None:
            slow()
        if pick.random() < 0.2:
            # Reconciliation comes at any time, and gets done in part.
            for name, day in shuffled(lake.differing(), pick)[: pick.randrange(6)]:
                lake.make(name, [day])
    for one in left:
        arrived = arrive_and_forget(lake, this.history, arrived, one, pick)
    lake.arrive(this.history, None, arrived)
    lake.configure(this.final, KEY)
    settle_landing(lake, lake.run)

    expected = lake.expected()
    if pick.random() < 0.5:
        settle(lake, lake.run)
    else:
        settle_in_any_order(lake, expected, pick)
    names = COLUMNS if not isinstance(lake, MemoryLake) else ASSETS
    assert_right(lake, expected, names)

    # What is right stays so, and is not asked for again.
    lake.run(ASSETS, [pick.choice(this.history.days() or DAYS)])
    for name in pick.choices(ASSETS, k=3):
        days = sorted(lake.lakehouse.snapshot(contract(name)).days())
        lake.run([name], [pick.choice(days)])
    assert lake.landed() == {}
    assert lake.differing() == {}
    assert_right(lake, expected, names)


def arrive_and_forget(lake: Lake, history: History, arrived: int, one: ErasureStep, pick: random.Random) -> int:
    """What comes before an erasure, and the erasure, while somebody else's run goes on; how many files are there."""
    lake.arrive(history, one.after, arrived)
    if one.settled:
        settle_landing(lake, lake.run)
    days = lake.lakehouse.snapshot(contract("customer_landing")).days()
    slow = lake.begun(pick.choice(list(INPUTS)), [pick.choice(sorted(days))]) if days else None
    dies_at = (pick.choice(ASSETS), pick.randrange(3)) if pick.random() < 0.5 else None
    proven = lake.forget(one, dies_at)
    if slow is not None:
        slow()
    event(f"erased, proven: {proven}, all had landed: {one.settled}")
    return one.after


def remembering(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function``, but computed once for each of the last few frames."""
    known: dict[tuple[object, ...], tuple[Any, Any]] = {}

    def remembered(frame: Any, *also: str) -> Any:
        key = id(frame), *also
        if key not in known:
            if len(known) > 20:
                known.clear()
            known[key] = frame, function(frame, *also)
        return known[key][1]

    return remembered


consents = remembering(transforms.consents)


@pytest.fixture(scope="module")
def quick_consents() -> Iterator[None]:
    """Compute who consents once per version of ``customer_landing``, not five times per run."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (transforms, customers, readings, pairs):
            patch.setattr(module, "consents", consents)
        yield


@pytest.mark.usefixtures("quick_consents")
@pytest.mark.slow
@drawing_afresh(2, 20)
@given(plays())
def test_any_runs_end_with_the_same_rows_in_memory(this: Play) -> None:
    play(MemoryLake(Path("/nowhere"), this.final), this)


@pytest.mark.slow
@drawing_afresh(1, 3)
@given(plays(max_steps=4))
def test_any_runs_end_with_the_same_rows(this: Play) -> None:
    with tempfile.TemporaryDirectory() as root, contextlib.closing(Lake(Path(root), this.final)) as lake:
        play(lake, this)


@st.composite
def plays_with_erasures(draw: st.DrawFn) -> Play:
    history, erased = draw(erasures(draw(histories())))
    steps = draw(schedules(history, 3))
    return Play(history, steps, draw(st.sampled_from(POLICIES)), False, draw(st.integers(0, 2**32)), erased)


@pytest.mark.slow
@drawing_afresh(1, 4)
@given(plays_with_erasures())
def test_any_runs_and_erasures_end_with_the_same_rows(this: Play) -> None:
    with tempfile.TemporaryDirectory() as root, contextlib.closing(Lake(Path(root), this.final)) as lake:
        play(lake, this)
        assert_nobody_too_much(lake)


def assert_nobody_too_much(lake: Lake) -> None:
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


class DagsterLake(Lake):
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
@drawing_afresh(1, 3)
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


class Told:
    """A story on a lake in memory, told file by file and run by run."""

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


def customer(email: str, serial: str, research: int | None = 1, update: int = 1, **more: object) -> dict[str, object]:
    fields = {"email": email, "serialNumber": serial, "lastUpdateDate": update, "shareWithResearchAsOfDate": research}
    return {**fields, **more}


def worn(user: str, time: int = NOON, x: float = 1.0) -> dict[str, object]:
    return {"user": user, "timestamp": time, "x": x, "y": 0.0, "z": -1.0}


def step(serial: str, time: int = NOON, distance: int = 7) -> dict[str, object]:
    return {"sensorReadingTime": time, "serialNumber": serial, "distanceFromObject": distance}


@pytest.mark.parametrize(
    ("mover", "stale"),
    [
        *((BOB, (name,)) for name in ASSETS[3:]),
        *((BOB, (name, "machine_learning_curated")) for name in ASSETS[3:-1]),
        (ANN, ("machine_learning_curated",)),
    ],
    ids=str,
)
def test_a_withdrawal_that_reached_some_tables_and_was_taken_back(mover: str, stale: tuple[str, ...]) -> None:
    """What was made while she did not share is found, though all is as before when she does again."""
    told = Told()
    told.lands(DAY_1, "customer", customer(ANN, "a"), customer(BOB, "b"))
    told.lands(DAY_1, "accelerometer", worn(mover), worn(ANN, NOON + 1), worn(BOB, NOON + 1))
    told.lands(DAY_1, "step_trainer", step("a"), step("b", NOON + 1))
    told.settles()
    told.lands(DAY_2, "customer", customer(ANN, "a", None, 2))
    for name in stale:
        told.lake.make(name, [DAY_1, DAY_2])
    told.lands(DAY_3, "customer", customer(ANN, "a", 1, 3))
    told.settles()


def test_a_customer_who_was_curated_from_a_stale_row_is_found() -> None:
    """Even if everything but their readings is in the end as it was before."""
    told = Told()
    told.lands(DAY_1, "customer", customer(ANN, "a"), customer(BOB, "b"))
    told.lands(DAY_1, "accelerometer", worn(BOB))
    told.lands(DAY_2, "accelerometer", worn(ANN))
    told.settles()
    # Her latest record is another day's now; the row of the first is not made anew before she is curated from it.
    told.lands(DAY_3, "customer", customer(ANN, "a", 1, 3))
    told.lake.make("customers_curated", [DAY_1])
    told.goes(DAY_3, "customer")
    told.goes(DAY_2, "accelerometer")
    told.lake.make("accelerometer_trusted", [DAY_2])
    told.settles()


def test_pairs_made_of_another_keys_pseudonyms_are_found() -> None:
    told = Told()
    told.lands(DAY_1, "customer", customer(ANN, "a"))
    told.lands(DAY_1, "accelerometer", worn(ANN))
    told.lands(DAY_1, "step_trainer", step("a"))
    told.lake.configure(DEFAULT, OTHER_KEY)
    settle(told.lake, told.lake.run)
    told.lake.configure(DEFAULT, KEY)
    told.lake.make("machine_learning_curated", [DAY_1])
    told.settles()


def test_a_customer_under_two_keys_has_their_pairs_once() -> None:
    told = Told()
    told.lands(DAY_1, "customer", customer(ANN, "a"))
    told.lands(DAY_1, "accelerometer", worn(ANN))
    told.lands(DAY_1, "step_trainer", step("a"))
    told.lake.configure(DEFAULT, OTHER_KEY)
    settle(told.lake, told.lake.run)
    told.lake.configure(DEFAULT, KEY)
    told.lands(DAY_2, "customer", customer(ANN, "a", 1, 2))
    told.lake.run(("customer_trusted", "customers_curated"), [DAY_2])
    told.lake.make("machine_learning_curated", [DAY_1])
    assert told.lake.rows("customers_curated").total() == 2
    assert told.lake.rows("machine_learning_curated").total() == 1
    told.settles()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"customerName": None}, {"customerName": "~"}),
        ({"customerName": "A\x1fB", "phone": "C"}, {"customerName": "A", "phone": "B\x1fC"}),
        ({"customerName": "A", "phone": None}, {"customerName": None, "phone": "A"}),
    ],
)
def test_records_that_look_alike_are_told_apart(before: dict[str, object], after: dict[str, object]) -> None:
    told = Told()
    told.lands(DAY_1, "customer", customer(ANN, "a", **before))
    told.lands(DAY_1, "accelerometer", worn(ANN))
    told.settles()
    told.lands(DAY_1, "customer", customer(ANN, "a", **after))
    told.settles()


PER_READING = ("accelerometer_trusted", "step_trainer_trusted", "machine_learning_curated")


# Each change, and the days whose readings may be made anew: not those of people whom it does not concern.
@pytest.mark.parametrize(
    ("change", "concerned"),
    [
        pytest.param(customer(ANN, "a", 2, 2), set(), id="shares since another date"),
        pytest.param(customer(BOB, "b", 2, 2), set(), id="shares since another date, with pairs across days"),
        pytest.param(customer(ANN, "a", 1, 2, phone="5550100"), set(), id="another phone"),
        pytest.param(customer(CAT, "c", None, 2), set(), id="a stranger who does not share"),
        pytest.param(customer(CAT, "c", 1, 2), set(), id="a stranger who shares"),
        pytest.param(customer(CAT, "x", None, 2), set(), id="a stranger who refuses claims a device nobody uses"),
        pytest.param(customer(ANN, "a", None, 2), {DAY_1}, id="withdraws"),
        pytest.param(customer(CAT, "b", None, 2), {DAY_2}, id="a stranger who refuses claims a device"),
    ],
)
def test_only_the_days_concerned_are_made_anew(change: dict[str, object], concerned: set[date]) -> None:
    told = Told()
    told.lands(DAY_1, "customer", customer(ANN, "a"), customer(BOB, "b"), customer("dee@example.com", "x"))
    for day, email, serial in ((DAY_1, ANN, "a"), (DAY_2, BOB, "b")):
        told.lands(day, "accelerometer", worn(email, NOON + day.day))
        told.lands(day, "step_trainer", step(serial, NOON + day.day))
    told.lands(DAY_3, "accelerometer", worn(BOB, NOON + DAY_2.day, 2.0))
    told.settles()
    told.lands(DAYS[3], "customer", change)
    named: set[date] = set()
    while todo := told.lake.differing():
        named |= {day for name in PER_READING for day in todo.get(name, ())}
        for one in runs(todo):
            told.lake.run(one.tables, one.days)
    told.settles()
    assert named & {DAY_1, DAY_2, DAY_3} <= concerned | ({DAY_3} if DAY_2 in concerned else set())
