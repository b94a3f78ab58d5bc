"""The rule that makes pairs: one step reading with one accelerometer reading of the same millisecond."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import Any

import narwhals.stable.v2 as nw

from stedi_assets.contracts import table
from stedi_assets.settings import Pairing, ReadingsBeforeConsent
from stedi_assets.transforms.common import Cache, Frame, columns_of, lazy, like_dates_of, uncached
from stedi_assets.transforms.customers import consents


def machine_learning_curated(
    step_trainer_trusted: Any,
    accelerometer_trusted: Any,
    customers_curated: Any,
    customer_landing: Any,
    days: Collection[date] | None = None,
    pairing: Pairing = Pairing.TIMESTAMP,
    readings_before_consent: ReadingsBeforeConsent = ReadingsBeforeConsent.INCLUDE,
    cache: Cache = uncached,
) -> Frame:
    """Pairs of readings, without identifiers.

    A pair lies in the partition of the half that landed later. ``same_customer`` says whether the
    wearer of the phone claims the device. ``device_subject_id`` is the wearer's where they claim it,
    else the one consenting claimant's, else, of several, the one with an accelerometer reading at
    that millisecond, else null.

    Args:
        step_trainer_trusted: at least the readings, of any landing day, at the times of those of the days wanted.
        accelerometer_trusted: at least the readings, of any landing day, at the times of those of the days wanted.
        customers_curated: customers of **all** landing days.
        customer_landing: records of **all** landing days.
        days: the landing days wanted; none takes all.
        pairing: ``customer`` keeps only pairs whose wearer claims the device.
        readings_before_consent: when excluded, who consents is asked for the time of the reading.
        cache: computes once what is used several times.
    """
    excluding = readings_before_consent is ReadingsBeforeConsent.EXCLUDE
    # Consent is asked anew, so that a stale row of a trusted table is left out at once. Many readings, few
    # people and devices: they are joined by short keys, and the pseudonyms are attached at the very end.
    # A customer may lie in a stale partition of customers_curated as well, under the pseudonym of an older key.
    subjects = lazy(customers_curated).group_by("email").agg(nw.col("subject_id").min())
    people = cache(
        consents(customer_landing).filter(~nw.col("consented_at").is_null()).join(subjects, on="email", how="left"),
        person="email",
    )
    devices = cache(
        people.with_columns(one=nw.lit(1))
        .group_by("serialNumber")
        .agg(nw.col("one").sum().alias("claimants"), nw.col("person").min().alias("owner")),
        device="serialNumber",
    )
    claims = cache(people.join(devices, on="serialNumber", how="inner"))
    wearers = claims.filter(~nw.col("subject_id").is_null()).select(
        "person", user=nw.col("email"), worn_device=nw.col("device")
    )
    moves = _moves(accelerometer_trusted, wearers)
    steps = _steps(step_trainer_trusted, devices)
    pairs = moves.join(steps, on="sensorReadingTime", how="inner").with_columns(
        landing_date=nw.max_horizontal("step_landed", "move_landed"),
        same_customer=nw.col("device") == nw.col("worn_device"),
    )
    if days is not None:
        pairs = pairs.filter(nw.col("landing_date").is_in(like_dates_of(step_trainer_trusted, days)))
    if pairing is Pairing.CUSTOMER:
        pairs = pairs.filter(nw.col("same_customer")).with_columns(owner=nw.col("person"))
    else:
        # The few devices that several claim are looked for among the readings by themselves: nearly all are passed
        # over at once.
        sharing = claims.filter(nw.col("claimants") > 1).select("device", "person", "consented_at")
        shared = _owners_of_shared(
            sharing,
            _steps(step_trainer_trusted, devices.filter(nw.col("claimants") > 1)),
            _moves(accelerometer_trusted, wearers.join(sharing.select("person").unique(), on="person", how="semi")),
            excluding=excluding,
        )
        pairs = pairs.join(shared, on=["device", "sensorReadingTime"], how="left").with_columns(
            owner=nw.when(nw.col("same_customer"))
            .then(nw.col("person"))
            .otherwise(nw.when(nw.col("claimants") == 1).then(nw.col("owner")).otherwise(nw.col("owner_then")))
        )
    contract = table("machine_learning_curated")
    without_names = [name for name in contract.column_names if name not in {"subject_id", "device_subject_id"}]
    names = people.select("person", "subject_id")
    return columns_of(
        cache(pairs.select("person", "owner", *without_names))
        .join(names, on="person", how="inner")
        .join(names.select(owner=nw.col("person"), device_subject_id=nw.col("subject_id")), on="owner", how="left"),
        contract,
    )


def _moves(accelerometer_trusted: Any, wearers: Frame) -> Frame:
    """The accelerometer readings of ``wearers`` (``person``, ``user``, ``worn_device``), without names."""
    return (
        lazy(accelerometer_trusted)
        .join(wearers, on="user", how="inner")
        .select(
            "person",
            "worn_device",
            "x",
            "y",
            "z",
            sensorReadingTime=nw.col("timestamp"),
            move_landed=nw.col("landing_date"),
        )
    )


def _steps(step_trainer_trusted: Any, devices: Frame) -> Frame:
    """The step readings of ``devices`` (``device``, ``serialNumber``, ``claimants``, ``owner``), without names."""
    return (
        lazy(step_trainer_trusted)
        .join(devices, on="serialNumber", how="inner")
        .select(
            "device",
            "claimants",
            "owner",
            "sensorReadingTime",
            "distanceFromObject",
            step_landed=nw.col("landing_date"),
        )
    )


def _owners_of_shared(sharing: Frame, steps: Frame, moves: Frame, *, excluding: bool) -> Frame:
    """The owner of a device that several consenting customers claim, at the times of its readings.

    Args:
        sharing: ``person`` (who consents), ``device`` and ``consented_at``, of the devices that several claim.
        steps: ``device`` and ``sensorReadingTime`` of these devices' readings.
        moves: ``person`` and ``sensorReadingTime`` of these people's readings.
        excluding: ask who consents for the time of the reading.

    Returns:
        ``device``, ``sensorReadingTime`` and ``owner_then``: the only one who consented then, else the only
        one of them who moved at that millisecond, else null. Few rows, usually none.
    """
    device = ["device", "sensorReadingTime"]
    claimants = steps.select(*device).unique().join(sharing, on="device", how="inner")
    if excluding:
        claimants = claimants.filter(nw.col("sensorReadingTime") >= nw.col("consented_at"))
    moved = moves.select("person", "sensorReadingTime").unique().with_columns(moved=nw.lit(1))
    return (
        claimants.join(moved, on=["sensorReadingTime", "person"], how="left")
        .with_columns(
            one=nw.lit(1),
            moves=nw.when(nw.col("moved").is_null()).then(0).otherwise(1),
            mover=nw.when(~nw.col("moved").is_null()).then(nw.col("person")),
        )
        .group_by(*device)
        .agg(
            nw.col("one").sum().alias("claimants"),
            nw.col("moves").sum().alias("movers"),
            nw.col("person").min().alias("claimant"),
            nw.col("mover").min().alias("mover"),
        )
        .select(
            *device,
            owner_then=nw.when(nw.col("claimants") == 1)
            .then(nw.col("claimant"))
            .otherwise(nw.when(nw.col("movers") == 1).then(nw.col("mover"))),
        )
    )
