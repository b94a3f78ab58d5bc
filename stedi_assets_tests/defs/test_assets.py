"""Each derived asset as a function: frames in, frame out, as Dagster's direct invocation calls it.

What belongs here: that an asset hands its inputs and the policies to its transform. What the rows mean
is tested in ``transforms``, landing assets (which read files) in ``landing`` and ``dagster``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
import pytest

from stedi_assets.contracts import ASSET_TABLES, DERIVED_TABLES
from stedi_assets.defs.asset_job import build_assets
from stedi_assets.privacy.pseudonyms import Pseudonyms
from stedi_assets.settings import Pairing, Policies, ReadingsBeforeConsent, Settings
from stedi_assets.transforms.common import uncached
from stedi_assets_tests.transforms.conftest import (
    ANN,
    BOB,
    CAT,
    DAY_1,
    DAY_2,
    LONG_AGO,
    NOON,
    customer,
    pandas_frame,
    rows,
    step,
    table_rows,
    trusted,
    worn,
)

INPUTS = {table.name: table.inputs for table in DERIVED_TABLES}
PSEUDONYMS = Pseudonyms(lambda: b"a key for tests")
EXCLUDE = Policies(readings_before_consent=ReadingsBeforeConsent.EXCLUDE)

PEOPLE = pandas_frame(
    "customer_landing", [customer(" Ann@example.com", "S"), customer(BOB, "t", NOON + 1), customer(CAT, "c", None)]
)
MOVES = pandas_frame("accelerometer_landing", [worn(ANN), worn(BOB), worn(CAT), worn(ANN, NOON + 1, day=DAY_2)])
STEPS = pandas_frame("step_trainer_landing", [step("s"), step("T "), step("c"), step("s", NOON + 1)])
SHARING = trusted(customer(ANN, "s"), customer(BOB, "t", NOON + 1))
TRUSTED = pandas_frame("customer_trusted", SHARING)
USED_MOVES = pandas_frame("accelerometer_trusted", trusted(worn(ANN), worn(BOB), worn(ANN, NOON + 1, day=DAY_2)))
USED_STEPS = pandas_frame("step_trainer_trusted", trusted(step("s"), step("t"), step("s", NOON + 1)))
CURATED = pandas_frame(
    "customers_curated",
    [{**record, "subject_id": PSEUDONYMS.subject_id(record["email"])} for record in SHARING],
)
A, B = PSEUDONYMS.subject_id(ANN), PSEUDONYMS.subject_id(BOB)


@pytest.fixture(scope="module")
def assets() -> Mapping[str, dg.AssetsDefinition]:
    made = [one for one in build_assets(Settings()) if not isinstance(one, dg.AssetChecksDefinition)]
    return {one.key.to_user_string(): one for one in made}


def test_there_is_an_asset_for_each_table_and_it_reads_its_inputs(assets: Mapping[str, dg.AssetsDefinition]) -> None:
    assert set(assets) == {table.name for table in ASSET_TABLES}
    for name, inputs in INPUTS.items():
        assert {key.to_user_string() for key in assets[name].keys_by_input_name.values()} >= set(inputs)


def test_customer_trusted(assets: Mapping[str, Any]) -> None:
    found = assets["customer_trusted"](customer_landing=PEOPLE, cache=uncached)
    assert rows(found, "email", "serialNumber") == {(ANN, "s"): 1, (BOB, "t"): 1}


@pytest.mark.parametrize(("policies", "users"), [(Policies(), (ANN, BOB)), (EXCLUDE, (ANN,))])
def test_accelerometer_trusted(assets: Mapping[str, Any], policies: Policies, users: tuple[str, ...]) -> None:
    found = assets["accelerometer_trusted"](
        accelerometer_landing=MOVES, customer_landing=PEOPLE, policies=policies, cache=uncached
    )
    assert set(rows(found, "user")) == {(user,) for user in users}


def test_customers_curated(assets: Mapping[str, Any]) -> None:
    found = assets["customers_curated"](
        customer_trusted=TRUSTED,
        accelerometer_trusted=USED_MOVES,
        customer_landing=PEOPLE,
        pseudonyms=PSEUDONYMS,
        cache=uncached,
    )
    assert rows(found, "email", "subject_id") == {(ANN, A): 1, (BOB, B): 1}


@pytest.mark.parametrize(
    ("days", "expected"), [((DAY_1, DAY_1), {A, B}), ((DAY_1, DAY_2), {A, B}), ((DAY_2, DAY_2), set())]
)
def test_consent_history(assets: Mapping[str, Any], days: Any, expected: set[str]) -> None:
    first, last = (day.isoformat() for day in days)
    found = assets["consent_history"](
        dg.build_asset_context(partition_key_range=dg.PartitionKeyRange(first, last)),
        customer_landing=PEOPLE,
        pseudonyms=PSEUDONYMS,
        cache=uncached,
    )
    assert set(table_rows(found, "consent_history")) == {
        (subject, 1, since, None, None, None, DAY_1)
        for subject, since in ((A, LONG_AGO), (B, NOON + 1))
        if subject in expected
    }


@pytest.mark.parametrize(("policies", "serials"), [(Policies(), {"s", "t"}), (EXCLUDE, {"s"})])
def test_step_trainer_trusted(assets: Mapping[str, Any], policies: Policies, serials: set[str]) -> None:
    found = assets["step_trainer_trusted"](
        step_trainer_landing=STEPS,
        customers_curated=CURATED,
        customer_landing=PEOPLE,
        accelerometer_landing=MOVES,
        policies=policies,
        cache=uncached,
    )
    assert {serial for (serial,) in rows(found, "serialNumber")} == serials


PAIRS = {
    (A, A, NOON, True, DAY_1),
    (A, B, NOON, False, DAY_1),
    (B, A, NOON, False, DAY_1),
    (B, B, NOON, True, DAY_1),
    (A, A, NOON + 1, True, DAY_2),
}


@pytest.mark.parametrize("day", [DAY_1, DAY_2])
@pytest.mark.parametrize("pairing", list(Pairing))
def test_machine_learning_curated(assets: Mapping[str, Any], day: Any, pairing: Pairing) -> None:
    found = assets["machine_learning_curated"](
        dg.build_asset_context(partition_key=day.isoformat()),
        step_trainer_trusted=USED_STEPS,
        accelerometer_trusted=USED_MOVES,
        customers_curated=CURATED,
        customer_landing=PEOPLE,
        policies=Policies(pairing=pairing),
        cache=uncached,
    )
    assert all(count == 1 for count in table_rows(found, "machine_learning_curated").values())
    columns = ("subject_id", "device_subject_id", "sensorReadingTime", "same_customer", "landing_date")
    assert set(rows(found, *columns)) == {
        pair for pair in PAIRS if pair[-1] == day and (pair[3] or pairing is Pairing.TIMESTAMP)
    }
