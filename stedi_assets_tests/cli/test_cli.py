"""The ``stedi`` command: its output, its messages and its exit codes, in this process and as a real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date, datetime, timedelta, timezone
from itertools import product
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from click.testing import CliRunner

from stedi_assets.cli import main as command_line
from stedi_assets.cli.main import cli
from stedi_assets.contracts import TABLES, Table
from stedi_assets.defs.materialize import MaterializeError, Materializer
from stedi_assets.resources import Resources
from stedi_assets.sample import DEFAULT_LAST_DAY, write_sample
from stedi_assets.sample.report import SampleReport
from stedi_assets.settings import Pairing, Policies, ReadingsBeforeConsent, Settings
from stedi_assets_tests.kit.commands import STEDI, Done, clean_environment, stedi, stedi_process
from stedi_assets_tests.kit.examples import chosen
from stedi_assets_tests.kit.lake import SmallLake
from stedi_assets_tests.kit.records import customer, lines, movement, step

HOUSE = Path(__file__).parents[2]
POLICIES = [f"{before.value}/{pairing.value}" for before, pairing in product(ReadingsBeforeConsent, Pairing)]


# ---- a whole session ---------------------------------------------------------------------------


CUSTOMERS, LANDING_DAYS = chosen(80, 956), chosen(2, 4)
"""Of the session's sample: in ``make test-all``, as many as in the public data."""

SAMPLE = ("sample", "--customers", str(CUSTOMERS), "--days", str(LANDING_DAYS), "--last-day", str(DEFAULT_LAST_DAY))


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Done]]:
    """``make demo`` by hand, in an empty folder: no dagster.yaml, no variables set."""
    folder = tmp_path_factory.mktemp("session")
    said = {"dry before": stedi(folder, "materialize", "--dry-run")}
    said["counts before"] = stedi(folder, "counts")
    said["sample"] = stedi(folder, *SAMPLE)
    said["dry"] = stedi(folder, "materialize", "--dry-run")
    said["materialize"] = stedi(folder, "materialize")
    said["again"] = stedi(folder, "materialize")
    said["dry after"] = stedi(folder, "materialize", "--dry-run")
    said["counts"] = stedi(folder, "counts")
    return folder, said


@pytest.fixture(scope="module")
def report(session: tuple[Path, dict[str, Done]]) -> SampleReport:
    """What the session's sample holds."""
    folder, _ = session
    return write_sample(str(folder / "data" / "landing"), customers=CUSTOMERS, days=LANDING_DAYS)


def test_before_anything_landed_nothing_is_said_to_be_up_to_date(session: tuple[Path, dict[str, Done]]) -> None:
    _, said = session
    assert (said["dry before"].code, said["dry before"].out) == (2, "")
    assert "There is no landing zone" in said["dry before"].err
    assert said["counts before"].code == 0
    assert all(row["rows"] == "0" for row in said["counts before"].rows())


def test_the_sample_is_made(session: tuple[Path, dict[str, Done]], report: SampleReport) -> None:
    folder, said = session
    assert (said["sample"].code, said["sample"].out) == (0, "")
    assert said["sample"].err.startswith(f"Wrote {report.rows_written:,} lines")
    again = stedi(folder, *SAMPLE)
    assert again.code == 0
    assert "holds this sample already" in again.err
    assert f"its last landing day is {DEFAULT_LAST_DAY}" in again.err
    other = stedi(folder, *SAMPLE, "--seed", "7")
    assert other.code == 2
    assert other.err.startswith("Error: ")
    assert "Traceback" not in other.err


