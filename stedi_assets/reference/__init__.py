"""The reference computation: every rule of the tables a second time, over a whole landing history at once.

What belongs here: the rules in the plainest Python there is (dictionaries, sets, loops), so that a reader can hold each
function against the sentence that it quotes. `lines` says what a good line is, `landing` what the files come to,
`tables` what follows for the trusted and curated tables. What comes in: landed files, two policies and the pseudonym
key. What goes out: for every table a `Counter` of row tuples, their columns in the order of `COLUMNS`, or records.

What does not: speed, partitions, reruns, reconciliation, storage, all that the product adds, and any import of the
product (import-linter holds that). The tests compare the product with this package, and `stedi_assets.sample` counts
with it; code that both shared could be wrong in both and never show.

The caller passes only the files that count: those whose landing day lies in the range that the product takes
(`STEDI_FIRST_DAY` to today). A file that cannot be decompressed raises: for the product it is a failed partition, not a
row.
"""

from stedi_assets.reference.landing import (
    CUSTOMER_FIELDS,
    LANDING_TABLES,
    Customer,
    LandedFile,
    Landing,
    Tables,
    land,
)
from stedi_assets.reference.lines import (
    MILLISECONDS_A_DAY,
    WHITE_SPACE,
    RejectedLineError,
    Row,
    last_millisecond,
    normalise,
    parse,
)
from stedi_assets.reference.tables import (
    ASSETS,
    COLUMNS,
    Derived,
    Pairing,
    ReadingsBeforeConsent,
    claimants,
    compute,
    consent_intervals,
    consents,
    derive,
    latest_records,
    pseudonym,
    refine,
)

__all__ = [
    "ASSETS",
    "COLUMNS",
    "CUSTOMER_FIELDS",
    "LANDING_TABLES",
    "MILLISECONDS_A_DAY",
    "WHITE_SPACE",
    "Customer",
    "Derived",
    "LandedFile",
    "Landing",
    "Pairing",
    "ReadingsBeforeConsent",
    "RejectedLineError",
    "Row",
    "Tables",
    "claimants",
    "compute",
    "consent_intervals",
    "consents",
    "derive",
    "land",
    "last_millisecond",
    "latest_records",
    "normalise",
    "parse",
    "pseudonym",
    "refine",
]
