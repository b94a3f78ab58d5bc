"""Every check, on tables that keep their promises and on tables that do not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from stedi_assets.contracts import ASSET_TABLES, READINGS_TABLES, DataType, Table
from stedi_assets.contracts import columns as c
from stedi_assets.contracts import table as contract
from stedi_assets.defs.checks.build import checks_of, outcomes
from stedi_assets.defs.checks.model import Check, CheckContext, CheckOutcome
from stedi_assets.defs.run_history import RANGE_TAGS
from stedi_assets.defs.runs import downstream
from stedi_assets.engines.duckdb import DuckDBEngine
from stedi_assets.lakehouse import Lakehouse, NewFile
from stedi_assets.privacy.pseudonyms import pseudonyms
from stedi_assets.resources import today
from stedi_assets.staleness.fingerprints import expected_fingerprints
from stedi_assets_tests.kit.driven import make_partitions
from stedi_assets_tests.kit.lake import SmallLake, failed_checks, made, with_platform
from stedi_assets_tests.kit.records import DAY, STAMP, customer, lines, movement, step

DERIVED = [table.name for table in ASSET_TABLES if table.source is None]
WARNINGS = {
    "newest_landing_day",
    "row_count",
    "rejected_lines",
    "duplicate_files",
    "indexed",
    "references",
    "shared_serial_numbers",
    "devices_claimed_later",
    "same_customer",
    "unknown_keys",
    "consent_in_doubt",
}
WHOLE = "consent_of_the_whole_table"
NOT_OF_THE_RUN = {WHOLE, "few_rejected", "files_left_alone", "unattributed_texts"}
"""Errors that block nothing, since the run of some days cannot mend the others."""


def newest(small: SmallLake, name: str) -> date:
    """The newest day on which a table has rows."""
    return max(f.landing_date for f in small.resources.lakehouse.snapshot(contract(name)).files if f.rows)


def evaluated(small: SmallLake, name: str, day: date) -> list[tuple[Check, CheckOutcome]]:
    """What all checks of a table find, without a run of Dagster's."""
    return list(outcomes(CheckContext(small.resources, contract(name), {day}, checks_of(contract(name)))))


def check(
    small: SmallLake, name: str, day: date
) -> tuple[dg.ExecuteInProcessResult, dict[str, dg.AssetCheckEvaluation]]:
    """Run all checks of a table, and nothing else."""
    keys = [dg.AssetCheckKey(dg.AssetKey(name), one.name) for one in checks_of(contract(name))]
    result = small.run([], day, checks=keys)
    return result, {evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()}


@pytest.mark.slow
def test_a_run_of_several_days_says_of_each_what_it_found(spoilt: SmallLake) -> None:
    good = spoilt
    good.materialize(force=True)
    graph = good.job.asset_layer.asset_graph
    for name in (table.name for table in ASSET_TABLES):
        keys = [key for key in graph.asset_check_keys if key.asset_key == dg.AssetKey(name)]
        assert keys
        for key in keys:
            records = good.instance.event_log_storage.get_asset_check_execution_history(key, limit=100)
            assert {record.partition for record in records} == {str(today()), str(today() - timedelta(days=1))}
            for record in records:
                assert record.status is AssetCheckExecutionRecordStatus.SUCCEEDED or key.name in WARNINGS, key
                evaluation = record.evaluation
                assert evaluation is not None
                latest = good.instance.fetch_materializations(
                    dg.AssetRecordsFilter(key.asset_key, asset_partitions=[str(record.partition)]), limit=1
                ).records[0]
                assert evaluation.target_materialization_data is not None
                assert evaluation.target_materialization_data.storage_id == latest.storage_id


def people(small: SmallLake) -> set[str]:
    """Every text of a person in the landing tables."""
    values = {
        str(value)
        for row in small.rows("customer_landing", 'customerName, email, phone, birthDay, "serialNumber"')
        for value in row
        if value is not None
    }
    return {value for value in values if len(value) > 3}


def assert_says_nothing_of_rows(small: SmallLake, found: Iterable[dg.AssetCheckEvaluation | CheckOutcome]) -> None:
    private = people(small)
    for one in found:
        said = str(one) if isinstance(one, CheckOutcome) else dg.serialize_value(one)
        numbers = one.numbers if isinstance(one, CheckOutcome) else one.metadata
        assert not [value for value in private if value in said]
        assert all(isinstance(value, (int, dg.IntMetadataValue)) for value in numbers.values())


