"""Spark's physical plans of the transforms: nothing may need all rows in one task."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from stedi_assets import transforms
from stedi_assets.settings import Pairing, ReadingsBeforeConsent
from stedi_assets_tests.transforms.conftest import ANN, BOB, DAY_1, arrow, curated, customer, step, trusted, worn

pytestmark = pytest.mark.spark

Inputs = dict[str, Any]
RULES: dict[str, Callable[[Inputs], Any]] = {
    "customer_trusted": lambda given: transforms.customer_trusted(given["customer_landing"]),
    "accelerometer_trusted": lambda given: transforms.accelerometer_trusted(
        given["accelerometer_landing"], given["customer_landing"], ReadingsBeforeConsent.EXCLUDE
    ),
    "customers_curated": lambda given: transforms.customers_curated(
        given["customer_trusted"], given["accelerometer_trusted"], given["customer_landing"], given["subject_ids"]
    ),
    "ever_consenting": lambda given: transforms.ever_consenting(given["customer_landing"], [DAY_1]),
    "consent_history": lambda given: transforms.consent_history(given["customer_landing"], given["subject_ids"]),
    "step_trainer_trusted": lambda given: transforms.step_trainer_trusted(
        given["step_trainer_landing"],
        given["customers_curated"],
        given["customer_landing"],
        given["accelerometer_landing"],
        ReadingsBeforeConsent.EXCLUDE,
    ),
    **{
        f"machine_learning_curated, by {pairing.value}": lambda given, pairing=pairing: (
            transforms.machine_learning_curated(
                given["step_trainer_trusted"],
                given["accelerometer_trusted"],
                given["customers_curated"],
                given["customer_landing"],
                [DAY_1],
                pairing,
                ReadingsBeforeConsent.EXCLUDE,
            )
        )
        for pairing in Pairing
    },
}


@pytest.fixture(scope="module")
def given(spark: Any) -> Inputs:
    """Frames of several partitions: of one alone, Spark exchanges nothing."""
    people = [customer(ANN, "s"), customer(BOB, "t")]
    records = {
        "customer_landing": people,
        "accelerometer_landing": [worn(ANN)],
        "step_trainer_landing": [step("s")],
        "customer_trusted": trusted(*people),
        "accelerometer_trusted": trusted(worn(ANN)),
        "step_trainer_trusted": trusted(step("s")),
        "customers_curated": [curated(ANN)],
    }
    frames = {name: spark.createDataFrame(arrow(name, rows)).repartition(3) for name, rows in records.items()}
    return {**frames, "subject_ids": frames["customers_curated"].select("email", "subject_id")}


def plan_of(spark: Any, frame: Any) -> str:
    """The physical plan, as it would be for data of any size."""
    before = {name: spark.conf.get(name) for name in ("spark.sql.shuffle.partitions", "spark.sql.adaptive.enabled")}
    try:
        spark.conf.set("spark.sql.shuffle.partitions", "4")
        spark.conf.set("spark.sql.adaptive.enabled", "false")
        return str(frame._jdf.queryExecution().executedPlan().toString())
    finally:
        for name, value in before.items():
            spark.conf.set(name, value)


def offences(plan: str) -> list[str]:
    """Lines of a plan that gather all rows: exchanges to one partition, windows that are partitioned by nothing.

    Spark prints a window as ``Window [expressions], [partition by], [order by]`` and leaves an empty partition out.
    """
    lines = [line.strip(" :+-") for line in plan.splitlines()]
    gathering = [line for line in lines if re.search(r"Exchange (SinglePartition|hashpartitioning\(\d+, )", line)]
    windows = [line for line in lines if re.match(r"(\*\(\d+\) )?Window \[", line)]
    return gathering + [line for line in windows if len(re.findall(r"\], \[", line)) < 2]


@pytest.mark.parametrize("rule", sorted(RULES))
def test_no_rule_gathers_all_rows_in_one_task(spark: Any, given: Inputs, rule: str) -> None:
    plan = plan_of(spark, RULES[rule](given).to_native())
    assert "Exchange" in plan
    assert not offences(plan)


def test_what_gathers_all_rows_is_seen(spark: Any, given: Inputs) -> None:
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    people = given["customer_landing"]
    everybody = people.withColumn("number", f.row_number().over(Window.orderBy("email")))
    constant = people.withColumn("number", f.row_number().over(Window.partitionBy(f.lit(1)).orderBy("email")))
    each = people.withColumn("number", f.row_number().over(Window.partitionBy("email").orderBy("lastUpdateDate")))
    for frame, number in ((everybody, 2), (constant, 2), (each, 0)):
        assert len(offences(plan_of(spark, frame))) == number, plan_of(spark, frame)
    assert len(offences(plan_of(spark, people.agg(f.count("*"))))) == 1
