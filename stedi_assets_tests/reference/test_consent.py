"""Who consents, by which record, and from when to when."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date

import pytest

from stedi_assets.reference import (
    ASSETS,
    LandedFile,
    compute,
)
from stedi_assets_tests.kit.records import LONG_AGO, UPDATED
from stedi_assets_tests.kit.records import accelerometer_record as worn
from stedi_assets_tests.kit.records import customer_record as customer
from stedi_assets_tests.kit.records import step_record as step
from stedi_assets_tests.reference.landed import (
    ANN,
    BOB,
    DAY_1,
    DAY_1_END,
    DAY_2,
    DAY_3,
    DEE,
    KEY,
    C,
    emails,
    ids,
    landed,
    rows,
    variant,
)


@pytest.mark.parametrize(
    ("research", "consents"),
    [
        (None, False),
        ("null", False),
        ("0", False),
        ("-1", False),
        ("1", True),
        (f"{DAY_1_END}", True),
        (f"{DAY_1_END + 1}", False),
    ],
)
def test_consent_is_positive_and_not_later_than_the_landing_day(research: str | None, *, consents: bool) -> None:
    line = variant(C, shareWithResearchAsOfDate=research)
    tables = compute([landed("customer", line)], KEY)
    assert emails(tables) == [("e@x",)] * consents


def test_consent_in_the_future_stays_none_when_its_day_comes() -> None:
    tables = compute(
        [
            landed("customer", customer(ANN, "s1", DAY_1_END + 1)),
            landed("customer", customer(BOB, "s2"), day=DAY_3),
        ],
        KEY,
    )
    assert emails(tables) == [(BOB,)]


def test_customer_trusted_is_the_latest_record_normalised() -> None:
    tables = compute(
        [
            landed("customer", customer(" ANN@Example.com\t", "OLD", update=1), day=DAY_3),
            landed(
                "customer",
                {**customer("Ann@example.COM", " SN-1\r", 5, update=2), "customerName": " Ann "},
                day=DAY_2,
            ),
        ],
        KEY,
    )
    assert rows(tables, "customer_trusted") == [
        (" Ann ", ANN, None, None, "sn-1", None, UPDATED + 2, 5, None, None, DAY_2)
    ]
    assert tables["customer_landing"].total() == 2


@pytest.mark.parametrize(
    ("loser", "winner"),
    [
        pytest.param((2, DAY_3, "z.json"), (3, DAY_1, "a.json"), id="lastUpdateDate"),
        pytest.param((2, DAY_1, "z.json"), (2, DAY_2, "a.json"), id="landing_date"),
        pytest.param((2, DAY_1, "10.json"), (2, DAY_1, "9.json"), id="file name, as text"),
    ],
)
@pytest.mark.parametrize("grants", [True, False])
def test_latest_record_decides(loser: tuple[int, date, str], winner: tuple[int, date, str], *, grants: bool) -> None:
    files = [
        landed("customer", customer(ANN, "s", research, update), day=day, name=name)
        for (update, day, name), research in (
            (winner, 1 if grants else None),
            (loser, None if grants else 1),
        )
    ]
    assert emails(compute(files, KEY)) == [(ANN,)] * grants


@pytest.mark.parametrize("last", ["1", "0"])
def test_latest_record_of_one_file_is_its_last_line(last: str) -> None:
    other = {"1": "0", "0": "1"}[last]
    lines = [variant(C, shareWithResearchAsOfDate=literal) for literal in ("broken", other, last)]
    assert emails(compute([landed("customer", *lines)], KEY)) == [("e@x",)] * int(last)


def test_the_landing_day_goes_before_the_path() -> None:
    """Files need not lie in folders of their day: it may come from the name or the time."""
    contents = (json.dumps(customer(ANN, "s", research)).encode() for research in (1, None))
    files = [
        LandedFile("customer_landing", day, f"customer_landing/{name}.json", content)
        for day, name, content in zip((DAY_2, DAY_1), "az", contents, strict=True)
    ]
    assert rows(compute(files, KEY), "customer_trusted", "landing_date") == [(DAY_2,)]

    copy = LandedFile("customer_landing", DAY_3, "customer_landing/0.json", files[0].content)
    skipped = compute([copy, *files], KEY)["skipped_files"]
    assert skipped == Counter({("customer_landing", DAY_3, copy.path, 1): 1})


def test_consent_history_is_every_time_somebody_shared() -> None:
    tables = compute(
        [
            landed("customer", customer(ANN, "s", 10, 1), customer(BOB, "s", None, 1), customer(DEE, "s", None, 1)),
            # Lands first and is the later one; then, of one moment: takes back, and shares again.
            landed("customer", customer(ANN, "s", 40, 4), customer(" ANN@example.com", "s", 20, 2), day=DAY_2),
            landed("customer", customer(ANN, "s", None, 3), customer(DEE, "s", 5, 2), day=DAY_3),
            landed("customer", customer(DEE, "s", 0, 2), customer(DEE, "s", 5, 2), day=DAY_3, name="b.json"),
        ],
        KEY,
    )
    ann, dee = ids(ANN, DEE)
    assert rows(tables, "consent_history") == sorted(
        [
            (ann, 1, 10, UPDATED + 3, DAY_3, "withdrawal", DAY_1),
            (ann, 2, 40, None, None, None, DAY_2),
            (dee, 1, 5, UPDATED + 2, DAY_3, "withdrawal", DAY_3),
            (dee, 2, 5, None, None, None, DAY_3),
        ],
        key=repr,
    )


def test_withdrawal_and_grant_anew_reach_every_table() -> None:
    history = [
        landed("customer", customer(ANN, "s", LONG_AGO, 1)),
        landed("accelerometer", worn(ANN)),
        landed("step_trainer", step("s")),
        landed("customer", customer(ANN, "s", None, 2), day=DAY_2),
        landed("customer", customer(ANN, "s", LONG_AGO, 3), day=DAY_3),
    ]
    for count, held, intervals in ((3, 1, 1), (4, 0, 1), (5, 1, 2)):
        tables = compute(history[:count], KEY)
        assert {tables[table].total() for table in ASSETS[3:] if table != "consent_history"} == {held}
        assert tables["consent_history"].total() == intervals


BROKEN = {"email": "Ann@example.com", "serialNumber": "s", "phone": 5}


def consenting(*files: LandedFile) -> set[str]:
    return {email for (email,) in emails(compute(files, KEY))}


def test_a_record_that_cannot_be_read_may_be_a_withdrawal() -> None:
    grant = landed("customer", customer(ANN, "s"), customer(BOB, "s2"))
    broken = landed("customer", BROKEN, day=DAY_2)
    assert consenting(grant, broken) == {BOB}
    intervals = rows(compute([grant, broken], KEY), "consent_history", "withdrawn_landing_date", "ended_by")
    assert sorted(intervals, key=repr) == sorted([(DAY_2, "doubt"), (None, None)], key=repr)
    assert consenting(broken) == set()


def test_it_holds_until_a_record_that_landed_after_it_decides() -> None:
    grant, broken = landed("customer", customer(ANN, "s", update=5)), landed("customer", BROKEN, day=DAY_2)
    assert consenting(grant, broken, landed("customer", customer(ANN, "s", update=6), day=DAY_3)) == {ANN}
    assert consenting(grant, broken, landed("customer", customer(ANN, "s", update=4), day=DAY_3)) == set()


def test_without_an_address_whoever_claims_the_serial_number_is_meant() -> None:
    grant = landed("customer", customer(ANN, "s"), customer(BOB, "s2"))
    assert consenting(grant, landed("customer", {"serialNumber": "S", "phone": 5}, day=DAY_2)) == {BOB}
    other = {**BROKEN, "email": "joann@example.com"}
    assert consenting(grant, landed("customer", other, day=DAY_2)) == {ANN, BOB}
