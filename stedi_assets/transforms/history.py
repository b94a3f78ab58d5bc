"""The rule about what customers allowed when: from which record to which."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import Any

import narwhals.stable.v2 as nw

from stedi_assets.contracts import table
from stedi_assets.transforms.common import (
    Cache,
    Frame,
    columns_of,
    lazy,
    like_dates_of,
    normalised,
    uncached,
    window_partition,
)
from stedi_assets.transforms.customers import ORDER, consented_at, order_of


def ever_consenting(customer_landing: Any, days: Collection[date] | None = None) -> Frame:
    """The customers with a record that consents, be it the latest or not: ``email``, as it is compared, each once.

    Args:
        customer_landing: records of **all** landing days.
        days: the landing days of the records; none takes all.
    """
    records = lazy(customer_landing)
    if days is not None:
        records = records.filter(nw.col("landing_date").is_in(like_dates_of(customer_landing, days)))
    return records.filter(~consented_at().is_null()).select(email=normalised("email")).unique()


def consent_history(customer_landing: Any, subject_ids: Any, cache: Cache = uncached) -> Frame:
    """The intervals in which customers allowed research use, by all of their records.

    A customer's records are walked in the order that decides which is the latest. An interval begins at a
    record that consents and is the first, or follows one that does not. It ends at the next that does not, be it a
    doubt.

    Args:
        customer_landing: records of **all** landing days, with doubts among them if there are any (``with_doubts``).
        subject_ids: ``email`` and ``subject_id`` of the customers whose intervals are wanted: at least of
            those with a record that consents on the days wanted (``ever_consenting``).
        cache: computes once what is used several times.
    """
    # Each window runs over the records of one subject, or, on PyArrow, over everybody's by subject: so that
    # neighbours may be somebody else's, and are compared by subject. (Windows without an order, PyArrow gets wrong:
    # rows that come in several chunks get the values of other rows.) First come all records, then only those at which
    # something changes.
    landed = lazy(customer_landing)
    if "doubt" not in landed.collect_schema().names():
        landed = landed.with_columns(nw.lit(False).alias("doubt"))
    records = (
        landed.select(*ORDER, "doubt", email=normalised("email"), granted_at=consented_at())
        .join(lazy(subject_ids), on="email", how="inner")
        .select("subject_id", "granted_at", *ORDER, doubts=nw.when(nw.col("doubt")).then(1).otherwise(0))
    )
    whose = window_partition(records, "subject_id")
    order = ["doubts" if name == "doubt" else name for name in order_of(landed)]
    by_subject = order if whose else ["subject_id", *order]
    records = records.with_columns(
        one=nw.lit(1), allows=nw.when(nw.col("granted_at").is_null()).then(0).otherwise(1)
    ).with_columns(
        place=nw.col("one").cum_sum().over(*whose, order_by=by_subject).cast(nw.Int64),
        before=nw.col("subject_id").shift(1).over(*whose, order_by=by_subject).fill_null(""),
        allowed=nw.col("allows").shift(1).over(*whose, order_by=by_subject).fill_null(0),
    )
    same = nw.col("before") == nw.col("subject_id")
    # Nobody allows anything before their first record. So what changes it, of each subject, is in turn a record
    # that begins an interval and the one that ends it.
    turns = records.filter(nw.col("allows") != nw.when(same).then(nw.col("allowed")).otherwise(0)).with_columns(
        turn=nw.col("one").cum_sum().over(*whose, order_by="place").cast(nw.Int64),
        preceding=nw.col("subject_id").shift(1).over(*whose, order_by="place").fill_null(""),
        after=nw.col("subject_id").shift(-1).over(*whose, order_by="place").fill_null(""),
        ended_at=nw.col("lastUpdateDate").shift(-1).over(*whose, order_by="place"),
        ended_on=nw.col("landing_date").shift(-1).over(*whose, order_by="place"),
        ended_in=nw.col("doubts").shift(-1).over(*whose, order_by="place"),
    )
    again = nw.col("preceding") == nw.col("subject_id")
    ends = nw.col("after") == nw.col("subject_id")
    intervals = (
        turns.filter(nw.col("allows") == 1)
        .with_columns(
            first=nw.when(again).then(0).otherwise(nw.col("turn")),
            withdrawn_at=nw.when(ends).then(nw.col("ended_at")),
            withdrawn_landing_date=nw.when(ends).then(nw.col("ended_on")),
            ended_by=nw.when(ends & (nw.col("ended_in") == 1))
            .then(nw.lit("doubt"))
            .otherwise(nw.when(ends).then(nw.lit("withdrawal"))),
        )
        .with_columns(first=nw.col("first").cum_max().over(*whose, order_by="turn"))
        .with_columns(grant_number=(nw.col("turn") - nw.col("first")) // 2 + 1)
    )
    return cache(columns_of(intervals, table("consent_history")))