# ---- good data ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [table.name for table in ASSET_TABLES])
def test_every_check_passes_on_good_data(good: SmallLake, name: str) -> None:
    found = evaluated(good, name, newest(good, name))
    assert [(one.name, outcome.description) for one, outcome in found if not outcome.passed] == []
    assert_says_nothing_of_rows(good, [outcome for _, outcome in found])


def test_what_blocks_is_an_error_and_the_rest_warns() -> None:
    for table in ASSET_TABLES:
        for one in checks_of(table):
            assert one.blocking == (one.name not in {*WARNINGS, *NOT_OF_THE_RUN}), (table.name, one.name)
            expected = dg.AssetCheckSeverity.WARN if one.name in WARNINGS else dg.AssetCheckSeverity.ERROR
            assert one.severity is expected, (table.name, one.name)


# ---- data that breaks a promise ----------------------------------------------------------------

FUTURE = 4_102_444_800_000
REPEATED = "FROM rows UNION ALL FROM rows"
SOME = "SELECT * FROM rows LIMIT 1"


def replaced(**values: str) -> str:
    return "SELECT * REPLACE (" + ", ".join(f'{value} AS "{name}"' for name, value in values.items()) + ") FROM rows"


SPOILT: list[tuple[str, str, str]] = [
    *((table.name, "indexed", SOME) for table in READINGS_TABLES),
    ("customer_landing", "required", replaced(email="' '")),
    ("customer_landing", "required", replaced(lastUpdateDate="NULL::BIGINT")),
    ("customer_landing", "unique_key", REPEATED),
    ("customer_landing", "ranges", replaced(source_line="0")),
    ("customer_landing", "nothing_lost", SOME),
    ("accelerometer_landing", "required", replaced(user="NULL::VARCHAR")),
    ("accelerometer_landing", "ranges", replaced(timestamp=str(FUTURE))),
    ("accelerometer_landing", "ranges", replaced(timestamp="0")),
    ("accelerometer_landing", "nothing_lost", REPEATED),
    ("step_trainer_landing", "required", replaced(serialNumber="chr(9)")),
    ("step_trainer_landing", "ranges", replaced(distanceFromObject="-1")),
    ("step_trainer_landing", "ranges", replaced(sensorReadingTime=str(FUTURE))),
    ("step_trainer_landing", "nothing_lost", SOME),
    ("customer_trusted", "required", replaced(shareWithResearchAsOfDate="NULL::BIGINT")),
    ("customer_trusted", "unique_key", REPEATED),
    ("customer_trusted", "consent", replaced(email="$refuser")),
    ("customer_trusted", WHOLE, replaced(email="$refuser")),
    ("accelerometer_trusted", WHOLE, replaced(user="$refuser")),
    ("customers_curated", WHOLE, replaced(email="$refuser")),
    ("step_trainer_trusted", WHOLE, replaced(serialNumber="$device")),
    ("machine_learning_curated", WHOLE, replaced(device_subject_id="$pseudonym")),
    ("accelerometer_trusted", "required", replaced(x="NULL::DOUBLE")),
    ("accelerometer_trusted", "unique_key", REPEATED),
    ("accelerometer_trusted", "ranges", replaced(timestamp=str(FUTURE))),
    ("accelerometer_trusted", "consent", replaced(user="$refuser")),
    ("accelerometer_trusted", "references", replaced(user="$refuser")),
    ("customers_curated", "required", replaced(subject_id="''")),
    ("customers_curated", "unique_key", REPEATED),
    ("customers_curated", "consent", replaced(email="$refuser")),
    ("customers_curated", "references", replaced(email="$refuser")),
    ("consent_history", "required", replaced(granted_at="NULL::BIGINT")),
    ("consent_history", "unique_key", REPEATED),
    ("consent_history", "ranges", replaced(grant_number="0")),
    ("consent_history", "consent", replaced(subject_id="$pseudonym")),
    ("consent_history", "consent", SOME),
    ("consent_history", "consent", replaced(withdrawn_at="1", withdrawn_landing_date="landing_date")),
    ("consent_history", "consent", replaced(withdrawn_at="1")),
    ("consent_history", "consent", "FROM rows UNION ALL SELECT * REPLACE (grant_number + 1 AS grant_number) FROM rows"),
    ("consent_history", "no_identifiers", replaced(subject_id="$refuser")),
    ("step_trainer_trusted", "required", replaced(distanceFromObject="NULL::BIGINT")),
    ("step_trainer_trusted", "unique_key", REPEATED),
    ("step_trainer_trusted", "ranges", replaced(distanceFromObject="-1")),
    ("step_trainer_trusted", "ranges", replaced(sensorReadingTime="0")),
    ("step_trainer_trusted", "consent", replaced(serialNumber="$device")),
    ("step_trainer_trusted", "references", replaced(serialNumber="$device")),
    ("machine_learning_curated", "required", replaced(subject_id="NULL::VARCHAR")),
    ("machine_learning_curated", "ranges", replaced(distanceFromObject="-1")),
    ("machine_learning_curated", "consent", replaced(subject_id="$pseudonym")),
    ("machine_learning_curated", "consent", replaced(device_subject_id="$pseudonym")),
    ("machine_learning_curated", "references", replaced(subject_id="$pseudonym")),
    ("machine_learning_curated", "no_identifiers", replaced(subject_id="$refuser")),
    ("machine_learning_curated", "no_identifiers", replaced(device_subject_id="'+1 555 0100 22'")),
    ("machine_learning_curated", "no_identifiers", replaced(subject_id="uuid()::VARCHAR")),
    ("machine_learning_curated", "same_customer", replaced(same_customer="false")),
]


