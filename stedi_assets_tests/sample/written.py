"""A sample that was written, its report, and the files read back by the reference computation."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING

import pandas as pd

from stedi_assets.reference import COLUMNS, Derived, Landing, ReadingsBeforeConsent, derive, land, last_millisecond
from stedi_assets.sample import write_sample
from stedi_assets_tests.kit.landing_zone import landed_files

if TYPE_CHECKING:
    from pathlib import Path


class Sample:
    """A written sample, its report, and its rows read back."""

    def __init__(self, folder: Path, *, customers: int, days: int, seed: int = 0, faults: bool = False) -> None:
        self.folder = folder
        self.report = write_sample(str(folder), customers=customers, days=days, seed=seed, faults=faults)
        self.files = list(landed_files(folder))

    @cached_property
    def landing(self) -> Landing:
        """What the reference computation reads of the files; it takes its time."""
        return land(self.files)

    @cached_property
    def derived(self) -> dict[ReadingsBeforeConsent, Derived]:
        """What the rules come to, by policy."""
        return {"include": derive(self.landing, "include"), "exclude": derive(self.landing, "exclude")}

    def line_counts(self) -> dict[str, dict[str, int]]:
        """Return how many texts there are, by landing day and table, of days and tables that have any."""
        counts: dict[str, Counter[str]] = {}
        for file in self.files:
            counts.setdefault(file.landing_date.isoformat(), Counter())[file.table] += len(file.texts())
        return {day: dict(tables) for day, tables in counts.items()}

    def frame(self, table: str) -> pd.DataFrame:
        """Return the rows of a landing table, each with the first millisecond after its landing day."""
        frame = pd.DataFrame(self.landing.tables[table].elements(), columns=list(COLUMNS[table]))
        frame["day_end"] = frame["landing_date"].map(last_millisecond) + 1
        return frame

    def lines(self) -> list[str]:
        """Return all lines of all files."""
        plain = [file.text().decode() for file in self.files]
        return [line for content in plain for line in content.splitlines()]
