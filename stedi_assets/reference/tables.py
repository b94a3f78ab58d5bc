"""Landed records to trusted and curated tables: who consents, which readings count, which pair, whose a device is.

How the rules are read where they leave a choice:

* *File name*, where two records of a customer tie, is the path relative to the landing root,
  compared as text.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from stedi_assets.reference.landing import CUSTOMER_FIELDS, LANDING_TABLES, Acceleration, Customer, Step, age, land
from stedi_assets.reference.lines import last_millisecond

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import date

    from stedi_assets.reference.landing import LandedFile, Landing, Tables
    from stedi_assets.reference.lines import Row

ReadingsBeforeConsent = Literal["include", "exclude"]
Pairing = Literal["timestamp", "customer"]

COLUMNS: dict[str, tuple[str, ...]] = {
    "customer_landing": (*CUSTOMER_FIELDS, "source_file", "source_line", "source_object", "landing_date"),
    "accelerometer_landing": ("user", "timestamp", "x", "y", "z", "source_file", "landing_date"),
    "step_trainer_landing": ("sensorReadingTime", "serialNumber", "distanceFromObject", "source_file", "landing_date"),
    "landing_quarantine": ("landing_table", "landing_date", "source_file", "source_line", "source_object"),
    "skipped_files": ("landing_table", "landing_date", "source_file", "lines"),
    "customer_trusted": (*CUSTOMER_FIELDS, "landing_date"),
    "accelerometer_trusted": ("user", "timestamp", "x", "y", "z", "landing_date"),
    "customers_curated": ("subject_id", *CUSTOMER_FIELDS, "landing_date"),
    "consent_history": (
        "subject_id",
        "grant_number",
        "granted_at",
        "withdrawn_at",
        "withdrawn_landing_date",
        "ended_by",
        "landing_date",
    ),
    "step_trainer_trusted": ("sensorReadingTime", "serialNumber", "distanceFromObject", "landing_date"),
    "machine_learning_curated": (
        "subject_id",
        "device_subject_id",
        "sensorReadingTime",
        "distanceFromObject",
        "x",
        "y",
        "z",
        "same_customer",
        "landing_date",
    ),
}
"""Every table that `compute` returns, and the order of the cells in its rows.

