"""The rules of the tables, for few rows: what the people of the faults must come to.

Here: a plain computation over the rows that are not broken and not in skipped files.  Not here: the pipeline's
transforms, on purpose: this is the second opinion that they are compared with.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class CustomerRecord:
    """A customer record as landed; `email` and `serial_number` trimmed and lower-cased, times in epoch milliseconds.

    `consent` is `shareWithResearchAsOfDate`, None where it is missing or null; `day_end` is the first millisecond
    after the landing day.
    """

    email: str
    serial_number: str
    updated: int
    day: int
    consent: int | None
    day_end: int

    @property
    def consents(self) -> bool:
        """A positive date no later than the end of the landing day (design, section 2)."""
        return self.consent is not None and 0 < self.consent < self.day_end


@dataclass(frozen=True)
class AccelerometerRow:
    """A row as landed; `ending` is its text after the timestamp, which stands for x, y and z."""

    email: str
    time: int
    ending: str
    day: int


@dataclass(frozen=True)
class StepReading:
    """A row as landed."""

    serial_number: str
    time: int
    distance: int
    day: int


@dataclass
class Facts:
    """Everything that landed, in the order of landing within a day."""

    records: list[CustomerRecord] = field(default_factory=list)
    rows: list[AccelerometerRow] = field(default_factory=list)
    steps: list[StepReading] = field(default_factory=list)


@dataclass(frozen=True)
class Pair:
    """A row of `machine_learning_curated`."""

    same_customer: bool
    step_day: int
    accelerometer_day: int


@dataclass(frozen=True)
class Outcome:
    """What the tables hold under one policy for readings before consent."""

    tables: Counter[str]
    pairs: list[Pair]
    left_out: int


class _Consents:
    """Who consents, and to which readings."""

    def __init__(self, latest: Iterable[CustomerRecord], *, exclude: bool) -> None:
        self._since = {record.email: record.consent or 0 for record in latest if record.consents}
        self._exclude = exclude

    def __contains__(self, email: str) -> bool:
        return email in self._since

    def __len__(self) -> int:
        return len(self._since)

    def cover(self, email: str, time: int) -> bool:
        """Tell whether the customer's consent covers a reading of that time."""
        return email in self and (not self._exclude or time >= self._since[email])


def records_in_order(facts: Facts) -> list[CustomerRecord]:
    """Return all records, by what makes one later than another: (`lastUpdateDate`, landing day)."""
    return sorted(facts.records, key=lambda record: (record.updated, record.day))


def latest_records(facts: Facts) -> list[CustomerRecord]:
    """Return the record that decides for each e-mail: the last."""
    return list({record.email: record for record in records_in_order(facts)}.values())


def intervals(facts: Facts) -> int:
    """Return how many times somebody began to share: by a record that consents, after none or one that does not."""
    sharing: dict[str, bool] = {}
    begun = 0
    for record in records_in_order(facts):
        begun += record.consents and not sharing.get(record.email, False)
        sharing[record.email] = record.consents
    return begun


def claimants(facts: Facts) -> dict[str, set[str]]:
    """Return the customers who claim each serial number by their latest records."""
    claims: dict[str, set[str]] = defaultdict(set)
    for record in latest_records(facts):
        claims[record.serial_number].add(record.email)
    return claims


def count(facts: Facts, *, exclude: bool) -> Outcome:
    """Return what the tables hold; `exclude` leaves readings before consent out.

    Repeated readings of a landing day count once.  A step reading is used where all claimants of its serial number
    consent (at its time), and else where one who consents has an accelerometer reading of that millisecond and none
    who does not consent has one.  Consenting claimants are taken to have accelerometer readings, as all here do.
    """
    consents = _Consents(latest_records(facts), exclude=exclude)
    claims = claimants(facts)
    rows = set(facts.rows)
    at: dict[int, list[AccelerometerRow]] = defaultdict(list)
    for row in rows:
        at[row.time].append(row)
    trusted = [row for row in rows if consents.cover(row.email, row.time)]

    used: list[StepReading] = []
    left_out = 0
    for step in set(facts.steps):
        owners = claims.get(step.serial_number, set())
        willing = {owner for owner in owners if consents.cover(owner, step.time)}
        wearers = {row.email for row in at[step.time]}
        if owners and (willing == owners or (willing & wearers and not (owners - willing) & wearers)):
            used.append(step)
        elif willing:
            left_out += 1
    pairs = [
        Pair(row.email in claims[step.serial_number], step.day, row.day)
        for step in used
        for row in at[step.time]
        if consents.cover(row.email, row.time)
    ]
    tables = Counter(
        customer_trusted=len(consents),
        accelerometer_trusted=len(trusted),
        customers_curated=len({row.email for row in trusted}),
        consent_history=intervals(facts),
        step_trainer_trusted=len(used),
    )
    return Outcome(tables, pairs, left_out)
