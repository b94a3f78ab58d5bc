"""What customers allowed when: literal cases on every backend, and any order of arrival."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from itertools import permutations
from typing import Any

import duckdb
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stedi_assets import transforms
from stedi_assets_tests.kit.examples import examples
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
    arrow,
    curated,
    customer,
    pandas_arrow_frame,
    pandas_frame,
    rows,
    table_rows,
)

PEOPLE = (ANN, BOB, CAT, DEE, "more@example.com")
Interval = tuple[int, int, "int | None", "date | None", date]
"""What a row says of its subject: number, granted, withdrawn, when that landed, and the partition."""


def history(make: Constructor, records: Iterable[Record], people: Iterable[str] = PEOPLE) -> Counter[tuple[Any, ...]]:
    """What the transform makes of records; who reads a pseudonym sees whose it is."""
    subject_ids = make("customers_curated", [curated(email) for email in people])
    return table_rows(transforms.consent_history(make("customer_landing", records), subject_ids), "consent_history")


def of(email: str, *intervals: Interval) -> Counter[tuple[Any, ...]]:
    return Counter(
        (f"id of {email}", *interval[:4], None if interval[3] is None else "withdrawal", interval[4])
        for interval in intervals
    )


def at(*updates: int | None, day: date = DAY_1) -> list[Record]:
    """Ann's records in the order of their update: who shares says since when, who does not says nothing."""
    return [customer(ANN, "s", share, update, day) for update, share in enumerate(updates, start=1)]


CASES: dict[str, tuple[list[Record], list[Interval]]] = {
    "grants": (
        at(10),
        [(1, 10, None, None, DAY_1)],
    ),
    "never consents": (
        at(None),
        [],
    ),
    "withdraws on the same day": (
        at(10, None),
        [(1, 10, 2, DAY_1, DAY_1)],
    ),
    "shares on, since another date": (
        at(10, 20, 30),
        [(1, 10, None, None, DAY_1)],
    ),
    "withdraws twice, again": (
        at(10, None, None, 5),
        [(1, 10, 2, DAY_1, DAY_1), (2, 5, None, None, DAY_1)],
    ),
    "refuses before": (
        at(None, None, 10),
        [(1, 10, None, None, DAY_1)],
    ),
    "grants again": (
        [customer(ANN, "s", 10, 1, DAY_1), customer(ANN, "s", None, 2, DAY_2), customer(ANN, "s", 20, 3, DAY_3)],
        [(1, 10, 2, DAY_2, DAY_1), (2, 20, None, None, DAY_3)],
    ),
    "the withdrawal lands before the grant": (
        [customer(ANN, "s", None, 2, DAY_1), customer(ANN, "s", 10, 1, DAY_2)],
        [(1, 10, 2, DAY_1, DAY_2)],
    ),
    "the earlier of two grants lands later": (
        [customer(ANN, "s", 10, 1, DAY_2), customer(ANN, "s", 20, 2, DAY_1)],
        [(1, 10, None, None, DAY_2)],
    ),
    "spelled in several ways": (
        [
            customer(ANN, "s", 10, 1),
            customer(" Ann@Example.COM\t", "s", None, 2),
            customer("ANN@example.com", "t", 9, 3),
        ],
        [(1, 10, 2, DAY_1, DAY_1), (2, 9, None, None, DAY_1)],
    ),
    "dated beyond the day it landed": (
        [customer(ANN, "s", DAY_1_END, 1), customer(ANN, "s", DAY_1_END + 1, 2), customer(ANN, "s", 2**52, 3)],
        [(1, DAY_1_END, 2, DAY_1, DAY_1)],
    ),
    "dated ahead, and said again when it was due": (
        [customer(ANN, "s", DAY_1_END + 1, 1), customer(ANN, "s", DAY_1_END + 1, 2, DAY_2)],
        [(1, DAY_1_END + 1, None, None, DAY_2)],
    ),
    "0 and less": (
        at(10, 0, 20, -5),
        [(1, 10, 2, DAY_1, DAY_1), (2, 20, 4, DAY_1, DAY_1)],
    ),
    "ties": (
        # Of one moment: the landing day decides, then the file, then the line as a number.
        [
            customer(ANN, "s", 10, 7, DAY_1, source_file="z.json", source_line=99),
            customer(ANN, "s", None, 7, DAY_2, source_file="a.json", source_line=9),
            customer(ANN, "s", 20, 7, DAY_2, source_file="a.json", source_line=10),
            customer(ANN, "s", None, 7, DAY_2, source_file="b.json", source_line=1),
            customer(ANN, "s", 20, 7, DAY_2, source_file="b.json", source_line=2),
        ],
        [(1, 10, 7, DAY_2, DAY_1), (2, 20, 7, DAY_2, DAY_2), (3, 20, None, None, DAY_2)],
    ),
    "intervals that differ in nothing but their number": (
        [customer(ANN, "s", 10, 7, source_line=line) for line in (1, 3)]
        + [customer(ANN, "s", None, 7, source_line=line) for line in (2, 4)],
        [(1, 10, 7, DAY_1, DAY_1), (2, 10, 7, DAY_1, DAY_1)],
    ),
}
"""Ann's records, and her intervals."""


