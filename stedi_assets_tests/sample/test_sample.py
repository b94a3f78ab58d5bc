"""The sample's promises: exact counts at any size, faults included, the same bytes each time, nobody's data."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections import Counter
from typing import TYPE_CHECKING

import fsspec
import pytest

from stedi_assets.reference import LANDING_TABLES, ReadingsBeforeConsent, claimants, consent_intervals
from stedi_assets.sample import DEFAULT_LAST_DAY, SampleError, SampleReport, last_day_there, write_sample
from stedi_assets_tests.kit.examples import chosen
from stedi_assets_tests.sample.written import Sample

if TYPE_CHECKING:
    from pathlib import Path

POLICIES = ["include/timestamp", "include/customer", "exclude/timestamp", "exclude/customer"]

# As published, by policy: accelerometer_trusted, customers_curated, step_trainer_trusted, machine_learning_curated,
# rows of one customer.
PUBLISHED = {
    "include/timestamp": (40_981, 482, 14_460, 43_681, 40_981),
    "include/customer": (40_981, 482, 14_460, 40_981, 40_981),
    "exclude/timestamp": (32_025, 464, 11_297, 34_253, 32_025),
    "exclude/customer": (32_025, 464, 11_297, 32_025, 32_025),
}


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return Sample(tmp_path_factory.mktemp("default"), customers=956, days=4)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return Sample(tmp_path_factory.mktemp("faulty"), customers=956, days=4, faults=True)


@pytest.fixture(
    scope="module",
    params=[
        # The reference computation takes seconds over them.
        pytest.param("default", marks=pytest.mark.slow),
        pytest.param("faulty", marks=pytest.mark.slow),
        (chosen(120, 400), 7, 1, False),
        (chosen(80, 400), 5, 2, True),
        (7, 12, 2, False),
        (5, 9, 3, True),
    ],
    ids=str,
)
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    if isinstance(request.param, str):
        fixture: Sample = request.getfixturevalue(request.param)
        return fixture
    customers, days, seed, faults = request.param
    return Sample(tmp_path_factory.mktemp("sample"), customers=customers, days=days, seed=seed, faults=faults)


@pytest.mark.parametrize("before", ["include", "exclude"])
def test_expected_counts_are_those_of_the_reference_computation(sample: Sample, before: ReadingsBeforeConsent) -> None:
    """The formulas by which a sample counts most of its rows come to what the rules come to over the written files."""
    report, landing, derived = sample.report, sample.landing, sample.derived[before]
    same_customer = len(derived.paired_by("customer"))
    for pairing in ("timestamp", "customer"):
        pairs = derived.paired_by(pairing)
        different_days = [pair for pair in pairs if pair.step.landing_date != pair.acceleration.landing_date]
        expected = report.policies[f"{before}/{pairing}"]
        assert expected.tables == {
            **{table: landing.tables[table].total() for table in (*LANDING_TABLES, "landing_quarantine")},
            "customer_trusted": len(derived.customers),
            "accelerometer_trusted": len(derived.accelerations),
            "customers_curated": len(derived.curated),
            "consent_history": len(consent_intervals(landing.customers)),
            "step_trainer_trusted": len(derived.steps),
            "machine_learning_curated": len(pairs),
        }
        assert expected.same_customer == same_customer
        assert expected.different_customers == len(pairs) - same_customer
        assert expected.different_landing_days == len(different_days)
        assert expected.shared_serial_readings_left_out == len(derived.refused_steps)
        if (before, pairing) == ("include", "timestamp"):
            assert report.expected == expected.tables
            first = sum(pair.step.landing_date < pair.acceleration.landing_date for pair in different_days)
            assert (report.steps_landed_first, report.steps_landed_last) == (first, len(different_days) - first)
    shared = [serial for serial, emails in claimants(landing.customers).items() if len(emails) > 1]
    assert report.shared_serial_numbers == len(shared)


def test_lines_files_and_rejects_are_those_reported(sample: Sample) -> None:
    report, tables, line_counts = sample.report, sample.landing.tables, sample.line_counts()
    quarantined = Counter(table for table, *_ in tables["landing_quarantine"].elements())
    assert report.quarantined == {table: quarantined[table] for table in LANDING_TABLES}
    skipped = [lines for *_, lines in tables["skipped_files"].elements()]
    assert (report.duplicate_files, report.duplicate_file_lines) == (len(skipped), sum(skipped))
    readings = {
        "accelerometer_landing": sample.landing.accelerations,
        "step_trainer_landing": sample.landing.steps,
    }
    assert report.duplicate_readings == {table: tables[table].total() - len(rows) for table, rows in readings.items()}
    assert {
        day: {table: lines for table, lines in by_table.items() if lines}
        for day, by_table in report.lines.items()
        if any(by_table.values())
    } == line_counts
    written = {
        str(path.relative_to(sample.folder)): path.stat().st_size
        for path in sample.folder.rglob("*")
        if path.is_file() and path.parent != sample.folder
    }
    assert written == report.files
    assert sum(written.values()) == report.bytes_written
    assert sum(sum(lines.values()) for lines in line_counts.values()) == report.rows_written


@pytest.mark.parametrize("policy", POLICIES)
def test_default_is_the_twin_of_the_public_data(default: Sample, policy: str) -> None:
    counts = default.report.policies[policy]
    names = ("customer_landing", "accelerometer_landing", "step_trainer_landing", "customer_trusted")
    assert tuple(counts.tables[name] for name in names) == (956, 81_273, 28_680, 482)
    names = ("accelerometer_trusted", "customers_curated", "step_trainer_trusted", "machine_learning_curated")
    assert (*(counts.tables[name] for name in names), counts.same_customer) == PUBLISHED[policy]
    assert counts.tables["landing_quarantine"] == 0


@pytest.mark.parametrize("seed", [1, 2, 99])
def test_every_seed_and_number_of_days_has_the_same_counts(tmp_path: Path, seed: int) -> None:
    report = write_sample(str(tmp_path), seed=seed, days=1 + 2 * seed % 5)
    for policy, published in PUBLISHED.items():
        assert report.policies[policy].tables["machine_learning_curated"] == published[3]
        assert report.policies[policy].tables["accelerometer_trusted"] == published[0]
        assert report.policies[policy].tables["step_trainer_trusted"] == published[2]


@pytest.mark.parametrize("last_day", [dt.date(2015, 1, 31), dt.date(2024, 2, 29), dt.date(2031, 1, 1)])
def test_every_last_day_has_the_same_counts(default: Sample, tmp_path: Path, last_day: dt.date) -> None:
    report = write_sample(str(tmp_path), last_day=last_day)
    assert report.policies == default.report.policies


def test_twice_the_customers_make_twice_the_rows(default: Sample, tmp_path: Path) -> None:
    twice = write_sample(str(tmp_path), customers=2 * 956, days=4)
    for policy, counts in default.report.policies.items():
        assert twice.policies[policy].tables == {table: 2 * rows for table, rows in counts.tables.items()}


def test_readings_look_like_the_public_data(default: Sample) -> None:
    moves, steps = default.frame("accelerometer_landing"), default.frame("step_trainer_landing")
    per_reading = moves.groupby(["user", "timestamp"]).size()
    assert per_reading.value_counts().to_dict() == {3: 23_996, 2: 4_589, 1: 92, 4: 1, 5: 1, 6: 1}
    assert not moves.drop(columns=["landing_date", "source_file"]).duplicated().any()
    assert set(steps.groupby("serialNumber").size()) == {30}
    assert set(steps["distanceFromObject"]) == set(range(201, 301))
    assert set(moves["x"]) == set(moves["y"]) == {-1.0, 0.0, 1.0}
    assert set(moves["z"]) == {-1.0, 0.0}
    customers = default.frame("customer_landing")
    assert customers["email"].str.lower().nunique() == customers["serialNumber"].nunique() == 956
    owner = dict(zip(customers["serialNumber"], customers["email"], strict=True))
    worn = set(zip(moves["user"], moves["timestamp"], strict=True))
    assert {(owner[row.serialNumber], row.sensorReadingTime) for row in steps.itertuples()} == worn


def test_lines_are_written_as_the_devices_write_them(default: Sample) -> None:
    accelerometer = r'\{"user":"[\w.]+@example\.com","timestamp":\d{13},"x":-?[01]\.0,"y":-?[01]\.0,"z":-?[01]\.0\}'
    step_trainer = (
        r'\{"sensorReadingTime":\d{13},"serialNumber":"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"'
        r',"distanceFromObject":\d{3}\}'
    )
    customer = (
        r'\{"customerName": "[\w ]+", "email": "[\w.]+@example\.com", "phone": "\d{10}"'
        r', "birthDay": "\d{4}-\d\d-\d\d", "serialNumber": "[0-9a-f-]{36}", "registrationDate": \d{13}'
        r', "lastUpdateDate": \d{13}(, "shareWithResearchAsOfDate": \d{13})?'
        r'(, "shareWithPublicAsOfDate": \d{13})?(, "shareWithFriendsAsOfDate": \d{13})?\}'
    )
    shape = re.compile(f"{accelerometer}|{step_trainer}|{customer}")
    assert all(shape.fullmatch(line) for line in default.lines())


def test_halves_of_pairs_land_on_different_days_in_both_directions(default: Sample) -> None:
    assert default.report.steps_landed_first > 100
    assert default.report.steps_landed_last > 100
    one_day_apart = default.report.policies["exclude/customer"].different_landing_days
    assert one_day_apart > 100


def test_times_lie_near_the_landing_day(default: Sample) -> None:
    a_day = 24 * 60 * 60 * 1_000
    for table, column in (("accelerometer_landing", "timestamp"), ("step_trainer_landing", "sensorReadingTime")):
        frame = default.frame(table)
        assert (frame[column] < frame["day_end"]).all()
        assert (frame[column] >= frame["day_end"] - a_day - 5 * 60 * 1_000).all()
        assert (frame[column] < frame["day_end"] - a_day).any(), "some were taken before midnight"
    customers = default.frame("customer_landing")
    assert customers["landing_date"].nunique() == 4
    consents = customers.dropna(subset="shareWithResearchAsOfDate")
    assert (consents["shareWithResearchAsOfDate"] > 0).all()
    assert (consents["shareWithResearchAsOfDate"] < consents["day_end"]).all()
    assert (customers["lastUpdateDate"] < customers["day_end"]).all()


def test_some_consents_are_at_the_millisecond_of_a_reading(default: Sample) -> None:
    moves = default.frame("accelerometer_landing")
    customers = default.frame("customer_landing")
    both = moves.merge(customers, left_on="user", right_on="email")
    assert (both["timestamp"] == both["shareWithResearchAsOfDate"]).any()


def test_customer_records_land_before_and_after_their_readings(default: Sample) -> None:
    moves = default.frame("accelerometer_landing").groupby("user")["landing_date"]
    customers = default.frame("customer_landing").set_index("email")["landing_date"]
    assert (customers > moves.max().reindex(customers.index)).any()
    assert (customers < moves.min().reindex(customers.index)).any()


@pytest.mark.parametrize("which", ["default", "faulty"])
def test_everyone_is_invented(which: str, request: pytest.FixtureRequest) -> None:
    text = "\n".join(request.getfixturevalue(which).lines())
    addresses = set(re.findall(r'[^"]*@[^"]*', text))
    assert len(addresses) >= 956
    assert all(address.strip().lower().endswith("@example.com") for address in addresses)
    phones = set(re.findall(r'"phone": "(.*?)"', text))
    assert len(phones) > 100
    assert all(re.fullmatch(r"\d{3}55501\d\d", phone) for phone in phones)


def _digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("faults", [False, True])
def test_same_arguments_make_the_same_bytes(tmp_path: Path, *, faults: bool) -> None:
    for folder in ("one", "other"):
        write_sample(str(tmp_path / folder), customers=300, faults=faults)
    write_sample(str(tmp_path / "seed"), customers=300, faults=faults, seed=1)
    assert _digest(tmp_path / "one") == _digest(tmp_path / "other")
    assert _digest(tmp_path / "one") != _digest(tmp_path / "seed")


def test_faults_leave_the_other_customers_as_they_were(default: Sample, faulty: Sample) -> None:
    good, bad = (set(sample.lines()) for sample in (default, faulty))
    assert good <= bad


def test_every_fault_occurs(faulty: Sample) -> None:
    report = faulty.report
    for kind in ("truncated line", "not JSON", "not one object", "repeated key", "missing field", "wrong type"):
        assert all(report.faults_written[f"{table}: {kind}"] >= 2 for table in report.quarantined)
    for kind in ("non-finite number", "before 2015", "in the future"):
        for table in ("accelerometer_landing", "step_trainer_landing"):
            assert report.faults_written[f"{table}: {kind}"] >= 2
    assert report.faults_written["step_trainer_landing: negative distance"] >= 2
    for kind in ("withdrawals", "grants after a withdrawal", "blank lines", "files: late", "unknown keys"):
        assert report.faults_written[kind] >= 4
    assert report.faults_written["files: compressed"] == 1
    assert sum(path.endswith(".json.gz") for path in report.files) == 1
    assert report.duplicate_files >= 6
    assert min(report.duplicate_readings.values()) >= 4
    assert report.shared_serial_numbers >= 4
    left_out = [report.policies[policy].shared_serial_readings_left_out for policy in POLICIES]
    assert left_out[0] == left_out[1] > 0
    assert left_out[2] == left_out[3] > left_out[0]


def test_faults_grow_with_the_customers(tmp_path: Path, faulty: Sample) -> None:
    larger = write_sample(str(tmp_path), customers=8_000, faults=True)
    assert larger.expected["landing_quarantine"] == 2 * faulty.report.expected["landing_quarantine"]


def test_expected_counts_lie_beside_the_data(faulty: Sample) -> None:
    counts = json.loads((faulty.folder / "expected_counts.json").read_text())
    assert counts == faulty.report.expected
    assert all(isinstance(rows, int) for rows in counts.values())
    details = json.loads((faulty.folder / "expected_counts.details.json").read_text())
    assert sorted(details["policies"]) == sorted(POLICIES)
    assert "@" not in json.dumps(details)


def test_a_second_run_finds_the_sample_and_writes_nothing(tmp_path: Path) -> None:
    first = write_sample(str(tmp_path), customers=40, faults=True)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    second = write_sample(str(tmp_path), customers=40, faults=True)
    assert (first.already_there, second.already_there) == (False, True)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == times
    assert SampleReport(**{**vars(second), "already_there": False}) == first


def test_another_sample_is_refused(tmp_path: Path) -> None:
    write_sample(str(tmp_path), customers=40)
    before = _digest(tmp_path)
    with pytest.raises(SampleError, match="another sample"):
        write_sample(str(tmp_path), customers=40, seed=1)
    assert _digest(tmp_path) == before


@pytest.mark.parametrize("change", ["added", "truncated", "removed"])
def test_a_changed_sample_is_refused(tmp_path: Path, change: str) -> None:
    write_sample(str(tmp_path), customers=40)
    file = next((tmp_path / "step_trainer_landing").rglob("*.json"))
    if change == "added":
        (file.parent / "step_trainer-1.json").write_text("{}\n")
    elif change == "truncated":
        file.write_bytes(file.read_bytes()[:-1])
    else:
        file.unlink()
    with pytest.raises(SampleError, match="added, changed or missing"):
        write_sample(str(tmp_path), customers=40)


def test_other_data_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "customer_landing" / "customer-1691348231425.json"
    file.parent.mkdir()
    file.write_text("{}\n")
    with pytest.raises(SampleError, match="1 landing files that the generator did not write"):
        write_sample(str(tmp_path))
    assert _digest(tmp_path).keys() == {"customer_landing/customer-1691348231425.json"}


def test_an_interrupted_run_is_written_again(tmp_path: Path) -> None:
    write_sample(str(tmp_path / "whole"), customers=400)

    def interrupt(done: int, of: int) -> None:
        if done > of // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sample(str(tmp_path / "cut"), customers=400, progress=interrupt)
    assert not (tmp_path / "cut" / "expected_counts.json").exists()
    with pytest.raises(SampleError, match="unfinished"):
        write_sample(str(tmp_path / "cut"), customers=401)
    assert last_day_there(str(tmp_path / "cut")) == last_day_there(str(tmp_path / "whole")) == DEFAULT_LAST_DAY
    assert last_day_there(str(tmp_path / "nothing")) is None
    assert not write_sample(str(tmp_path / "cut"), customers=400).already_there
    assert _digest(tmp_path / "cut") == _digest(tmp_path / "whole")


def test_progress_ends_with_all_customers(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    write_sample(str(tmp_path), customers=100, progress=lambda done, of: calls.append((done, of)))
    assert calls == sorted(calls)
    assert calls[-1] == (100, 100)
    assert len(set(calls)) == len(calls)


def test_any_fsspec_place_will_do(tmp_path: Path) -> None:
    uri = "memory://stedi-sample-test/landing"
    try:
        report = write_sample(uri, customers=40, faults=True)
        assert write_sample(uri, customers=40, faults=True).already_there
        there = fsspec.filesystem("memory").find("/stedi-sample-test/landing")
        assert write_sample(str(tmp_path), customers=40, faults=True).files == report.files
        assert len(there) == len(report.files) + 2
    finally:
        fsspec.filesystem("memory").rm("/stedi-sample-test", recursive=True)


def test_last_day_moves_the_landing_days(tmp_path: Path) -> None:
    report = write_sample(str(tmp_path), customers=40, days=2, last_day=dt.date(2024, 3, 1))
    assert (report.first_day, report.last_day) == ("2024-02-29", "2024-03-01")
    assert list(report.lines) == ["2024-02-29", "2024-03-01"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"customers": 0}, "customers and days must be 1 or more"),
        ({"days": 0}, "customers and days must be 1 or more"),
        ({"seed": -1}, "seed 0 or more"),
        ({"faults": True, "days": 2}, "faults need 3 landing days"),
        ({"customers": 50_000_000, "days": 1}, "do not fit into 1 landing days"),
        ({"last_day": dt.date(2014, 1, 1)}, "readings before 2015"),
    ],
)
def test_impossible_arguments_say_what_is_possible(
    tmp_path: Path, arguments: dict[str, int | bool | dt.date], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_sample(str(tmp_path), **arguments)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
