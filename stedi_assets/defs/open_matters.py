"""What somebody has to look at, though every table is made: it keeps ``stedi materialize`` from saying "up to date".

Dagster concept: none; the same is shown by asset checks, which speak of the partitions of one run.
"""

from __future__ import annotations

from collections.abc import Sequence

from stedi_assets.contracts import LANDING_TABLES
from stedi_assets.landing.manifest import manifest_entries
from stedi_assets.landing.rejections import days_with_many_rejected, unread_files
from stedi_assets.resources import Resources
from stedi_assets.staleness.doubt import open_texts

SHOWN = 5
"""Days or files of a matter that are named."""


def open_matters(resources: Resources) -> list[str]:
    """What is open in a lake, a sentence for each.

    Args:
        resources: the lake.
    """
    matters: list[str] = []
    for table in LANDING_TABLES:
        entries = manifest_entries(resources.session, resources.lakehouse, table)
        limit = resources.settings.max_rejected
        for day, (rejected, texts) in list(days_with_many_rejected(entries, limit).items())[:SHOWN]:
            matters.append(f"{table.name} of {day}: {rejected} of {texts} texts could not be read.")
        unread = [entry.source_file for entry in unread_files(entries)]
        if unread:
            matters.append(f"{table.name}: nothing was read of {_listed(unread)}.")
    texts_open = open_texts(resources.view())
    doubtful = [text for text in texts_open if text.people_in_doubt]
    if doubtful:
        days = sorted({str(text.landing_date) for text in doubtful})
        matters.append(
            f"customer_landing: {len(doubtful)} records could not be read and may be withdrawals, landed on "
            f"{_listed(days)}. Whoever they may speak of is in no table until a good record of theirs lands."
        )
    nobodys = [text for text in texts_open if text.names_nobody]
    if nobodys:
        days = sorted({str(text.landing_date) for text in nobodys})
        matters.append(
            f"customer_landing: {len(nobodys)} records could not be read and name nobody who is known, landed on "
            f"{_listed(days)}. A withdrawal may be among them that is held against nobody."
        )
    return matters


def _listed(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