def refuser(small: SmallLake) -> dict[str, str]:
    """Someone who does not share with research, as SQL literals."""
    trusted = {email for (email,) in small.rows("customer_trusted", "email")}
    landed = small.rows("customer_landing", 'lower(trim(email)), lower(trim("serialNumber"))')
    claims: dict[str, set[str]] = {}
    for email, serial in landed:
        claims.setdefault(serial, set()).add(email)
    email, serial = next((e, s) for e, s in landed if not claims[s] & trusted)
    return {
        "$refuser": f"'{email}'",
        "$device": f"'{serial}'",
        "$pseudonym": f"'{small.resources.pseudonyms.subject_id(email)}'",
    }


def spoil(small: SmallLake, good: SmallLake, name: str, sql: str) -> date:
    """Replace the newest day of a table by what SQL makes of the good lake's rows; the day."""
    for word, value in refuser(good).items():
        sql = sql.replace(word, value)
    day = newest(good, name)
    small.spoil(name, day, sql, good=good)
    return day


@pytest.mark.parametrize("name", sorted({name for name, *_ in SPOILT}))
def test_a_table_that_breaks_a_promise_fails_its_check(good: SmallLake, spoilt: SmallLake, name: str) -> None:
    for broken, sql in (case for table, *case in SPOILT if table == name):
        day = spoil(spoilt, good, name, sql)
        found = {one.name: outcome for one, outcome in evaluated(spoilt, name, day)}
        assert not found[broken].passed, (broken, sql)
        assert_says_nothing_of_rows(good, found.values())


@pytest.mark.parametrize(
    ("name", "broken"),
    [("customer_trusted", "unique_key"), ("accelerometer_trusted", "indexed"), ("consent_history", "no_identifiers")],
)
def test_dagster_stores_what_the_checks_find(good: SmallLake, spoilt: SmallLake, name: str, broken: str) -> None:
    """A run fails where a blocking check does, and its events hold every outcome as it is."""
    day = spoil(spoilt, good, name, next(sql for table, check, sql in SPOILT if (table, check) == (name, broken)))
    found = {one.name: (one, outcome) for one, outcome in evaluated(spoilt, name, day)}
    result, evaluations = check(spoilt, name, day)
    assert set(evaluations) == set(found)
    for stored in evaluations.values():
        one, outcome = found[stored.check_name]
        assert (stored.passed, stored.description) == (outcome.passed, outcome.description)
        assert {key: value.value for key, value in stored.metadata.items()} == dict(outcome.numbers)
        assert stored.severity is one.severity
    assert not evaluations[broken].passed
    assert result.success == all(outcome.passed or not one.blocking for one, outcome in found.values())
    assert result.success == (broken in WARNINGS)
    assert_says_nothing_of_rows(spoilt, evaluations.values())


