"""The rule about consent in doubt: a customer record that landed and could not be read may be a withdrawal.

Whoever it may speak of does not consent from then on, until a record of theirs that landed after it decides. Within a
landing day nothing says which file came first, so a record landed after a text if it landed on a later day, or further
on in the same file.
"""

from __future__ import annotations

from typing import Any

import narwhals.stable.v2 as nw

from stedi_assets.contracts import Identifier, table
from stedi_assets.transforms.common import Frame, lazy, normalised
from stedi_assets.transforms.customers import ORDER

PLACE = ("landing_date", "source_file", "source_line", "source_object")
"""The columns that say where a record or a rejected text landed, from the coarsest on."""


def doubts(customer_landing: Any, mentions: Any) -> Frame:
    """A record that does not consent for each doubt about a customer.

    A doubt repeats the latest of the records that did not land after the rejected text, without its consent, at the
    place of the text. So by the rules about records it decides over these, and is decided over by one that landed after
    it and is later than the one that it repeats; it claims the same device, and it ends an interval of consent.

    Args:
        customer_landing: records of **all** landing days.
        mentions: the names that stand in customer records that could not be read: ``by``, ``name`` (as e-mails and
            serial numbers are compared), and where the text landed, as :data:`PLACE`. ``by`` says whether the text
            speaks of whoever has the ``name`` as their e-mail, or of whoever claims it as a serial number.

    Returns:
        The columns of ``customer_landing``.
    """
    names = table("customer_landing").column_names
    records = lazy(customer_landing).select(*names)
    text = {name: f"text_{name}" for name in PLACE}
    mentioned = lazy(mentions).rename(text)
    people = records.select(
        known_as=normalised("email"), email_key=normalised("email"), device_key=normalised("serialNumber")
    ).unique()
    speaks_of = [
        mentioned.filter(nw.col("by") == kind.value)
        .join(people, left_on="name", right_on=key, how="inner")
        .select("known_as", *text.values())
        for kind, key in ((Identifier.EMAIL, "email_key"), (Identifier.DEVICE, "device_key"))
    ]
    spoken_of = nw.concat(speaks_of, how="vertical").unique()
    before = (
        records.with_columns(known_as=normalised("email"))
        .join(spoken_of, on="known_as", how="inner")
        .filter(~_landed_after(text))
        .unique(["known_as", *text.values()], keep="last", order_by=ORDER)
    )
    kinds = records.collect_schema()
    changed = {name: nw.col(text[name]).cast(kinds[name]).alias(name) for name in PLACE}
    # As good as null, which plain pandas does not have for an integer.
    consent = "shareWithResearchAsOfDate"
    changed[consent] = nw.lit(0).cast(kinds[consent]).alias(consent)
    return before.select(*(changed.get(name, nw.col(name)) for name in names))


def with_doubts(customer_landing: Any, doubts: Any | None = None) -> Frame:
    """The records of all customers, and the doubts about them.

    Args:
        customer_landing: records of **all** landing days.
        doubts: what :func:`doubts` makes of them; none where there are none.

    Returns:
        The columns of ``customer_landing``, and ``doubt``: whether it is no record but a doubt.
    """
    names = table("customer_landing").column_names
    records = lazy(customer_landing).select(*names, doubt=nw.lit(False))
    if doubts is None:
        return records
    return nw.concat([records, lazy(doubts).select(*names, doubt=nw.lit(True))], how="vertical")


def _landed_after(text: dict[str, str]) -> nw.Expr:
    """Whether a record landed after a text, the columns of whose place ``text`` names."""
    day, file, line, number = ((nw.col(name), nw.col(text[name])) for name in PLACE)
    further_on = (line[0] > line[1]) | ((line[0] == line[1]) & (number[0] > number[1]))
    return (day[0] > day[1]) | ((day[0] == day[1]) & (file[0] == file[1]) & further_on)
