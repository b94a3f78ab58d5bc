"""Whose record counts, who consents, and who is curated: literal cases, on every backend."""

from __future__ import annotations

from datetime import date, timedelta

import pyarrow as pa
import pytest

from stedi_assets import transforms
from stedi_assets_tests.transforms.conftest import (
    ANN,
    BOB,
    CAT,
    DAY_1,
    DAY_1_END,
    DAY_2,
    DAY_3,
    DEE,
    LONG_AGO,
    Constructor,
    Record,
    curated,
    customer,
    rows,
    table_rows,
    trusted,
    worn,
)

CONSENT = {
    "null@example.com": (None, False),
    "zero@example.com": (0, False),
    "negative@example.com": (-LONG_AGO, False),
    "first-millisecond@example.com": (1, True),
    "long-ago@example.com": (LONG_AGO, True),
    "end-of-day@example.com": (DAY_1_END, True),
    "next-day@example.com": (DAY_1_END + 1, False),
    "far-future@example.com": (2**62, False),
}


def test_consent(constructor: Constructor) -> None:
    records = [customer(email, f"sn of {email}", share) for email, (share, _) in CONSENT.items()]
    landing = constructor("customer_landing", records)
    assert set(rows(transforms.customer_trusted(landing), "email")) == {
        (email,) for email, (_, consents) in CONSENT.items() if consents
    }
    assert rows(transforms.consents(landing), "email", "serialNumber", "consented_at") == {
        (email, f"sn of {email}", share if consents else None): 1 for email, (share, consents) in CONSENT.items()
    }


def test_nobody_at_all(constructor: Constructor) -> None:
    assert not table_rows(transforms.customer_trusted(constructor("customer_landing", [])), "customer_trusted")


def test_consent_ends_with_the_landing_day_whichever_it_is(constructor: Constructor) -> None:
    """The end of a day is computed without a cast from dates to numbers: every year and leap day must come out."""
    days = [date(2022, 1, 1) + timedelta(days=97 * n) for n in range(290)]
    days += [date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1), date(2024, 12, 31), date(2096, 2, 29)]
    last = {day: (day - date(1970, 1, 1)).days * 86_400_000 + 86_399_999 for day in days}
    records = [customer(f"{day} {n}", "s", last[day] + n, day=day) for day in days for n in (0, 1)]
    found = rows(transforms.customer_trusted(constructor("customer_landing", records)), "email")
    assert found == {(f"{day} 0",): 1 for day in days}


def _of(record: Record, serial: str, **more: object) -> Record:
    return {**record, "serialNumber": serial, **more}


BASE = customer(ANN, "", update=5, day=DAY_2, source_file="c/b.json", source_line=9)


@pytest.mark.parametrize(
    ("loses", "wins"),
    [
        pytest.param(_of(BASE, "loses", landing_date=DAY_3), _of(BASE, "wins", lastUpdateDate=6), id="update"),
        pytest.param(_of(BASE, "loses", source_file="z"), _of(BASE, "wins", landing_date=DAY_3), id="landing day"),
        pytest.param(_of(BASE, "loses", source_line=99), _of(BASE, "wins", source_file="c/c.json"), id="file"),
        pytest.param(_of(BASE, "loses", source_file="c/10.json"), _of(BASE, "wins", source_file="c/9.json"), id="text"),
        pytest.param(_of(BASE, "loses"), _of(BASE, "wins", source_line=10), id="line, as a number"),
        pytest.param(
            _of(BASE, "loses", source_file="c/Z.json"), _of(BASE, "wins", source_file="c/a.json"), id="bytes of a name"
        ),
    ],
)
def test_the_latest_record_decides(constructor: Constructor, loses: Record, wins: Record) -> None:
    for records in ([loses, wins], [wins, loses]):
        landing = constructor("customer_landing", records)
        assert rows(transforms.latest_records(landing), "email", "serialNumber") == {(ANN, "wins"): 1}


