"""The settings: the only reader of the environment.

What a user can set belongs here, typed, with its default and an error that names the variable.
What follows from a setting (opening a lake, making a key) belongs to the part that does it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from pathlib import Path
from typing import TypeVar

SHORTEST_KEY = 16
"""Characters that a secret key must have."""

LEAST_MEMORY = 50_000_000
"""Bytes below which the engine cannot read a table."""

SHORTEST_TEXT, MOST_MEMORY_OF_A_TEXT = 1 << 10, 256 << 20
"""The least and the most bytes that one text may be allowed: each is in memory as a whole, several times over."""

_UNITS = " KMGT"


class SettingsError(ValueError):
    """A ``STEDI_…`` variable has a value that it does not take; the message names it and lists what it takes.

    Remedy: give it one of these values, or unset it for its default.
    """


class ReadingsBeforeConsent(str, Enum):
    """Whether readings that were taken before the customer's consent date are used."""

    INCLUDE = "include"
    EXCLUDE = "exclude"


class Pairing(str, Enum):
    """The condition under which a step reading and an accelerometer reading are a pair.

    ``timestamp`` pairs whatever carries the same millisecond, different customers included (the
    published numbers); ``customer`` also asks that the wearer is a claimant of the device.
    """

    TIMESTAMP = "timestamp"
    CUSTOMER = "customer"


@dataclass(frozen=True)
class Policies:
    """The two choices that change which rows the trusted and curated tables hold."""

    readings_before_consent: ReadingsBeforeConsent = ReadingsBeforeConsent.INCLUDE
    pairing: Pairing = Pairing.TIMESTAMP


@dataclass(frozen=True)
class Limits:
    """What of a raw file is read, so that no delivery can take all of the memory, the disk or the time.

    Args:
        longest_text: the bytes that one text may have; of a longer one only the beginning is kept.
        largest_file: the bytes that a raw file may have, compressed and decompressed; a larger one is refused.
        most_rejected: how many texts of a raw file may be rejected; a file with more is refused.
    """

    longest_text: int = 16 << 20
    largest_file: int = 4 << 30
    most_rejected: int = 100_000


_Choice = TypeVar("_Choice", bound=Enum)


