"""The contracts are sound, and the settings, keys, days and plans that go with them.

What belongs here: everything that can be said without a row of data.
"""

from __future__ import annotations

import ast
import hashlib
import hmac
import json
import multiprocessing
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

import stedi_assets
from stedi_assets.contracts import (
    ASSET_TABLES,
    DERIVED_TABLES,
    LANDING_TABLES,
    TABLES,
    Column,
    DataType,
    Privacy,
    Table,
    Zone,
    columns,
)
from stedi_assets.contracts import table as contract
from stedi_assets.contracts.render import arrow_schema, markdown, sql_type
from stedi_assets.defs.metadata import column_lineage, column_schema
from stedi_assets.defs.partitions import consecutive, landing_days
from stedi_assets.lakehouse.fingerprint import fingerprint
from stedi_assets.privacy.keys import SecretKeyError
from stedi_assets.privacy.pseudonyms import Pseudonyms, key_path, pseudonyms
from stedi_assets.settings import EngineName, Pairing, Policies, ReadingsBeforeConsent, Settings, SettingsError
from stedi_assets.staleness.plan import Run, downstream, runs

INPUTS = {table.name: table.inputs for table in DERIVED_TABLES}
PACKAGE = Path(stedi_assets.__file__).parent
ROOT = PACKAGE.parent
DAY = date(2023, 8, 6)
PERSONAL = {Privacy.DIRECT_IDENTIFIER, Privacy.QUASI_IDENTIFIER}

each_table = pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)


def days(*numbers: int) -> list[date]:
    return [DAY.replace(day=number) for number in numbers]


# --- contracts ----------------------------------------------------------------------------------

TEXT = Column("name", DataType.TEXT, Privacy.DIRECT_IDENTIFIER, "A name.")


def test_an_anonymous_table_cannot_declare_a_direct_identifier() -> None:
    with pytest.raises(ValueError, match=r"faces is anonymous, so it cannot .*'name'.*subject_id"):
        Table("faces", Zone.CURATED, "", (TEXT, columns.LANDING_DATE), anonymous=True)
    with pytest.raises(ValueError, match="cannot declare the direct identifiers"):
        replace(contract("customers_curated"), anonymous=True)


@pytest.mark.parametrize("privacy", sorted(PERSONAL))
def test_statistics_are_never_of_people(privacy: Privacy) -> None:
    with pytest.raises(ValueError, match=f"Column name: statistics would put its values .* a {privacy.value}"):
        replace(TEXT, privacy=privacy, statistics=True)
    for table in TABLES.values():
        assert not [column.name for column in table.columns if column.statistics and column.privacy in PERSONAL]


