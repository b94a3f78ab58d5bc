"""Finding the places in which data subjects are: raw files, tables with their quarantine and index, unused files.

Nothing here changes anything. Dagster's storage and everything else that no rule knows is searched by ``search``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from stedi_assets.contracts import LANDING_TABLES, TABLES
from stedi_assets.contracts import table as contract
from stedi_assets.resources import Resources, today
from stedi_assets.subject_requests import raw_files
from stedi_assets.subject_requests.matching import QUARANTINE, Subjects, rows_by_day
from stedi_assets.subject_requests.redaction import RawFile, TextFilter

RAW_FILE = "raw file"
LINKED_RAW_FILE = "linked raw file"
TABLE = "table"
OLD_VERSION = "old version"

LandingDays = dict[str, set[date]]
"""Landing days of each landing table."""


@dataclass(frozen=True)
class Place:
    """A place that holds texts or rows of a data subject.

    Args:
        kind: ``raw file``, ``linked raw file`` (one that has another name, and is not rewritten), ``table`` or
            ``old version``.
        location: the file below the landing root, or the table.
        landing_date: the landing day, where there is one.
        number: how many texts or rows.
    """

    kind: str
    location: str
    landing_date: date | None
    number: int


def find_places(resources: Resources, subjects: Subjects) -> list[Place]:
    """Find every place in which data subjects are.

    Args:
        resources: the lake.
        subjects: whose texts and rows are looked for.

    Returns:
        Raw files first, then table by table what the current version holds and what unused files hold.

    Raises:
        UnreadableFileError: a raw file cannot be read.
    """
    return [*_raw_files(resources, subjects), *_tables(resources, subjects)]


def _raw_files(resources: Resources, subjects: Subjects) -> Iterable[Place]:
    texts = TextFilter(subjects, resources.session, resources.landing.limits.longest_text)
    for file in all_raw_files(resources):
        number = raw_files.count_texts(resources.landing, file, texts)
        if number:
            kind = LINKED_RAW_FILE if raw_files.has_other_names(resources.landing, file) else RAW_FILE
            yield Place(kind, file.path, file.landing_date, number)


def _tables(resources: Resources, subjects: Subjects) -> Iterable[Place]:
    for table in TABLES.values():
        current = resources.lakehouse.snapshot(table).files
        unused = resources.lakehouse.unused_files(table)
        for kind, files in ((TABLE, current), (OLD_VERSION, unused)):
            for day, number in rows_by_day(resources, table, files, subjects).items():
                yield Place(kind, table.name, day, number)


def all_raw_files(resources: Resources) -> list[RawFile]:
    """Every raw file in the landing zone, also those that ingestion ignores.

    Args:
        resources: the lake.
    """
    dated = {file.path: file.landing_date for file in resources.listing().files}
    return list(raw_files.list_raw_files(resources.landing, dated, today()))


def landing_days_with(resources: Resources, subjects: Subjects) -> LandingDays:
    """Find the landing days on which landing tables, or their quarantine, hold rows of data subjects.

    Args:
        resources: the lake.
        subjects: whose rows are looked for.

    Returns:
        The days of each landing table that has any.
    """
    quarantine = contract(QUARANTINE)
    days_by_table: LandingDays = {}
    for table in LANDING_TABLES:
        rejected = resources.lakehouse.snapshot(quarantine).part("landing_table", table.name)
        days = set(rows_by_day(resources, table, resources.lakehouse.snapshot(table).files, subjects))
        days |= set(rows_by_day(resources, quarantine, rejected, subjects))
        if days:
            days_by_table[table.name] = days
    return days_by_table


def landing_days_of(resources: Resources, places: Iterable[Place]) -> LandingDays:
    """The landing days of the raw files among some places.

    An erasure runs them again also where the tables hold no row of the person, since a file may be a copy of another.

    Args:
        resources: the lake.
        places: as they were found before the files were rewritten.
    """
    dated = {file.path: (file.table, file.landing_date) for file in resources.listing().files}
    found: LandingDays = {}
    for place in places:
        if place.kind in {RAW_FILE, LINKED_RAW_FILE} and place.location in dated:
            table, day = dated[place.location]
            found.setdefault(table, set()).add(day)
    return found


def count_by_table(places: Iterable[Place]) -> dict[str, dict[str, int]]:
    """Texts and rows for each kind of place and table, without names of raw files: people name files as they like.

    Args:
        places: what was found.
    """
    counts: dict[str, Counter[str]] = {}
    for place in places:
        table = place.location.split("/")[0]
        counts.setdefault(f"{place.kind}s", Counter())[table] += place.number
    return {kind: dict(sorted(tables.items())) for kind, tables in sorted(counts.items())}
