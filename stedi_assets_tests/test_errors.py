"""Errors name where they came from, and say what they quote only where everybody is invented."""

from __future__ import annotations

import dataclasses
import json
import lzma
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stedi_assets import errors
from stedi_assets.contracts import table
from stedi_assets.errors import RedactedError, open_lake, redact_errors, working_on
from stedi_assets.landing import sample_lake
from stedi_assets.landing.sample_lake import only_invented_people
from stedi_assets.resources import Resources
from stedi_assets.sample import DEFAULT_LAST_DAY, write_sample
from stedi_assets.settings import Settings
from stedi_assets.staleness import consent
from stedi_assets.staleness.consent import rows_without_consent
from stedi_assets_tests.kit.driven import make_partitions
from stedi_assets_tests.kit.lake import SmallLake
from stedi_assets_tests.kit.people import request


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample of twelve customers, and the tables of customers."""
    root = tmp_path_factory.mktemp("errors")
    write_sample(str(root / "landing"), customers=12, days=1)
    lake = SmallLake.at(root)
    make_partitions(lake.resources, ["customer_landing", "customer_trusted"], [DEFAULT_LAST_DAY])
    lake.close()
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "sample"))


@pytest.fixture(autouse=True)
def nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process of its own."""
    monkeypatch.setattr(errors, "_may_show", {})


def settings_of(root: Path, *, debug_errors: bool = True) -> Settings:
    settings = SmallLake.at(root).resources.settings
    return dataclasses.replace(settings, debug_errors=debug_errors)


