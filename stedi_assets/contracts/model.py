"""The types that a contract is made of.

A contract is data: what belongs here says what may be said about a table. How it is rendered
(``render``), checked (``stedi_assets.defs.checks``) or stored (``stedi_assets.lakehouse``) does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from functools import cached_property


class Zone(str, Enum):
    """The three zones of the lake, in the order data flows through them."""

    LANDING = "landing"
    TRUSTED = "trusted"
    CURATED = "curated"


class DataType(str, Enum):
    """The types that the tables use; times are 64-bit epoch milliseconds, birthdays text."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"


class Privacy(str, Enum):
    """The privacy class of a column: how close it comes to a person."""

    DIRECT_IDENTIFIER = "direct identifier"
    QUASI_IDENTIFIER = "quasi-identifier"
    SENSOR = "sensor"
    OPERATIONAL = "operational"


class Identifier(str, Enum):
    """The kind of identifier by which a row belongs to a person."""

    EMAIL = "e-mail"
    DEVICE = "serial number"
    PSEUDONYM = "pseudonym"
    EMAIL_OR_DEVICE = "e-mail or serial number"


class Scope(str, Enum):
    """The part of an input table that one partition is made from."""

    SAME_DAYS = "same days"
    """What landed on the same days."""

    OVERLAPPING_TIMES = "overlapping times"
    """Whatever landed on any day and may carry the times of the same days' readings."""

    SUBJECTS = "subjects"
    """Of every landing day, only whose rows there are: ``landing_date`` and the subject column, each once a day."""

    ALL_DAYS = "all days"
    """Every landing day."""


@dataclass(frozen=True)
class Column:
    """One column.

    Args:
        name: as stored; source fields keep the devices' spelling.
        type: one of :class:`DataType`.
        privacy: how close the column comes to a person; there is no default on purpose.
        description: one sentence for the people who query it.
        unit: of the values, where they have one.
        required: null (and, for text, blank) is not allowed.
        minimum: the smallest value allowed, in the column's unit.
        statistics: whether the Delta log may hold the column's smallest and largest value;
            false for whatever could identify a person.
        identifies: how a value says whose a row is, where it does.
        address: whether a text must be one plain e-mail address, as raw files have it.
        aliases: other keys that raw files have for it, in any case; its own name holds in any case too.
        added: whether tables of an earlier version of this project lack the column.
        added_value: the value that it has in rows of such tables.
    """

    name: str
    type: DataType
    privacy: Privacy
    description: str
    unit: str | None = None
    required: bool = True
    minimum: int | None = None
    statistics: bool = False
    identifies: Identifier | None = None
    address: bool = False
    aliases: tuple[str, ...] = ()
    added: bool = False
    added_value: int | str | None = None

    def __post_init__(self) -> None:
        personal = {Privacy.DIRECT_IDENTIFIER, Privacy.QUASI_IDENTIFIER}
        if self.statistics and self.privacy in personal:
            msg = (
                f"Column {self.name}: statistics would put its values into the table's log, "
                f"which a {self.privacy.value} must never enter. Set statistics=False."
            )
            raise ValueError(msg)
        if self.added and self.required and self.added_value is None:
            msg = f"Column {self.name} is required and added: say which value the rows have that were stored before."
            raise ValueError(msg)


@dataclass(frozen=True)
class LandingSource:
    """The source of a landing table: the folder of its raw files and the fields of a line.

    Args:
        fields: the fields taken from a JSON object, in the table's column order.
        event_time: the field that says when a reading was taken.
        update_time: of what is no reading, the field that says when the record was last changed.
    """

    fields: tuple[Column, ...]
    event_time: str | None = None
    update_time: str | None = None

    @property
    def time(self) -> str | None:
        """The field whose value must be a time between 2015 and a day after the landing day."""
        return self.event_time or self.update_time

    @cached_property
    def spellings(self) -> Mapping[str, str]:
        """The name of a field by each of its spellings; in lower case those that hold in any case."""
        names = {spelling.lower(): one.name for one in self.fields for spelling in (one.name, *one.aliases)}
        return names | {one.name: one.name for one in self.fields}


