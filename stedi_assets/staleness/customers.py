"""The customers by all of their records: by name, and by hashes for fingerprints.

The rules are ``transforms``': whose record counts, since when it consents, and which intervals of consent there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

import pyarrow as pa

from stedi_assets import transforms
from stedi_assets.contracts import table as contract
from stedi_assets.contracts.names import normalized_sql
from stedi_assets.engines.base import Frame
from stedi_assets.engines.session import Session
from stedi_assets.engines.sql import named
from stedi_assets.staleness.digest import row_digest, sum_digest
from stedi_assets.transforms.customers import consented_at


class Customers(NamedTuple):
    """What follows from one version of ``customer_landing``.

    Args:
        latest: one row per customer: ``person`` and ``device`` (hashes of the e-mail and the serial number),
            ``consented_at`` (epoch ms; null for one who does not consent), and of the record that counts,
            ``landing_date`` and a digest of what ``customer_trusted`` would hold of it, ``record``.
        histories: of each landing day, a digest of its rows of ``consent_history``, if there are any.
    """

    latest: pa.Table
    histories: Mapping[date, str]


def names_of_customers(engine: Session, records: Frame) -> pa.Table:
    """The customers by name.

    Args:
        engine: computes them.
        records: of all customers, with the doubts about them.

    Returns:
        One row per customer: ``email`` and ``serialNumber`` as they are compared, ``landing_date`` and
        ``consented_at`` as in :class:`Customers`.
    """
    return engine.collect(transforms.consents(records, "landing_date"))


def customers_of(engine: Session, records: Frame) -> Customers:
    """The customers by hashes for names, which join in a third of the time and take less than half the memory.

    Args:
        engine: computes them.
        records: of all customers, with the doubts about them.
    """
    landed = records.to_native()
    person, device = f"hash({normalized_sql('email')})", f"hash({normalized_sql('serialNumber')})"
    record = row_digest(*(named(column) for column in contract("customer_trusted").column_names))
    columns = f'landing_date, {record} AS record, "shareWithResearchAsOfDate"'
    narrow = engine.arrow(f"SELECT {person} AS person, {device} AS device, {columns} FROM landed", landed=landed)
    # Sorting records takes longest, and most customers have only one, which is their latest. So only the others' are
    # sorted by the rules (and those of a few customers whose hashes are the same by chance).
    repeated = engine.arrow("SELECT person FROM records GROUP BY ALL HAVING count(*) > 1", records=narrow)
    single = engine.frame(
        engine.arrow("FROM records ANTI JOIN repeated USING (person)", repeated=repeated, records=narrow)
    )
    several = engine.frame(
        engine.arrow(
            f"SELECT *, {record} AS record FROM landed SEMI JOIN repeated ON {person} = person",
            repeated=repeated,
            landed=landed,
        )
    )
    emails = transforms.ever_consenting(several).with_columns(subject_id="email")
    frames = {
        "single": engine.collect(single.with_columns(consented_at=consented_at())),
        "latest": engine.collect(transforms.consents(several, "landing_date", "record")),
        # By e-mail, not by pseudonym: which is which, the key tells, and pseudonyms take longer to make.
        "intervals": engine.collect(transforms.consent_history(several, emails)),
    }
    people = engine.arrow(
        """
        SELECT person, device, landing_date, record, consented_at FROM single
        UNION ALL
        SELECT hash(email), hash("serialNumber"), landing_date, record, consented_at FROM latest
        """,
        **frames,
    )
    interval = row_digest("person", "grant_number", "granted_at", "withdrawn_at", "withdrawn_landing_date", "ended_by")
    histories = engine.rows(
        f"""
        SELECT landing_date, {sum_digest(interval)} FROM (
            SELECT hash(subject_id) AS person, grant_number, granted_at, withdrawn_at, withdrawn_landing_date,
                   ended_by, landing_date
            FROM intervals
            UNION ALL
            SELECT person, 1, consented_at, NULL, NULL, NULL, landing_date FROM single WHERE consented_at IS NOT NULL
        ) GROUP BY ALL
        """,
        **frames,
    )
    return Customers(people.combine_chunks(), dict(histories))
