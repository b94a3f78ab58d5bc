"""Recognition of data subjects: which rows, rejected lines and raw lines of the lake are theirs.

Rows of landing tables and lines are recognised by :class:`Suppression`, the same rules by which erased people are left
out of what lands. Rows of derived tables and of the readings index are recognised by an SQL condition on the columns
that the contract declares as identifying.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

import pyarrow as pa

from stedi_assets.contracts import Identifier, Table
from stedi_assets.contracts.names import normalized_sql
from stedi_assets.engines.sql import named
from stedi_assets.lakehouse import DataFile
from stedi_assets.privacy.suppression import Suppression
from stedi_assets.privacy.tombstones import Hasher, Tombstone, Tombstones
from stedi_assets.resources import Resources
from stedi_assets.subject_requests.requests import ERASE, HIDE
from stedi_assets.subject_requests.subject import Person

QUARANTINE = "landing_quarantine"
"""The table whose rows are recognised by the line that each holds, which no SQL condition can."""


@dataclass(frozen=True)
class Subjects:
    """Data subjects, and the rules that recognise them and nobody else.

    Args:
        people: the data subjects.
        suppression: the rules for rows of tables and for rejected texts.
        in_raw_files: the rules for texts of raw files. Readings of shared devices may be left there.
    """

    people: tuple[Person, ...]
    suppression: Suppression
    in_raw_files: Suppression

    @classmethod
    def of(cls, resources: Resources, person: Person, *, shared_devices: str = ERASE) -> Subjects:
        """One person, recognised as if they were erased now; nothing is stored.

        Args:
            resources: the lake.
            person: the data subject.
            shared_devices: whether readings of shared devices are theirs in raw files too; see ``SHARED_DEVICES``.
        """
        hasher = _PlainHasher()
        tombstone = person.tombstone(hasher, "nobody", 2**62)
        left = [tombstone.request] if shared_devices == HIDE else []
        return cls._recognised(resources, hasher, [person], [tombstone], left)

    @classmethod
    def erased(
        cls,
        resources: Resources,
        people: Iterable[Person],
        tombstones: Iterable[Tombstone],
        left: Collection[str] = (),
    ) -> Subjects:
        """People under erasure, recognised by their tombstones, whether or not these are stored yet.

        Args:
            resources: the lake.
            people: the data subjects.
            tombstones: of each of them one at least.
            left: the requests that leave readings of shared devices in raw files.
        """
        return cls._recognised(resources, resources.privacy, people, tombstones, left)

    @classmethod
    def _recognised(
        cls,
        resources: Resources,
        hasher: Hasher,
        people: Iterable[Person],
        tombstones: Iterable[Tombstone],
        left: Collection[str],
    ) -> Subjects:
        known = {tombstone.request: tombstone for tombstone in tombstones}
        in_raw_files = {
            request: replace(tombstone, shared=frozenset(), readings=frozenset()) if request in left else tombstone
            for request, tombstone in known.items()
        }
        rows, texts = (
            Suppression(resources.session, resources.lakehouse, Tombstones(hasher, by_request))
            for by_request in (known, in_raw_files)
        )
        return cls(tuple(people), rows, texts)

    @property
    def hints(self) -> list[str]:
        """Normalised values, one of which stands in every raw line of theirs."""
        return [hint for person in self.people for hint in person.hints()]

    def frames(self) -> dict[str, pa.Table]:
        """The frames that the SQL of :func:`subject_condition` refers to."""
        readings = [reading for person in self.people for reading in person.readings]
        serials = [serial for person in self.people for serial in person.serials]
        return {
            "asked": pa.table(
                {
                    "email": [person.email for person in self.people],
                    "subject": [person.subject_id for person in self.people],
                }
            ),
            "devices": pa.table({"serial": pa.array(serials, pa.string())}),
            "attributed": pa.table(
                {
                    "serial": pa.array([serial for serial, _ in readings], pa.string()),
                    "taken": pa.array([time for _, time in readings], pa.int64()),
                }
            ),
        }

    def own_rejected(self, line: str) -> bool:
        """Whether a rejected line names one of them."""
        return self.suppression.of_rejected(line) is not None


def subject_condition(table: Table) -> str:
    """The SQL condition that holds for rows of a table behind which one of the data subjects is.

    Args:
        table: any but ``landing_quarantine``, whose lines :class:`Suppression` judges.

    Returns:
        A condition on the table's columns and on the frames of :meth:`Subjects.frames`.
    """
    conditions = [
        _CONDITIONS[column.identifies](column.name, str(table.event_time))
        for column in table.subject_columns
        if column.identifies is not None
    ]
    return f"coalesce({' OR '.join(conditions)}, false)" if conditions else "false"


def _email_condition(column: str, _: str) -> str:
    return f"{normalized_sql(column)} IN (SELECT email FROM asked)"


def _device_condition(column: str, event_time: str) -> str:
    serial = normalized_sql(column)
    return (
        f"({serial} IN (SELECT serial FROM devices) OR "
        f"({serial}, {named(event_time)}) IN (SELECT (serial, taken) FROM attributed))"
    )


def _pseudonym_condition(column: str, _: str) -> str:
    return f"{named(column)} IN (SELECT subject FROM asked)"


def _index_condition(column: str, _: str) -> str:
    # The row of a shared device counts readings of several people, so it is nobody's: the rebuild computes it anew.
    name = named(column)
    return f"({name} IN (SELECT email FROM asked) OR {name} IN (SELECT serial FROM devices))"


_CONDITIONS = {
    Identifier.EMAIL: _email_condition,
    Identifier.DEVICE: _device_condition,
    Identifier.PSEUDONYM: _pseudonym_condition,
    Identifier.EMAIL_OR_DEVICE: _index_condition,
}


def rows_by_day(resources: Resources, table: Table, files: Sequence[DataFile], subjects: Subjects) -> dict[date, int]:
    """The number of rows of the data subjects in some files of a table, by landing day.

    Args:
        resources: the lake.
        table: the table.
        files: data files of it, whether or not its current version uses them.
        subjects: whose rows are counted.

    Returns:
        The number for each landing day that has any.
    """
    if not files:
        return {}
    stored = resources.session.relation(table, files)
    if table.name == QUARANTINE:
        lines = resources.session.rows("SELECT landing_date, line FROM stored", stored=stored)
        return dict(Counter(day for day, line in lines if subjects.own_rejected(line)))
    if table.source is not None:
        marked = subjects.suppression.marked(table, stored)
        if marked is None:
            return {}
        query = "SELECT landing_date, count(*) FROM marked WHERE request IS NOT NULL GROUP BY ALL"
        return dict(resources.session.rows(query, marked=marked))
    query = f"SELECT landing_date, count(*) FROM stored WHERE {subject_condition(table)} GROUP BY ALL"
    return dict(resources.session.rows(query, stored=stored, **subjects.frames()))


class _PlainHasher:
    """A hasher that keeps values as they are."""

    def hash(self, kind: str, value: str) -> str:
        """The value itself, prefixed with its kind."""
        return f"{kind}\0{value}"