@dataclass(frozen=True)
class Table:
    """The contract of one table.

    Args:
        name: also the asset key and the folder below the zone.
        zone: also the asset group.
        description: what one row is, and the rule that makes it so.
        columns: in stored order; ``landing_date`` is last and is the partition column.
        key: columns that together are unique within the whole table; empty if there is no key.
        lineage: for each column, the ``(table, column)`` pairs it comes from.
        max_age: how old the newest landing day, and the newest materialization, may be.
        source: for landing tables, the raw files' contract.
        inputs: for derived tables, the tables that it is computed from, and how much of each one partition needs.
        references: of a column, the ``(table, column)`` in which each of its values must be found.
        event_time: for tables of readings, the column that says when a reading was taken.
        consenting: whether every row must belong to a person who shares with research.
        anonymous: whether no direct identifier may be declared or stored.
        partition_by: stored partition columns.
    """

    name: str
    zone: Zone
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    lineage: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    max_age: timedelta = timedelta(days=2)
    source: LandingSource | None = None
    inputs: Mapping[str, Scope] = field(default_factory=dict)
    references: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    event_time: str | None = None
    consenting: bool = False
    anonymous: bool = False
    partition_by: tuple[str, ...] = ("landing_date",)

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        repeated = {name for name in names if names.count(name) > 1}
        if repeated:
            msg = f"Table {self.name} declares {sorted(repeated)} more than once."
            raise ValueError(msg)
        if self.source is not None:
            object.__setattr__(self, "event_time", self.source.event_time)
        times = {self.event_time} if self.event_time else set()
        unknown = sorted({*self.key, *self.lineage, *self.references, *self.partition_by, *times} - set(names))
        if unknown:
            msg = (
                f"Table {self.name}: {unknown} are named by its key, lineage, references, partitions or event time but "
                "are not its columns."
            )
            raise ValueError(msg)
        identifiers = [c.name for c in self.columns if c.privacy is Privacy.DIRECT_IDENTIFIER]
        if self.anonymous and identifiers:
            msg = (
                f"Table {self.name} is anonymous, so it cannot declare the direct identifiers "
                f"{identifiers}. Leave them out, or carry a pseudonym such as subject_id instead."
            )
            raise ValueError(msg)

    @property
    def path(self) -> str:
        """The table's path below the lake's root: ``<zone>/<table>``."""
        return f"{self.zone.value}/{self.name}"

    @property
    def landing_source(self) -> LandingSource:
        """The raw files' contract.

        Raises:
            ValueError: the table is no landing table.
        """
        if self.source is None:
            msg = f"{self.name} is not a landing table: its contract has no source."
            raise ValueError(msg)
        return self.source

    @property
    def data_columns(self) -> tuple[Column, ...]:
        """The columns that the data files hold: all but the partition columns."""
        return tuple(c for c in self.columns if c.name not in self.partition_by)

    @property
    def subject_columns(self) -> tuple[Column, ...]:
        """The columns that say whose a row is: the e-mail alone where there is one, else what there is."""
        found = tuple(column for column in self.columns if column.identifies is not None)
        emails = tuple(column for column in found if column.identifies is Identifier.EMAIL)
        return emails or found

    @property
    def subject_column(self) -> Column:
        """The only column that says whose a row is.

        Raises:
            ValueError: there are several, or none.
        """
        (column,) = self.subject_columns
        return column

    @property
    def has_one_row_per_subject(self) -> bool:
        """Whether a subject has one row in a partition at most, by the key."""
        return self.key == tuple(column.name for column in self.subject_columns)

    @property
    def column_names(self) -> tuple[str, ...]:
        """All column names, in stored order."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """The column called ``name``.

        Raises:
            KeyError: there is none; the message lists those there are.
        """
        for column in self.columns:
            if column.name == name:
                return column
        msg = f"Table {self.name} has no column {name!r}; it has {', '.join(self.column_names)}."
        raise KeyError(msg)
