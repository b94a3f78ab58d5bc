"""The settings: their defaults, what they take, and what is said of a wrong one."""

from __future__ import annotations

import os
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from stedi_assets.settings import (
    Limits,
    Pairing,
    Policies,
    ReadingsBeforeConsent,
    Settings,
    SettingsError,
    prepare_dagster,
)

GOOD: list[tuple[str, str, str, Any]] = [
    ("STEDI_LANDING_URI", "/data/in/", "landing_uri", "/data/in"),
    ("STEDI_LANDING_URI", "file:///data/in", "landing_uri", "/data/in"),
    ("STEDI_LANDING_URI", "s3://bucket/in/", "landing_uri", "s3://bucket/in"),
    ("STEDI_LAKE_URI", "s3://bucket/lake", "lake_uri", "s3://bucket/lake"),
    ("STEDI_READINGS_BEFORE_CONSENT", "EXCLUDE", "policies", Policies(ReadingsBeforeConsent.EXCLUDE)),
    ("STEDI_PAIRING", "customer", "policies", Policies(pairing=Pairing.CUSTOMER)),
    ("STEDI_PSEUDONYM_KEY", "a secret of sixteen", "pseudonym_key", "a secret of sixteen"),
    ("STEDI_FIRST_DAY", " 2020-02-29", "first_day", date(2020, 2, 29)),
    ("STEDI_EXPECTED_COUNTS", "counts.json", "expected_counts", "counts.json"),
    ("STEDI_PRIVACY_URI", "/private/folder/", "privacy_uri", "/private/folder"),
    ("STEDI_MEMORY_LIMIT", "512MB", "memory_limit", "512MB"),
    ("STEDI_MEMORY_LIMIT", "1.5 GiB", "memory_limit", "1.5 GiB"),
    ("STEDI_LONGEST_TEXT", "1KiB", "limits", Limits(longest_text=1024)),
    ("STEDI_LONGEST_TEXT", " 64 mb", "limits", Limits(longest_text=64_000_000)),
    ("STEDI_LONGEST_TEXT", "256MiB", "limits", Limits(longest_text=256 << 20)),
    ("STEDI_LARGEST_FILE", "10TB", "limits", Limits(largest_file=10**13)),
    ("STEDI_LARGEST_FILE", "123456", "limits", Limits(largest_file=123_456)),
    ("STEDI_MOST_REJECTED", "0", "limits", Limits(most_rejected=0)),
    ("STEDI_DEBUG_ERRORS", "1", "debug_errors", True),
    ("STEDI_DEBUG_ERRORS", "0", "debug_errors", False),
    ("STEDI_UI_ORIGIN", "https://Lake.Example.org/", "ui_origin", "https://lake.example.org"),
    ("STEDI_UI_ORIGIN", "https://lake.example.org:443", "ui_origin", "https://lake.example.org"),
    ("STEDI_UI_ORIGIN", "http://localhost:8080", "ui_origin", "http://localhost:8080"),
    ("STEDI_UI_ORIGIN", "http://[fd00::1]:80", "ui_origin", "http://[fd00::1]"),
    ("DAGSTER_HOME", "/var/dagster", "dagster_home", Path("/var/dagster")),
]
BAD = [
    ("STEDI_READINGS_BEFORE_CONSENT", "yes", "'include' or 'exclude'"),
    ("STEDI_PAIRING", "email", "'timestamp' or 'customer'"),
    ("STEDI_DEBUG_ERRORS", "yes", "'0' or '1'"),
    ("STEDI_FIRST_DAY", "01.02.2022", "a day as YYYY-MM-DD"),
    ("STEDI_FIRST_DAY", "2022-02-30", "a day as YYYY-MM-DD"),
    ("STEDI_UI_ORIGIN", "lake.example.org", "such as 'https://lake.example.org'"),
    ("STEDI_UI_ORIGIN", "https://lake.example.org/ui", "such as 'https://lake.example.org'"),
    ("STEDI_UI_ORIGIN", "https://*", "such as 'https://lake.example.org'"),
    ("STEDI_LONGEST_TEXT", "1023", "a size from 1 KiB to 256 MiB"),
    ("STEDI_LONGEST_TEXT", "257MiB", "a size from 1 KiB to 256 MiB"),
    ("STEDI_LONGEST_TEXT", "1.5MB", "a size from 1 KiB to 256 MiB"),
    ("STEDI_LARGEST_FILE", "none", "a size from 1 KiB on, such as '16MiB' or '4GB'. Unset it for 4 GiB."),
    ("STEDI_LARGEST_FILE", "-4GB", "a size from 1 KiB on"),
    ("STEDI_MOST_REJECTED", "-1", "a number from 0 on"),
    ("STEDI_MOST_REJECTED", "1e6", "a number from 0 on"),
    ("STEDI_MEMORY_LIMIT", "lots", "a size such as"),
    ("STEDI_MEMORY_LIMIT", "4", "a size such as"),
    ("STEDI_MEMORY_LIMIT", "1B", "at least 50MB"),
    ("STEDI_MEMORY_LIMIT", "40 MiB", "at least 50MB"),
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
        policies=Policies(ReadingsBeforeConsent.INCLUDE, Pairing.TIMESTAMP),
        first_day=date(2022, 1, 1),
        privacy_uri=str(tmp_path / "data" / "privacy"),
    )