`skipped_files` is no table of the product: it names the duplicate files, with the number of
their lines that are not blank, so that no line is unaccounted for.
"""

ASSETS = (
    *LANDING_TABLES,
    "customer_trusted",
    "accelerometer_trusted",
    "customers_curated",
    "consent_history",
    "step_trainer_trusted",
    "machine_learning_curated",
)


def compute(
    files: Iterable[LandedFile],
    key: bytes,
    readings_before_consent: ReadingsBeforeConsent = "include",
    pairing: Pairing = "timestamp",
    left_out: Callable[[str, bytes, date], bool] | None = None,
) -> Tables:
    """Compute every table from everything that landed.

    Args:
        files: the landed files, in any order.
        key: the pseudonym key.
        readings_before_consent: the policy of that name; the default is the product's.
        pairing: the policy of that name; the default is the product's.
        left_out: says of a line of a table's file that its person was erased.

    Returns:
        For each name in `COLUMNS` its rows, each with how often it occurs.
    """
    return refine(land(files, left_out), key, readings_before_consent, pairing)


def refine(
    landing: Landing,
    key: bytes,
    readings_before_consent: ReadingsBeforeConsent = "include",
    pairing: Pairing = "timestamp",
) -> Tables:
    """Compute the trusted and curated tables, and return them beside the landing tables.

    A row lies in the partition of the landing day that is its last cell: a customer in that of the latest
    record, a reading in its own, a pair in that of its later-landed half.
    """
    derived = derive(landing, readings_before_consent)
    customers = {email: (*record.normalised(), record.landing_date) for email, record in derived.customers.items()}
    return {
        **landing.tables,
        "customer_trusted": Counter(customers.values()),
        "accelerometer_trusted": Counter(tuple(one) for one in derived.accelerations),
        "customers_curated": Counter((pseudonym(one, key), *customers[one]) for one in derived.curated),
        "consent_history": Counter(interval.row(key) for interval in consent_intervals(landing.customers)),
        "step_trainer_trusted": Counter(tuple(one) for one in derived.steps),
        "machine_learning_curated": Counter(pair.row(key) for pair in derived.paired_by(pairing)),
    }


# --- consent ------------------------------------------------------------------------------------


def consents(customer: Customer) -> bool:
    """Say whether a record gives consent to research.

    "A positive `shareWithResearchAsOfDate` no later than the end of the day its record landed.
    Null, missing, 0, negative or in the future is no consent."
    """
    research = customer.research
    return research is not None and 0 < research <= last_millisecond(customer.landing_date)


def latest_records(customers: Iterable[Customer]) -> dict[str, Customer]:
    """Return the deciding record of each e-mail.

    "The latest record per e-mail over all landing days decides: greatest (`lastUpdateDate`,
    `landing_date`, file name, line, object)."
    """
    return {customer.email: customer for customer in sorted(customers, key=age)}


class ConsentInterval(NamedTuple):
    """A time in which a customer consented: its number among theirs, and the records that opened and ended it."""

    number: int
    first: Customer
    end: Customer | None

    def row(self, key: bytes) -> Row:
        """Return the row of `consent_history`."""
        end: Row = (None, None, None)
        if self.end is not None:
            end = (self.end.last_update, self.end.landing_date, "doubt" if self.end.doubt else "withdrawal")
        return (pseudonym(self.first.email, key), self.number, self.first.research, *end, self.first.landing_date)


def consent_intervals(customers: Iterable[Customer]) -> list[ConsentInterval]:
    """Return the intervals of consent of every customer, by walking each customer's records.

    "An interval opens at the first consenting record (of all, or after a non-consenting one) and
    ends at the next non-consenting record. Consecutive consenting records extend it."
    """
    records_by_email: dict[str, list[Customer]] = defaultdict(list)
    for customer in sorted(customers, key=age):
        records_by_email[customer.email].append(customer)

    all_intervals: list[ConsentInterval] = []
    for records in records_by_email.values():
        intervals: list[ConsentInterval] = []
        consented = False
        for record in records:
            if consents(record) and not consented:
                intervals.append(ConsentInterval(len(intervals) + 1, record, None))
            elif consented and not consents(record):
                intervals[-1] = intervals[-1]._replace(end=record)
            consented = consents(record)
        all_intervals += intervals
    return all_intervals


# --- people, devices and phones -----------------------------------------------------------------


def claimants(customers: Iterable[Customer]) -> dict[str, set[str]]:
    """Return, by serial number, the e-mails whose latest record claims it, consenting or not."""
    emails_by_serial: dict[str, set[str]] = defaultdict(set)
    for email, record in latest_records(customers).items():
        emails_by_serial[record.serial_number].add(email)
    return emails_by_serial


@dataclass(frozen=True)
class _People:
    """The people of a landing zone: who consents, who claims which device and who wore a phone when."""

    trusted: dict[str, Customer]
    """By e-mail, the latest record of each customer who consents."""
    claimants: dict[str, set[str]]
    """By serial number, the e-mails whose latest record claims it, consenting or not."""
    wearers: dict[int, set[str]]
    """By millisecond, the users of every valid landed accelerometer reading."""
    readings_before_consent: ReadingsBeforeConsent

    def share(self, email: str, time: int) -> bool:
        """Say whether a customer's reading of that time may be used.

        With `exclude`, "readings taken before the customer's consent date are left out, of both
        sensors".
        """
        if email not in self.trusted:
            return False
        if self.readings_before_consent == "include":
            return True
        research = self.trusted[email].research
        assert research is not None
        return time >= research

    def claiming(self, step: Step) -> set[str]:
        """Return all claimants of a step reading's device."""
        return self.claimants.get(step.serial_number, set())

    def sharing(self, step: Step) -> set[str]:
        """Return the claimants who consent.

        "With readings before consent excluded, 'consents' here means at the time of the reading."
        """
        return {email for email in self.claiming(step) if self.share(email, step.time)}

    def refusing(self, step: Step) -> set[str]:
        """Return the claimants who do not consent."""
        return self.claiming(step) - self.sharing(step)

    def wearing(self, time: int) -> set[str]:
        """Return who has an accelerometer reading at that millisecond, of any landing day."""
        return self.wearers.get(time, set())

    def usable(self, step: Step, curated: set[str]) -> bool:
        """Say whether a step reading belongs in `step_trainer_trusted`.

        It is of a device of a customer in `customers_curated`. "Where every claimant
        consents, its step readings are used. Where one does not, a step reading is used only if a
        consenting claimant has an accelerometer reading at the same millisecond and no
        non-consenting claimant has."
        """
        sharing, refusing = self.sharing(step), self.refusing(step)
        if not sharing & curated:
            return False
        if not refusing:
            return True
        wearing = self.wearing(step.time)
        return bool(sharing & wearing) and not refusing & wearing

    def device_owner(self, step: Step, wearer: str) -> str | None:
        """Return the e-mail behind `device_subject_id`.

        "The wearer's where the wearer is a claimant, else the one consenting claimant's, else, of
        several, the one with an accelerometer reading at that millisecond, else null."
        """
        if wearer in self.claiming(step):
            return wearer
        candidates = self.sharing(step)
        if len(candidates) > 1:
            candidates &= self.wearing(step.time)
        return next(iter(candidates)) if len(candidates) == 1 else None


