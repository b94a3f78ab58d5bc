"""The report of a sample: what its landing zone holds, and how many rows every table must hold for it.

Here: the report as data, and its two JSON files.  Not here: counting (`tally`).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, TypedDict

from stedi_assets.reference import ASSETS

if TYPE_CHECKING:
    from stedi_assets.reference import Pairing, ReadingsBeforeConsent

TABLES: Final = (*ASSETS, "landing_quarantine")
READINGS_BEFORE_CONSENT: Final[tuple[ReadingsBeforeConsent, ...]] = ("include", "exclude")
PAIRINGS: Final[tuple[Pairing, ...]] = ("timestamp", "customer")
DEFAULT_POLICY: Final = "include/timestamp"
"""Policies are named `<STEDI_READINGS_BEFORE_CONSENT>/<STEDI_PAIRING>`."""

EXPECTED_COUNTS: Final = "expected_counts.json"
DETAILS: Final = "expected_counts.details.json"


class SampleArguments(TypedDict):
    """The arguments that decide every byte of a sample; days as `YYYY-MM-DD`."""

    customers: int
    days: int
    seed: int
    faults: bool
    first_day: str
    last_day: str


@dataclass(frozen=True)
class PolicyCounts:
    """The rows that tables hold under one combination of the two policies.

    tables: rows of each table.
    same_customer: rows of `machine_learning_curated` of one customer's phone and the same customer's device.
    different_customers: its other rows.
    different_landing_days: its rows whose halves landed on different days.
    shared_serial_readings_left_out: step readings of a serial number that several customers claim, of whom some
        consent (at the time of the reading) and some do not, left out of `step_trainer_trusted`.
    """

    tables: dict[str, int]
    same_customer: int
    different_customers: int
    different_landing_days: int
    shared_serial_readings_left_out: int


@dataclass(frozen=True)
class SampleReport:
    """A written sample: what was asked for, what it holds, what the tables must hold.

    target: the landing zone's folder or URI.
    expected: rows of each table under the default policies.
    policies: what the tables hold, by `<readings before consent>/<pairing>`.
    lines: {landing day: {landing table: lines}}; lines that are not blank, of all files, skipped ones too.
    quarantined: {landing table: rejected lines}.
    faults_written: {kind of fault: how many}; empty without faults.
    duplicate_files, duplicate_file_lines: files to be skipped because their bytes landed before, and their lines.
    duplicate_readings: {landing table: rows that repeat another row of the same landing day}.
    shared_serial_numbers: serial numbers claimed by more than one customer.
    steps_landed_first, steps_landed_last: rows of `machine_learning_curated` (default policies) whose step reading
        landed on an earlier or a later day than its accelerometer reading.
    files: {path below the target: bytes}.
    rows_written, bytes_written: lines and bytes of all files, as stored.
    already_there: the same sample lay there, complete; nothing was written.
    """

    target: str
    customers: int
    days: int
    seed: int
    faults: bool
    first_day: str
    last_day: str
    expected: dict[str, int]
    policies: dict[str, PolicyCounts]
    lines: dict[str, dict[str, int]]
    quarantined: dict[str, int]
    faults_written: dict[str, int]
    duplicate_files: int
    duplicate_file_lines: int
    duplicate_readings: dict[str, int]
    shared_serial_numbers: int
    steps_landed_first: int
    steps_landed_last: int
    files: dict[str, int]
    rows_written: int
    bytes_written: int
    already_there: bool = False

    def to_json(self) -> str:
        """Return the details file; it names no place, so that equal samples have equal bytes."""
        content = asdict(self)
        del content["target"], content["already_there"]
        return json.dumps(content, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, target: str) -> SampleReport:
        """Read back what `to_json` wrote, for a sample that lies at `target` already."""
        content: dict[str, Any] = json.loads(text)
        policies = {name: PolicyCounts(**counts) for name, counts in content.pop("policies").items()}
        return cls(target=target, policies=policies, already_there=True, **content)
