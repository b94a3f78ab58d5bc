"""What of the raw files was not read: days with many rejected texts, files of which nothing was read, unknown keys.

Pure functions of the manifest, for the checks and the commands.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from datetime import date

from stedi_assets.landing.manifest import ManifestEntry


def days_with_many_rejected(entries: Iterable[ManifestEntry], limit: float) -> dict[date, tuple[int, int]]:
    """The landing days of which more than a share of the texts was rejected.

    Args:
        entries: of one landing table.
        limit: the share that is tolerated.

    Returns:
        Of each such day, how many texts were rejected, and how many there were.
    """
    rejected: Counter[date] = Counter()
    texts: Counter[date] = Counter()
    for entry in entries:
        if entry.duplicate_of is None:
            rejected[entry.landing_date] += entry.rejected
            texts[entry.landing_date] += entry.lines
    return {day: (number, texts[day]) for day, number in sorted(rejected.items()) if number > limit * texts[day]}


def unread_files(entries: Iterable[ManifestEntry]) -> list[ManifestEntry]:
    """The raw files of which nothing was read, though something stands in them.

    Args:
        entries: manifest entries.
    """
    return [entry for entry in entries if entry.rejected and not entry.rows and not entry.erased]


def unknown_keys(entries: Iterable[ManifestEntry]) -> Counter[str]:
    """How often keys occur that mean no field, by their names.

    Args:
        entries: manifest entries.
    """
    counts: Counter[str] = Counter()
    for entry in entries:
        if entry.unknown_keys and entry.duplicate_of is None:
            counts.update(json.loads(entry.unknown_keys))
    return counts