def message(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is said of a query for consent that fails and quotes somebody."""
    monkeypatch.setattr(errors, "_may_show", {})
    monkeypatch.setattr(consent, "without_consent", lambda *_, **__: "CAST(email AS BIGINT) = 1")
    resources = Resources.of(settings)
    try:
        with pytest.raises(RedactedError) as caught, redact_errors("comparing the tables"):
            rows_without_consent(resources.view(), table("customer_trusted"))
    finally:
        resources.close()
    return str(caught.value)


def test_an_engines_error_names_who_asked_the_engine_and_for_which_table(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = message(settings_of(root, debug_errors=False), monkeypatch)
    assert said.startswith("Failed comparing the tables: duckdb.ConversionException at ")
    assert " at stedi_assets/staleness/consent.py:" in said
    assert ", in rows_without_consent (raised at stedi_assets/engines/duckdb.py:" in said
    assert ", in rows), while customer_trusted was at work. Its message is withheld" in said
    assert "@" not in said


def test_a_samples_error_says_its_message_where_that_is_asked_for(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = message(settings_of(root), monkeypatch)
    assert "was at work. Its message is shown, as the people of this lake are invented: " in said
    assert "@example.com' to INT64" in said


def test_the_innermost_table_is_named() -> None:
    with (
        pytest.raises(RedactedError, match="while customer_trusted was at work"),
        redact_errors("testing"),
        working_on("machine_learning_curated"),
        working_on("customer_trusted"),
    ):
        duckdb.sql("SELECT CAST('x' AS BIGINT)").fetchall()


def test_one_lake_of_others_keeps_the_messages_of_all() -> None:
    def said() -> str:
        with pytest.raises(RedactedError) as caught, redact_errors("testing"):
            raise ValueError("secret")
        return str(caught.value)

    def in_doubt() -> bool:
        raise OSError

    assert "secret" not in said(), "no lake at all"
    open_lake("one", lambda: True)
    assert "secret" in said()
    for doubtful in (lambda: False, in_doubt):
        open_lake("other", doubtful)
        assert "secret" not in said()


def a_landing_file(root: Path) -> Path:
    return next((root / "landing" / "customer_landing").rglob("*.json"))


def replaced(path: Path, before: bytes, after: bytes) -> None:
    content = path.read_bytes()
    assert before in content
    path.write_bytes(content.replace(before, after, 1))


def marker_gone(root: Path) -> None:
    (root / "landing" / "expected_counts.details.json").unlink()


def marker_broken(root: Path) -> None:
    (root / "landing" / "expected_counts.details.json").write_text("{")


def file_added(root: Path) -> None:
    (a_landing_file(root).parent / "mine.json").touch()


def file_added_elsewhere(root: Path) -> None:
    (root / "landing" / "notes.txt").touch()


def file_linked(root: Path) -> None:
    (root / "landing" / "linked").symlink_to(root)


def file_removed(root: Path) -> None:
    a_landing_file(root).unlink()


def person_added(root: Path) -> None:
    replaced(a_landing_file(root), b"@example.com", b"@example.org")


def person_added_below_the_domain(root: Path) -> None:
    path = a_landing_file(root)
    content = path.read_bytes()
    at = content.index(b"@example.com")
    path.write_bytes(content[: at - 3] + b"@example.com.au" + content[at + len("@example.com") :])


def person_added_in_an_escape(root: Path) -> None:
    path = a_landing_file(root)
    content = path.read_bytes()
    at = content.index(b"@example.com")
    path.write_bytes(content[: at - 5] + b"\\u0040" + content[at + 1 :])


def compressed_person_added(root: Path) -> None:
    """The marker agrees, and no byte of the address can be seen before the file is decompressed."""
    path = a_landing_file(root)
    path.write_bytes(lzma.compress(path.read_bytes().replace(b"@example.com", b"@example.org", 1)))
    marker = root / "landing" / "expected_counts.details.json"
    said = json.loads(marker.read_text())
    said["files"][path.relative_to(root / "landing").as_posix()] = path.stat().st_size
    marker.write_text(json.dumps(said))


def person_in_an_old_version(root: Path) -> None:
    rows = pa.table({"email": ["Somebody@Example.org"]})
    pq.write_table(rows, root / "lake" / "trusted" / "customer_trusted" / "old.parquet")


def person_asked_to_be_erased(root: Path) -> None:
    request(SmallLake.at(root), "ann")


def landed_from_elsewhere(root: Path) -> None:
    """The lake knows a raw file that is none of the sample's, of which nothing names anybody."""
    lake = SmallLake.at(root)
    path = lake.land("step_trainer_landing", "{}\n", "mine.json", day=DEFAULT_LAST_DAY)
    make_partitions(lake.resources, ["step_trainer_landing"], [DEFAULT_LAST_DAY])
    lake.close()
    path.unlink()


IN_DOUBT: list[Callable[[Path], None]] = [
    marker_gone,
    marker_broken,
    file_added,
    file_added_elsewhere,
    file_linked,
    file_removed,
    person_added,
    person_added_below_the_domain,
    person_added_in_an_escape,
    compressed_person_added,
    person_in_an_old_version,
    person_asked_to_be_erased,
    landed_from_elsewhere,
]


@pytest.mark.parametrize("change", IN_DOUBT, ids=lambda change: change.__name__)
def test_a_lake_in_doubt_is_not_the_samples(root: Path, change: Callable[[Path], None]) -> None:
    settings = settings_of(root)
    assert only_invented_people(settings)
    size = a_landing_file(root).stat().st_size
    change(root)
    if change.__name__.startswith("person_added"):
        assert a_landing_file(root).stat().st_size == size, "the marker does not tell"
    assert not only_invented_people(settings)


def test_every_form_of_file_that_the_generator_makes_is_looked_into(tmp_path: Path) -> None:
    write_sample(str(tmp_path / "landing"), customers=12, days=3, faults=True)
    forms = {path.suffix for path in (tmp_path / "landing").rglob("*") if path.is_file()}
    assert forms >= {".bz2", ".zst"}, "compressed ones among them"
    assert only_invented_people(settings_of(tmp_path))


def test_a_lake_that_is_too_large_to_look_through_is_not_the_samples(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_lake, "_MOST_BYTES", 10_000)
    assert not only_invented_people(settings_of(root))


@pytest.mark.parametrize("name", ["landing_uri", "lake_uri", "privacy_uri"])
def test_what_is_not_a_folder_is_not_the_samples(root: Path, name: str) -> None:
    assert not only_invented_people(dataclasses.replace(settings_of(root), **{name: "s3://bucket/x"}))