def renamed(email: str, number: int) -> str:
    """Ann's address, in the same spelling, for one Ann of many."""
    return re.sub("(?i)ann@", lambda found: f"{found[0][:-1]}{number}@", email)


def test_intervals(constructor: Constructor) -> None:
    """Every case at once, each an Ann of her own: on most backends, a frame takes far longer than its rows."""
    landed = [
        {**record, "email": renamed(record["email"], number)}
        for number, (records, _) in enumerate(CASES.values())
        for record in records
    ]
    people = [renamed(ANN, number) for number in range(len(CASES))]
    for records in (landed, landed[::-1]):
        found = history(constructor, records, people)
        for email, (name, (_, expected)) in zip(people, CASES.items(), strict=True):
            mine = Counter({row: count for row, count in found.items() if row[0] == f"id of {email}"})
            assert mine == of(email, *expected), name
        assert found.total() == sum(len(expected) for _, expected in CASES.values())


def test_nobody_at_all(constructor: Constructor) -> None:
    assert history(constructor, []) == Counter()


def test_nobodys_records_run_into_anothers(constructor: Constructor) -> None:
    """One who still shares beside one who never did, and one who withdrew beside one who begins."""
    records = [
        customer(ANN, "s", 10, 1),
        customer(BOB, "s", None, 2),
        customer(CAT, "s", 20, 3),
        customer(CAT, "s", None, 4, DAY_2),
        customer(DEE, "s", 30, 5),
        customer(DEE, "s", None, 6, DAY_2),
        customer(DEE, "s", 40, 7, DAY_3),
    ]
    assert history(constructor, records) == (
        of(ANN, (1, 10, None, None, DAY_1))
        + of(CAT, (1, 20, 4, DAY_2, DAY_1))
        + of(DEE, (1, 30, 6, DAY_2, DAY_1), (2, 40, None, None, DAY_3))
    )


def test_intervals_of_those_who_are_asked_for_are_whole(constructor: Constructor) -> None:
    """Who consents on the days wanted is enough, and what landed on other days counts all the same."""
    records = [
        customer(ANN, "s", 10, 1, DAY_1),
        customer("ANN@example.com", "s", None, 2, DAY_2),
        customer(ANN, "s", 20, 3, DAY_3),
        customer(BOB, "s", 10, 1, DAY_2),
        customer(CAT, "s", None, 1, DAY_3),
    ]
    landing = constructor("customer_landing", records)
    for days, people in ((None, (ANN, BOB)), ([DAY_2], (BOB,)), ([DAY_1, DAY_3], (ANN,)), ([DAY_3], (ANN,))):
        assert rows(transforms.ever_consenting(landing, days), "email") == {(email,): 1 for email in people}
    expected = of(ANN, (1, 10, 2, DAY_2, DAY_1), (2, 20, None, None, DAY_3))
    assert history(constructor, records, [ANN]) == expected


