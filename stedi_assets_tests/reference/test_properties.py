"""Properties of the reference computation, on random landing histories."""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stedi_assets.reference import (
    ASSETS,
    COLUMNS,
    LANDING_TABLES,
    Pairing,
    ReadingsBeforeConsent,
    compute,
    land,
    refine,
)
from stedi_assets_tests.kit.examples import examples
from stedi_assets_tests.oracle.histories import History, histories
from stedi_assets_tests.reference.landed import (
    KEY,
    rows,
)

POLICIES: list[tuple[ReadingsBeforeConsent, Pairing]] = [
    ("include", "timestamp"),
    ("include", "customer"),
    ("exclude", "timestamp"),
    ("exclude", "customer"),
]

few = settings(max_examples=examples(10, 60), deadline=None, suppress_health_check=[HealthCheck.too_slow])


@few
@given(st.data())
def test_the_order_of_files_says_nothing(data: st.DataObject) -> None:
    history = data.draw(histories())
    shuffled = data.draw(st.permutations(history.files))
    for policies in POLICIES:
        assert compute(shuffled, KEY, *policies) == compute(history.files, KEY, *policies)


@few
@given(histories())
def test_no_line_is_lost(history: History) -> None:
    tables = compute(history.arrived(), KEY)
    for table in LANDING_TABLES:
        for day in history.days(table):
            copies = {row[2] for row in tables["skipped_files"]}
            lines = sum(
                len(file.lines() if file.path in copies else file.texts())
                for file in history.files
                if (file.table, file.landing_date) == (table, day)
            )
            kept = sum(n for row, n in tables[table].items() if row[-1] == day)
            bad = sum(n for row, n in tables["landing_quarantine"].items() if row[:2] == (table, day))
            skipped = sum(
                n * int(str(row[-1])) for row, n in tables["skipped_files"].items() if row[:2] == (table, day)
            )
            assert lines == kept + bad + skipped


@few
@given(histories())
def test_policies_only_take_away(history: History) -> None:
    landing = land(history.files)
    everything = refine(landing, KEY)
    for policies in POLICIES[1:]:
        less = refine(landing, KEY, *policies)
        for table in ASSETS[:-1]:
            assert less[table] <= everything[table]
        columns = [name for name in COLUMNS["machine_learning_curated"] if "device" not in name]
        assert Counter(rows(less, "machine_learning_curated", *columns)) <= Counter(
            rows(everything, "machine_learning_curated", *columns)
        )
