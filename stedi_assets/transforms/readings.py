"""The rules about readings: whose may be used, and which of a shared device's can be told apart."""

from __future__ import annotations

from typing import Any

import narwhals.stable.v2 as nw

from stedi_assets.contracts import table
from stedi_assets.settings import ReadingsBeforeConsent
from stedi_assets.transforms.common import Cache, Frame, columns_of, lazy, normalised, uncached
from stedi_assets.transforms.customers import consents


def accelerometer_trusted(
    accelerometer_landing: Any,
    customer_landing: Any,
    readings_before_consent: ReadingsBeforeConsent = ReadingsBeforeConsent.INCLUDE,
    cache: Cache = uncached,
) -> Frame:
    """The accelerometer readings of customers who share with research.

    Args:
        accelerometer_landing: of the days wanted.
        customer_landing: records of **all** landing days.
        readings_before_consent: whether readings before the consent date are used.
        cache: computes once what is used several times.

    Returns:
        Each reading once per landing day, however often it landed that day.
    """
    # Many readings, few people: duplicates are found by a short key for each person, which costs half of what
    # comparing e-mails does.
    people = cache(
        consents(customer_landing)
        .filter(~nw.col("consented_at").is_null())
        .select("consented_at", user=nw.col("email")),
        person="user",
    )
    readings = lazy(accelerometer_landing).with_columns(user=normalised("user")).join(people, on="user", how="inner")
    if readings_before_consent is ReadingsBeforeConsent.EXCLUDE:
        readings = readings.filter(nw.col("timestamp") >= nw.col("consented_at"))
    once = readings.select("person", "timestamp", "x", "y", "z", "landing_date").unique()
    return columns_of(once.join(people, on="person", how="inner"), table("accelerometer_trusted"))


def step_trainer_trusted(
    step_trainer_landing: Any,
    customers_curated: Any,
    customer_landing: Any,
    accelerometer_landing: Any,
    readings_before_consent: ReadingsBeforeConsent = ReadingsBeforeConsent.INCLUDE,
    cache: Cache = uncached,
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
        cache: computes once what is used several times.

    Returns:
        Each reading once per landing day, however often it landed that day.
    """
    contract = table("step_trainer_trusted")
    excluding = readings_before_consent is ReadingsBeforeConsent.EXCLUDE
    time = nw.col("sensorReadingTime")
    people = cache(consents(customer_landing))
    # Many readings, few devices: see ``accelerometer_trusted``.
    devices = cache(_devices(people, customers_curated), device="serialNumber")
    numbers = devices.select("serialNumber", "device")
    readings = (
        lazy(step_trainer_landing)
        .with_columns(serialNumber=normalised("serialNumber"))
        .join(devices, on="serialNumber", how="inner")
    )
    # Everybody who claims the device consents: nearly all of them.
    clear = nw.col("refusing") == 0
    if excluding:
        # Someone who consents later does not consent at the time of the reading.
        readings = readings.filter(time >= nw.col("curated_since"))
        clear = clear & (time >= nw.col("all_since"))
    # What is left can be told apart only by who moved at that very millisecond.
    moved = _only_consenting_moved(accelerometer_landing, people, devices, excluding=excluding)
    used = cache(
        readings.join(moved, on=["serialNumber", "sensorReadingTime"], how="left")
        .filter(clear | ((nw.col("claimants") > 1) & ~nw.col("told_apart").is_null()))
        .select("device", "sensorReadingTime", "distanceFromObject", "landing_date")
        .unique()
    )
    return columns_of(used.join(numbers, on="device", how="inner"), contract)


def _devices(people: Frame, customers_curated: Any) -> Frame:
    """The devices that somebody who is curated claims, and how many of their claimants refuse."""
    curated = lazy(customers_curated).select("email").unique().with_columns(curated=nw.lit(1))
    return (
        people.join(curated, on="email", how="left")
        .with_columns(
            claimant=nw.lit(1),
            refuses=nw.when(nw.col("consented_at").is_null()).then(1).otherwise(0),
            curated_since=nw.when(~nw.col("curated").is_null()).then(nw.col("consented_at")),
        )
        .group_by("serialNumber")
        .agg(
            nw.col("claimant").sum().alias("claimants"),
            nw.col("refuses").sum().alias("refusing"),
            nw.col("curated_since").min().alias("curated_since"),
            nw.col("consented_at").max().alias("all_since"),
        )
        .filter(~nw.col("curated_since").is_null())
    )


def _only_consenting_moved(accelerometer_landing: Any, people: Frame, devices: Frame, *, excluding: bool) -> Frame:
    """The times at which, of a shared device's claimants, somebody who consents moved and nobody else did."""
    consents_then = ~nw.col("consented_at").is_null()
    if excluding:
        consents_then = consents_then & (nw.col("timestamp") >= nw.col("consented_at"))
    shared = devices.filter(nw.col("claimants") > 1).select("serialNumber")
    return (
        lazy(accelerometer_landing)
        .select("timestamp", email=normalised("user"))
        .join(people.join(shared, on="serialNumber", how="semi"), on="email", how="inner")
        .with_columns(
            agreed=nw.when(consents_then).then(1).otherwise(0),
            refused=nw.when(consents_then).then(0).otherwise(1),
        )
        .group_by("serialNumber", "timestamp")
        .agg(nw.col("agreed").sum().alias("agreed"), nw.col("refused").sum().alias("refused"))
        .filter((nw.col("agreed") > 0) & (nw.col("refused") == 0))
        .select("serialNumber", sensorReadingTime=nw.col("timestamp"), told_apart=nw.lit(1))
    )
