"""The rule that makes pairs: one step reading with one accelerometer reading of the same millisecond."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import Any

import narwhals.stable.v2 as nw

from stedi_assets.contracts import table
from stedi_assets.settings import Pairing, ReadingsBeforeConsent
from stedi_assets.transforms.common import Frame, columns_of, lazy
from stedi_assets.transforms.customers import consents


def machine_learning_curated(
    step_trainer_trusted: Any,
    accelerometer_trusted: Any,
    customers_curated: Any,
    customer_landing: Any,
    days: Collection[date] | None = None,
    pairing: Pairing = Pairing.TIMESTAMP,
    readings_before_consent: ReadingsBeforeConsent = ReadingsBeforeConsent.INCLUDE,
) -> Frame:
    """Pairs of readings, without identifiers.

    A pair lies in the partition of the half that landed later. ``same_customer`` says whether the
    wearer of the phone claims the device. ``device_subject_id`` is the wearer's where they claim it,
    else the one consenting claimant's, else, of several, the one with an accelerometer reading at
    that millisecond, else null.

    Args:
        step_trainer_trusted, accelerometer_trusted: at least the readings, of any landing day, at
            the times of those of the days wanted.
        customers_curated: customers of **all** landing days.
        customer_landing: records of **all** landing days.
        days: the landing days wanted; none takes all.
        pairing: ``customer`` keeps only pairs whose wearer claims the device.
        readings_before_consent: when excluded, who consents is asked for the time of the reading.
    """
    excluding = readings_before_consent is ReadingsBeforeConsent.EXCLUDE
    # Consent is asked anew, so that a stale row of a trusted table is left out at once.
    people = (
        consents(customer_landing)
        .filter(~nw.col("consented_at").is_null())
        .join(lazy(customers_curated).select("email", "subject_id").unique(), on="email", how="left")
    )
    worn = people.filter(~nw.col("subject_id").is_null())
    steps = lazy(step_trainer_trusted).rename({"landing_date": "step_landed"})
    moves = (
        lazy(accelerometer_trusted)
        .rename({"landing_date": "move_landed", "timestamp": "sensorReadingTime"})
        .join(
            worn.select("subject_id", user=nw.col("email"), worn_serial=nw.col("serialNumber")),
            on="user",
            how="inner",
        )
        .drop("user")
    )
    later = nw.max_horizontal("step_landed", "move_landed")
    pairs = steps.join(moves, on="sensorReadingTime", how="inner").with_columns(
        landing_date=later,
        same_customer=nw.col("serialNumber") == nw.col("worn_serial"),
    )
    if days is not None:
        pairs = pairs.filter(nw.col("landing_date").is_in(sorted(days)))
    same = pairs.filter(nw.col("same_customer")).with_columns(device_subject_id=nw.col("subject_id"))
    contract = table("machine_learning_curated")
    if pairing is Pairing.CUSTOMER:
        return columns_of(same, contract)

    # Whose device it is when the wearer is somebody else: few pairs, so their claimants are looked
    # up only for them.
    others = pairs.filter(~nw.col("same_customer"))
    device = ["serialNumber", "sensorReadingTime"]
    claimants = (
        others.select(*device)
        .unique()
        .join(
            people.select("serialNumber", "consented_at", claimant=nw.col("subject_id"), email=nw.col("email")),
            on="serialNumber",
            how="inner",
        )
    )
    if excluding:
        claimants = claimants.filter(nw.col("sensorReadingTime") >= nw.col("consented_at"))
    moving = (
        lazy(accelerometer_trusted)
        .select(sensorReadingTime=nw.col("timestamp"), email=nw.col("user"))
        .unique()
        .with_columns(moved=nw.lit(1))
    )
    owners = (
        claimants.join(moving, on=["sensorReadingTime", "email"], how="left")
        .with_columns(
            one=nw.lit(1),
            moved=nw.when(nw.col("moved").is_null()).then(0).otherwise(1),
            mover=nw.when(~nw.col("moved").is_null()).then(nw.col("claimant")),
        )
        .group_by(*device)
        .agg(
            nw.col("one").sum().alias("claimants"),
            nw.col("moved").sum().alias("movers"),
            nw.col("claimant").min().alias("claimant"),
            nw.col("mover").min().alias("mover"),
        )
        .select(
            *device,
            device_subject_id=nw.when(nw.col("claimants") == 1)
            .then(nw.col("claimant"))
            .otherwise(nw.when(nw.col("movers") == 1).then(nw.col("mover"))),
        )
    )
    others = others.join(owners, on=device, how="left")
    return nw.concat([columns_of(same, contract), columns_of(others, contract)])
