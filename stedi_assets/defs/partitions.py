"""Landing days: the one partition definition of every table.

Dagster concept: partitions definition (``dg.DailyPartitionsDefinition``).

Which days there can be belongs here. Which landing day a raw file has is decided in ``landing.files``, how much of an
input a partition needs in the contracts (``Scope``), and which partitions are stale in ``staleness``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg

ONE_DAY = timedelta(days=1)


class LandingDays(dg.DailyPartitionsDefinition):
    """Daily partitions whose keys are listed once.

    Dagster lists them for every input that is a whole table, ten times a run, and takes 45 ms for seven years.
    """

    def get_partition_keys(
        self, current_time: datetime | None = None, dynamic_partitions_store: Any = None
    ) -> Sequence[str]:
        """The landing days up to today, as ``2023-08-06``."""
        last = self.get_last_partition_window() if current_time is None else None
        if last is None:
            return super().get_partition_keys(current_time, dynamic_partitions_store)
        # This one Dagster keeps.
        return self.get_partition_keys_in_time_window(dg.TimeWindow(self.start, last.end))


def landing_days(first_day: date) -> LandingDays:
    """The UTC days on which data can have landed, from ``first_day`` to today inclusive."""
    return LandingDays(start_date=first_day.isoformat(), end_offset=1)