def test_every_check_is_spoilt_somewhere() -> None:
    tried = {(name, broken) for name, broken, _ in SPOILT}
    elsewhere = {
        "schema",
        "newest_landing_day",
        "row_count",
        "rejected_lines",
        "duplicate_files",
        # See test_check_rules.
        "shared_serial_numbers",
        "devices_claimed_later",
        # See test_open_matters.
        "few_rejected",
        "unknown_keys",
        "unattributed_texts",
        "files_left_alone",
        "consent_in_doubt",
    }
    known = {(table.name, one.name) for table in ASSET_TABLES for one in checks_of(table) if one.name not in elsewhere}
    assert known - tried == set()


@pytest.mark.parametrize("name", [table.name for table in ASSET_TABLES])
def test_other_columns_fail_the_schema_check(spoilt: SmallLake, name: str) -> None:
    table, day = contract(name), newest(spoilt, name)
    first, *others = table.columns
    text = dataclasses.replace(c.REASON, name=first.name)
    variant = dataclasses.replace(
        table, columns=(text, *others, c.LINE), lineage={}, key=(), anonymous=False, source=None
    )
    spoilt.spoil(name, day, f"SELECT * REPLACE ('x' AS \"{first.name}\"), 'a line' AS line FROM rows", variant)
    found = {one.name: outcome for one, outcome in evaluated(spoilt, name, day)}
    failed = found["schema"]
    assert not failed.passed
    assert "line" in failed.description
    assert (first.name in failed.description) == (first.type is not DataType.TEXT)
    assert set(found) == {one.name for one in checks_of(table)}, "the other checks say something too"
    if table.anonymous:
        assert not found["no_identifiers"].passed
    assert_says_nothing_of_rows(spoilt, found.values())


def test_a_table_without_a_column_fails_what_cannot_be_judged(spoilt: SmallLake) -> None:
    name = "customer_trusted"
    table, day = contract(name), newest(spoilt, name)
    kept = tuple(column for column in table.columns if column.name != "serialNumber")
    variant = dataclasses.replace(table, columns=kept, lineage={})
    spoilt.spoil(name, day, 'SELECT * EXCLUDE ("serialNumber") FROM rows', variant)
    result, evaluations = check(spoilt, name, day)
    assert not result.success
    assert "serialNumber" in str(evaluations["schema"].description)
    assert not evaluations["required"].passed
    assert "Cannot be evaluated, see the schema check" in str(evaluations["required"].description)
    assert_says_nothing_of_rows(spoilt, evaluations.values())


def test_a_table_that_is_not_there_fails_the_schema_check(lake: SmallLake) -> None:
    _, evaluations = check(lake, "customer_trusted", today())
    assert evaluations["schema"].description == "The table does not exist."
    assert not evaluations["schema"].passed


def test_other_counts_than_expected_warn(spoilt: SmallLake) -> None:
    expected = spoilt.root / "expected.json"
    expected.write_text('{"customer_landing": 7}')
    settings = dataclasses.replace(spoilt.resources.settings, expected_counts=str(expected))
    result, evaluations = check(with_platform(spoilt, settings=settings), "customer_landing", today())
    assert result.success, "a warning stops nothing"
    assert not evaluations["row_count"].passed
    assert evaluations["row_count"].severity is dg.AssetCheckSeverity.WARN
    assert "7 are expected" in str(evaluations["row_count"].description)


def test_expected_counts_that_cannot_be_used_are_named(spoilt: SmallLake) -> None:
    expected = spoilt.root / "expected.json"
    settings = dataclasses.replace(spoilt.resources.settings, expected_counts=str(expected))
    for content, why in ((None, "No such file"), ("[1]", "AttributeError"), ("{", "JSONDecodeError")):
        if content is not None:
            expected.write_text(content)
        result, _ = check(with_platform(spoilt, settings=settings), "customer_landing", today())
        (event,) = result.get_step_failure_events()
        said = str(event.step_failure_data.error)
        assert "ExpectedCountsError" in said
        assert str(expected) in said
        assert why in said


@pytest.mark.parametrize("table", ASSET_TABLES, ids=lambda table: table.name)
def test_old_data_warns(good: SmallLake, monkeypatch: pytest.MonkeyPatch, table: Table) -> None:
    (one,) = (one for one in checks_of(table) if one.name == "newest_landing_day")
    assert one.severity is dg.AssetCheckSeverity.WARN
    last = newest(good, table.name) + table.max_age
    for day, fresh in ((last, True), (last + timedelta(days=1), False)):
        monkeypatch.setattr("stedi_assets.defs.checks.from_contracts.today", lambda day=day: day)
        assert one.evaluate(CheckContext(good.resources, table, None)).passed == fresh


