"""The differences between the raw files and the landing tables: which days are to be run, and why.

``day_differences`` is pure: the listing and the manifest in, the days to run out. The landing sensor and
``stedi materialize`` both are thin shells over it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date

from stedi_assets.contracts import Table
from stedi_assets.contracts import table as contract
from stedi_assets.landing.day_plan import day_fingerprint
from stedi_assets.landing.files import LandingFile, Listing
from stedi_assets.landing.manifest import ManifestEntry, first_copies
from stedi_assets.settings import Limits


@dataclass(frozen=True)
class Difference:
    """The reasons to run one day of one landing table.

    Args:
        new: how many raw files are not in the manifest.
        changed: how many are not as the manifest has them.
        missing: how many ingested files are gone; alone they are no reason to run.
        other: another difference, in words.
        moved: how many ingested files lie on another day now, since their modification time says so.
        returned: whether somebody whose lines were suppressed after an erasure has registered anew.
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


def day_differences(
    table: str,
    listing: Listing,
    manifest: Collection[ManifestEntry],
    stored: Mapping[date, str | None],
    recorded: Mapping[date, str | None],
    quarantined: Mapping[date, str | None] | None = None,
    returns: Mapping[str, str] | None = None,
    limits: Limits | None = None,
) -> dict[date, Difference]:
    """The days of a landing table that differ from the raw files in its folder.

    Args:
        table: its name.
        listing: the raw files.
        manifest: the table's manifest entries.
        stored: the fingerprints of the landing table's partitions.
        recorded: the fingerprints of the manifest's partitions; they agree with ``stored`` unless a run was killed
            between the two commits or a table was changed by hand.
        quarantined: the fingerprints of the quarantine's partitions; none leaves them out of account.
        returns: per erasure request, who has registered anew since, as in ``erased_under``.
        limits: what of a raw file is read.

    Returns:
        The days to run, in order, and why. A file that is gone is no reason, and a day of which
        every file is gone is never named: it could not be made again.
    """
    longest_text = (limits or Limits()).longest_text
    by_day = listing.by_day(table)
    listed_day = {file.path: day for day, files in by_day.items() for file in files}
    ingested: dict[date, dict[str, ManifestEntry]] = {}
    moved: Counter[date] = Counter()
    for entry in manifest:
        if listed_day.get(entry.source_file, entry.landing_date) == entry.landing_date:
            ingested.setdefault(entry.landing_date, {})[entry.source_file] = entry
        else:
            moved[entry.landing_date] += 1
    first = first_copies(entry for entries in ingested.values() for entry in entries.values())
    differences: dict[date, Difference] = {}
    for day in sorted(by_day.keys() | moved.keys()):
        files, entries = by_day.get(day, []), ingested.get(day, {})
        present = [entries[file.path] for file in files if file.path in entries]
        difference = Difference(
            new=len(files) - len(present),
            changed=sum(file.path in entries and not _is_unchanged(file, entries[file.path]) for file in files),
            missing=len(entries) - len(present),
            other=_other_duplicates(present, first)
            or _other_fingerprints(day, entries.values(), stored, recorded, quarantined),
            moved=moved[day],
            returned=_has_returned(present, returns or {}),
        )
        reasons = (difference.new, difference.changed, difference.moved, difference.returned, difference.other)
        if files and not any(reasons):
            other = _other_rules(contract(table), entries.values(), recorded.get(day), longest_text)
            difference = replace(difference, other=other)
        if any(reasons) or difference.other:
            differences[day] = difference
    return differences


def _is_unchanged(file: LandingFile, entry: ManifestEntry) -> bool:
    return (file.size, file.stamp) == (entry.size, entry.stamp)


def _other_duplicates(entries: Iterable[ManifestEntry], first: Mapping[str, tuple[date, str]]) -> str:
    """A sentence where another of several equal files counts than the manifest says; empty otherwise."""
    for entry in entries:
        counts = first[entry.digest][1] if entry.lines else entry.source_file
        if entry.duplicate_of != (None if counts == entry.source_file else counts):
            return "another file with the same bytes counts now"
    return ""


def _has_returned(entries: Iterable[ManifestEntry], returns: Mapping[str, str]) -> bool:
    """Whether somebody whose lines were suppressed has registered anew since the files were ingested."""
    for entry in entries:
        suppressed = json.loads(entry.erased_under) if entry.erased_under else {}
        if any(returns.get(request, before) != before for request, before in suppressed.items()):
            return True
    return False


def _other_rules(table: Table, entries: Iterable[ManifestEntry], recorded: str | None, longest_text: int) -> str:
    """A sentence where the files were read by the rules of another version, or under another limit; empty otherwise."""
    if recorded is None or recorded == day_fingerprint(table, entries, longest_text):
        return ""
    return "the files were read by other rules"


def _other_fingerprints(
    day: date,
    entries: Iterable[ManifestEntry],
    stored: Mapping[date, str | None],
    recorded: Mapping[date, str | None],
    quarantined: Mapping[date, str | None] | None,
) -> str:
    """A sentence where the three tables' partitions of a day are not of one run; empty otherwise."""
    if day not in recorded:
        return ""
    fingerprint = recorded[day]
    if fingerprint is None or stored.get(day) != fingerprint:
        return "the table is not as its run left it"
    expected = fingerprint if any(entry.rejected for entry in entries) else None
    if quarantined is not None and quarantined.get(day) != expected:
        return "the quarantine is not as its run left it"
    return ""
