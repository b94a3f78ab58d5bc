"""The reference computation gives the published counts of the public STEDI data."""

from __future__ import annotations

import os
import re
from datetime import datetime, timezone
from pathlib import Path

import pytest

from stedi_assets.reference import (
    ASSETS,
    LandedFile,
    Landing,
    Pairing,
    ReadingsBeforeConsent,
    land,
    refine,
)
from stedi_assets_tests.reference.landed import (
    KEY,
    rows,
)


@pytest.fixture(scope="module")
def reference() -> Landing:
    """Read the public STEDI data set, which is no part of the project."""
    place = os.environ.get("STEDI_REFERENCE_LANDING")
    if not place or not Path(place).is_dir():
        pytest.skip(
            "the STEDI reference data is not here: clone"
            " udacity/nd027-Data-Engineering-Data-Lakes-AWS-Exercises and set"
            " STEDI_REFERENCE_LANDING to a folder that holds the files of its project/starter as"
            " customer_landing/, accelerometer_landing/ and step_trainer_landing/"
        )
    root = Path(place)
    files = []
    for path in root.glob("*_landing/*.json"):
        found = re.search(r"\d{13}", path.name)
        assert found, f"expected epoch milliseconds in the file name, found {path.name}"
        day = datetime.fromtimestamp(int(found[0]) / 1000, tz=timezone.utc).date()
        table = path.parent.name
        files.append(LandedFile(table, day, path.relative_to(root).as_posix(), path.read_bytes()))
    return land(files)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policies", "published"),
    [
        (("include", "timestamp"), (482, 40_981, 482, 14_460, 43_681, 40_981)),
        (("include", "customer"), (482, 40_981, 482, 14_460, 40_981, 40_981)),
        (("exclude", "timestamp"), (482, 32_025, 464, 11_297, 34_253, 32_025)),
        (("exclude", "customer"), (482, 32_025, 464, 11_297, 32_025, 32_025)),
    ],
)
def test_the_published_counts(
    reference: Landing,
    policies: tuple[ReadingsBeforeConsent, Pairing],
    published: tuple[int, ...],
) -> None:
    tables = refine(reference, KEY, *policies)
    counts = {table: counter.total() for table, counter in tables.items()}
    same_customer = sum(row[0] is True for row in rows(tables, ASSETS[-1], "same_customer"))
    of_published = [table for table in ASSETS if table != "consent_history"]
    assert tuple(counts[table] for table in of_published) == (956, 81_273, 28_680, *published[:-1])
    assert same_customer == published[-1]
    assert counts["landing_quarantine"] == counts["skipped_files"] == 0