def test_a_sample_lands_up_to_yesterday_and_is_the_same_one_on_later_days(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = datetime.now(timezone.utc).date()
    small = ("sample", "--customers", "12", "--days", "2")
    assert stedi(tmp_path, *small).code == 0
    folders = (tmp_path / "data" / "landing" / "customer_landing").glob("landing_date=*")
    days = sorted(date.fromisoformat(folder.name.partition("=")[2]) for folder in folders)
    assert days[-1] in {today - timedelta(days=1), today}, "the latter where this ran around midnight"

    monkeypatch.setattr(command_line, "_yesterday", lambda: today + timedelta(days=5))
    later = stedi(tmp_path, *small)
    assert (later.code, later.err.count("holds this sample already")) == (0, 1)
    assert f"its last landing day is {days[-1]}" in later.err
    other = stedi(tmp_path, *small, "--last-day", str(today + timedelta(days=5)))
    assert other.code == 2
    assert "another sample (of other customers, days, seed, faults or last day)" in " ".join(other.err.split())


def test_a_dry_run_says_what_would_be_run_and_runs_nothing(session: tuple[Path, dict[str, Done]]) -> None:
    _, said = session
    assert said["dry"].code == 1
    listed = said["dry"].rows()
    assert {row["table"] for row in listed} == {"customer_landing", "accelerometer_landing", "step_trainer_landing"}
    assert all(row["rows now"] == "0" and "new file" in row["why"] for row in listed)
    assert (said["dry after"].code, said["dry after"].out) == (0, "")
    assert "up to date" in said["dry after"].err


def test_everything_is_made_once(session: tuple[Path, dict[str, Done]], report: SampleReport) -> None:
    _, said = session
    counts = report.policies[POLICIES[0]]
    assert (said["materialize"].code, said["materialize"].out) == (0, "")
    assert "Every table is up to date (1 run in" in said["materialize"].err
    pairs = counts.same_customer + counts.different_customers
    warning = f"{counts.different_customers} of {pairs} pairs join different customers"
    assert f"machine_learning_curated.same_customer: {warning}" in said["materialize"].err
    assert (said["again"].code, said["again"].err.strip()) == (0, "Every table was up to date.")


def test_the_counts_are_as_expected(session: tuple[Path, dict[str, Done]], report: SampleReport) -> None:
    _, said = session
    assert said["counts"].code == 0
    rows = said["counts"].rows()
    assert {row["verdict"] for row in rows if row["expected"]} == {"as expected"}
    assert {row["table"]: int(row["rows"]) for row in rows if row["expected"]} == report.expected


def test_counts_that_differ(session: tuple[Path, dict[str, Done]]) -> None:
    folder, _ = session
    wrong = folder / "wrong.json"
    wrong.write_text('{"customer_trusted": 1}')
    done = stedi(folder, "counts", STEDI_EXPECTED_COUNTS="wrong.json")
    assert done.code == 1
    assert {row["table"]: row["verdict"] for row in done.rows()}["customer_trusted"] == "DIFFERS"
    assert "stedi materialize --dry-run" in done.err
    wrong.write_text("no json")
    done = stedi(folder, "counts", STEDI_EXPECTED_COUNTS="wrong.json")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Error: Cannot use the expected counts in wrong.json")


QUERY = "SELECT same_customer, count(*) AS n FROM machine_learning_curated GROUP BY ALL ORDER BY 1"


def test_queries(session: tuple[Path, dict[str, Done]], report: SampleReport) -> None:
    folder, _ = session
    counts = report.policies[POLICIES[0]]
    false, true = counts.different_customers, counts.same_customer
    assert true > 1000
    assert stedi(folder, "query", QUERY) == Done(0, f"same_customer,n\nFalse,{false}\nTrue,{true}\n", "")
    as_json = stedi(folder, "query", "--format", "json", QUERY)
    assert [json.loads(line) for line in as_json.out.splitlines()] == [
        {"same_customer": False, "n": false},
        {"same_customer": True, "n": true},
    ]
    table = stedi(folder, "query", "--format", "table", QUERY)
    assert [line.split() for line in table.out.splitlines()] == [
        ["same_customer", "n"],
        ["False", f"{false:,}"],
        ["True", f"{true:,}"],
    ]
    nothing = stedi(folder, "query", "SELECT landing_date FROM landing_quarantine")
    assert (nothing.code, nothing.out) == (0, "landing_date\n")


def test_queries_that_fail(session: tuple[Path, dict[str, Done]]) -> None:
    folder, _ = session
    for sql, why in (
        ("SELEC 1", "syntax error"),
        ("SELECT * FROM nowhere", "nowhere"),
        ("SELECT nothing FROM customer_trusted", "nothing"),
        ("SELECT CAST(email AS BIGINT) FROM customer_trusted", "duckdb.ConversionException"),
    ):
        done = stedi(folder, "query", sql)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith("Error: ")
        assert why in done.err
        assert "Traceback" not in done.err
        assert "@" not in done.err
        assert "There are the tables customer_landing," in done.err


@pytest.mark.process
def test_a_reader_that_has_enough_is_no_error(session: tuple[Path, dict[str, Done]]) -> None:
    folder, _ = session
    command = f"{STEDI} query 'FROM machine_learning_curated' | head -n 1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        cwd=folder,
        env=clean_environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("subject_id,")
    assert done.stderr == ""
    assert done.returncode == 0


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE OR REPLACE VIEW customer_trusted AS SELECT 1",
        "COPY (SELECT 1) TO '{file}' (FORMAT parquet)",
        "SELECT * FROM read_text('{lake}/.lake-pseudonym-key')",
        "SELECT * FROM read_text('{key}')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM 'http://127.0.0.1:9/x.parquet'",
        "SELECT * FROM customer_trusted; ATTACH '{lake}/a.db' AS a",
        "EXPORT DATABASE '{lake}/out'",
        "SET memory_limit = '100GB'",
        "PRAGMA memory_limit = '100GB'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CALL pragma_version()",
        "DROP VIEW customer_trusted",
        "SET enable_external_access = true",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{file}' (FORMAT parquet)",
    ],
)
def test_a_query_reads_the_tables_and_nothing_else(session: tuple[Path, dict[str, Done]], sql: str) -> None:
    folder, _ = session
    lake = folder / "data" / "lake"
    file = next((lake / "trusted" / "customer_trusted").rglob("*.parquet"))
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    (key, *_) = [*folder.rglob("*key*"), folder]
    done = stedi(folder, "query", sql.format(file=file, lake=lake, key=key))
    assert (done.code, done.out) == (2, ""), done
    assert "Error" in done.err
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_query_ends_in_time(session: tuple[Path, dict[str, Done]]) -> None:
    endless = "SELECT count(*) FROM range(1000000000) a, range(1000000) b WHERE hash(a.range + b.range) = 1"
    done = stedi(session[0], "query", "--seconds", "0.2", endless)
    assert (done.code, "took more than 0.2 s" in done.err) == (2, True), done.err


