"""Ticks of the real sensors, without a daemon."""

from __future__ import annotations

from functools import cached_property

import dagster as dg

from stedi_assets.defs.io_manager import days_between
from stedi_assets.defs.run_history import RANGE_TAGS
from stedi_assets_tests.kit.driven import make_partitions
from stedi_assets_tests.kit.lake import SmallLake


class Ticking:
    """A real sensor on a lake, and Dagster's daemon in its place."""

    def __init__(self, lake: SmallLake, sensor: str) -> None:
        self.lake = lake
        self.sensor = sensor
        self.keys: set[str] = set()
        self.cursor: str | None = None

    @cached_property
    def repository(self) -> dg.RepositoryDefinition:
        """The code location, as it was loaded once."""
        return self.lake.definitions.get_repository_def()

    def tick(self) -> tuple[list[dg.RunRequest], str]:
        """What one tick asks for, and what it says when it asks for nothing."""
        sensor = self.repository.get_sensor_def(self.sensor)
        with dg.build_sensor_context(
            instance=self.lake.instance,
            repository_def=self.repository,
            resources={"resources": self.lake.resources},
            sensor_name=self.sensor,
            cursor=self.cursor,
        ) as context:
            found = sensor.evaluate_tick(context)
        self.cursor = found.cursor
        # Dagster launches a run key once.
        fresh = [request for request in found.run_requests or [] if request.run_key not in self.keys]
        assert len(fresh) == len(found.run_requests or []), "asked for with a key that was used already"
        self.keys |= {str(request.run_key) for request in fresh}
        return fresh, found.skip_message or ""

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """Do what the request describes."""
        tables = [key.to_user_string() for key in request.asset_selection or ()]
        return self.lake.run(tables, request.partition_key, config=request.run_config, tags=request.tags)

    def make(self, request: dg.RunRequest) -> None:
        """Make what the request describes, without a run of Dagster's."""
        tables = [key.to_user_string() for key in request.asset_selection or ()]
        first, last = (request.partition_key or request.tags[tag] for tag in RANGE_TAGS)
        make_partitions(self.lake.resources, tables, days_between(first, last))

    def settle(self, directly: bool = False) -> list[dg.RunRequest]:
        """Tick once, run everything that it asks for, and see that the next tick asks for nothing.

        Args:
            directly: make it without runs of Dagster's.
        """
        asked, _ = self.tick()
        for request in asked:
            if directly:
                self.make(request)
            else:
                assert self.run(request).success
        assert self.tick()[0] == []
        return asked
