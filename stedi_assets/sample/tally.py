"""Counting what the tables must hold, while the data is made.

Here: sums, by policy.  The few people of the faults are counted by the reference computation, which states every rule.
All others are counted by formula, from what the generator itself decided (who shares, which readings lie before
consent, which meet): a million rows a second leave no time for rules over records.  A test reads a written sample back
and holds both equal to the reference computation.  Not here: the rules, and reading anything back.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from stedi_assets.reference import (
    LANDING_TABLES,
    Pairing,
    ReadingsBeforeConsent,
    claimants,
    consent_intervals,
    derive,
    land,
)
from stedi_assets.sample.report import PAIRINGS, READINGS_BEFORE_CONSENT, TABLES, PolicyCounts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stedi_assets.sample.kit import Kit
    from stedi_assets.sample.population import Group

Policy = tuple["ReadingsBeforeConsent", "Pairing"]


@dataclass
class Tally:
    """Running sums; `landed` is by (table, landing day number), the others by policy as in `PolicyCounts`."""

    landed: Counter[tuple[str, int]] = field(default_factory=Counter)
    tables: dict[Policy, Counter[str]] = field(
        default_factory=lambda: {policy: Counter() for policy in product(READINGS_BEFORE_CONSENT, PAIRINGS)}
    )
    same_customer: Counter[Policy] = field(default_factory=Counter)
    different_customers: Counter[Policy] = field(default_factory=Counter)
    steps_first: Counter[Policy] = field(default_factory=Counter)
    steps_last: Counter[Policy] = field(default_factory=Counter)
    left_out: Counter[Policy] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)
    skipped_lines: Counter[str] = field(default_factory=Counter)
    skipped_files: int = 0
    repeated: Counter[str] = field(default_factory=Counter)
    shared_serial_numbers: int = 0
    faults: Counter[str] = field(default_factory=Counter)

    def add(self, group: Group) -> None:
        """Count a group, all of whose devices have one owner and all of whose rows differ."""
        for policy in self.tables:
            exclude = policy[0] == "exclude"
            shared = np.broadcast_to(group.shares[:, None], group.before.shape)
            used = shared & ~group.before if exclude else shared
            rows = int(group.rows[used].sum())
            lag = group.step_day - group.accelerometer_day
            self._pairs(policy, group.rows, used, lag, self.same_customer)
            if policy[1] == "timestamp":
                for step, phone in (
                    (group.meetings.one, group.meetings.other),
                    (group.meetings.other, group.meetings.one),
                ):
                    lag = group.step_day.reshape(-1)[step] - group.accelerometer_day.reshape(-1)[phone]
                    both = used.reshape(-1)[step] & used.reshape(-1)[phone]
                    self._pairs(policy, group.rows.reshape(-1)[phone], both, lag, self.different_customers)
            self.tables[policy].update(
                customer_trusted=int(group.shares.sum()),
                accelerometer_trusted=rows,
                customers_curated=int(used.any(axis=1).sum()),
                consent_history=int(group.shares.sum()),  # one record each
                step_trainer_trusted=int(used.sum()),
            )

    def add_kit(self, kit: Kit) -> None:
        """Count the people of a kit by the reference computation; not its lines and files, which `write` counts."""
        landing = land(kit.landed_files())
        tables = landing.tables
        intervals = len(consent_intervals(landing.customers))
        derived_by_policy = {policy: derive(landing, policy) for policy in READINGS_BEFORE_CONSENT}
        for policy in self.tables:
            derived = derived_by_policy[policy[0]]
            pairs = derived.paired_by(policy[1])
            lags = [pair.step.landing_date.toordinal() - pair.acceleration.landing_date.toordinal() for pair in pairs]
            self.tables[policy].update(
                customer_trusted=len(derived.customers),
                accelerometer_trusted=len(derived.accelerations),
                customers_curated=len(derived.curated),
                consent_history=intervals,
                step_trainer_trusted=len(derived.steps),
                machine_learning_curated=len(pairs),
            )
            self.same_customer[policy] += sum(pair.same_customer for pair in pairs)
            self.different_customers[policy] += sum(not pair.same_customer for pair in pairs)
            self.steps_first[policy] += sum(lag < 0 for lag in lags)
            self.steps_last[policy] += sum(lag > 0 for lag in lags)
            self.left_out[policy] += len(derived.refused_steps)
        self.repeated["accelerometer_landing"] += tables["accelerometer_landing"].total() - len(landing.accelerations)
        self.repeated["step_trainer_landing"] += tables["step_trainer_landing"].total() - len(landing.steps)
        self.shared_serial_numbers += sum(len(emails) > 1 for emails in claimants(landing.customers).values())
        for table, *_ in tables["landing_quarantine"].elements():
            self.quarantined[str(table)] += 1
        for (table, kind), lines in kit.broken.items():
            self.faults[f"{table}: {kind}"] += lines
        self.faults.update(kit.kinds)

    def landing(self) -> dict[str, int]:
        """Return the rows of the landing tables and the quarantine: lines, less what is rejected or skipped."""
        lines: Counter[str] = Counter()
        for (table, _), count in self.landed.items():
            lines[table] += count
        rows = {table: lines[table] - self.quarantined[table] - self.skipped_lines[table] for table in LANDING_TABLES}
        return {**rows, "landing_quarantine": self.quarantined.total()}

    def _pairs(
        self,
        policy: Policy,
        rows: NDArray[np.int64],
        used: NDArray[np.bool_],
        lag: NDArray[np.int64],
        kind: Counter[Policy],
    ) -> None:
        """Count pairs: accelerometer `rows` per step reading, and by how many days later the step reading landed."""
        pairs = int(rows[used].sum())
        self.tables[policy]["machine_learning_curated"] += pairs
        kind[policy] += pairs
        self.steps_first[policy] += int(rows[used & (lag < 0)].sum())
        self.steps_last[policy] += int(rows[used & (lag > 0)].sum())

    def policies(self) -> dict[str, PolicyCounts]:
        """Return the counts by policy; those of the landing tables and the quarantine are the same in all."""
        landing = self.landing()
        return {
            "/".join(policy): PolicyCounts(
                tables={table: landing.get(table, counts[table]) for table in TABLES},
                same_customer=self.same_customer[policy],
                different_customers=self.different_customers[policy],
                different_landing_days=self.steps_first[policy] + self.steps_last[policy],
                shared_serial_readings_left_out=self.left_out[policy],
            )
            for policy, counts in self.tables.items()
        }

    def lines(self, dates: list[str]) -> dict[str, dict[str, int]]:
        """Return the lines by landing day and table."""
        return {date: {table: self.landed[table, day] for table in LANDING_TABLES} for day, date in enumerate(dates)}