def test_a_query_may_spill(session: tuple[Path, dict[str, Done]]) -> None:
    sorts = "SELECT count(*) AS n FROM (SELECT range AS a, md5(range::VARCHAR) AS b FROM range(400000) ORDER BY b)"
    done = stedi(session[0], "query", sorts, STEDI_MEMORY_LIMIT="60MB")
    assert done.rows() == [{"n": "400000"}], done.err


def test_from_another_folder(session: tuple[Path, dict[str, Done]], report: SampleReport, tmp_path: Path) -> None:
    folder, _ = session
    lake = os.path.relpath(folder / "data" / "lake", tmp_path)
    done = stedi(tmp_path, "query", "SELECT count(*) AS n FROM customers_curated", STEDI_LAKE_URI=lake)
    assert (done.code, done.out) == (0, f"n\n{report.expected['customers_curated']}\n")


def test_its_state_lies_in_the_folder(session: tuple[Path, dict[str, Done]]) -> None:
    folder, _ = session
    assert (folder / ".dagster" / "history" / "runs.db").exists()
    assert {path.name for path in folder.iterdir()} - {"wrong.json"} == {".dagster", "data"}


@pytest.mark.process
@pytest.mark.slow
def test_as_processes_they_say_the_same(session: tuple[Path, dict[str, Done]], tmp_path: Path) -> None:
    """The first session again, each command a process of its own."""
    _, said = session
    assert stedi_process(tmp_path, *SAMPLE).code == 0
    assert stedi_process(tmp_path, "materialize", "--dry-run") == said["dry"]
    done = stedi_process(tmp_path, "materialize")
    assert (done.code, done.out) == (0, "")
    assert "Every table is up to date (1 run in" in done.err
    assert stedi_process(tmp_path, "materialize") == said["again"]
    assert stedi_process(tmp_path, "counts") == said["counts"]
    assert stedi_process(tmp_path, "query", QUERY) == stedi(tmp_path, "query", QUERY)