@pytest.mark.parametrize(("name", "value", "setting", "expected"), GOOD)
def test_a_variable_is_taken(name: str, value: str, setting: str, expected: Any) -> None:
    environment = {name: value}
    assert getattr(Settings.from_environment(environment), setting) == expected


def test_the_projects_folder_as_dagster_home_keeps_the_state_where_its_dagster_yaml_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in `make dev`. Any other folder is where the state is, and is searched by an erasure as a whole."""
    monkeypatch.chdir(tmp_path)
    named = {"DAGSTER_HOME": str(tmp_path)}
    assert Settings.from_environment(named).dagster_home == tmp_path
    (tmp_path / ".dagster").mkdir()
    assert Settings.from_environment(named).dagster_home == tmp_path
    (tmp_path / "dagster.yaml").touch()
    assert Settings.from_environment(named).dagster_home == tmp_path / ".dagster"
    monkeypatch.chdir("/")
    assert Settings.from_environment(named).dagster_home == tmp_path


def test_dagster_is_to_take_the_configuration_that_stedi_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "")
    prepare_dagster()
    assert os.environ["DAGSTER_HOME"] == str(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", "/var/dagster")
    prepare_dagster()
    assert os.environ["DAGSTER_HOME"] == "/var/dagster"
    assert os.environ["DAGSTER_DISABLE_TELEMETRY"] == "yes"


def test_the_process_is_asked_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEDI_PAIRING", "customer")
    assert Settings.from_environment().policies.pairing is Pairing.CUSTOMER


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("STEDI_PSEUDONYM_KEY", "short", "at least 16"),
        ("STEDI_PRIVACY_URI", "data/lake/privacy", "lies in STEDI_LAKE_URI"),
        ("STEDI_PRIVACY_URI", "data/landing", "lies in STEDI_LANDING_URI"),
    ],
)
def test_a_setting_that_gives_people_away_is_refused(name: str, value: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why) as caught:
        Settings.from_environment({name: value})
    assert name in str(caught.value)
    assert "short" not in str(caught.value)


@pytest.mark.parametrize(("name", "value", "takes"), BAD)
def test_a_wrong_value_is_an_error_that_says_what_is_taken(name: str, value: str, takes: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(takes)) as caught:
        Settings.from_environment({name: value})
    assert name in str(caught.value)
    assert repr(value) in str(caught.value)
    assert "Unset it for" in str(caught.value)


def test_the_key_is_not_shown() -> None:
    assert "a secret" not in repr(Settings.from_environment({"STEDI_PSEUDONYM_KEY": "a secret of sixteen"}))
