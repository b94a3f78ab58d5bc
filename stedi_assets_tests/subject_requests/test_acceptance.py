"""Ten people are forgotten in a lake of a thousand: A1 = A0 - B0, B1 = 0, and every other row is as it was.

On the sample data, and on the public STEDI data where they are there; ten invented people are added, since neither has
somebody who shares a device, somebody only in quarantine, or copied and compressed files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from stedi_assets.contracts import TABLES
from stedi_assets.contracts import table as contract
from stedi_assets.landing.copy import land as copy_in
from stedi_assets.sample import write_sample
from stedi_assets.staleness.plan import differing
from stedi_assets.subject_requests.erasure import carry_out, find
from stedi_assets.subject_requests.receipts import Receipts
from stedi_assets.subject_requests.requests import Requests
from stedi_assets.subject_requests.subject import Person, rules_for, theirs
from stedi_assets_tests.kit.lake import SmallLake
from stedi_assets_tests.kit.people import (
    IN_QUARANTINE,
    NEVER_CONSENTED,
    NOW,
    ON_SEVERAL_DAYS,
    SHARING,
    email,
    land,
)


@pytest.fixture(params=["sample", "reference"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallLake]:
    """A lake of about a thousand customers, materialized."""
    small = SmallLake.at(tmp_path)
    if request.param == "sample":
        write_sample(str(tmp_path / "landing"))
    else:
        reference = os.environ.get("STEDI_REFERENCE_LANDING")
        if not reference:
            pytest.skip(
                "STEDI_REFERENCE_LANDING is not set: set it to the landing folder of the public STEDI data (Udacity's "
                "'STEDI Human Balance Analytics' project)"
            )
        copy_in(reference, small.resources.landing)
    land(small)
    small.materialize()
    yield small
    small.close()


def ten(lake: SmallLake) -> list[str]:
    """Four of the people who were added, and six others: five with readings, one who never consented."""
    resources = lake.resources
    view = resources.view()
    rows = resources.engine.rows(
        """
        (SELECT email FROM people JOIN (SELECT "user" AS email, count(*) AS n FROM readings GROUP BY ALL) USING (email)
         WHERE consented_at IS NOT NULL ORDER BY n DESC, email LIMIT 5)
        UNION ALL
        (SELECT email FROM people WHERE consented_at IS NULL AND email <> 'nora@example.com' ORDER BY email LIMIT 1)
        """,
        people=view.customers,
        readings=resources.engine.relation(
            contract("accelerometer_landing"), view.snapshot("accelerometer_landing").files
        ),
    )
    added = [email(name) for name in (ON_SEVERAL_DAYS, SHARING, NEVER_CONSENTED, IN_QUARANTINE)]
    return [*added, *(address for (address,) in rows)]


def stored(lake: SmallLake) -> dict[str, pa.Table]:
    """Every table but the record of files, in memory."""
    resources = lake.resources
    return {
        name: resources.engine.arrow(
            "SELECT * FROM stored",
            stored=resources.engine.relation(table, resources.lakehouse.snapshot(table).files),
        )
        for name, table in TABLES.items()
        if name != "landing_files"
    }


@pytest.mark.slow
def test_ten_people_are_forgotten_and_nobody_else(lake: SmallLake) -> None:
    resources = lake.resources
    people = [Person.of(resources, address) for address in ten(lake)]
    assert len({who.email for who in people}) == 10
    assert [len(who.shared) for who in people].count(1) == 1
    before = stored(lake)
    requests = Requests(resources.privacy)
    asked = [requests.file(who.email, "", NOW) for who in people]
    receipts = carry_out(resources, lake.instance, asked)
    for who, receipt in zip(people, receipts):
        assert receipt["found"]
        assert len(receipt["together_with"]) == 9
        assert all(row["others_identical"] for row in receipt["partitions"]), receipt
        assert not find(resources, who, rules_for(resources, who))
    after = stored(lake)

    for name, rows in before.items():
        left = rows
        for who in people:
            if name == "landing_quarantine":
                rules = rules_for(resources, who)
                mine = [rules.of_rejected(line) is not None for line in left["line"].to_pylist()]
                left = left.filter(pa.array([not one for one in mine], pa.bool_()))
            else:
                query = f"SELECT * FROM held WHERE NOT ({theirs(contract(name))})"
                left = resources.engine.arrow(query, held=left, **who.frames())
        assert differences(lake, left, after[name]) == (0, 0), name
        assert name == "landing_quarantine" or left.num_rows < rows.num_rows
    assert Receipts(resources.privacy).faults() == []
    assert not resources.landing_differences(resources.listing())
    assert not differing(resources.view())


def differences(lake: SmallLake, expected: pa.Table, found: pa.Table) -> tuple[int, int]:
    """How many rows are missing, and how many are too many."""
    missing, extra = lake.resources.engine.rows(
        """
        SELECT (SELECT count(*) FROM (SELECT * FROM expected EXCEPT ALL SELECT * FROM found)),
               (SELECT count(*) FROM (SELECT * FROM found EXCEPT ALL SELECT * FROM expected))
        """,
        expected=expected,
        found=found,
    )[0]
    return missing, extra
