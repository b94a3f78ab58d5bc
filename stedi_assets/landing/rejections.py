"""What of the raw files was not read: days with many rejected texts, files of which nothing was read, unknown keys.

Pure functions of the manifest, for the checks and the commands.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date

from stedi_assets.landing.manifest import ManifestEntry


def days_with_many_rejected(
    entries: Iterable[ManifestEntry], limit: float, dismissed: Mapping[str, int]
) -> dict[date, tuple[int, int]]:
    """The landing days of which more than a share of the texts was rejected.

    Args:
        entries: of one landing table.
        limit: the share that is tolerated.
        dismissed: how many rejected texts of a raw file are dismissed, and so do not count.

    Returns:
        Of each such day, how many texts were rejected, and how many there were.
    """
    rejected: Counter[date] = Counter()
    texts: Counter[date] = Counter()
    for entry in entries:
        if entry.duplicate_of is None:
            rejected[entry.landing_date] += entry.rejected - dismissed.get(entry.source_file, 0)
            texts[entry.landing_date] += entry.lines
    return {day: (number, texts[day]) for day, number in sorted(rejected.items()) if number > limit * texts[day]}


def unread_files(entries: Iterable[ManifestEntry], dismissed: Mapping[str, int]) -> list[ManifestEntry]:
    """The raw files of which nothing was read, though something stands in them.

    Args:
        entries: manifest entries.
        dismissed: how many rejected texts of a raw file are dismissed, and so do not count.
    """
    return [
        entry
        for entry in entries
        if entry.rejected > dismissed.get(entry.source_file, 0) and not entry.rows and not entry.erased
    ]


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