@pytest.mark.parametrize(
    "wrong",
    [{"key": ("nobody",)}, {"lineage": {"nobody": ()}}, {"partition_by": ("nobody",)}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_table_names_columns_that_it_has(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"Table faces: \['nobody'\] are named"):
        Table("faces", Zone.CURATED, "", (columns.SUBJECT_ID, columns.LANDING_DATE), **wrong)


def test_a_table_has_each_column_once() -> None:
    with pytest.raises(ValueError, match=r"Table faces declares \['subject_id'\] more than once"):
        Table("faces", Zone.CURATED, "", (columns.SUBJECT_ID, columns.SUBJECT_ID, columns.LANDING_DATE))


def test_a_column_cannot_leave_out_its_privacy_class() -> None:
    with pytest.raises(TypeError, match="privacy"):
        Column("name", DataType.TEXT, description="")  # type: ignore[call-arg]


@pytest.mark.parametrize("name", ["machine_learning_curated", "consent_history"])
def test_what_data_scientists_use_is_anonymous(name: str) -> None:
    table = contract(name)
    assert table.anonymous
    assert not {"email", "user", "serialNumber", "customerName", "phone"} & set(table.column_names)


def test_every_column_of_the_dictionary_is_used_and_every_used_one_is_in_it() -> None:
    dictionary = {name: value for name, value in vars(columns).items() if isinstance(value, Column)}
    used = {column.name for table in TABLES.values() for column in table.columns}
    assert {column.name for column in dictionary.values()} == used
    assert len(dictionary) == len(used), "a name is defined twice"
    known = {column.name: column for column in dictionary.values()}
    for table in TABLES.values():
        for column in table.columns:
            # A table may be stricter than the dictionary, and nothing else.
            assert replace(column, required=known[column.name].required) == known[column.name]
            assert column.required >= known[column.name].required


@each_table
def test_every_table_is_sound(table: Table) -> None:
    assert table.columns[-1] is columns.LANDING_DATE
    assert "landing_date" in table.partition_by
    assert set(table.partition_by) == set(table.column_names[-len(table.partition_by) :])
    assert table.description.endswith(".")
    assert table.max_age > timedelta(0)
    assert TABLES[table.name] is contract(table.name) is table
    assert table.data_columns == tuple(c for c in table.columns if c.name not in table.partition_by)
    for column in table.columns:
        assert table.column(column.name) is column
        assert re.fullmatch(r"[a-z][A-Za-z]*|[a-z]+(_[a-z]+)*", column.name)
        assert column.description.endswith(".")
    with pytest.raises(KeyError, match=f"Table {table.name} has no column 'nobody'; it has "):
        table.column("nobody")


@each_table
def test_lineage_refers_to_columns_that_there_are(table: Table) -> None:
    for name, origins in table.lineage.items():
        assert table.column(name)
        assert origins
        for upstream, column in origins:
            assert contract(upstream).column(column)
    derived = table.name in INPUTS
    assert set(table.lineage) == (set(table.column_names) if derived else set())


@pytest.mark.parametrize("name", INPUTS)
def test_what_a_table_is_made_from_comes_before_it(name: str) -> None:
    order = [table.name for table in ASSET_TABLES]
    origins = {table for origins in contract(name).lineage.values() for table, _ in origins}
    assert all(order.index(upstream) < order.index(name) for upstream in {*INPUTS[name], *origins})


def test_landing_tables_say_what_a_line_may_hold() -> None:
    assert [table.name for table in TABLES.values() if table.source] == [table.name for table in LANDING_TABLES]
    for table in LANDING_TABLES:
        assert table.source is not None
        assert table.columns[: len(table.source.fields)] == table.source.fields
        if table.source.event_time:
            assert table.column(table.source.event_time).type is DataType.INTEGER


def test_an_unknown_table_is_an_error_that_lists_those_there_are() -> None:
    with pytest.raises(KeyError, match="There is no table 'nothing'; there are customer_landing, "):
        contract("nothing")


# --- renderings ---------------------------------------------------------------------------------


@each_table
def test_arrow_and_sql(table: Table) -> None:
    types = {
        DataType.TEXT: (pa.string(), "VARCHAR"),
        DataType.INTEGER: (pa.int64(), "BIGINT"),
        DataType.NUMBER: (pa.float64(), "DOUBLE"),
        DataType.BOOLEAN: (pa.bool_(), "BOOLEAN"),
        DataType.DATE: (pa.date32(), "DATE"),
    }
    schema = arrow_schema(table)
    assert tuple(schema.names) == table.column_names
    for column in table.columns:
        assert (schema.field(column.name).type, sql_type(column)) == types[column.type]
        assert schema.field(column.name).nullable


@each_table
def test_column_schema_and_lineage(table: Table) -> None:
    schema = column_schema(table)
    assert [one.name for one in schema.columns] == list(table.column_names)
    for shown, column in zip(schema.columns, table.columns):
        assert shown.type == sql_type(column).lower()
        assert shown.description == column.description
        assert shown.constraints.nullable is not column.required
        assert column.privacy.value in shown.constraints.other
        assert column.unit is None or column.unit in shown.constraints.other
    lineage = column_lineage(table).deps_by_column
    assert {
        name: sorted((d.asset_key.to_user_string(), d.column_name) for d in deps) for name, deps in lineage.items()
    } == {name: sorted(origins) for name, origins in table.lineage.items()}


def test_the_reference_page_is_what_the_contracts_say() -> None:
    page = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    assert page == markdown(tuple(TABLES.values())), "docs/tables.md is not up to date: run `make docs`"


def test_the_reference_page_names_everything() -> None:
    page = markdown(tuple(TABLES.values()))
    for table in TABLES.values():
        section = page.split(f"\n## {table.name}\n")[1].split("\n## ")[0]
        assert table.description in section
        assert section.count("\n| `") == len(table.columns)
        for column in table.columns:
            assert f"| `{column.name}` | {sql_type(column)} |" in section
            assert column.privacy.value in section


# --- settings -----------------------------------------------------------------------------------

GOOD: list[tuple[str, str, str, Any]] = [
    ("STEDI_LANDING_URI", "/data/in/", "landing_uri", "/data/in"),
    ("STEDI_LANDING_URI", "file:///data/in", "landing_uri", "/data/in"),
    ("STEDI_LANDING_URI", "s3://bucket/in/", "landing_uri", "s3://bucket/in"),
    ("STEDI_LAKE_URI", "s3://bucket/lake", "lake_uri", "s3://bucket/lake"),
    ("STEDI_ENGINE", "duckdb", "engine", EngineName.DUCKDB),
    ("STEDI_ENGINE", " Spark", "engine", EngineName.SPARK),
    ("STEDI_READINGS_BEFORE_CONSENT", "EXCLUDE", "policies", Policies(ReadingsBeforeConsent.EXCLUDE)),
    ("STEDI_PAIRING", "customer", "policies", Policies(pairing=Pairing.CUSTOMER)),
    ("STEDI_PSEUDONYM_KEY", "a secret", "pseudonym_key", "a secret"),
    ("STEDI_FIRST_DAY", " 2020-02-29", "first_day", date(2020, 2, 29)),
    ("STEDI_EXPECTED_COUNTS", "counts.json", "expected_counts", "counts.json"),
    ("STEDI_PRIVACY_URI", "/private/folder/", "privacy_uri", "/private/folder"),
    ("STEDI_MEMORY_LIMIT", "512MB", "memory_limit", "512MB"),
    ("STEDI_MEMORY_LIMIT", "1.5 GiB", "memory_limit", "1.5 GiB"),
    ("DAGSTER_HOME", "/var/dagster", "dagster_home", Path("/var/dagster")),
]
BAD = [
    ("STEDI_ENGINE", "polars", "'duckdb' or 'spark'"),
    ("STEDI_READINGS_BEFORE_CONSENT", "yes", "'include' or 'exclude'"),
    ("STEDI_PAIRING", "email", "'timestamp' or 'customer'"),
    ("STEDI_FIRST_DAY", "01.02.2022", "a day as YYYY-MM-DD"),
    ("STEDI_FIRST_DAY", "2022-02-30", "a day as YYYY-MM-DD"),
    ("STEDI_MEMORY_LIMIT", "lots", "a size such as"),
    ("STEDI_MEMORY_LIMIT", "4", "a size such as"),
    ("STEDI_MEMORY_LIMIT", "4iB", "a size such as"),
    ("STEDI_MEMORY_LIMIT", "4 kmgB", "a size such as"),
]


@pytest.mark.parametrize("environment", [{}, {name: "" for name, *_ in GOOD}], ids=["unset", "empty"])
def test_the_defaults(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings.from_environment(environment) == Settings(
        landing_uri=str(tmp_path / "data" / "landing"),
        lake_uri=str(tmp_path / "data" / "lake"),
        dagster_home=tmp_path / ".dagster",
        engine=EngineName.DUCKDB,
        policies=Policies(ReadingsBeforeConsent.INCLUDE, Pairing.TIMESTAMP),
        first_day=date(2022, 1, 1),
        privacy_uri=str(tmp_path / "data" / "privacy"),
    )


@pytest.mark.parametrize(("name", "value", "setting", "expected"), GOOD)
def test_a_variable_is_taken(name: str, value: str, setting: str, expected: Any) -> None:
    environment = {name: value}
    assert getattr(Settings.from_environment(environment), setting) == expected


def test_the_process_is_asked_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEDI_PAIRING", "customer")
    assert Settings.from_environment().policies.pairing is Pairing.CUSTOMER


@pytest.mark.parametrize(("name", "value", "takes"), BAD)
def test_a_wrong_value_is_an_error_that_says_what_is_taken(name: str, value: str, takes: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(takes)) as caught:
        Settings.from_environment({name: value})
    assert name in str(caught.value)
    assert repr(value) in str(caught.value)
    assert "Unset it for" in str(caught.value)


def test_the_key_is_not_shown() -> None:
    assert "a secret" not in repr(Settings.from_environment({"STEDI_PSEUDONYM_KEY": "a secret"}))


# --- partitions, fingerprints -------------------------------------------------------------------


def test_landing_days_reach_from_the_first_day_to_today() -> None:
    from stedi_assets.resources import today

    before = today()
    keys = landing_days(date(2023, 12, 30)).get_partition_keys()
    assert keys[:3] == ["2023-12-30", "2023-12-31", "2024-01-01"]
    assert keys[-1] in {before.isoformat(), today().isoformat()}


@pytest.mark.parametrize(
    ("given", "expected"),
    [((), []), ((3,), [[3]]), ((5, 3, 4, 4, 9, 8, 1), [[1], [3, 4, 5], [8, 9]])],
)
def test_consecutive_days(given: tuple[int, ...], expected: list[list[int]]) -> None:
    assert consecutive(days(*given)) == [days(*run) for run in expected]


def test_fingerprints() -> None:
    """Of equal parts they are equal, on every machine: this one is in the names of stored files."""
    assert fingerprint(1, "a", None, [DAY]) == hashlib.sha256(b'[1,"a",null,["2023-08-06"]]').hexdigest()[:16]
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    different = [(), ((),), (None,), ("",), ("1",), (1,), (1, 2), (2, 1), ("1,2",), ([1], 2), ([1, 2],), ("é",)]
    found = {fingerprint(*parts) for parts in different}
    assert len(found) == len(different)
    assert all(re.fullmatch("[0-9a-f]{16}", one) for one in found)


# --- pseudonyms ---------------------------------------------------------------------------------


def rfc_2104(key: bytes, text: bytes) -> str:
    """HMAC-SHA256, as the RFC writes it."""
    block = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in block) + text).digest()
    return hashlib.sha256(bytes(b ^ 0x5C for b in block) + inner).hexdigest()


@pytest.mark.parametrize("key", [b"a key for tests", b"k", b"long " * 30])
@pytest.mark.parametrize("email", ["ann@example.com", "zoë@example.com", ""])
def test_a_pseudonym_is_an_hmac(key: bytes, email: str) -> None:
    assert Pseudonyms(lambda: key).subject_id(email) == rfc_2104(key, email.encode())
    assert rfc_2104(key, email.encode()) == hmac.new(key, email.encode(), "sha256").hexdigest()


def test_pseudonyms_of_a_frame() -> None:
    people = pa.table({"email": ["ann@example.com", "bob@example.com", "ann@example.com", None], "more": [1, 2, 3, 4]})
    found = Pseudonyms(lambda: b"key").subject_ids(people).collect("pyarrow").to_native().to_pylist()
    assert sorted(found, key=lambda row: row["email"]) == [
        {"email": email, "subject_id": rfc_2104(b"key", email.encode())}
        for email in ("ann@example.com", "bob@example.com")
    ]


def test_a_key_is_named_without_saying_anything_about_it() -> None:
    one, other = (Pseudonyms(lambda key=key: key) for key in (b"one", b"other"))
    assert one.key_id != other.key_id
    assert one.key_id == Pseudonyms(lambda: b"one").key_id
    assert hashlib.sha256(b"one").hexdigest()[:16] != one.key_id != one.subject_id("")[:16]


def of_lake(lake: Path | str, key: str | None = None) -> Pseudonyms:
    return pseudonyms(Settings(lake_uri=str(lake), pseudonym_key=key))


def test_a_local_lake_makes_its_key_once(tmp_path: Path) -> None:
    lake = tmp_path / "data" / "lake"
    made = of_lake(lake)
    path = key_path(str(lake))
    assert not path.exists(), "made before it is needed"
    subject = made.subject_id("ann@example.com")
    assert path.parent == lake.parent, "outside the lake, so that sharing the lake does not share it"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_text().strip()) >= 64
    assert of_lake(lake).subject_id("ann@example.com") == subject
    assert of_lake(tmp_path / "other").subject_id("ann@example.com") != subject