def test_a_withdrawal_is_a_record_like_any_other(constructor: Constructor) -> None:
    landing = constructor(
        "customer_landing",
        [
            customer(ANN, "s", update=1),
            customer("ANN@example.com ", "s", None, update=2, day=DAY_2),
            customer(BOB, "s", None, update=1),
            customer(" Bob@Example.COM", "s", update=2, day=DAY_2),
            customer(CAT, "s", update=3, day=DAY_3),
            customer(CAT, "s", None, update=2, day=DAY_2),
            customer(DEE, "s", update=2),
            customer(DEE, "s", 0, update=2, day=DAY_2),
        ],
    )
    found = rows(transforms.customer_trusted(landing), "email", "landing_date")
    assert found == {(BOB, DAY_2): 1, (CAT, DAY_3): 1}


def test_emails_and_serial_numbers_are_trimmed_and_lower_cased(constructor: Constructor) -> None:
    landing = constructor(
        "customer_landing",
        [
            customer("  Ann@Example.com\t", "\r\n\x0b\x0cSN 1 A ", update=1, customerName=" Ann A. "),
            customer("ZOË.ÉCOLE@example.com", "ÄÖ-ß", update=1),
            customer("\u00a0bob@example.com", "\u2003S", update=1),
        ],
    )
    assert rows(transforms.customer_trusted(landing), "email", "serialNumber", "customerName") == {
        (ANN, "sn 1 a", " Ann A. "): 1,
        ("zoë.école@example.com", "äö-ß", None): 1,
        # White space is ASCII's: whatever else there is belongs to the value.
        ("\u00a0bob@example.com", "\u2003s", None): 1,
    }


def test_every_field_comes_along(constructor: Constructor) -> None:
    fields = {
        "customerName": "Ann Example",
        "phone": "5550100",
        "birthDay": "1850-01-31",
        "registrationDate": 1_600_000_000_001,
        "shareWithPublicAsOfDate": 1_600_000_000_002,
        "shareWithFriendsAsOfDate": 1_600_000_000_003,
    }
    nobody = customer(BOB, "t")
    landing = constructor("customer_landing", [customer(ANN, "s", day=DAY_2, **fields), nobody])
    values = (
        *("Ann Example", ANN, "5550100", "1850-01-31", "s"),
        *(1_600_000_000_001, 1, LONG_AGO, 1_600_000_000_002, 1_600_000_000_003, DAY_2),
    )
    nothing = (None, BOB, None, None, "t", None, 1, LONG_AGO, None, None, DAY_1)
    assert table_rows(transforms.customer_trusted(landing), "customer_trusted") == {values: 1, nothing: 1}


def test_curated_customers(constructor: Constructor) -> None:
    """Those who share now and have readings, each once, in the partition of customer_trusted's row."""
    landed = [customer(ANN, "s", day=DAY_2), customer(BOB, "s"), customer(CAT, "s", None, update=2), customer(DEE, "s")]
    subject_ids = [curated(email) for email in (ANN, BOB, CAT, DEE, "more@example.com")]
    found = transforms.customers_curated(
        # Of DEE's day nothing is wanted; CAT's row is stale.
        constructor("customer_trusted", trusted(landed[0], landed[1], customer(CAT, "s"))),
        constructor("accelerometer_trusted", trusted(worn(ANN), worn(ANN, x=2.0), worn(ANN, day=DAY_2), worn(CAT))),
        constructor("customer_landing", landed),
        constructor("customers_curated", subject_ids),
    )
    row = (None, ANN, None, None, "s", None, 1, LONG_AGO, None, None, f"id of {ANN}", DAY_2)
    assert table_rows(found, "customers_curated") == {row: 1}


def test_frames_are_taken_as_they_come() -> None:
    """Native or Narwhals' own, eager or lazy."""
    import narwhals.stable.v2 as nw

    native = pa.Table.from_pylist([customer(ANN, "s")])
    for frame in (native, nw.from_native(native), nw.from_native(native).lazy()):
        assert rows(transforms.consents(frame), "email") == {(ANN,): 1}
