"""The rules about readings: whose may be used, and which of a shared device's can be told apart."""

from __future__ import annotations

from typing import Any

import narwhals.stable.v2 as nw

from stedi_assets.contracts import table
from stedi_assets.settings import ReadingsBeforeConsent
from stedi_assets.transforms.common import Frame, columns_of, lazy, normalised
from stedi_assets.transforms.customers import consents


def accelerometer_trusted(
    accelerometer_landing: Any,
    customer_landing: Any,
    readings_before_consent: ReadingsBeforeConsent = ReadingsBeforeConsent.INCLUDE,
) -> Frame:
    """The accelerometer readings of customers who share with research.

    Args:
        accelerometer_landing: of the days wanted.
        customer_landing: records of **all** landing days.
        readings_before_consent: whether readings before the consent date are used.

    Returns:
        Each reading once per landing day, however often it landed that day.
    """
    consenting = (
        consents(customer_landing)
        .filter(~nw.col("consented_at").is_null())
        .select("consented_at", user=nw.col("email"))
    )
    readings = lazy(accelerometer_landing).with_columns(user=normalised("user"))
    if readings_before_consent is ReadingsBeforeConsent.EXCLUDE:
        readings = readings.join(consenting, on="user", how="inner").filter(
            nw.col("timestamp") >= nw.col("consented_at")
        )
    else:
        readings = readings.join(consenting, on="user", how="semi")
    return columns_of(readings, table("accelerometer_trusted")).unique()


def step_trainer_trusted(
    step_trainer_landing: Any,
    customers_curated: Any,
    customer_landing: Any,
    accelerometer_landing: Any,
    readings_before_consent: ReadingsBeforeConsent = ReadingsBeforeConsent.INCLUDE,
) -> Frame:
    """The step readings of devices of curated customers.

    Where every claimant of the device consents (at the time of the reading, when readings before
    consent are excluded) the reading is used. Where one does not, it is used only if a consenting
    claimant has an accelerometer reading at the same millisecond and no other claimant has.

    Args:
        step_trainer_landing: of the days wanted.
        customers_curated: customers of **all** landing days.
        customer_landing: records of **all** landing days.
        accelerometer_landing: at least the readings, of any landing day, at the times of the step readings.
        readings_before_consent: whether readings before the consent date are used.

    Returns:
        Each reading once per landing day, however often it landed that day.
    """
    contract = table("step_trainer_trusted")
    readings = (
        lazy(step_trainer_landing)
        .with_columns(serialNumber=normalised("serialNumber"))
        .select(*contract.column_names)
        .unique()
    )
    people = consents(customer_landing)
    curated = lazy(customers_curated).select("email").unique().with_columns(curated=nw.lit(1))
    claims = people.join(curated, on="email", how="left")
    devices = (
        claims.with_columns(
            claimant=nw.lit(1),
            refusing=nw.when(nw.col("consented_at").is_null()).then(1).otherwise(0),
            curated_since=nw.when(~nw.col("curated").is_null()).then(nw.col("consented_at")),
        )
        .group_by("serialNumber")
        .agg(
            nw.col("claimant").sum().alias("claimants"),
            nw.col("refusing").sum().alias("refusing"),
            nw.col("curated_since").min().alias("curated_since"),
            nw.col("consented_at").max().alias("all_since"),
        )
        .filter(~nw.col("curated_since").is_null())
    )
    owned = readings.join(devices, on="serialNumber", how="inner")
    time = nw.col("sensorReadingTime")
    clear = nw.col("refusing") == 0
    if readings_before_consent is ReadingsBeforeConsent.EXCLUDE:
        # Someone who consents later does not consent at the time of the reading.
        owned = owned.filter(time >= nw.col("curated_since"))
        clear = clear & (time >= nw.col("all_since"))
    used = owned.filter(clear).select(*contract.column_names)

    # The rest can be told apart only by who moved at that very millisecond.
    unclear = owned.filter(~clear & (nw.col("claimants") > 1)).select(*contract.column_names)
    consents_then = ~nw.col("consented_at").is_null()
    if readings_before_consent is ReadingsBeforeConsent.EXCLUDE:
        consents_then = consents_then & (nw.col("timestamp") >= nw.col("consented_at"))
    movers = (
        lazy(accelerometer_landing)
        .select("timestamp", email=normalised("user"))
        .unique()
        .join(people, on="email", how="inner")
        .join(unclear.select("serialNumber").unique(), on="serialNumber", how="semi")
        .with_columns(
            agreed=nw.when(consents_then).then(1).otherwise(0),
            refused=nw.when(consents_then).then(0).otherwise(1),
        )
        .group_by("serialNumber", "timestamp")
        .agg(nw.col("agreed").sum().alias("agreed"), nw.col("refused").sum().alias("refused"))
        .filter((nw.col("agreed") > 0) & (nw.col("refused") == 0))
        .select("serialNumber", sensorReadingTime=nw.col("timestamp"))
    )
    told_apart = unclear.join(movers, on=["serialNumber", "sensorReadingTime"], how="semi")
    return nw.concat([used, told_apart])
