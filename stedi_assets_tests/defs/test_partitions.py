"""Landing days: Dagster's daily partitions, whose keys are listed once."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import dagster as dg
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context

from stedi_assets.defs.partitions import landing_days

FIRST = date(2023, 8, 1)
DAGSTERS = dg.DailyPartitionsDefinition(start_date=FIRST.isoformat(), end_offset=1)


def test_they_are_the_days_up_to_today() -> None:
    days = landing_days(FIRST).get_partition_keys()
    assert days == DAGSTERS.get_partition_keys()
    assert days[0] == FIRST.isoformat()
    assert days[-1] == datetime.now(timezone.utc).date().isoformat()


@pytest.mark.parametrize(
    "now", [datetime(2023, 8, 5, 23, 59, tzinfo=timezone.utc), datetime(2020, 1, 1, tzinfo=timezone.utc)]
)
def test_they_are_those_of_another_time_where_one_is_asked_for(now: datetime) -> None:
    days = landing_days(FIRST)
    assert days.get_partition_keys() != days.get_partition_keys(now)
    assert days.get_partition_keys(now) == DAGSTERS.get_partition_keys(now)


def test_a_new_day_is_there_when_it_comes() -> None:
    days, now = landing_days(FIRST), datetime(2023, 8, 5, 23, 59, tzinfo=timezone.utc)
    for then in (now, now + timedelta(minutes=2)):
        with partition_loading_context(then):
            assert days.get_partition_keys()[-1] == then.date().isoformat()


def test_landing_days_reach_from_the_first_day_to_today() -> None:
    from stedi_assets.resources import today

    before = today()
    keys = landing_days(date(2023, 12, 30)).get_partition_keys()
    assert keys[:3] == ["2023-12-30", "2023-12-31", "2024-01-01"]
    assert keys[-1] in {before.isoformat(), today().isoformat()}
