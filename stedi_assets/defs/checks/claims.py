"""Checks of who claims which device.

Dagster concept: the content of asset checks, which ``build`` hands to Dagster.

A check belongs here if it is about several customers who claim one device. They may share it, or one of their records
may be false: customer records are not signed.
Which readings of such a device are used is decided in ``transforms``.
"""

from __future__ import annotations

from stedi_assets.contracts import Table
from stedi_assets.contracts.names import normalized_sql, printable
from stedi_assets.defs.checks.from_contracts import WARN
from stedi_assets.defs.checks.model import Check, CheckContext, CheckOutcome
from stedi_assets.privacy.identity import CUSTOMERS, EMAIL, SERIAL

_SHOWN = 5
"""Records that a check names."""


def checks_of_claims(table: Table) -> list[Check]:
    """The checks of claims that a table has.

    Args:
        table: any table.
    """
    checks = []
    if table is CUSTOMERS:
        checks.append(
            Check(
                "devices_claimed_later",
                "No device that one customer claimed first is claimed by another on a later landing day.",
                _claimed_later,
                severity=WARN,
                whole=True,
            )
        )
    if table.name == "customer_trusted":
        checks.append(
            Check(
                "shared_serial_numbers",
                "No serial number is claimed by several customers.",
                _shared,
                severity=WARN,
                whole=True,
            )
        )
    return checks


def _claimed_later(checked: CheckContext) -> CheckOutcome:
    resources = checked.resources
    # Within a landing day nothing says which file came first, so claims of one day are no later than each other.
    later = resources.session.rows(
        f"""
        WITH claims AS (
            SELECT {normalized_sql(SERIAL)} AS device, {normalized_sql(EMAIL)} AS claimant,
                min((landing_date, source_file, source_line)) AS record
            FROM records GROUP BY ALL
        ), ranked AS (
            SELECT device, record, min(record[1]) OVER (PARTITION BY device) AS first_day FROM claims
        )
        SELECT device, record FROM ranked WHERE record[1] > first_day ORDER BY record
        """,
        records=resources.session.relation(checked.table, checked.snapshot.files),
    )
    devices = {device for device, _ in later}
    named = [f"{day}, {printable(file)}, line {line}" for _, (day, file, line) in later[:_SHOWN]]
    more = f" and {len(later) - _SHOWN} more" if len(later) > _SHOWN else ""
    return CheckOutcome(
        passed=not later,
        description=(
            f"{len(devices)} devices that one customer claimed first were claimed by another on a later landing day: "
            f"{'; '.join(named)}{more}. A false record could claim anybody's device: ask whoever delivered these, and "
            "see `stedi explain` for what a claim changes."
            if later
            else "Every device is claimed by whoever claimed it first."
        ),
        numbers={"devices": len(devices), "later claims": len(later)},
    )


def _shared(checked: CheckContext) -> CheckOutcome:
    serials, claimants = checked.query(
        'SELECT count(*), coalesce(sum(claimants), 0)::BIGINT FROM (SELECT "serialNumber", count(*) AS claimants '
        'FROM people GROUP BY "serialNumber" HAVING count(*) > 1)',
        people=checked.people,
    )
    return CheckOutcome(
        passed=not serials,
        description=f"{serials} serial numbers are claimed by {claimants} customers; their step readings are used only "
        "where it is clear that whoever moved consents.",
        numbers={"shared serial numbers": serials, "claimants": claimants},
    )
