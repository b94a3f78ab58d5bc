"""Files to rows: line ends, compression, and files that are skipped."""

from __future__ import annotations

import gzip
import json

import pytest

from stedi_assets.reference import (
    COLUMNS,
    compute,
    land,
)
from stedi_assets_tests.kit.records import NOON, UPDATED
from stedi_assets_tests.kit.records import accelerometer_record as worn
from stedi_assets_tests.kit.records import customer_record as customer
from stedi_assets_tests.kit.records import step_record as step
from stedi_assets_tests.reference.landed import (
    DAY_1,
    DAY_2,
    KEY,
    landed,
    rows,
    whole,
)


def test_landing_keeps_values_as_delivered() -> None:
    full = {
        "customerName": " Ann Example ",
        "email": " Ann@Example.com",
        "phone": "5550100",
        "birthDay": "31 January 1850",
        "serialNumber": "SN-1 ",
        "registrationDate": 1,
        "lastUpdateDate": UPDATED,
        "shareWithResearchAsOfDate": 3,
        "shareWithPublicAsOfDate": 0,
        "shareWithFriendsAsOfDate": -5,
    }
    tables = compute(
        [
            landed("customer", full, customer("b@x", "s", None), name="c.json"),
            landed("accelerometer", worn(" Ann@Example.com"), worn(" Ann@Example.com"), day=DAY_2),
            landed("step_trainer", step("SN-1 ")),
        ],
        KEY,
    )
    c = "customer_landing/landing_date=2023-08-06/c.json"
    assert rows(tables, "customer_landing") == [
        (*tuple(full.values()), c, 1, 1, DAY_1),
        (None, "b@x", None, None, "s", None, UPDATED + 1, None, None, None, c, 2, 1, DAY_1),
    ]
    a = "accelerometer_landing/landing_date=2023-08-07/a.json"
    assert rows(tables, "accelerometer_landing") == [(" Ann@Example.com", NOON, 1.0, 2.0, 3.0, a, DAY_2)] * 2
    s = "step_trainer_landing/landing_date=2023-08-06/a.json"
    assert rows(tables, "step_trainer_landing") == [(NOON, "SN-1 ", 7, s, DAY_1)]
    assert rows(tables, "landing_quarantine") == []
    assert rows(tables, "skipped_files") == []
    assert set(tables) == set(COLUMNS)


def test_lines_end_at_newline_alone_and_blank_ones_count_but_are_nothing() -> None:
    one, two = json.dumps(step("s1")).encode(), json.dumps(step("s2")).encode()
    content = b"\xef\xbb\xbf" + one + b"\r\n\n \t\r\n\v\f\nbroken\n" + two.replace(b", ", b",\r") + b"\r"
    tables = compute([whole("step_trainer", content)], KEY)
    assert rows(tables, "step_trainer_landing", "serialNumber") == [("s1",), ("s2",)]
    assert rows(tables, "landing_quarantine", "source_line") == [(5,)]


def test_byte_order_marks_between_objects_mean_nothing() -> None:
    line = b"\xef\xbb\xbf" + json.dumps(step("s1")).encode()
    tables = compute([landed("step_trainer", line, line)], KEY)
    assert rows(tables, "landing_quarantine") == []
    assert tables["step_trainer_landing"].total() == 2


def test_gzip_is_read_by_content_and_may_be_unreadable() -> None:
    text = json.dumps(step("s1")).encode() + b"\nbroken"
    packed = whole("step_trainer", gzip.compress(text), name="a.json")
    tables = compute([packed], KEY)
    assert rows(tables, "step_trainer_landing", "serialNumber", "source_file") == [
        ("s1", "step_trainer_landing/landing_date=2023-08-06/a.json")
    ]
    assert rows(tables, "landing_quarantine") == [
        ("step_trainer_landing", DAY_1, "step_trainer_landing/landing_date=2023-08-06/a.json", 2, 1)
    ]
    with pytest.raises(EOFError):
        land([whole("step_trainer", packed.content[:-9], name="a.json.gz")])


def test_file_with_the_bytes_of_an_earlier_one_is_skipped() -> None:
    lines = (step("s1"), b"broken", b"", step("s1"))
    files = [
        landed("step_trainer", *lines, day=DAY_2, name="a.json"),
        landed("step_trainer", *lines, day=DAY_1, name="c.json"),
        landed("step_trainer", *lines, day=DAY_1, name="b.json"),
        landed("step_trainer", *lines, b"", day=DAY_1, name="d.json"),
    ]
    tables = compute(files, KEY)
    assert rows(tables, "skipped_files") == [
        (
            "step_trainer_landing",
            DAY_1,
            "step_trainer_landing/landing_date=2023-08-06/c.json",
            3,
        ),
        (
            "step_trainer_landing",
            DAY_2,
            "step_trainer_landing/landing_date=2023-08-07/a.json",
            3,
        ),
    ]
    b, d = (f"step_trainer_landing/landing_date=2023-08-06/{name}.json" for name in "bd")
    assert rows(tables, "step_trainer_landing", "source_file") == [(b,), (b,), (d,), (d,)]
    assert rows(tables, "landing_quarantine", "source_file", "source_line") == [(b, 2), (d, 2)]


def test_duplicates_are_of_one_table_and_of_stored_bytes_and_hold_a_line() -> None:
    both = {**step("s"), **worn("u")}
    files = [
        landed("step_trainer", both),
        landed("accelerometer", both),
        whole("step_trainer", gzip.compress(json.dumps(both).encode() + b"\n"), name="a.json.gz"),
        *(whole("customer", b"", name=name, day=day) for name in "xy" for day in (DAY_1, DAY_2)),
        *(whole("customer", b"\xef\xbb\xbf \r\n\n", name=name) for name in "zw"),
    ]
    tables = compute(files, KEY)
    assert rows(tables, "skipped_files") == []
    assert tables["step_trainer_landing"].total() == 2
    assert tables["accelerometer_landing"].total() == 1