# --- any order of arrival -----------------------------------------------------------------------


def walked(records: Iterable[Record]) -> Counter[tuple[Any, ...]]:
    """The same in plain Python."""
    order = ("lastUpdateDate", "landing_date", "source_file", "source_line")
    found: dict[str, list[list[Any]]] = {}
    open_ones: set[str] = set()
    for record in sorted(records, key=lambda record: tuple(record[name] for name in order)):
        email, share, day = record["email"].strip().lower(), record["shareWithResearchAsOfDate"], record["landing_date"]
        end = ((day - date(1970, 1, 1)).days + 1) * 86_400_000
        consents = share is not None and 0 < share < end
        mine = found.setdefault(email, [])
        if consents and email not in open_ones:
            mine.append([len(mine) + 1, share, None, None, day])
            open_ones.add(email)
        elif not consents and email in open_ones:
            mine[-1][2:4] = record["lastUpdateDate"], day
            open_ones.remove(email)
    return sum((of(email, *map(tuple, mine)) for email, mine in found.items()), Counter())  # type: ignore[arg-type]


_records = st.lists(
    st.tuples(
        st.sampled_from((ANN, f" {ANN.upper()}", BOB)),
        st.sampled_from((None, 0, LONG_AGO, LONG_AGO + 1, DAY_1_END + 1)),
        st.integers(1, 4),
        st.sampled_from((DAY_1, DAY_2)),
        st.sampled_from(("a.json", "b.json")),
    ),
    max_size=12,
).map(
    lambda drawn: [
        customer(email, "s", share, update, day, source_file=file, source_line=line)
        for line, (email, share, update, day, file) in enumerate(drawn)
    ]
)


@settings(max_examples=examples(15, 250), deadline=None, suppress_health_check=list(HealthCheck))
@given(records=_records, data=st.data())
def test_any_records_in_any_order(duck: duckdb.DuckDBPyConnection, records: list[Record], data: st.DataObject) -> None:
    arrived = data.draw(st.permutations(records))
    makers: dict[str, Constructor] = {
        "duckdb": lambda name, records: duck.from_arrow(arrow(name, records)),
        "pandas": pandas_frame,
        "pandas[pyarrow]": pandas_arrow_frame,
        "pyarrow": arrow,
        # As it comes from several files: what does not keep the order of rows shows here.
        "pyarrow, in chunks": lambda name, records: pa.concat_tables(
            [arrow(name, []), *(arrow(name, [record]) for record in records)]
        ),
    }
    maker = data.draw(st.sampled_from(sorted(makers)))
    found = history(makers[maker], arrived)
    assert found == walked(records)
    assert len({row[:2] for row in found}) == found.total(), "the key is one"


def in_days(make: Constructor, landed: Sequence[Record], day: date) -> Counter[tuple[Any, ...]]:
    """A partition, as the asset makes it: of all that landed so far, for those who consent on the day."""
    who = rows(transforms.ever_consenting(make("customer_landing", landed), [day]), "email")
    found = history(make, landed, [email for (email,) in who])
    return Counter({row: count for row, count in found.items() if row[-1] == day})


def test_days_may_land_and_be_made_in_any_order() -> None:
    """Grant, withdrawal and grant again: made day by day when all have landed, the partitions are the same rows."""
    story = [customer(ANN, "s", 10, 1, DAY_1), customer(ANN, "s", None, 2, DAY_2), customer(ANN, "s", 20, 3, DAY_3)]
    expected = of(ANN, (1, 10, 2, DAY_2, DAY_1), (2, 20, None, None, DAY_3))
    for arrival in permutations(story):
        made = {}
        for count, record in enumerate(arrival, start=1):
            landed = arrival[:count]
            made[record["landing_date"]] = in_days(arrow, landed, record["landing_date"])
            # Reconciliation makes the others, in whichever order they landed.
            for other in landed:
                made[other["landing_date"]] = in_days(arrow, landed, other["landing_date"])
            assert sum(made.values(), Counter()) == walked(landed)
        assert sum(made.values(), Counter()) == expected