def _subject_of(lake: str) -> str:
    return of_lake(lake).subject_id("ann@example.com")


def test_processes_that_make_the_key_at_once_agree_on_one(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        found = pool.map(_subject_of, [str(tmp_path / "lake")] * 16, chunksize=1)
    assert len(set(found)) == 1
    assert [path.name for path in tmp_path.iterdir()] == [key_path(str(tmp_path / "lake")).name]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    of_lake(tmp_path / "lake").subject_id("ann@example.com")
    path = key_path(str(tmp_path / "lake"))
    path.chmod(mode)
    with pytest.raises(SecretKeyError, match=f"can be read by others .*{mode:04o}.*chmod 600") as caught:
        of_lake(tmp_path / "lake").subject_id("ann@example.com")
    assert path.read_text().strip() not in str(caught.value)


def test_an_empty_key_is_refused(tmp_path: Path) -> None:
    path = key_path(str(tmp_path / "lake"))
    path.touch(0o600)
    with pytest.raises(SecretKeyError, match="is empty"):
        of_lake(tmp_path / "lake").subject_id("ann@example.com")


def test_a_key_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SecretKeyError, match=r"Cannot make the pseudonym key .*STEDI_PSEUDONYM_KEY"):
        of_lake(tmp_path / "file" / "lake").subject_id("ann@example.com")


