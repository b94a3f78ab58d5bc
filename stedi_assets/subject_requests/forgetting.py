"""Forgetting data subjects: tombstones, redacted raw files, rebuilt tables, deleted old versions.

Each function looks at what is there instead of what was done, so each can be killed and called again. The order is
that of ``erasure``. Nothing here decides whether a person is gone; ``proof`` does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date
from typing import Protocol

from stedi_assets.contracts import READINGS_TABLES, TABLES
from stedi_assets.contracts import table as contract
from stedi_assets.engines.duckdb import sweep_spilled
from stedi_assets.privacy.ledger import Ledger
from stedi_assets.privacy.tombstones import Tombstone, write_tombstone
from stedi_assets.resources import Resources
from stedi_assets.staleness import index
from stedi_assets.subject_requests import raw_files
from stedi_assets.subject_requests.matching import Subjects, rows_by_day
from stedi_assets.subject_requests.places import LandingDays, all_raw_files, landing_days_with
from stedi_assets.subject_requests.redaction import TextFilter

ROUNDS = 5
"""Rounds in which landing tables are rebuilt while other runs keep bringing rows back; one is enough, usually."""

Log = Callable[[str], None]
"""Takes a sentence about what was done, without a value of anybody."""


class Rebuild(Protocol):
    """Runs landing partitions again, and whatever becomes stale by that."""

    def __call__(self, landing: Mapping[str, Collection[date]]) -> int:
        """Rebuild, keeping the rows of raw files that are gone.

        Args:
            landing: the landing days of each landing table that are run even if they are up to date.

        Returns:
            How many runs it took.
        """


def suppress(resources: Resources, tombstones: Iterable[Tombstone]) -> None:
    """Store tombstones: from here on nothing of their people lands.

    Args:
        resources: the lake.
        tombstones: of the people under erasure.
    """
    # Every commit to a landing table reads the tombstones under this lock.
    with resources.lakehouse.committing():
        Ledger(resources.lakehouse).require_key(resources.privacy)
        for tombstone in tombstones:
            write_tombstone(resources.privacy, tombstone)
            Ledger(resources.lakehouse).add(tombstone.request, resources.privacy)


def redact_raw_files(resources: Resources, subjects: Subjects, log: Log) -> None:
    """Rewrite every raw file that has texts of the data subjects, without these.

    Args:
        resources: the lake.
        subjects: whose texts are removed.
        log: takes the numbers.

    Raises:
        UnreadableFileError: a raw file cannot be read.
        BusyFileError: a raw file kept changing.
    """
    texts = TextFilter(subjects, resources.session, resources.landing.limits.longest_text)
    files = removed = 0
    # Under the lock, what lies beside the raw files was left by a killed process, and is nobody's work.
    with resources.privacy.locked("raw-files"):
        raw_files.delete_leftovers(resources.landing)
        for file in all_raw_files(resources):
            number = raw_files.redact(resources.landing, file, texts)
            files += bool(number)
            removed += number
    log(f"{removed} lines left {files} raw files")


def rebuild_tables(resources: Resources, subjects: Subjects, redacted: LandingDays, rebuild: Rebuild, log: Log) -> bool:
    """Rebuild the landing tables without the rows of the data subjects, and every table that is made from them.

    Args:
        resources: the lake.
        subjects: whose rows are removed.
        redacted: the landing days of the redacted raw files, which are rebuilt in any case.
        rebuild: runs partitions.
        log: takes the numbers.

    Returns:
        Whether the landing tables hold no row of theirs any more. Other runs may keep bringing them back.
    """
    for _ in range(ROUNDS):
        days = landing_days_with(resources, subjects)
        for table, more in redacted.items():
            days.setdefault(table, set()).update(more)
        log(f"{rebuild(days)} runs made the tables anew")
        if not landing_days_with(resources, subjects):
            _reindex(resources, subjects)
            return True
    return False


def _reindex(resources: Resources, subjects: Subjects) -> None:
    """Write the partitions of the readings index again that hold rows of the data subjects.

    The run that rewrites readings writes their index as well. If it was killed in between, and no reading is left on
    that day, nothing is stale, and no later run would write the index.
    """
    stored = contract("readings_index")
    files = resources.lakehouse.snapshot(stored).files
    for table in READINGS_TABLES:
        own = [file for file in files if file.partition["readings_table"] == table.name]
        index.write(resources.session, resources.lakehouse, table, set(rows_by_day(resources, stored, own, subjects)))


def vacuum(resources: Resources, log: Log) -> None:
    """Delete the files of every table that its current version does not use, and what killed processes spilled.

    Args:
        resources: the lake.
        log: takes the number.
    """
    deleted = sum(resources.lakehouse.vacuum(table) for table in TABLES.values())
    log(f"{deleted} files of old versions were deleted")
    swept = sweep_spilled()
    if swept:
        log(f"what {swept} killed processes had spilled to {tempfile.gettempdir()} was deleted")