@dataclass(frozen=True)
class Settings:
    """Everything that the environment decides.

    Args:
        landing_uri: where raw files land; below it one folder per landing table.
        lake_uri: where the tables lie.
        policies: which readings and pairs count.
        pseudonym_key: the secret for ``subject_id``; none lets a local lake make its own.
        first_day: the first landing day there can be.
        expected_counts: a JSON file ``{table: rows}``; none takes the sample generator's, where
            its data lies.
        privacy_uri: the private folder of erasure requests, tombstones and receipts.
        privacy_key: the secret for tombstones and the seals of receipts; none lets the folder keep its own.
        memory_limit: how much memory the embedded engine may use before it spills to disk.
        max_rejected: the share of the texts of a day of a landing table that may be rejected before a check fails.
        limits: what of a raw file is read.
        dagster_home: the folder of Dagster's state.
        debug_errors: whether errors may show their messages on a lake whose people are all invented.
        ui_origin: the origin at which a proxy serves Dagster's UI, as browsers send it.
    """

    landing_uri: str = "data/landing"
    lake_uri: str = "data/lake"
    policies: Policies = field(default_factory=Policies)
    pseudonym_key: str | None = field(default=None, repr=False)
    first_day: date = date(2022, 1, 1)
    expected_counts: str | None = None
    privacy_uri: str = "data/privacy"
    privacy_key: str | None = field(default=None, repr=False)
    memory_limit: str = "1GB"
    dagster_home: Path = Path(".dagster")
    max_rejected: float = 0.01
    limits: Limits = field(default_factory=Limits)
    debug_errors: bool = False
    ui_origin: str | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """The settings that ``environment`` (default: the process's) asks for.

        A variable that is unset or empty takes its default.

        Raises:
            SettingsError: a variable has a value that it does not take.
        """
        env = {k: v for k, v in (os.environ if environment is None else environment).items() if v}
        default = cls()
        settings = cls(
            landing_uri=_uri(env.get("STEDI_LANDING_URI", default.landing_uri)),
            lake_uri=_uri(env.get("STEDI_LAKE_URI", default.lake_uri)),
            policies=Policies(
                _choice(env, "STEDI_READINGS_BEFORE_CONSENT", default.policies.readings_before_consent),
                _choice(env, "STEDI_PAIRING", default.policies.pairing),
            ),
            pseudonym_key=_key(env, "STEDI_PSEUDONYM_KEY"),
            first_day=_day(env, "STEDI_FIRST_DAY", default.first_day),
            expected_counts=env.get("STEDI_EXPECTED_COUNTS"),
            privacy_uri=_uri(env.get("STEDI_PRIVACY_URI", default.privacy_uri)),
            privacy_key=_key(env, "STEDI_PRIVACY_KEY"),
            memory_limit=_memory(env, "STEDI_MEMORY_LIMIT", default.memory_limit),
            max_rejected=_share(env, "STEDI_MAX_REJECTED", default.max_rejected),
            limits=Limits(
                _bytes(env, "STEDI_LONGEST_TEXT", default.limits.longest_text, SHORTEST_TEXT, MOST_MEMORY_OF_A_TEXT),
                _bytes(env, "STEDI_LARGEST_FILE", default.limits.largest_file, SHORTEST_TEXT),
                _number(env, "STEDI_MOST_REJECTED", default.limits.most_rejected),
            ),
            dagster_home=_dagster_home(env.get("DAGSTER_HOME"), default.dagster_home),
            debug_errors=_switch(env, "STEDI_DEBUG_ERRORS"),
            ui_origin=_origin(env, "STEDI_UI_ORIGIN"),
        )
        for name, uri in (("STEDI_LAKE_URI", settings.lake_uri), ("STEDI_LANDING_URI", settings.landing_uri)):
            if f"{settings.privacy_uri}/".startswith(f"{uri}/"):
                msg = (
                    f"STEDI_PRIVACY_URI is {settings.privacy_uri!r}, which lies in {name}, {uri!r}: whoever may read "
                    "that could read who asked to be forgotten, and no erasure could be proven. Set it to a folder "
                    "beside it."
                )
                raise SettingsError(msg)
        return settings


def dagster_configuration() -> Path:
    """The folder whose ``dagster.yaml`` counts: ``DAGSTER_HOME``, else the current one."""
    return Path(os.environ.get("DAGSTER_HOME") or ".").absolute()


def prepare_dagster() -> None:
    """Have Dagster and the processes that it starts take the configuration that ``stedi`` takes, and report nothing.

    Without ``DAGSTER_HOME``, Dagster does not look for a ``dagster.yaml`` and says that its storage is temporary. Even
    where ``dagster.yaml`` switches telemetry off, it makes folders here unless the environment says no.
    """
    os.environ["DAGSTER_HOME"] = str(dagster_configuration())
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"


def _dagster_home(named: str | None, default: Path) -> Path:
    """Where Dagster's state lies.

    ``make dev`` names the project's folder as ``DAGSTER_HOME``, because Dagster finds the project's ``dagster.yaml``
    there, and that file keeps all state in ``.dagster``. This is the folder that an erasure searches.
    """
    home = Path(named or default).absolute()
    is_project = home == Path.cwd() and (home / "dagster.yaml").is_file() and (home / default).is_dir()
    return home / default if is_project else home


def _uri(value: str) -> str:
    """Without a trailing slash; a relative folder becomes absolute, so that it survives a change of folder."""
    value = value.removeprefix("file://").rstrip("/") or "/"
    return value if "://" in value else str(Path(value).absolute())


def _choice(env: Mapping[str, str], name: str, default: _Choice) -> _Choice:
    value = env.get(name)
    if value is None:
        return default
    try:
        return type(default)(value.strip().lower())
    except ValueError:
        takes = " or ".join(repr(choice.value) for choice in type(default))
        msg = f"{name} is {value!r}; it takes {takes}. Unset it for {default.value!r}."
        raise SettingsError(msg) from None


def _switch(env: Mapping[str, str], name: str) -> bool:
    value = env.get(name, "0").strip()
    if value not in {"0", "1"}:
        msg = f"{name} is {value!r}; it takes '0' or '1'. Unset it for '0'."
        raise SettingsError(msg)
    return value == "1"


