"""Which rejected customer records are open, and how many people are in doubt for each.

Who is in doubt is the rule of ``transforms.doubts``. Here is what follows from it for those who must mend it: the
texts that still keep somebody out, and those that may speak of people who are not in doubt: they name nobody who is
known, or only a part of them is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import narwhals.stable.v2 as nw

from stedi_assets import transforms
from stedi_assets.contracts import Identifier
from stedi_assets.contracts.names import normalized_sql
from stedi_assets.engines.sql import named, quoted
from stedi_assets.landing.parse import INCOMPLETE
from stedi_assets.staleness.view import LakeView
from stedi_assets.transforms.doubt import PLACE


@dataclass(frozen=True)
class OpenText:
    """A customer record that landed, could not be read and is not dismissed, as long as somebody must look at it.

    Args:
        landing_date: the day it landed.
        source_file: the raw file.
        source_line: the line on which it begins.
        source_object: which of the texts that begin there it is.
        reason: why it was rejected.
        people_in_doubt: how many people do not consent because of it.
        is_unattributed: it may speak of somebody who is not in doubt: no customer stands in it who was known when it
            landed, or only a part of it is there.
    """

    landing_date: date
    source_file: str
    source_line: int
    source_object: int
    reason: str
    people_in_doubt: int
    is_unattributed: bool


def open_texts(view: LakeView) -> list[OpenText]:
    """The open texts of a lake, in the order in which they landed.

    Args:
        view: the lake.
    """
    texts = view.undismissed_texts
    if not texts.num_rows:
        return []
    records = view.customer_records()
    counted = transforms.latest_records(records.filter(~nw.col("doubt")), *PLACE)
    place = ", ".join(map(named, PLACE))
    is_incomplete = f"t.reason IN ({', '.join(map(quoted, INCOMPLETE))})"
    rows = view.engine.rows(
        f"""
        WITH people AS (
            SELECT {quoted(Identifier.EMAIL.value)} AS "by", {normalized_sql("email")} AS name, {place}
            FROM records WHERE NOT doubt
            UNION ALL
            SELECT {quoted(Identifier.DEVICE.value)}, {normalized_sql("serialNumber")}, {place}
            FROM records WHERE NOT doubt
        ),
        -- Who became a customer later was held to nothing by the text, and it may be of somebody else's withdrawal.
        known AS (
            SELECT DISTINCT {_columns("m")} FROM mentions m JOIN people p USING ("by", name)
            WHERE p.landing_date < m.landing_date OR (p.landing_date = m.landing_date AND (
                p.source_file <> m.source_file
                OR (p.source_line, p.source_object) < (m.source_line, m.source_object)))
        ),
        -- Whose record landed after the text and counts is in doubt no more.
        doubts AS (
            SELECT {_columns("d")}, count(DISTINCT c.email) AS people
            FROM (SELECT *, {normalized_sql("email")} AS who FROM records WHERE doubt) d
            JOIN counted c ON d.who = c.email AND c."lastUpdateDate" <= d."lastUpdateDate"
            GROUP BY ALL
        )
        SELECT {_columns("t")}, t.reason, coalesce(people, 0), k.landing_date IS NULL OR {is_incomplete}
        FROM texts t LEFT JOIN doubts d USING ({place}) LEFT JOIN known k USING ({place})
        WHERE people > 0 OR k.landing_date IS NULL OR {is_incomplete}
        ORDER BY ALL
        """,
        texts=texts,
        mentions=view.mentions,
        counted=view.engine.collect(counted),
        records=records.to_native(),
    )
    return [OpenText(*row) for row in rows]


def _columns(alias: str) -> str:
    return ", ".join(f"{alias}.{named(name)}" for name in PLACE)
