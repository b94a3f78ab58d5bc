"""The differences between the raw files and the landing tables: which days are to be run, and why.

``plan`` is pure: the listing and the manifest in, the days to run out. The landing sensor and
``stedi materialize`` both are thin shells over it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from stedi_assets.landing.files import LandingFile, Listing
from stedi_assets.landing.manifest import ManifestEntry, first_copies


@dataclass(frozen=True)
class Difference:
    """Why one day of one landing table should be run.

    Args:
        new, changed: how many raw files were not there before, or are not as they were.
        missing: how many ingested files are gone; alone they are no reason to run.
        other: what else differs, in words.
        moved: how many ingested files lie on another day now, since their modification time says so.
        returned: whether somebody whose lines were left out after an erasure has registered anew.
    """

    new: int = 0
    changed: int = 0
    missing: int = 0
    other: str = ""
    moved: int = 0
    returned: bool = False

    @property
    def only_changed(self) -> bool:
        """Whether files that were there before differ, and nothing else."""
        return bool(self.changed) and self == Difference(changed=self.changed)

    def __str__(self) -> str:
        counts = {"new": self.new, "changed": self.changed, "missing": self.missing, "moved": self.moved}
        parts = [f"{n} {word} file{'' if n == 1 else 's'}" for word, n in counts.items() if n]
        back = ["somebody who was erased has registered anew"] if self.returned else []
        return ", ".join([*parts, *back, *([self.other] if self.other else [])])


def plan(
    table: str,
    listing: Listing,
    ingested: Collection[ManifestEntry],
    stored: Mapping[date, str | None],
    recorded: Mapping[date, str | None],
    quarantined: Mapping[date, str | None] | None = None,
    returns: Mapping[str, str] | None = None,
) -> dict[date, Difference]:
    """Which days of a landing table differ from what lies in its folder.

    Args:
        table: its name.
        listing: what lies there.
        ingested: the table's rows of ``landing_files``.
        stored: what the landing table's partitions say that they were made from.
        recorded: what the manifest's partitions say that they were made from. The two agree unless a run was killed
            between their commits or a table was changed by hand.
        quarantined: the same of the quarantine's partitions; none looks away from them.
        returns: per erasure request, who has registered anew since, as in ``erased_under``.

    Returns:
        The days to run, in order, and why. A file that is gone is no reason, and a day of which
        every file is gone is never named: it could not be made again.
    """
    by_day = listing.by_day(table)
    lies_on = {file.path: day for day, files in by_day.items() for file in files}
    before: dict[date, dict[str, ManifestEntry]] = {}
    moved: Counter[date] = Counter()
    for file in ingested:
        if lies_on.get(file.source_file, file.landing_date) == file.landing_date:
            before.setdefault(file.landing_date, {})[file.source_file] = file
        else:
            moved[file.landing_date] += 1
    first = first_copies(file for files in before.values() for file in files.values())
    differences: dict[date, Difference] = {}
    for day in sorted(by_day.keys() | moved.keys()):
        files, known = by_day.get(day, []), before.get(day, {})
        there = [known[file.path] for file in files if file.path in known]
        difference = Difference(
            new=len(files) - len(there),
            changed=sum(file.path in known and not _same(file, known[file.path]) for file in files),
            missing=len(known) - len(there),
            other=_other(there, first) or _unlike(day, known.values(), stored, recorded, quarantined),
            moved=moved[day],
            returned=_returned(there, returns or {}),
        )
        if any((difference.new, difference.changed, difference.moved, difference.returned, difference.other)):
            differences[day] = difference
    return differences


def _same(listed: LandingFile, ingested: ManifestEntry) -> bool:
    return (listed.size, listed.stamp) == (ingested.size, ingested.stamp)


def _other(files: Iterable[ManifestEntry], first: Mapping[str, tuple[date, str]]) -> str:
    for file in files:
        counts = first[file.digest][1] if file.lines else file.source_file
        if file.duplicate_of != (None if counts == file.source_file else counts):
            return "another file with the same bytes counts now"
    return ""


def _returned(files: Iterable[ManifestEntry], returns: Mapping[str, str]) -> bool:
    for file in files:
        left_out = json.loads(file.erased_under) if file.erased_under else {}
        if any(returns.get(request, said) != said for request, said in left_out.items()):
            return True
    return False


def _unlike(
    day: date,
    files: Iterable[ManifestEntry],
    stored: Mapping[date, str | None],
    recorded: Mapping[date, str | None],
    quarantined: Mapping[date, str | None] | None,
) -> str:
    if day not in recorded:
        return ""
    said = recorded[day]
    if said is None or stored.get(day) != said:
        return "the table is not as its run left it"
    if quarantined is not None and quarantined.get(day) != (said if any(file.rejected for file in files) else None):
        return "the quarantine is not as its run left it"
    return ""