def _day(env: Mapping[str, str], name: str, default: date) -> date:
    value = env.get(name)
    if value is None:
        return default
    try:
        return date.fromisoformat(value.strip())
    except ValueError:
        msg = f"{name} is {value!r}; it takes a day as YYYY-MM-DD. Unset it for {default.isoformat()}."
        raise SettingsError(msg) from None


def _share(env: Mapping[str, str], name: str, default: float) -> float:
    value = env.get(name)
    if value is None:
        return default
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        msg = f"{name} is {value!r}; it takes a share from 0 to 1, such as 0.01 for 1 %. Unset it for {default}."
        raise SettingsError(msg)
    return share


def _key(env: Mapping[str, str], name: str) -> str | None:
    value = env.get(name)
    if value is not None and len(value) < SHORTEST_KEY:
        msg = (
            f"{name} has {len(value)} characters, and whoever tries all such keys can tell whom the tables speak of; "
            f"at least {SHORTEST_KEY} are needed. Make one: openssl rand -hex 32"
        )
        raise SettingsError(msg)
    return value


def _origin(env: Mapping[str, str], name: str) -> str | None:
    """In lower case and without a default port, as browsers send it."""
    value = env.get(name)
    if value is None:
        return None
    found = re.fullmatch(r"(https?)://([a-z0-9.-]+|\[[0-9a-f:]+\])(?::([0-9]{1,5}))?/?", value.strip().lower())
    if found is None:
        msg = (
            f"{name} is {value!r}; it takes scheme, host and, if it is not the scheme's own, port, such as "
            "'https://lake.example.org'. Unset it for this machine's own names."
        )
        raise SettingsError(msg)
    scheme, host, port = found.groups()
    is_default = port is None or int(port) == {"http": 80, "https": 443}[scheme]
    return f"{scheme}://{host}" if is_default else f"{scheme}://{host}:{int(port)}"


def _number(env: Mapping[str, str], name: str, default: int) -> int:
    value = env.get(name)
    if value is None:
        return default
    if re.fullmatch(r"[0-9]{1,12}", value.strip()) is None:
        msg = f"{name} is {value!r}; it takes a number from 0 on, such as 100000. Unset it for {default}."
        raise SettingsError(msg)
    return int(value)


def _bytes(env: Mapping[str, str], name: str, default: int, least: int, most: int | None = None) -> int:
    value = env.get(name)
    if value is None:
        return default
    found = re.fullmatch(r"([0-9]{1,12}) ?(?:([KMGT]?)(i?)B)?", value.strip(), re.IGNORECASE)
    size = 0
    if found is not None:
        size = int(found[1]) * (1024 if found[3] else 1000) ** _UNITS.index((found[2] or " ").upper())
    if size < least or (most is not None and size > most):
        upto = "" if most is None else f" to {in_units(most)}"
        msg = (
            f"{name} is {value!r}; it takes a size from {in_units(least)}{upto or ' on'}, such as '16MiB' or '4GB'. "
            f"Unset it for {in_units(default)}."
        )
        raise SettingsError(msg)
    return size


def in_units(size: int) -> str:
    """A number of bytes, in the largest unit that it is a whole number of.

    Args:
        size: the bytes.
    """
    power = next(power for power in range(4, -1, -1) if size % 1024**power == 0)
    unit = f"{_UNITS[power]}iB" if power else "bytes"
    return f"{size // 1024**power} {unit}"


def _memory(env: Mapping[str, str], name: str, default: str) -> str:
    value = env.get(name, default).strip()
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?((?:[KMGT]i?)?)B", value, re.IGNORECASE)
    if found is None:
        msg = f"{name} is {value!r}; it takes a size such as '512MB' or '4GB'. Unset it for {default!r}."
        raise SettingsError(msg)
    if float(found[1]) * 1000 ** _UNITS.index(found[2][:1].upper() or " ") < LEAST_MEMORY:
        msg = f"{name} is {value!r}; at least {LEAST_MEMORY // 1_000_000}MB are needed. Unset it for {default!r}."
        raise SettingsError(msg)
    return value
