"""No one's data outside the tables.

Recognisable values of invented people land; runs succeed and fail in every way there is; then every byte that
Dagster stored, everything that was printed and every Delta log is searched for them. Of every error that is injected,
the command must say that it was this one: a patch of a method that is not there any more would fail too, and prove
nothing.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pyarrow.parquet as pq
import pytest

from stedi_assets.engines.duckdb import DuckDBEngine
from stedi_assets.staleness.view import LakeView
from stedi_assets_tests.kit.commands import clean_environment, stedi
from stedi_assets_tests.kit.records import lines

DAY, NEXT = "2023-08-05", "2023-08-06"
TIME = 1_691_200_000_000

EMAILS = ["canary.one@example.com", "canary.two@example.com", "Canary.Refuses@example.com"]
SERIALS = ["canary00-0000-4000-8000-00000000000a", "canary00-0000-4000-8000-00000000000b"]
NAMES = ["Quetzalina Canaryname", "Zebulon Canaryname"]
PHONES = ["5550198765", "5550187654"]
BIRTHDAYS = ["1903-11-27", "1904-10-26"]
BROKEN = "canary-in-a-broken-line"
KEY = "canary-pseudonym-secret-key"
CANARIES = [*EMAILS, *SERIALS, *NAMES, *PHONES, *BIRTHDAYS, BROKEN, KEY, "canary"]

FILES_TO_SEARCH_FOR_BASE64 = 3
"""A value within base64 looks like one of three texts, by where it starts."""


def record(number: int, email: str, **changed: object) -> dict[str, object]:
    return {
        "customerName": NAMES[number % 2],
        "email": email,
        "phone": PHONES[number % 2],
        "birthDay": BIRTHDAYS[number % 2],
        "serialNumber": SERIALS[number % 2],
        "registrationDate": TIME - 5000,
        "lastUpdateDate": TIME - 5000,
        "shareWithResearchAsOfDate": TIME - 5000,
    } | changed


def seed(root: Path) -> None:
    """Land canaries, good lines and all kinds of bad ones."""
    people = [
        record(0, EMAILS[0]),
        record(1, EMAILS[1]),
        record(1, EMAILS[2], shareWithResearchAsOfDate=None),
    ]
    bad_people = [
        json.dumps(record(0, EMAILS[0], lastUpdateDate=EMAILS[0])) + "\n",
        json.dumps(record(0, EMAILS[0]))[:-20] + "\n",
        f'{{"{EMAILS[1]}": 1, "{EMAILS[1]}": 2}}\n',
        f'["{BROKEN}"]\n{BROKEN}\n"{NAMES[0]}"\n',
        json.dumps(record(0, EMAILS[0], shareWithPublicAsOfDate=PHONES[0])) + "\n",
    ]
    moves = [{"user": email, "timestamp": TIME, "x": 1.0, "y": 2.0, "z": 3.0} for email in EMAILS]
    bad_moves = [{"user": EMAILS[0], "timestamp": EMAILS[0], "x": 1.0, "y": 2.0, "z": BROKEN}]
    steps = [{"sensorReadingTime": TIME, "serialNumber": serial, "distanceFromObject": 5} for serial in SERIALS]
    bad_steps = [{"sensorReadingTime": TIME, "serialNumber": SERIALS[0], "distanceFromObject": SERIALS[1]}]
    for day in (DAY, NEXT):
        # The good ones last: whoever is in doubt is in no table.
        land(root, "customer_landing", day, "".join(bad_people) + lines(*people))
        land(root, "accelerometer_landing", day, lines(*moves, *bad_moves))
        land(root, "step_trainer_landing", day, lines(*steps, *bad_steps))


def land(root: Path, table: str, day: str, content: str | bytes, name: str = "part.json") -> Path:
    path = root / "data" / "landing" / table / f"landing_date={day}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


class House:
    """A folder as a user has one, and everything that was printed in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.printed: list[bytes] = []
        (root / "dagster.yaml").write_text((Path(__file__).parents[2] / "dagster.yaml").read_text())

    def run(self, *command: str, given: str = "", **env: str) -> int:
        environment = clean_environment(self.root, STEDI_PSEUDONYM_KEY=KEY, PYTHONPATH=str(self.root), **env)
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self.root,
            env=environment,
            input=given.encode(),
            capture_output=True,
            timeout=300,
            check=False,
        )
        self.printed += [done.stdout, done.stderr]
        return done.returncode

    def stedi(self, *arguments: str, patched: str = "pass", given: str = "") -> int:
        code = f"{patched}\nfrom stedi_assets.cli.main import main\nimport sys\nsys.argv[0] = 'stedi'\nmain()"
        return self.run("-c", code, *arguments, given=given)

    def stedi_here(self, *arguments: str, patched: str = "pass", given: str = "") -> int:
        """The same in this process; what the patch changes is as before afterwards."""
        with pytest.MonkeyPatch.context() as patch:
            for owner, name in ((DuckDBEngine, "write"), (LakeView, "customers")):
                patch.setattr(owner, name, getattr(owner, name))
            exec(patched, {})
            done = stedi(self.root, *arguments, given=given, STEDI_PSEUDONYM_KEY=KEY)
        self.printed += [done.out.encode(), done.err.encode()]
        return done.code

    def dagster(self, *arguments: str, patched: str = "pass") -> int:
        (self.root / "patched.py").write_text(f"{patched}\nfrom stedi_assets.definitions import defs\n")
        return self.run("-m", "dagster", "asset", "materialize", "-m", "patched", *arguments)

    def said(self) -> str:
        return b"".join(self.printed).decode()

    def said_last(self) -> str:
        """What the latest command printed, in one line."""
        return " ".join(b"".join(self.printed[-2:]).decode().split())

    def assert_raised(self, kind: str) -> None:
        """The latest command failed with an error of this class, and says no more of it than the class."""
        said = self.said_last()
        assert re.search(rf": {re.escape(kind)} at stedi_assets/[^.]+\.py:\d+, in \w+", said), said
        assert "Its message is withheld" in said


