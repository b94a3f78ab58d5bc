"""Counting what the tables must hold, while the data is made.

Here: sums over what the generator itself decided (who shares, which readings lie before consent, which meet), by
policy.  Not here: reading anything back, and the people of the faults, whom `rules` counts.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from stedi_assets.sample import rules
from stedi_assets.sample.report import LANDING_TABLES, PAIRINGS, READINGS_BEFORE_CONSENT, TABLES, PolicyCounts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stedi_assets.sample.kit import Kit
    from stedi_assets.sample.population import Group


@dataclass
class Tally:
    """Running sums; `landed` is by (table, landing day number), the others by policy as in `PolicyCounts`."""

    landed: Counter[tuple[str, int]] = field(default_factory=Counter)
    tables: dict[tuple[str, str], Counter[str]] = field(
        default_factory=lambda: {policy: Counter() for policy in product(READINGS_BEFORE_CONSENT, PAIRINGS)}
    )
    same_customer: Counter[tuple[str, str]] = field(default_factory=Counter)
    different_customers: Counter[tuple[str, str]] = field(default_factory=Counter)
    steps_first: Counter[tuple[str, str]] = field(default_factory=Counter)
    steps_last: Counter[tuple[str, str]] = field(default_factory=Counter)
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
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
        """Count the people of a kit, by the rules; its lines are counted where they are written."""
        for policy in self.tables:
            outcome = rules.count(kit.facts, exclude=policy[0] == "exclude")
            pairs = [pair for pair in outcome.pairs if pair.same_customer or policy[1] == "timestamp"]
            self.tables[policy].update(outcome.tables)
            self.tables[policy]["machine_learning_curated"] += len(pairs)
            self.same_customer[policy] += sum(pair.same_customer for pair in pairs)
            self.different_customers[policy] += sum(not pair.same_customer for pair in pairs)
            self.steps_first[policy] += sum(pair.step_day < pair.accelerometer_day for pair in pairs)
            self.steps_last[policy] += sum(pair.step_day > pair.accelerometer_day for pair in pairs)
            self.left_out[policy] += outcome.left_out
        self.repeated["accelerometer_landing"] += len(kit.facts.rows) - len(set(kit.facts.rows))
        self.repeated["step_trainer_landing"] += len(kit.facts.steps) - len(set(kit.facts.steps))
        self.shared_serial_numbers += sum(len(owners) > 1 for owners in rules.claimants(kit.facts).values())
        for (table, kind), lines in kit.broken.items():
            self.quarantined[table] += lines
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
        policy: tuple[str, str],
        rows: NDArray[np.int64],
        used: NDArray[np.bool_],
        lag: NDArray[np.int64],
        kind: Counter[tuple[str, str]],
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