@pytest.mark.slow
def test_rejected_lines_copies_and_shared_devices_warn(lake: SmallLake) -> None:
    lake.land("customer_landing", lines(customer("ann"), customer("bob", serialNumber="serial-ann")) + "{broken\n")
    lake.land("accelerometer_landing", lines(movement("ann"), movement("bob", STAMP + 1)))
    lake.land("accelerometer_landing", lines(movement("ann"), movement("bob", STAMP + 1)), "copy.json")
    lake.land("step_trainer_landing", lines(step("ann"), step("ann", STAMP + 1)))
    result = lake.run([table.name for table in ASSET_TABLES], "2023-08-06")
    assert result.success
    failed = {key: one for key, one in failed_checks(result).items() if key[1] != "newest_landing_day"}
    assert set(failed) == {
        ("customer_landing", "rejected_lines"),
        ("customer_landing", "few_rejected"),
        ("customer_landing", "unattributed_texts"),
        ("accelerometer_landing", "duplicate_files"),
        ("customer_trusted", "shared_serial_numbers"),
    }
    errors = {name for (_, name), one in failed.items() if one.severity is dg.AssetCheckSeverity.ERROR}
    assert errors == {"few_rejected", "unattributed_texts"}
    said = {name: str(one.description) for (_, name), one in failed.items()}
    assert said["rejected_lines"].startswith("1 lines are in landing_quarantine")
    assert said["duplicate_files"].startswith("1 files were skipped")
    assert said["shared_serial_numbers"].startswith("1 serial numbers are claimed by 2 customers")


@pytest.mark.slow
def test_pairs_of_different_customers_warn(lake: SmallLake) -> None:
    lake.land("customer_landing", lines(customer("ann"), customer("bob")))
    lake.land("accelerometer_landing", lines(movement("ann"), movement("bob")))
    lake.land("step_trainer_landing", lines(step("ann"), step("bob")))
    result = lake.run([table.name for table in ASSET_TABLES], "2023-08-06")
    failed = failed_checks(result)["machine_learning_curated", "same_customer"]
    assert failed.severity is dg.AssetCheckSeverity.WARN
    assert {name: value.value for name, value in failed.metadata.items()} == {
        "pairs": 4,
        "same customer": 2,
        "different customers": 2,
    }


# ---- what follows from a failure ---------------------------------------------------------------


class DoublingEngine(DuckDBEngine):
    """Writes every row of one table twice."""

    doubled = ""

    def write(self, frame: Any, lakehouse: Lakehouse, table: Table, *arguments: Any) -> list[NewFile]:
        if table.name == self.doubled:
            rows = self.collect(frame)
            frame = self.frame(type(rows).from_batches([*rows.to_batches(), *rows.to_batches()]))
        return super().write(frame, lakehouse, table, *arguments)


BLOCKED = {
    "customer_trusted": (
        [table.name for table in ASSET_TABLES],
        [
            "accelerometer_landing",
            "consent_history",
            "customer_landing",
            "customer_trusted",
            "step_trainer_landing",
        ],
    ),
    "accelerometer_trusted": (downstream(["accelerometer_trusted"]), ["accelerometer_trusted"]),
    "step_trainer_trusted": (downstream(["step_trainer_trusted"]), ["step_trainer_trusted"]),
}
"""A wrong table: the tables that are run, and those of them that are made."""


@pytest.mark.parametrize(
    "name",
    ["customer_trusted", *(pytest.param(one, marks=pytest.mark.slow) for one in BLOCKED if one != "customer_trusted")],
)
def test_what_is_made_from_a_wrong_table_is_not_made(lake: SmallLake, name: str) -> None:
    run, expected = BLOCKED[name]
    lake.land_people("ann", "bob")
    make_partitions(lake.resources, [table.name for table in ASSET_TABLES if table.name not in run], [DAY])
    engine = DoublingEngine()
    engine.doubled = name
    settings = lake.resources.settings
    broken = with_platform(lake, engine=engine, session=engine, pseudonyms=pseudonyms(settings, engine.frame))
    result = broken.run(run, DAY)
    assert not result.success
    assert made(result) == expected
    assert failed_checks(result)[name, "unique_key"].severity is dg.AssetCheckSeverity.ERROR
    engine.close()