def everything_outside_the_tables(house: House) -> Iterator[tuple[str, bytes]]:
    """Every byte that anybody could read without being allowed to read the tables."""
    for number, printed in enumerate(house.printed):
        yield f"output {number}", printed
    stored = [path for path in (house.root / ".dagster").rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in stored)
    for path in stored:
        yield str(path), path.read_bytes()
    logs = [path for path in (house.root / "data" / "lake").rglob("_delta_log/*") if path.is_file()]
    assert logs
    for path in logs:
        yield str(path), path.read_bytes()
        if path.suffix == ".parquet":
            yield f"{path} (decoded)", str(pq.read_table(path).to_pylist()).encode()
    for path in (house.root / "data" / "lake").rglob("*"):
        yield "a path", str(path).encode()


def shapes(value: str) -> Iterator[bytes]:
    """What a value may look like in bytes."""
    for text in {value, value.lower(), value.upper()}:
        yield text.encode()
        yield text.encode("utf-16-le")
        yield urllib.parse.quote(text, safe="").encode()
        yield json.dumps(text)[1:-1].replace("/", "\\/").encode()
        for offset in range(FILES_TO_SEARCH_FOR_BASE64):
            encoded = base64.b64encode(b"\0" * offset + text.encode())
            # Without what the neighbours decide.
            whole = encoded[(offset * 8 + 5) // 6 : (offset + len(text)) * 8 // 6]
            if len(whole) >= 8:
                yield whole


def assert_no_canary(house: House) -> None:
    wanted = {shape: value for value in CANARIES for shape in shapes(value)}
    pattern = re.compile(b"|".join(re.escape(shape) for shape in sorted(wanted, key=len, reverse=True)))
    for where, content in everything_outside_the_tables(house):
        found = pattern.search(content)
        assert found is None, (
            f"{wanted.get(found[0], found[0])!r} in {where}: …{content[found.start() - 200 : found.end() + 99]!r}"
        )


@pytest.fixture
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    # Not tmp_path: it is named after the test, and so holds what is searched for.
    root = tmp_path_factory.mktemp("house")
    seed(root)
    return House(root)


RAISING = dedent(
    """
    from stedi_assets.engines.duckdb import DuckDBEngine
    write = DuckDBEngine.write
    def raising(self, frame, lakehouse, table, *more, **others):
        if table.name == {table!r}:
            collected = self.collect(frame)
            {how}
        return write(self, frame, lakehouse, table, *more, **others)
    DuckDBEngine.write = raising
    """
)
OF_DUCKDB = 'self.connection.execute("SELECT CAST(email AS BIGINT) FROM collected").fetchall()'
OF_ARROW = "collected['email'].cast('int64')"
CHAINED = """
        try: raise ValueError(str(collected.to_pylist()))
        except ValueError as error: raise RuntimeError(repr(collected.to_pylist())) from error"""
INJECTED = {OF_DUCKDB: "duckdb.ConversionException", OF_ARROW: "pyarrow.lib.ArrowInvalid", CHAINED: "RuntimeError"}
"""How a transform raises on real data, in the words of its engine, chained and bare; and the class that comes of it."""


RAISING_WHILE_COMPARING = dedent(
    """
    from stedi_assets.staleness.view import LakeView
    def raising(self, *_, **__):
        landed = self.snapshot("customer_landing")
        rows = self.engine.relation(landed.table, landed.files)
        return self.engine.rows("SELECT CAST(email AS BIGINT) FROM rows", rows=rows)
    LakeView.customers = property(raising)
    """
)


def test_the_search_finds_what_is_there(house: House) -> None:
    assert house.stedi_here("query", "SELECT 1") == 0
    (house.root / ".dagster").mkdir()
    (house.root / ".dagster" / "x.db").touch()
    for table in ("customer_trusted",):
        (house.root / "data" / "lake" / "trusted" / table / "_delta_log").mkdir(parents=True)
        (house.root / "data" / "lake" / "trusted" / table / "_delta_log" / "0.json").touch()
    assert_no_canary(house)
    for shape in (
        b"x canary.one@example.com x",
        EMAILS[1].encode("utf-16-le"),
        base64.b64encode(b"ab" + EMAILS[0].encode() + b"c"),
        urllib.parse.quote(EMAILS[0], safe="").encode(),
        NAMES[0].upper().encode(),
        PHONES[0].encode(),
    ):
        (house.root / ".dagster" / "x.db").write_bytes(b"\0" * 7 + shape)
        with pytest.raises(AssertionError, match=r"canary|Canary|555"):
            assert_no_canary(house)


@pytest.fixture(scope="module")
def made_here(tmp_path_factory: pytest.TempPathFactory) -> House:
    """The tables of the canaries, made in this process; tests may add to them."""
    root = tmp_path_factory.mktemp("house")
    seed(root)
    house = House(root)
    assert house.stedi_here("materialize") == 1, "what could not be read must be looked at"
    return house


def test_no_canary_leaves_the_tables_through_a_run(made_here: House) -> None:
    assert "lines are in landing_quarantine" in made_here.said()
    assert_no_canary(made_here)


@pytest.mark.usefixtures("without_checks")
def test_no_canary_leaves_the_tables_through_a_run_that_fails(made_here: House) -> None:
    patched = RAISING.format(table="customer_trusted", how=OF_DUCKDB)
    assert made_here.stedi_here("materialize", "--force", "--day", DAY, patched=patched) == 2
    made_here.assert_raised("duckdb.ConversionException")
    assert_no_canary(made_here)


def test_no_canary_leaves_the_tables_through_other_commands(made_here: House) -> None:
    assert made_here.stedi_here("query", "SELECT CAST(email AS BIGINT) FROM customer_landing") == 2
    made_here.assert_raised("duckdb.ConversionException")
    assert made_here.stedi_here("query", "SELECT error(email) FROM customer_landing") == 2
    made_here.assert_raised("duckdb.InvalidInputException")
    assert made_here.stedi_here("materialize", "--dry-run", patched=RAISING_WHILE_COMPARING) == 2
    made_here.assert_raised("duckdb.ConversionException")
    assert made_here.stedi_here("erase", "-", "--dry-run", given=EMAILS[0]) == 0
    assert made_here.stedi_here("erase", "-", "--dry-run", given=f"{EMAILS[0]} and {EMAILS[1]}") == 2
    assert_no_canary(made_here)


@pytest.mark.process
@pytest.mark.slow
def test_no_canary_leaves_the_tables_through_stedi(house: House) -> None:
    assert house.stedi("materialize") == 1
    assert "lines are in landing_quarantine" in house.said()
    assert_no_canary(house)

    noise = b"\x1f\x8b" + (EMAILS[0] * 9).encode()
    unreadable = land(house.root, "accelerometer_landing", DAY, noise, "broken.json.gz")
    assert house.stedi("materialize") == 2
    assert unreadable.name in house.said_last()
    unreadable.unlink()

    for how, kind in INJECTED.items():
        patched = RAISING.format(table="customer_trusted", how=how)
        assert house.stedi("materialize", "--force", "--day", DAY, patched=patched) == 2
        house.assert_raised(kind)
    # While it compares, outside of any run.
    for arguments in (["materialize"], ["materialize", "--dry-run"]):
        assert house.stedi(*arguments, patched=RAISING_WHILE_COMPARING) == 2
        house.assert_raised("duckdb.ConversionException")
    assert house.stedi("query", "SELECT CAST(email AS BIGINT) FROM customer_landing") == 2
    house.assert_raised("duckdb.ConversionException")
    assert house.stedi("query", "SELECT error(email) FROM customer_landing") == 2
    house.assert_raised("duckdb.InvalidInputException")
    assert house.stedi("materialize") == 1
    assert house.stedi("quarantine") == 1
    assert house.stedi("counts") == 0
    assert_no_canary(house)


@pytest.mark.process
@pytest.mark.slow
def test_no_canary_leaves_the_tables_through_erasure(house: House) -> None:
    assert house.stedi("materialize") == 1
    assert house.stedi("erase", "-", "--dry-run", given=EMAILS[0]) == 0
    assert house.stedi("erase", "-", "--reason", "asked by letter", given=EMAILS[0]) == 0
    # A step that fails on real data, in the words of an engine.
    patched = dedent(
        """
        from stedi_assets.subject_requests import erasure
        def raising(resources, *_):
            rows = resources.engine.connection.read_parquet("data/lake/landing/customer_landing/*/*.parquet")
            return resources.engine.rows("SELECT CAST(email AS BIGINT) FROM rows", rows=rows)
        erasure.count_partitions = raising
        """
    )
    assert house.stedi("erase", "--open", patched=patched) == 2
    house.assert_raised("duckdb.ConversionException")
    assert house.stedi("erase", "--list") == 0
    assert house.stedi("reconcile", "--dry-run") == 1, "what could not be read is still there"
    assert house.stedi("erase", "--open") == 0
    assert house.stedi("erase", "--list") == 0
    assert house.stedi("erase", "--verify") == 0
    assert house.stedi("erase", "-", "--dry-run", given=f"{EMAILS[0]} and {EMAILS[1]}") == 2
    # It lands again, and is left out.
    land(
        house.root,
        "accelerometer_landing",
        NEXT,
        lines({"user": EMAILS[0], "timestamp": TIME, "x": 1, "y": 1, "z": 1}),
        "again.json",
    )
    assert house.stedi("materialize") == 1
    assert_no_canary(house)


BLOCKING = dedent(
    """
    from stedi_assets.engines.duckdb import DuckDBEngine
    write = DuckDBEngine.write
    def doubling(self, frame, lakehouse, table, *more, **others):
        if table.name == "customer_trusted":
            rows = self.collect(frame)
            import pyarrow
            frame = self.frame(pyarrow.concat_tables([rows, rows]))
        return write(self, frame, lakehouse, table, *more, **others)
    DuckDBEngine.write = doubling
    """
)


@pytest.mark.process
@pytest.mark.slow
def test_no_canary_leaves_the_tables_through_dagster(house: House) -> None:
    everything = ("--select", "*", "--partition-range", f"{DAY}...{NEXT}")
    assert house.dagster(*everything) == 0
    assert house.dagster(*everything, patched=BLOCKING) != 0
    assert re.search(r"blocking.* check.*customer_trusted.*unique_key", house.said_last()), house.said_last()
    for how in (OF_DUCKDB, CHAINED):
        patched = RAISING.format(table="customers_curated", how=how)
        assert house.dagster("--select", "customers_curated", "--partition", DAY, patched=patched) != 0
        house.assert_raised(INJECTED[how])
    # A stored file that is not what the contract says: DuckDB quotes what it cannot convert.
    patched = dedent(
        """
        from stedi_assets.engines.duckdb import DuckDBEngine
        relation = DuckDBEngine.relation
        def wrong(self, table, files):
            found = relation(self, table, files)
            if table.name == "customer_landing":
                return found.project("* REPLACE (CAST(email AS BIGINT) AS \\"lastUpdateDate\\")")
            return found
        DuckDBEngine.relation = wrong
        """
    )
    for select in ("customer_trusted", "accelerometer_trusted", "machine_learning_curated"):
        assert house.dagster("--select", select, "--partition", DAY, patched=patched) != 0
        house.assert_raised("duckdb.ConversionException")
    assert_no_canary(house)