def test_another_lake_needs_a_key() -> None:
    with pytest.raises(SecretKeyError, match="STEDI_PSEUDONYM_KEY is not set"):
        of_lake("s3://bucket/lake").subject_id("ann@example.com")
    assert of_lake("s3://bucket/lake", "key").subject_id("a") == rfc_2104(b"key", b"a")


# --- plans --------------------------------------------------------------------------------------


def test_downstream() -> None:
    every = tuple(table.name for table in ASSET_TABLES)
    assert downstream([]) == ()
    assert downstream(["customer_landing"]) == (every[0], *every[3:])
    assert downstream(["step_trainer_landing"]) == (
        "step_trainer_landing",
        "step_trainer_trusted",
        "machine_learning_curated",
    )
    assert downstream(["machine_learning_curated"]) == ("machine_learning_curated",)
    assert downstream(["machine_learning_curated", "customers_curated"]) == (every[5], *every[7:])


def test_runs() -> None:
    a, b, c = "customer_trusted", "accelerometer_trusted", "machine_learning_curated"
    assert runs({}) == []
    assert runs({a: set()}) == []
    found = runs({c: set(days(1, 2, 3, 5)), b: set(days(2, 3)), a: set(days(9))})
    assert found == [
        Run((c,), *days(1, 1)),
        Run((b, c), *days(2, 3)),
        Run((c,), *days(5, 5)),
        Run((a,), *days(9, 9)),
    ]
    assert found[1].days == days(2, 3)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(0, [(1, 4)]), (1, [(1, 1), (2, 2), (3, 3), (4, 4)]), (10, [(1, 2), (3, 3), (4, 4)]), (100, [(1, 4)])],
)
def test_runs_do_not_grow_beyond_the_limit(limit: int, expected: list[tuple[int, int]]) -> None:
    sizes = dict(zip(days(1, 2, 3, 4), (4, 6, 20, 1)))
    name = "accelerometer_trusted"
    assert runs({name: set(sizes)}, sizes, limit) == [Run((name,), *days(*ends)) for ends in expected]


