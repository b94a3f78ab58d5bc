"""The shared dictionary of columns: one definition for every name that the tables use.

A column that means the same in two tables is the same object in both. What one table says
differently (a field that is optional at the source only, say) is derived with ``replace``. A column that only one table
has may stand beside that table's contract instead, until a second one needs it.
"""

from __future__ import annotations

from stedi_assets.contracts.model import Column, DataType, Identifier, Privacy

_MS = "ms since 1970-01-01 UTC"

CUSTOMER_NAME = Column("customerName", DataType.TEXT, Privacy.DIRECT_IDENTIFIER, "Full name.", required=False)
EMAIL = Column(
    "email",
    DataType.TEXT,
    Privacy.DIRECT_IDENTIFIER,
    "E-mail address, which identifies the customer; trimmed and lower-cased from the trusted zone on.",
    identifies=Identifier.EMAIL,
    address=True,
)
PHONE = Column("phone", DataType.TEXT, Privacy.DIRECT_IDENTIFIER, "Phone number.", required=False)
BIRTHDAY = Column(
    "birthDay",
    DataType.TEXT,
    Privacy.QUASI_IDENTIFIER,
    "Birthday as text: many lie before any year that a timestamp type holds everywhere.",
    required=False,
)
SERIAL_NUMBER = Column(
    "serialNumber",
    DataType.TEXT,
    Privacy.DIRECT_IDENTIFIER,
    "Serial number of the Step Trainer; trimmed and lower-cased from the trusted zone on.",
    identifies=Identifier.DEVICE,
)
REGISTRATION_DATE = Column(
    "registrationDate",
    DataType.INTEGER,
    Privacy.QUASI_IDENTIFIER,
    "When the customer registered.",
    unit=_MS,
    required=False,
)
LAST_UPDATE_DATE = Column(
    "lastUpdateDate",
    DataType.INTEGER,
    Privacy.QUASI_IDENTIFIER,
    "When the record was last changed; the greatest decides which of a customer's records counts.",
    unit=_MS,
)
SHARE_WITH_RESEARCH = Column(
    "shareWithResearchAsOfDate",
    DataType.INTEGER,
    Privacy.QUASI_IDENTIFIER,
    "Since when the customer shares with research. Null, 0, negative or later than the landing day is no consent.",
    unit=_MS,
    required=False,
)
SHARE_WITH_PUBLIC = Column(
    "shareWithPublicAsOfDate",
    DataType.INTEGER,
    Privacy.QUASI_IDENTIFIER,
    "Since when the customer shares with the public.",
    unit=_MS,
    required=False,
)
SHARE_WITH_FRIENDS = Column(
    "shareWithFriendsAsOfDate",
    DataType.INTEGER,
    Privacy.QUASI_IDENTIFIER,
    "Since when the customer shares with friends.",
    unit=_MS,
    required=False,
)
USER = Column(
    "user",
    DataType.TEXT,
    Privacy.DIRECT_IDENTIFIER,
    "E-mail address of whoever wore the phone; trimmed and lower-cased from the trusted zone on.",
    identifies=Identifier.EMAIL,
)
TIMESTAMP = Column(
    "timestamp",
    DataType.INTEGER,
    Privacy.SENSOR,
    "When the acceleration was measured.",
    unit=_MS,
    statistics=True,
    aliases=("timeStamp",),
)
X = Column("x", DataType.NUMBER, Privacy.SENSOR, "Acceleration along x, as the app reports it.")
Y = Column("y", DataType.NUMBER, Privacy.SENSOR, "Acceleration along y, as the app reports it.")
Z = Column("z", DataType.NUMBER, Privacy.SENSOR, "Acceleration along z, as the app reports it.")
SENSOR_READING_TIME = Column(
    "sensorReadingTime", DataType.INTEGER, Privacy.SENSOR, "When the distance was measured.", unit=_MS, statistics=True
)
DISTANCE_FROM_OBJECT = Column(
    "distanceFromObject",
    DataType.INTEGER,
    Privacy.SENSOR,
    "Distance of the object, as the sensor reports it.",
    minimum=0,
)
SUBJECT_ID = Column(
    "subject_id",
    DataType.TEXT,
    Privacy.QUASI_IDENTIFIER,
    "Pseudonym of the customer, of a pair that of whoever wore the phone: HMAC-SHA256 of the e-mail under the secret "
    "key, in hex.",
    identifies=Identifier.PSEUDONYM,
)
DEVICE_SUBJECT_ID = Column(
    "device_subject_id",
    DataType.TEXT,
    Privacy.QUASI_IDENTIFIER,
    "Pseudonym of the customer whose Step Trainer it is; null where several consenting customers claim it.",
    required=False,
    identifies=Identifier.PSEUDONYM,
)
SAME_CUSTOMER = Column(
    "same_customer",
    DataType.BOOLEAN,
    Privacy.OPERATIONAL,
    "Whether the wearer of the phone is a claimant of the Step Trainer; false for a pair made by time alone.",
)
GRANT_NUMBER = Column(
    "grant_number",
    DataType.INTEGER,
    Privacy.QUASI_IDENTIFIER,
    "Which of the customer's intervals it is, in the order of their records, from 1; later ones are numbered anew when "
    "an earlier one lands.",
    minimum=1,
)
GRANTED_AT = Column(
    "granted_at",
    DataType.INTEGER,
    Privacy.QUASI_IDENTIFIER,
    "Since when the customer shares with research, as the first record of the interval says it.",
    unit=_MS,
)
WITHDRAWN_AT = Column(
    "withdrawn_at",
    DataType.INTEGER,
    Privacy.QUASI_IDENTIFIER,
    "When the record that ends the interval was last changed (of a doubt: the record before it); null while it holds.",
    unit=_MS,
    required=False,
)
WITHDRAWN_LANDING_DATE = Column(
    "withdrawn_landing_date",
    DataType.DATE,
    Privacy.QUASI_IDENTIFIER,
    "UTC day on which the record that ends the interval landed; null while it holds.",
    required=False,
)
ENDED_BY = Column(
    "ended_by",
    DataType.TEXT,
    Privacy.QUASI_IDENTIFIER,
    "What ends the interval: ``withdrawal``, or ``doubt`` where a record that landed could not be read; null while it "
    "holds.",
    required=False,
    added=True,
)
SOURCE_FILE = Column(
    "source_file", DataType.TEXT, Privacy.OPERATIONAL, "Raw file that the row came from, below the landing root."
)
SOURCE_LINE = Column(
    "source_line",
    DataType.INTEGER,
    Privacy.OPERATIONAL,
    "Number of the line of the raw file on which it begins, from 1.",
    minimum=1,
)
SOURCE_OBJECT = Column(
    "source_object",
    DataType.INTEGER,
    Privacy.OPERATIONAL,
    "Which of the objects (or texts that are none) that begin on that line, from 1.",
    minimum=1,
    added=True,
    added_value=1,
)
LANDING_TABLE = Column(
    "landing_table", DataType.TEXT, Privacy.OPERATIONAL, "Landing table that the raw file was meant for."
)
REASON = Column("reason", DataType.TEXT, Privacy.OPERATIONAL, "Why the text was rejected; never a value of it.")
LINE = Column("line", DataType.TEXT, Privacy.DIRECT_IDENTIFIER, "The rejected text; bytes that are not UTF-8 as \\xNN.")
SIZE = Column("size", DataType.INTEGER, Privacy.OPERATIONAL, "Size of the raw file.", unit="bytes", minimum=0)
STAMP = Column(
    "stamp",
    DataType.TEXT,
    Privacy.OPERATIONAL,
    "What the store says of the file's content without reading it (size and modification time, or ETag).",
)
DIGEST = Column(
    "digest", DataType.TEXT, Privacy.OPERATIONAL, "SHA-256 of the file's bytes; tells a file that landed twice."
)
LINES = Column(
    "lines",
    DataType.INTEGER,
    Privacy.OPERATIONAL,
    "Objects, and texts that are none; of a file that does not count, lines that are not blank.",
    minimum=0,
)
ROWS = Column("rows", DataType.INTEGER, Privacy.OPERATIONAL, "Objects that became rows.", minimum=0)
REJECTED = Column("rejected", DataType.INTEGER, Privacy.OPERATIONAL, "Texts that were quarantined.", minimum=0)
UNKNOWN_KEYS = Column(
    "unknown_keys",
    DataType.TEXT,
    Privacy.OPERATIONAL,
    "How often keys occur that mean no field (JSON), by name where it looks like one; null where none does.",
    required=False,
    added=True,
)
DUPLICATE_OF = Column(
    "duplicate_of",
    DataType.TEXT,
    Privacy.OPERATIONAL,
    "Raw file with the same bytes that counts instead; null where this one counts.",
    required=False,
)
ERASED = Column(
    "erased",
    DataType.INTEGER,
    Privacy.OPERATIONAL,
    "Lines that were left out, because the person behind them was erased.",
    minimum=0,
)
ERASED_UNDER = Column(
    "erased_under",
    DataType.TEXT,
    Privacy.OPERATIONAL,
    "Under which erasure requests, and who had registered anew since (JSON); null where no line was left out.",
    required=False,
)
SUBJECT = Column(
    "subject",
    DataType.TEXT,
    Privacy.DIRECT_IDENTIFIER,
    "Whose readings they are: e-mail address or serial number, trimmed and lower-cased.",
    identifies=Identifier.EMAIL_OR_DEVICE,
)
READINGS = Column("readings", DataType.INTEGER, Privacy.SENSOR, "How many readings there are.", minimum=1)
FIRST_TIME = Column("first_time", DataType.INTEGER, Privacy.SENSOR, "When the first was taken.", unit=_MS)
LAST_TIME = Column("last_time", DataType.INTEGER, Privacy.SENSOR, "When the last was taken.", unit=_MS)
CONTENT = Column(
    "content",
    DataType.INTEGER,
    Privacy.OPERATIONAL,
    "Hash of the readings in any order; other readings have another.",
)
READINGS_TABLE = Column(
    "readings_table", DataType.TEXT, Privacy.OPERATIONAL, "The table of readings that the row speaks of."
)
LANDING_DATE = Column(
    "landing_date", DataType.DATE, Privacy.OPERATIONAL, "UTC day on which the data landed; the partition."
)
