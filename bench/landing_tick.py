"""A tick of the landing sensor over a landing zone that has been ingested, but for one new file.

    python bench/landing_tick.py LANDING EMPTY

Prepares, untimed, the landing tables of `LANDING` in the folder `EMPTY`, forgetting one file again;
then prints what `run.py` reads, `{"seconds": …}`: how long the tick took that finds it. A tick with
nothing to do costs the same, as it looks at the same files.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path

import dagster as dg

from stedi_assets.contracts import LANDING_TABLES
from stedi_assets.defs.build import build_definitions
from stedi_assets.defs.sensors.landing import SENSOR
from stedi_assets.landing.ingest import Ingestion
from stedi_assets.resources import Resources
from stedi_assets.settings import Settings


def prepare(resources: Resources) -> None:
    """Ingest every file but the last."""
    listing = resources.listing()
    newest = max(listing.files, key=lambda file: (file.landing_date, file.path))
    most = dataclasses.replace(listing, files=tuple(file for file in listing.files if file != newest))
    for table in LANDING_TABLES:
        by_day = most.by_day(table.name)
        if by_day:
            Ingestion(resources.session, resources.lakehouse, resources.landing, table).run(by_day.keys(), by_day)


def main(landing: str, empty: str) -> None:
    """Prepare, tick, and print how long the tick took."""
    settings = Settings(landing_uri=landing, lake_uri=str(Path(empty) / "lake"))
    resources = Resources.of(settings)
    prepare(resources)
    resources.close()
    # As a sensor's process has it: nothing of the lake is in memory.
    resources = Resources.of(settings)
    definitions = build_definitions(settings, resources)
    sensor = definitions.resolve_sensor_def(SENSOR)
    with dg.DagsterInstance.ephemeral() as instance:
        started = time.perf_counter()
        context = dg.build_sensor_context(instance, definitions=definitions, resources={"resources": resources})
        found = sensor.evaluate_tick(context)
        seconds = time.perf_counter() - started
    if len(found.run_requests or ()) != 1:
        sys.exit(f"One run was to be requested, not {len(found.run_requests or ())}.")
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
