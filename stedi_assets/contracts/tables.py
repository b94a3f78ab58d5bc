"""The tables: one contract each. Data only; see ``model`` for what the parts mean."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from stedi_assets.contracts import columns as c
from stedi_assets.contracts.model import LandingSource, Scope, Table, Zone

_CUSTOMER_FIELDS = (
    c.CUSTOMER_NAME,
    c.EMAIL,
    c.PHONE,
    c.BIRTHDAY,
    c.SERIAL_NUMBER,
    c.REGISTRATION_DATE,
    c.LAST_UPDATE_DATE,
    c.SHARE_WITH_RESEARCH,
    c.SHARE_WITH_PUBLIC,
    c.SHARE_WITH_FRIENDS,
)
_ACCELEROMETER_FIELDS = (c.USER, c.TIMESTAMP, c.X, c.Y, c.Z)
_STEP_TRAINER_FIELDS = (c.SENSOR_READING_TIME, c.SERIAL_NUMBER, c.DISTANCE_FROM_OBJECT)

_Lineage = dict[str, tuple[tuple[str, str], ...]]


def _same(upstream: str, *names: str) -> _Lineage:
    """Lineage of columns that come from the column of the same name in ``upstream``."""
    return {name: ((upstream, name),) for name in names}


_CUSTOMER_NAMES = tuple(column.name for column in _CUSTOMER_FIELDS)

CUSTOMER_LANDING = Table(
    name="customer_landing",
    zone=Zone.LANDING,
    description="One customer record as landed: typed, values as delivered, every record of every customer.",
    columns=(*_CUSTOMER_FIELDS, c.SOURCE_FILE, c.SOURCE_LINE, c.SOURCE_OBJECT, c.LANDING_DATE),
    key=("source_file", "source_line", "source_object"),
    source=LandingSource(fields=_CUSTOMER_FIELDS, update_time="lastUpdateDate"),
    max_age=timedelta(days=7),
)
ACCELEROMETER_LANDING = Table(
    name="accelerometer_landing",
    zone=Zone.LANDING,
    description="One accelerometer reading of the phone app as landed: typed, values as delivered.",
    columns=(*_ACCELEROMETER_FIELDS, c.SOURCE_FILE, c.LANDING_DATE),
    source=LandingSource(fields=_ACCELEROMETER_FIELDS, event_time="timestamp"),
)
STEP_TRAINER_LANDING = Table(
    name="step_trainer_landing",
    zone=Zone.LANDING,
    description="One distance reading of a Step Trainer as landed: typed, values as delivered.",
    columns=(*_STEP_TRAINER_FIELDS, c.SOURCE_FILE, c.LANDING_DATE),
    source=LandingSource(fields=_STEP_TRAINER_FIELDS, event_time="sensorReadingTime"),
)
LANDING_QUARANTINE = Table(
    name="landing_quarantine",
    zone=Zone.LANDING,
    description="One rejected text, with where it came from and why: nothing that landed is dropped or coerced.",
    columns=(
        c.SOURCE_FILE,
        c.SOURCE_LINE,
        c.SOURCE_OBJECT,
        c.REASON,
        c.LINE,
        c.LANDING_TABLE,
        c.LANDING_DATE,
    ),
    key=("source_file", "source_line", "source_object"),
    partition_by=("landing_table", "landing_date"),
)
LANDING_FILES = Table(
    name="landing_files",
    zone=Zone.LANDING,
    description="One raw file and what became of its lines; what the landing sensor compares the folders with.",
    columns=(
        c.SOURCE_FILE,
        c.SIZE,
        c.STAMP,
        c.DIGEST,
        c.LINES,
        c.ROWS,
        c.REJECTED,
        c.DUPLICATE_OF,
        c.ERASED,
        c.ERASED_UNDER,
        c.UNKNOWN_KEYS,
        c.LANDING_TABLE,
        c.LANDING_DATE,
    ),
    key=("source_file", "landing_date"),
    partition_by=("landing_table", "landing_date"),
)
READINGS_INDEX = Table(
    name="readings_index",
    zone=Zone.LANDING,
    description=(
        "Of one table of readings and one landing day, one person (by e-mail) or device (by serial number) with "
        "readings: how many, and when. Written with the partition that it speaks of."
    ),
    columns=(
        c.SUBJECT,
        c.READINGS,
        c.FIRST_TIME,
        c.LAST_TIME,
        c.CONTENT,
        c.READINGS_TABLE,
        c.LANDING_DATE,
    ),
    key=("subject", "readings_table", "landing_date"),
    partition_by=("readings_table", "landing_date"),
)
CUSTOMER_TRUSTED = Table(
    name="customer_trusted",
    zone=Zone.TRUSTED,
    description=(
        "One customer who shares with research now, in the partition of their latest record. "
        "The latest record per e-mail over all landing days decides."
    ),
    columns=(
        *(replace(f, required=True) if f is c.SHARE_WITH_RESEARCH else f for f in _CUSTOMER_FIELDS),
        c.LANDING_DATE,
    ),
    key=("email",),
    lineage=_same("customer_landing", *_CUSTOMER_NAMES, "landing_date"),
    inputs={"customer_landing": Scope.ALL_DAYS},
    consenting=True,
    max_age=timedelta(days=7),
)
ACCELEROMETER_TRUSTED = Table(
    name="accelerometer_trusted",
    zone=Zone.TRUSTED,
    description=(
        "One accelerometer reading of a customer who shares with research; exact duplicates of a landing day once."
    ),
    columns=(*_ACCELEROMETER_FIELDS, c.LANDING_DATE),
    key=("user", "timestamp", "x", "y", "z", "landing_date"),
    lineage=_same("accelerometer_landing", "user", "timestamp", "x", "y", "z", "landing_date")
    | {"user": (("accelerometer_landing", "user"), ("customer_trusted", "email"))},
    references={"user": ("customer_trusted", "email")},
    inputs={"accelerometer_landing": Scope.SAME_DAYS, "customer_landing": Scope.ALL_DAYS},
    event_time="timestamp",
    consenting=True,
)
CUSTOMERS_CURATED = Table(
    name="customers_curated",
    zone=Zone.CURATED,
    description="One customer who shares with research and has accelerometer readings, with their pseudonym.",
    columns=(*CUSTOMER_TRUSTED.columns[:-1], c.SUBJECT_ID, c.LANDING_DATE),
    key=("email",),
    lineage=_same("customer_trusted", *_CUSTOMER_NAMES, "landing_date")
    | {
        "email": (("customer_trusted", "email"), ("accelerometer_trusted", "user")),
        "subject_id": (("customer_trusted", "email"),),
    },
    references={"email": ("customer_trusted", "email")},
    inputs={
        "customer_trusted": Scope.SAME_DAYS,
        "accelerometer_trusted": Scope.SUBJECTS,
        "customer_landing": Scope.ALL_DAYS,
    },
    consenting=True,
    max_age=timedelta(days=7),
)
CONSENT_HISTORY = Table(
    name="consent_history",
    zone=Zone.CURATED,
    description=(
        "One interval in which a customer allowed research use, by all of their records in the order that decides "
        "which is the latest: from one that consents to the next that does not, or could not be read. Of "
        "everybody who ever consented, by pseudonym alone. In the partition of the record that began it."
    ),
    columns=(
        c.SUBJECT_ID,
        c.GRANT_NUMBER,
        c.GRANTED_AT,
        c.WITHDRAWN_AT,
        c.WITHDRAWN_LANDING_DATE,
        c.ENDED_BY,
        c.LANDING_DATE,
    ),
    # Records of one day can say the same dates in any order of consent, so no dates tell two intervals apart. The
    # file and the line of a record would, and would lead from the pseudonym to the name.
    key=("subject_id", "grant_number"),
    lineage={
        "subject_id": (("customer_landing", "email"),),
        "grant_number": (("customer_landing", "lastUpdateDate"), ("customer_landing", "shareWithResearchAsOfDate")),
        "granted_at": (("customer_landing", "shareWithResearchAsOfDate"),),
        "withdrawn_at": (("customer_landing", "lastUpdateDate"),),
        "withdrawn_landing_date": (("customer_landing", "landing_date"),),
        "ended_by": (("customer_landing", "shareWithResearchAsOfDate"), ("landing_quarantine", "line")),
        "landing_date": (("customer_landing", "landing_date"),),
    },
    inputs={"customer_landing": Scope.ALL_DAYS},
    anonymous=True,
    max_age=timedelta(days=7),
)
STEP_TRAINER_TRUSTED = Table(
    name="step_trainer_trusted",
    zone=Zone.TRUSTED,
    description=(
        "One distance reading of a Step Trainer of a curated customer; exact duplicates of a landing day once. "
        "Of a device that someone who does not share claims as well, only readings that can be told apart."
    ),
    columns=(*_STEP_TRAINER_FIELDS, c.LANDING_DATE),
    key=("sensorReadingTime", "serialNumber", "distanceFromObject", "landing_date"),
    lineage=_same("step_trainer_landing", "sensorReadingTime", "distanceFromObject", "landing_date")
    | {
        "serialNumber": (
            ("step_trainer_landing", "serialNumber"),
            ("customers_curated", "serialNumber"),
            ("customer_landing", "serialNumber"),
        )
    },
    references={"serialNumber": ("customers_curated", "serialNumber")},
    inputs={
        "step_trainer_landing": Scope.SAME_DAYS,
        "customers_curated": Scope.ALL_DAYS,
        "customer_landing": Scope.ALL_DAYS,
        "accelerometer_landing": Scope.OVERLAPPING_TIMES,
    },
    event_time="sensorReadingTime",
    consenting=True,
)
MACHINE_LEARNING_CURATED = Table(
    name="machine_learning_curated",
    zone=Zone.CURATED,
    description=(
        "One distance reading with one accelerometer reading of the same millisecond, without identifiers and without "
        "a label: nothing says where a step is. The public data has a reading every two to four seconds, so steps, "
        "about two a second, cannot be learnt from it. In the partition of the half that landed later."
    ),
    columns=(
        c.SUBJECT_ID,
        c.DEVICE_SUBJECT_ID,
        c.SENSOR_READING_TIME,
        c.DISTANCE_FROM_OBJECT,
        c.X,
        c.Y,
        c.Z,
        c.SAME_CUSTOMER,
        c.LANDING_DATE,
    ),
    lineage={
        "subject_id": (("customers_curated", "subject_id"), ("accelerometer_trusted", "user")),
        "device_subject_id": (("customers_curated", "subject_id"), ("step_trainer_trusted", "serialNumber")),
        "sensorReadingTime": (
            ("step_trainer_trusted", "sensorReadingTime"),
            ("accelerometer_trusted", "timestamp"),
        ),
        "distanceFromObject": (("step_trainer_trusted", "distanceFromObject"),),
        "x": (("accelerometer_trusted", "x"),),
        "y": (("accelerometer_trusted", "y"),),
        "z": (("accelerometer_trusted", "z"),),
        "same_customer": (
            ("accelerometer_trusted", "user"),
            ("step_trainer_trusted", "serialNumber"),
            ("customer_trusted", "email"),
        ),
        "landing_date": (("step_trainer_trusted", "landing_date"), ("accelerometer_trusted", "landing_date")),
    },
    references={"subject_id": ("customers_curated", "subject_id")},
    inputs={
        "step_trainer_trusted": Scope.OVERLAPPING_TIMES,
        "accelerometer_trusted": Scope.OVERLAPPING_TIMES,
        "customers_curated": Scope.ALL_DAYS,
        "customer_landing": Scope.ALL_DAYS,
    },
    consenting=True,
    anonymous=True,
)

LANDING_TABLES: tuple[Table, ...] = (CUSTOMER_LANDING, ACCELEROMETER_LANDING, STEP_TRAINER_LANDING)
"""The tables that raw files land in."""

ASSET_TABLES: tuple[Table, ...] = (
    *LANDING_TABLES,
    CUSTOMER_TRUSTED,
    ACCELEROMETER_TRUSTED,
    CUSTOMERS_CURATED,
    CONSENT_HISTORY,
    STEP_TRAINER_TRUSTED,
    MACHINE_LEARNING_CURATED,
)
"""The tables that are materialized as assets, in an order in which they can be."""

DERIVED_TABLES: tuple[Table, ...] = tuple(table for table in ASSET_TABLES if table.inputs)
"""The tables that are computed from other tables."""

READINGS_TABLES: tuple[Table, ...] = tuple(table for table in ASSET_TABLES if table.event_time)
"""The tables of readings, which the readings index speaks of."""

SIDE_TABLES: tuple[Table, ...] = (LANDING_QUARANTINE, LANDING_FILES, READINGS_INDEX)
"""The tables that are written together with partitions of others."""

TABLES: dict[str, Table] = {t.name: t for t in (*ASSET_TABLES, *SIDE_TABLES)}
"""Every table of the lake, by name."""


def table(name: str) -> Table:
    """The contract of the table called ``name``.

    Raises:
        KeyError: there is none; the message lists those there are.
    """
    try:
        return TABLES[name]
    except KeyError:
        msg = f"There is no table {name!r}; there are {', '.join(TABLES)}."
        raise KeyError(msg) from None