def _people(landing: Landing, readings_before_consent: ReadingsBeforeConsent) -> _People:
    wearers: dict[int, set[str]] = defaultdict(set)
    for acceleration in landing.accelerations:
        wearers[acceleration.timestamp].add(acceleration.user)
    trusted = {email: record for email, record in latest_records(landing.customers).items() if consents(record)}
    return _People(trusted, claimants(landing.customers), wearers, readings_before_consent)


# --- tables -------------------------------------------------------------------------------------


class Pair(NamedTuple):
    """A step reading with an accelerometer reading of the same millisecond.

    `device_owner` is the e-mail behind `device_subject_id`; `same_customer` says whether the wearer claims the device.
    """

    step: Step
    acceleration: Acceleration
    device_owner: str | None
    same_customer: bool

    def row(self, key: bytes) -> Row:
        """Return the row of `machine_learning_curated`, in the partition of the later-landed half."""
        return (
            pseudonym(self.acceleration.user, key),
            None if self.device_owner is None else pseudonym(self.device_owner, key),
            self.step.time,
            self.step.distance,
            self.acceleration.x,
            self.acceleration.y,
            self.acceleration.z,
            self.same_customer,
            max(self.step.landing_date, self.acceleration.landing_date),
        )


@dataclass(frozen=True)
class Derived:
    """The trusted and curated tables under one policy for readings before consent, as records.

    Args:
        customers: `customer_trusted`, by e-mail.
        accelerations: `accelerometer_trusted`.
        curated: the e-mails of `customers_curated`.
        steps: `step_trainer_trusted`.
        refused_steps: step readings of a device that somebody who consents and somebody who does not both claim,
            left out of `step_trainer_trusted`.
        pairs: `machine_learning_curated`, paired by timestamp.
    """

    customers: dict[str, Customer]
    accelerations: set[Acceleration]
    curated: set[str]
    steps: set[Step]
    refused_steps: set[Step]
    pairs: Sequence[Pair]

    def paired_by(self, pairing: Pairing) -> Sequence[Pair]:
        """Return the pairs under a policy: pairing by customer asks besides that the wearer claims the device."""
        return [pair for pair in self.pairs if pair.same_customer or pairing == "timestamp"]


def derive(landing: Landing, readings_before_consent: ReadingsBeforeConsent = "include") -> Derived:
    """Compute the trusted and curated tables as records, for one policy."""
    people = _people(landing, readings_before_consent)
    accelerations = {one for one in landing.accelerations if people.share(one.user, one.timestamp)}
    curated = {one.user for one in accelerations}
    steps = {one for one in landing.steps if people.usable(one, curated)}
    refused = {one for one in landing.steps - steps if people.sharing(one) and people.refusing(one)}
    return Derived(people.trusted, accelerations, curated, steps, refused, _pairs(people, accelerations, steps))


def _pairs(people: _People, accelerations: Iterable[Acceleration], steps: Iterable[Step]) -> list[Pair]:
    """Return the pairs by timestamp.

    "One step reading with one accelerometer reading of the same millisecond. A shared serial number never
    multiplies rows."
    """
    accelerations_at: dict[int, list[Acceleration]] = defaultdict(list)
    for acceleration in accelerations:
        accelerations_at[acceleration.timestamp].append(acceleration)
    return [
        Pair(step, one, people.device_owner(step, one.user), same_customer=one.user in people.claiming(step))
        for step in steps
        for one in accelerations_at[step.time]
    ]


def pseudonym(email: str, key: bytes) -> str:
    """Return the `subject_id` of a normalised e-mail: HMAC-SHA256 under the key, in hex."""
    return hmac.new(key, email.encode("utf-8"), hashlib.sha256).hexdigest()