# --- who imports what ---------------------------------------------------------------------------

ALLOWED = {
    "deltalake": ("lakehouse/",),
    "duckdb": (
        "engines/",
        "landing/parse.py",
        "landing/reading.py",
        "cli/",
        "defs/checks/model.py",
        "privacy/",
        "subject_requests/",
    ),
    "pyspark": ("engines/",),
}
"""Packages that only some modules may import; elsewhere their interface stands between."""

FORBIDDEN = {
    "dagster": ("transforms/", "landing/", "lakehouse/", "engines/", "contracts/model.py", "contracts/columns.py"),
    "pandas": ("",),
}
"""Packages, and where they may not be imported."""


def imports() -> Iterator[tuple[str, str]]:
    """Module and top-level package of every import, wherever in the module it stands."""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = path.relative_to(PACKAGE).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((module, alias.name.partition(".")[0]) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield module, node.module.partition(".")[0]


def test_packages_are_imported_where_they_may_be() -> None:
    found = set(imports())
    assert len(found) > 50
    wrong = {(m, p) for m, p in found if p in ALLOWED and not m.startswith(ALLOWED[p])}
    wrong |= {(m, p) for m, p in found if p in FORBIDDEN and m.startswith(FORBIDDEN[p])}
    assert not wrong


READING = """
import sys
import stedi_assets.cli.main, stedi_assets.expected_counts, stedi_assets.staleness.plan
import stedi_assets.subject_requests.explain, stedi_assets.subject_requests.export
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_whoever_only_reads_does_not_wait_for_dagster_and_pandas() -> None:
    said = subprocess.run([sys.executable, "-c", READING], capture_output=True, text=True, check=True)
    assert {"duckdb", "pyarrow"} <= set(said.stdout.split())
    assert not {"dagster", "pandas", "pyspark"} & set(said.stdout.split())


def test_only_the_settings_read_the_environment() -> None:
    readers = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(node, "attr", None) or getattr(node, "id", None)
            names = [alias.name for alias in node.names] if isinstance(node, ast.ImportFrom) else [name]
            if {"environ", "environb", "getenv"} & {name for name in names if name}:
                readers.add(path.relative_to(PACKAGE).as_posix())
    assert readers == {"settings.py"}


# --- loading ------------------------------------------------------------------------------------

WATCH = """
import json, os, sys, time
start = time.perf_counter()
seen = []
def watch(event, arguments):
    if event == "open":
        path, mode, flags = (*arguments, None, None)[:3]
        if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC):
            seen.append(f"opened for writing: {path}")
    elif event in ("os.mkdir", "os.remove", "os.rename", "os.link", "os.symlink", "shutil.rmtree"):
        seen.append(f"{event}: {arguments[0]}")
    elif event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen", "os.system"):
        seen.append(f"{event}: {arguments[-1]}")