def test_a_check_that_cannot_read_its_table_fails_the_run_and_quotes_nothing(spoilt: SmallLake) -> None:
    name = "customer_trusted"
    day = newest(spoilt, name)
    for file in spoilt.resources.lakehouse.snapshot(contract(name)).select({day}):
        Path(file.uri).write_bytes(b"PAR1 ann@example.com PAR1")
    result, _ = check(spoilt, name, day)
    assert not result.success
    stored = str([event.step_failure_data.error for event in result.get_step_failure_events()])
    assert "RedactedError" in stored
    assert "Failed checking" in stored
    assert "ann@example.com" not in stored


@pytest.mark.slow
def test_consent_is_judged_by_the_records_of_now(lake: SmallLake) -> None:
    # One process that reconciles and checks, as `stedi materialize` is, must not validate_line by people of before.
    lake.land("customer_landing", lines(customer("bob", consents=False)), day="2023-08-05")
    assert lake.materialize().runs
    expected_fingerprints(lake.resources.view(), "accelerometer_trusted")
    lake.land_people("ann")
    result = lake.run([table.name for table in ASSET_TABLES], "2023-08-06")
    assert result.success
    assert lake.rows("customer_trusted", "email") == [("ann@example.com",)]


@pytest.mark.slow
def test_intervals_of_other_days_are_judged_once_they_are_made(lake: SmallLake) -> None:
    """A withdrawal closes an interval of another day: its own run is right, and what is stale is found all the same."""
    lake.land_people("ann", "bob", day="2023-08-06")
    assert lake.materialize().runs
    lake.land("customer_landing", lines(customer("ann", consents=False, updated=STAMP)), day="2023-08-07")
    result = lake.run([table.name for table in ASSET_TABLES], "2023-08-07")
    assert result.success
    said = next(
        one
        for one in result.get_asset_check_evaluations()
        if (one.asset_key.to_user_string(), one.check_name) == ("consent_history", "consent")
    )
    assert "Only of the days of this run" in str(said.description)
    _, evaluations = check(lake, "consent_history", date(2023, 8, 6))
    assert not evaluations["consent"].passed, "her interval is still open"
    assert evaluations["consent"].metadata["open without consent"].value == 1

    assert lake.materialize().runs
    for day in (6, 7):
        _, evaluations = check(lake, "consent_history", date(2023, 8, day))
        assert evaluations["consent"].passed
        assert "Only of the days of this run" not in str(evaluations["consent"].description)
    assert lake.rows("consent_history", "withdrawn_at, withdrawn_landing_date, landing_date") == [
        (STAMP, date(2023, 8, 7), date(2023, 8, 6)),
        (None, None, date(2023, 8, 6)),
    ]


def test_a_consenting_customer_without_an_interval_fails_whichever_day_is_run(spoilt: SmallLake) -> None:
    days = sorted(spoilt.resources.lakehouse.snapshot(contract("consent_history")).days())
    spoilt.spoil("consent_history", days[0], "SELECT * FROM rows LIMIT 0")
    _, evaluations = check(spoilt, "consent_history", days[1])
    assert not evaluations["consent"].passed
    assert evaluations["consent"].metadata["consenting and not open"].value > 0
    assert_says_nothing_of_rows(spoilt, evaluations.values())


def test_what_is_made_from_several_wrong_days_is_not_made(lake: SmallLake) -> None:
    """The checks of a run of several days are reported day by day, and block all the same."""
    engine = DoublingEngine()
    engine.doubled = "customer_trusted"
    settings = lake.resources.settings
    broken = with_platform(lake, engine=engine, session=engine, pseudonyms=pseudonyms(settings, engine.frame))
    days = ("2023-08-05", "2023-08-06")
    for name, day in zip(("ann", "bob"), days, strict=True):
        lake.land("customer_landing", lines(customer(name)), day=day)
    tables = ["customer_landing", "customer_trusted", "customers_curated"]
    result = broken.run(tables, None, tags=dict(zip(RANGE_TAGS, days, strict=True)))
    assert not result.success
    assert made(result) == tables[:2]
    found = [one for one in result.get_asset_check_evaluations() if one.check_name == "unique_key" and not one.passed]
    assert [(one.asset_key.to_user_string(), one.partition) for one in found] == [(tables[1], day) for day in days]
    engine.close()
