"""The rules about customers: whose record counts, who consents, and who is curated."""

from __future__ import annotations

from typing import Any

import narwhals.stable.v2 as nw

from stedi_assets.contracts import table
from stedi_assets.transforms.common import Cache, Frame, columns_of, day_end, lazy, normalised, uncached

ORDER = ["lastUpdateDate", "landing_date", "source_file", "source_line", "source_object"]
"""What makes one record later than another: the greatest decides, in this order of columns."""


def order_of(customer_landing: Frame) -> list[str]:
    """The columns by which records are ordered, of which the greatest decides.

    Args:
        customer_landing: records, with doubts among them (``with_doubts``) or without.

    Returns:
        :data:`ORDER`; of records that were last updated at the same time, a doubt comes last, wherever they landed.
    """
    updated, *place = ORDER
    return [updated, "doubt", *place] if "doubt" in customer_landing.collect_schema().names() else ORDER


def latest_records(customer_landing: Any, *wanted: str) -> Frame:
    """The record of each customer that counts: the greatest (last update, landing day, file, line, object).

    Args:
        customer_landing: records of **all** landing days.
        wanted: columns to keep besides the e-mail, the serial number and what decides; all by default.

    Returns:
        One row per e-mail, with e-mail and serial number as they are compared.
    """
    records = lazy(customer_landing)
    order = order_of(records)
    if wanted:
        # Records are sorted by customer; the narrower they are, the cheaper that is.
        records = records.select(*dict.fromkeys(["email", "serialNumber", *order, *wanted]))
    return records.with_columns(email=normalised("email"), serialNumber=normalised("serialNumber")).unique(
        "email", keep="last", order_by=order
    )


def consented_at() -> nw.Expr:
    """Of a record as it landed, since when it consents; null where it does not.

    Consent is a positive ``shareWithResearchAsOfDate`` no later than the end of the day on which its
    record landed.
    """
    share = nw.col("shareWithResearchAsOfDate")
    return nw.when((share > 0) & (share < day_end("landing_date"))).then(share)


def consents(customer_landing: Any, *also: str) -> Frame:
    """Every customer with the device they claim, and since when they consent (see ``consented_at``).

    Args:
        customer_landing: records of **all** landing days.
        also: more columns of each customer's latest record.

    Returns:
        One row per customer: ``email``, ``serialNumber`` and ``consented_at`` (epoch ms; null for
        one who does not consent).
    """
    return latest_records(customer_landing, "shareWithResearchAsOfDate", *also).select(
        "email", "serialNumber", *also, consented_at=consented_at()
    )


def customer_trusted(customer_landing: Any, cache: Cache = uncached) -> Frame:
    """The customers who share with research now, in the partition of their latest record.

    Args:
        customer_landing: records of **all** landing days.
        cache: computes once what is used several times.
    """
    trusted = latest_records(customer_landing).filter(~consented_at().is_null())
    return cache(columns_of(trusted, table("customer_trusted")))


def customers_curated(
    customer_trusted: Any,
    accelerometer_trusted: Any,
    customer_landing: Any,
    subject_ids: Any,
    cache: Cache = uncached,
) -> Frame:
    """The trusted customers who have accelerometer readings, with their pseudonyms.

    Args:
        customer_trusted: of the days wanted.
        accelerometer_trusted: readings of **all** landing days.
        customer_landing: records of **all** landing days, so that a stale row of
            ``customer_trusted`` is left out at once.
        subject_ids: ``email`` and ``subject_id`` of (at least) the customers.
        cache: computes once what is used several times.
    """
    readers = lazy(accelerometer_trusted).select(email=nw.col("user")).unique()
    consenting = consents(customer_landing).filter(~nw.col("consented_at").is_null()).select("email")
    curated = (
        lazy(customer_trusted)
        .join(consenting, on="email", how="semi")
        .join(readers, on="email", how="semi")
        .join(lazy(subject_ids), on="email", how="inner")
    )
    return cache(columns_of(curated, table("customers_curated")))