sys.addaudithook(watch)
import stedi_assets.definitions
stedi_assets.definitions.defs().resolve_asset_graph()
print(json.dumps({"seen": seen, "seconds": time.perf_counter() - start, "modules": sorted(sys.modules)}))
"""


def loaded(folder: Path) -> dict[str, Any]:
    """What loading the code location does, in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STEDI_")}
    environment |= {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    said = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WATCH], cwd=folder, env=environment, capture_output=True, check=False
    )
    assert said.returncode == 0, said.stderr.decode()
    found: dict[str, Any] = json.loads(said.stdout.splitlines()[-1])
    return found


def test_loading_the_code_location_does_no_io_and_takes_under_3_s(tmp_path: Path) -> None:
    tries = [loaded(tmp_path)]
    # Libraries look for shared objects with the system's own tools; that is theirs, and changes nothing.
    seen = [what for what in tries[0]["seen"] if "/dev/null" not in what and "'LC_ALL': 'C'" not in what]
    assert seen == []
    assert list(tmp_path.iterdir()) == []
    assert not {"pyspark", "pandas.tests", "s3fs"} & set(tries[0]["modules"])
    while min(one["seconds"] for one in tries) >= 3 and len(tries) < 4:
        tries.append(loaded(tmp_path))  # a machine that is busy with other things tells nothing
    assert min(one["seconds"] for one in tries) < 3


def test_loading_opens_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB and delta-rs work below Python's audit events, so their own doors are watched."""
    import deltalake
    import duckdb

    from stedi_assets.defs.build import build_definitions

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("loading the definitions opened a database")

    monkeypatch.setattr(duckdb, "connect", refuse)
    monkeypatch.setattr(deltalake.DeltaTable, "__init__", refuse)
    definitions = build_definitions(Settings())
    assert isinstance(definitions, dg.Definitions)
    assert len(definitions.resolve_asset_graph().materializable_asset_keys) == len(ASSET_TABLES)