# ---- help and settings -------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["", "sample", "land", "materialize", "counts", "query"])
def test_help_can_be_read(command: str) -> None:
    for flag in ("--help", "-h"):
        done = CliRunner().invoke(cli, [*command.split(), flag], terminal_width=100)
        assert done.exit_code == 0
        assert done.output.startswith("Usage: ")
        assert max(map(len, done.output.splitlines())) <= 100
        assert "\b" not in done.output
        assert "Traceback" not in done.output
    options = [line for line in done.output.splitlines() if line.lstrip().startswith("--")]
    assert all(len(line.split()) > 2 for line in options), "every option says what it is for"


def test_the_examples_keep_their_lines() -> None:
    output = CliRunner().invoke(cli, ["--help"]).output
    assert "\n    stedi materialize     make every table from it\n" in output


@pytest.mark.parametrize(
    ("name", "value", "takes"),
    [
        ("STEDI_PAIRING", "both", "'timestamp' or 'customer'"),
        ("STEDI_READINGS_BEFORE_CONSENT", "no", "'include' or 'exclude'"),
        ("STEDI_FIRST_DAY", "yesterday", "YYYY-MM-DD"),
        ("STEDI_MEMORY_LIMIT", "much", "512MB"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, name: str, value: str, takes: str) -> None:
    done = stedi(tmp_path, "counts", **{name: value})
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"Error: {name} is '{value}'")
    assert takes in done.err
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("arguments", [["materialize"], ["materialize", "--dry-run"]])
def test_a_landing_zone_that_is_not_there_is_no_empty_one(tmp_path: Path, arguments: list[str]) -> None:
    done = stedi(tmp_path, *arguments, STEDI_LANDING_URI=str(tmp_path / "typo"))
    assert (done.code, done.out) == (2, "")
    assert "Set STEDI_LANDING_URI to it" in done.err


@pytest.mark.process
def test_a_wrong_setting_ends_a_process_with_one_line(tmp_path: Path) -> None:
    done = stedi_process(tmp_path, "counts", STEDI_PAIRING="both")
    assert done == stedi(tmp_path, "counts", STEDI_PAIRING="both")
    assert done.code == 2
    assert len(done.err.splitlines()) == 1


def test_wrong_usage(tmp_path: Path) -> None:
    for arguments in (["nothing"], ["materialize", "--day", "today"], ["query"], ["sample", "--customers", "0"]):
        done = CliRunner().invoke(cli, arguments)
        assert done.exit_code == 2
        assert "Usage: " in done.output


# ---- days and failures -------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> SmallLake:
    """Two landing days of Ann and Bob in ``data``, not materialized."""
    lake = SmallLake.at(tmp_path / "data")
    lake.land_people("ann")
    lake.land("customer_landing", lines(customer("bob")), day="2023-08-07")
    lake.land("accelerometer_landing", lines(movement("bob")), day="2023-08-07")
    lake.land("step_trainer_landing", lines(step("bob")), day="2023-08-07")
    return lake


def landed(small: SmallLake) -> dict[str, int]:
    return {name: small.count(name) for name in ("customer_landing", "customer_trusted", "machine_learning_curated")}


@pytest.mark.slow
@pytest.mark.usefixtures("without_checks")
def test_one_day(small: SmallLake, tmp_path: Path) -> None:
    done = stedi(tmp_path, "materialize", "--day", "2023-08-07")
    assert (done.code, "as they were not to be run: 2023-08-06." in done.err) == (1, True)
    assert "What was to be run is made (1 run" in done.err
    assert landed(small) == {"customer_landing": 1, "customer_trusted": 1, "machine_learning_curated": 1}
    dry = stedi(tmp_path, "materialize", "--dry-run")
    assert dry.code == 1
    assert {row["landing day"] for row in dry.rows()} == {"2023-08-06"}


@pytest.mark.slow
@pytest.mark.usefixtures("without_checks")
def test_one_day_by_force(small: SmallLake, tmp_path: Path) -> None:
    small.materialize(days=[date(2023, 8, 7)])
    done = stedi(tmp_path, "materialize", "--force", "--day", "2023-08-07")
    assert done.code == 1, "the other day was never made"
    assert "(1 run in" in done.err
    assert landed(small)["customer_landing"] == 1


@pytest.mark.slow
def test_a_day_that_fails_does_not_keep_others_from_being_made(small: SmallLake, tmp_path: Path) -> None:
    broken = small.path("accelerometer_landing", "broken.json.gz")
    broken.write_bytes(b"\x1f\x8b but this is no gzip file")
    done = stedi(tmp_path, "materialize")
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err
    assert "The run of 2023-08-06 failed" in done.err
    assert "accelerometer_landing: " in done.err
    assert "landing_date=2023-08-06/broken.json.gz" in done.err
    assert "Everything else was made" in done.err
    # Of the other day everything is made, and of the day that failed what does not need the file.
    assert landed(small) == {"customer_landing": 2, "customer_trusted": 2, "machine_learning_curated": 1}
    assert small.count("accelerometer_landing") == 1
    again = stedi(tmp_path, "materialize")
    assert again.code == 2
    assert "broken.json.gz" in again.err
    broken.unlink()
    assert stedi(tmp_path, "materialize").code == 0
    assert landed(small)["machine_learning_curated"] == 4


@pytest.mark.slow
def test_what_did_not_pass_is_not_passed_over_by_the_next_command(
    small: SmallLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stedi_assets.engines.duckdb import DuckDBEngine

    write = DuckDBEngine.write

    def doubling(self: DuckDBEngine, frame: Any, lakehouse: Any, table: Table, *more: Any, **others: Any) -> Any:
        if table.name == "accelerometer_trusted":
            rows = self.collect(frame)
            frame = self.frame(pa.concat_tables([rows, rows]))
        return write(self, frame, lakehouse, table, *more, **others)

    with monkeypatch.context() as patched:
        patched.setattr(DuckDBEngine, "write", doubling)
        for _ in range(2):
            with pytest.raises(MaterializeError, match=r"accelerometer_trusted\.unique_key: "):
                small.materialize()
            assert small.count("accelerometer_trusted") == 4
            assert small.count("customers_curated") == 0
            assert small.count("step_trainer_trusted") == 0
    small.materialize()
    assert small.count("accelerometer_trusted") == 2
    assert small.count("customers_curated") == 2


def test_failures_without_end_are_given_up(small: SmallLake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stedi_assets.defs.materialize.GIVE_UP", 2)
    for number in range(1, 6):
        small.path("step_trainer_landing", "broken.json", f"2023-08-0{number}").write_bytes(b"\x1f\x8b no gzip")
    with pytest.raises(MaterializeError, match="Gave up after 2 failures"):
        small.materialize()


# ---- Dagster's state ---------------------------------------------------------------------------


@pytest.mark.process
@pytest.mark.slow
def test_dagster_and_stedi_share_their_state(small: SmallLake, tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text((HOUSE / "dagster.yaml").read_text())
    dagster = subprocess.run(
        [
            *(sys.executable, "-m", "dagster", "asset", "materialize", "-m", "stedi_assets.definitions"),
            *("--select", "*", "--partition", "2023-08-06"),
        ],
        cwd=tmp_path,
        env=clean_environment(tmp_path),
        capture_output=True,
        check=False,
    )
    assert dagster.returncode == 0, dagster.stderr.decode()[-2000:]
    done = stedi(tmp_path, "materialize")
    assert done.code == 0
    assert "(1 run in" in done.err, "the other day, and nothing of the first"
    instance = _instance(tmp_path)
    assert len(instance.get_runs()) == 2
    assert len(list((tmp_path / ".dagster").rglob("runs.db"))) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("without_checks")
def test_dagster_home(small: SmallLake, tmp_path: Path) -> None:
    home = tmp_path / "elsewhere"
    assert stedi(tmp_path, "materialize", DAGSTER_HOME=str(home)).code == 0
    assert (home / "history" / "runs.db").exists()
    assert not (tmp_path / ".dagster").exists()


def _instance(folder: Path) -> dg.DagsterInstance:
    before = Path.cwd()
    os.chdir(folder)
    try:
        return dg.DagsterInstance.from_config(str(folder))
    finally:
        os.chdir(before)


# ---- counts under every policy -----------------------------------------------------------------


def settings_of(policy: str) -> dict[str, str]:
    before, pairing = policy.split("/")
    return {"STEDI_READINGS_BEFORE_CONSENT": before, "STEDI_PAIRING": pairing}


def count_all(folder: Path, landing: str, policy: str) -> tuple[dict[str, int], int]:
    """Materialize under a policy; rows of every table, and the pairs of one customer."""
    before, pairing = policy.split("/")
    policies = Policies(ReadingsBeforeConsent(before), Pairing(pairing))
    lake = SmallLake.at(folder, policies)
    lake.resources = Resources.of(
        Settings(landing, str(folder / "lake"), policies=policies, dagster_home=folder / "home")
    )
    Materializer(lake.resources, lake.instance).run()
    same = sum(row[0] for row in lake.rows("machine_learning_curated", "same_customer"))
    rows = {name: lake.count(name) for name in TABLES}
    lake.close()
    return rows, same


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(False, id="plain", marks=pytest.mark.slow),
        pytest.param(True, id="faults", marks=pytest.mark.slow),
    ],
)
def sampled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SampleReport]:
    """A sample, plain or with faults, of 80 customers or of 956; its lake goes from one policy to the next."""
    folder = tmp_path_factory.mktemp("faults" if request.param else "plain")
    return folder, write_sample(str(folder / "data" / "landing"), customers=chosen(80, 956), faults=request.param)


@pytest.mark.slow
@pytest.mark.usefixtures("without_dagster")
@pytest.mark.parametrize("policy", POLICIES)
def test_the_sample_has_exactly_its_counts(sampled: tuple[Path, SampleReport], policy: str) -> None:
    folder, report = sampled
    expected = report.policies[policy]
    done = stedi(folder, "materialize", **settings_of(policy))
    assert done.code == int(bool(sum(report.quarantined.values()))), done.err
    counts = stedi(folder, "counts", **settings_of(policy))
    rows = {row["table"]: int(row["rows"]) for row in counts.rows()}
    assert {name: rows[name] for name in expected.tables} == expected.tables
    assert counts.code == 0, "the command knows what its policy makes of the sample"
    lake = SmallLake.at(folder / "data")
    assert sum(row[0] for row in lake.rows("machine_learning_curated", "same_customer")) == expected.same_customer
    lake.close()


PUBLISHED = {
    "include/timestamp": (482, 40_981, 482, 14_460, 43_681, 40_981),
    "include/customer": (482, 40_981, 482, 14_460, 40_981, 40_981),
    "exclude/timestamp": (482, 32_025, 464, 11_297, 34_253, 32_025),
    "exclude/customer": (482, 32_025, 464, 11_297, 32_025, 32_025),
}


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
def test_the_published_counts_of_the_public_data(tmp_path_factory: pytest.TempPathFactory, policy: str) -> None:
    reference = os.environ.get("STEDI_REFERENCE_LANDING")
    if not reference:
        pytest.skip(
            "STEDI_REFERENCE_LANDING is not set: get the public STEDI data (customer, accelerometer and step trainer "
            "landing files of Udacity's 'STEDI Human Balance Analytics' project), bring it in with `stedi land`, and "
            "set STEDI_REFERENCE_LANDING to that landing folder"
        )
    rows, same = count_all(tmp_path_factory.mktemp("reference"), reference, policy)
    landing = tuple(rows[name] for name in ("customer_landing", "accelerometer_landing", "step_trainer_landing"))
    assert landing == (956, 81_273, 28_680)
    names = (
        *("customer_trusted", "accelerometer_trusted", "customers_curated", "step_trainer_trusted"),
        "machine_learning_curated",
    )
    assert (*(rows[name] for name in names), same) == PUBLISHED[policy]
    assert rows["landing_quarantine"] == 0
