"""The columns by which people are recognised in landing tables, as the contracts of these tables declare them."""

from __future__ import annotations

from stedi_assets.contracts import Identifier, Privacy, Table
from stedi_assets.contracts import table as contract
from stedi_assets.contracts.columns import REGISTRATION_DATE


def identifying_column(table: Table, identifier: Identifier) -> str:
    """The name of the only column of a table that identifies people in a certain way.

    Args:
        table: the table.
        identifier: how its values say whose a row is.

    Raises:
        ValueError: there are several such columns, or none.
    """
    (name,) = (column.name for column in table.columns if column.identifies is identifier)
    return name


CUSTOMERS = contract("customer_landing")
"""The table of customer records, which say whose a device is."""

EMAIL = identifying_column(CUSTOMERS, Identifier.EMAIL)
"""The column of a customer record with the e-mail."""

SERIAL = identifying_column(CUSTOMERS, Identifier.DEVICE)
"""The column of a customer record with the serial number of a device."""

MARKS = tuple(
    column.name
    for column in CUSTOMERS.columns
    if column.privacy is Privacy.DIRECT_IDENTIFIER and column.identifies is None
)
"""The columns of a customer record that name a person but are no key: name and phone number."""

REGISTERED = REGISTRATION_DATE.name
"""The column of a customer record with the time of registration."""

MOVEMENTS = contract("accelerometer_landing")
"""The table of readings by e-mail."""

STEPS = contract("step_trainer_landing")
"""The table of readings by device."""
