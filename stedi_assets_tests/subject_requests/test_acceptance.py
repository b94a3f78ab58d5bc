"""Ten people are forgotten in a lake of a thousand: A1 = A0 - B0, B1 = 0, and every other row is as it was.

On the sample data, and on the public STEDI data where they are there; ten invented people are added, since neither has
somebody who shares a device, somebody only in quarantine, or copied and compressed files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from stedi_assets.contracts import TABLES
from stedi_assets.contracts import table as contract
from stedi_assets.defs.materialize import rebuilder
from stedi_assets.landing.copy import land as copy_in
from stedi_assets.sample import write_sample
from stedi_assets.staleness.stale import stale_partitions
from stedi_assets.subject_requests.erasure import carry_out
from stedi_assets.subject_requests.matching import QUARANTINE, Subjects, subject_condition
from stedi_assets.subject_requests.places import find_places
from stedi_assets.subject_requests.receipts import Receipts
from stedi_assets.subject_requests.requests import ERASE, Requests
from stedi_assets.subject_requests.subject import Person
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
        people=view.customer_names,
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
    asked = [requests.file(who.email, "", NOW, shared_devices=ERASE) for who in people]
    receipts = carry_out(resources, rebuilder(resources, lake.instance), asked)
    shared = sorted({serial for who in people for serial in who.shared})
    for who, receipt in zip(people, receipts, strict=True):
        assert receipt["found"]
        assert len(receipt["together_with"]) == 9
        differing_tables = {row["table"] for row in receipt["partitions"] if not row["others_identical"]}
        # The index has one row for a shared device and day, which counts the readings of everybody who shares it. It
        # is not the person's row, so it stays, and it is right that it counts less: the receipt says that it differs.
        assert differing_tables == {"readings_index"}, receipt
        assert not find_places(resources, Subjects.of(resources, who))
    after = stored(lake)
    assert_index_counts_what_is_left(lake, before, after, shared)

    for name, rows in before.items():
        left, found = rows, after[name]
        for who in people:
            subjects = Subjects.of(resources, who)
            if name == QUARANTINE:
                own = [subjects.own_rejected(line) for line in left["line"].to_pylist()]
                left = left.filter(pa.array([not one for one in own], pa.bool_()))
            else:
                query = f"SELECT * FROM held WHERE NOT ({subject_condition(contract(name))})"
                left = resources.engine.arrow(query, held=left, **subjects.frames())
        if name == "readings_index":
            left, found = (
                rows.filter(pc.invert(pc.is_in(rows["subject"], pa.array(shared)))) for rows in (left, found)
            )
        assert differences(lake, left, found) == (0, 0), name
        assert name == QUARANTINE or left.num_rows < rows.num_rows
    assert Receipts(resources.privacy).faults() == []
    assert not resources.landing_differences(resources.listing())
    assert not stale_partitions(resources.view())


def assert_index_counts_what_is_left(
    lake: SmallLake, before: dict[str, pa.Table], after: dict[str, pa.Table], shared: list[str]
) -> None:
    """The index rows of shared devices count the readings that are stored, and fewer than before."""
    devices = pa.table({"subject": pa.array(shared)})
    indexed, counted, once = (
        lake.resources.engine.rows(query, devices=devices, **frames)
        for query, frames in [
            (_INDEXED, {"index": after["readings_index"]}),
            (_COUNTED, {"steps": after["step_trainer_landing"]}),
            (_INDEXED, {"index": before["readings_index"]}),
        ]
    )
    assert indexed == counted
    assert 0 < sum(number for *_, number in indexed) < sum(number for *_, number in once)


_INDEXED = """
    SELECT landing_date, subject, readings FROM index SEMI JOIN devices USING (subject)
    WHERE readings_table = 'step_trainer_landing' ORDER BY ALL
"""
_COUNTED = """
    SELECT landing_date, lower(trim("serialNumber")) AS subject, count(*) FROM steps
    WHERE subject IN (SELECT subject FROM devices) GROUP BY ALL ORDER BY ALL
"""


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
