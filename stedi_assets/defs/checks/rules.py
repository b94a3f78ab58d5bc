"""Checks of stored rows: people who consent, no identifiers, references, the readings index, pairs of one customer.

Dagster concept: the content of asset checks, which ``build`` hands to Dagster.

A check belongs here if it looks at rows and no contract can say what it verifies; those of raw files and rejected texts
are in ``deliveries``, those of who claims which device in ``claims``. Who consents is decided in ``transforms``, and
how a stored row is traced to a person in ``staleness.consent``.
"""

from __future__ import annotations

from typing import Any

from stedi_assets.contracts import READINGS_TABLES, DataType, Privacy, Table
from stedi_assets.contracts import table as contract
from stedi_assets.defs.checks.from_contracts import WARN
from stedi_assets.defs.checks.model import Check, CheckContext, CheckOutcome
from stedi_assets.engines.sql import named
from stedi_assets.staleness.consent import CONSENTING, rows_without_consent, without_consent
from stedi_assets.staleness.fingerprints import expected_fingerprints
from stedi_assets.staleness.index import ReadingsIndex

# Of a whole value: a phone number, or the 8-4-4-4-12 of a serial number. An e-mail shows by its @.
_PHONE = r"\+?[0-9][0-9 ().-]{5,19}"
_LONGEST = 36
_SERIAL = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"


def table_checks(table: Table) -> list[Check]:
    """The hand-written checks of a table."""
    checks: list[Check] = []
    if table in READINGS_TABLES:
        checks.append(
            Check(
                "indexed", "The readings index is of the stored rows and counts all of them.", _indexed, severity=WARN
            )
        )
    if table.consenting:
        checks.append(
            Check("consent", "No row is of a person who does not share with research.", _consent, blocking=True)
        )
        # Not blocking: the run of a day on which somebody withdrew cannot mend the other days.
        checks.append(
            Check(
                "consent_of_the_whole_table",
                "Of no landing day is a row of a person who does not share with research.",
                _consent_everywhere,
                whole=True,
            )
        )
    if table.name == "consent_history":
        checks.append(
            Check(
                "consent",
                "Who shares with research now has one open interval, nobody else any.",
                _open_intervals,
                blocking=True,
            )
        )
    if table.anonymous:
        checks.append(
            Check("no_identifiers", "No direct identifier, by column and by value.", _identifiers, blocking=True)
        )
    if table.references:
        checks.append(
            Check("references", "Every row refers to rows of the tables it is made from.", _references, severity=WARN)
        )
    if table.name == "machine_learning_curated":
        checks.append(
            Check(
                "same_customer",
                "Every pair is of one customer's two sensors.",
                _same_customer,
                severity=WARN,
                measures={"rows": "count(*)", "same customer": "count(*) FILTER (WHERE same_customer)"},
            )
        )
    return checks


def _indexed(checked: CheckContext) -> CheckOutcome:
    resources, snapshot = checked.resources, checked.snapshot
    index = ReadingsIndex(resources.session, resources.lakehouse.snapshot(contract("readings_index")))
    days = snapshot.days().keys() if checked.days is None else checked.days
    missing = len(index.missing(snapshot) & set(days))
    stored = sum(file.rows for file in snapshot.select(checked.days))
    ((counted,),) = resources.session.rows(
        "SELECT coalesce(sum(readings), 0)::BIGINT FROM readings_index", readings_index=index.of(snapshot, checked.days)
    )
    return CheckOutcome(
        passed=not missing and counted == stored,
        description=f"{missing} landing days have no partition in readings_index that is of their files; of {stored} "
        f"rows it counts {counted}. Where it lacks a day, runs are slower, and nothing else; `stedi materialize` "
        "writes it.",
        numbers={"landing days without an index": missing, "rows": stored, "readings": counted},
    )


def _consent(checked: CheckContext) -> CheckOutcome:
    frames: dict[str, Any] = {"customers": checked.people, "texts": checked.texts}
    if checked.table.anonymous:
        frames["curated"] = checked.relation("customers_curated")
    condition = without_consent(checked.table)
    (rows,) = checked.query(f"SELECT coalesce(sum(n), 0)::BIGINT FROM texts WHERE {condition}", **frames)
    return CheckOutcome(
        passed=not rows,
        description=f"{rows} rows are of people whose latest record does not consent.",
        numbers={"rows without consent": rows},
    )


def _consent_everywhere(checked: CheckContext) -> CheckOutcome:
    rows_by_day = rows_without_consent(checked.resources.view(), checked.table)
    rows = sum(rows_by_day.values())
    return CheckOutcome(
        passed=not rows,
        description=f"{rows} rows on {len(rows_by_day)} landing days of the whole table are of people whose latest "
        "record does not consent; the consent sensor and `stedi materialize` take them out.",
        numbers={"rows without consent": rows, "landing days with such rows": len(rows_by_day)},
    )


def _open_intervals(checked: CheckContext) -> CheckOutcome:
    resources, name = checked.resources, checked.table.name
    view = resources.view()
    stored, expected = view.snapshot(name), expected_fingerprints(view, name)
    made, days = stored.fingerprints(), {file.landing_date for file in stored.files if file.rows}
    # Somebody's intervals may lie on any day, so who has none open shows only in a table that is up to date. One that
    # is not is checked by the days of this run: the others still have to be made, and reconciliation says so.
    whole = days <= expected.keys() and all(made.get(day) == expected[day] for day in expected)
    people = view.customer_names
    consenting = resources.pseudonyms.subject_ids(resources.session.arrow(CONSENTING, customers=people))
    ((refused, repeated, lacking, halves),) = resources.session.rows(
        """
        WITH open AS (SELECT subject_id, count(*) AS intervals FROM history WHERE withdrawn_at IS NULL GROUP BY ALL)
        SELECT (SELECT count(*) FROM open ANTI JOIN consenting USING (subject_id)),
            (SELECT count(*) FROM open WHERE intervals > 1),
            (SELECT count(*) FROM consenting ANTI JOIN open USING (subject_id)),
            (SELECT count(*) FROM history WHERE (withdrawn_at IS NULL) <> (withdrawn_landing_date IS NULL))
        """,
        history=resources.session.cached_relation(checked.table, stored.select(None if whole else checked.days)),
        consenting=consenting.to_native(),
    )
    lacking = lacking if whole else 0
    return CheckOutcome(
        passed=not (refused or repeated or lacking or halves),
        description=f"{refused} people whose latest record does not consent have an open interval, {repeated} people "
        f"have several, {lacking} who consent have none; {halves} rows say only half of a withdrawal."
        + ("" if whole else " Only of the days of this run: others are to be made anew, see `stedi materialize`."),
        numbers={
            "open without consent": refused,
            "open several times": repeated,
            "consenting and not open": lacking,
            "half withdrawn": halves,
        },
    )


def _identifiers(checked: CheckContext) -> CheckOutcome:
    allowed = {c.name for c in checked.table.columns if c.privacy is not Privacy.DIRECT_IDENTIFIER}
    stored = checked.snapshot.schema
    columns = sorted(set(stored.names if stored is not None else ()) - allowed)
    texts = [named(c.name) for c in checked.table.data_columns if c.type is DataType.TEXT]
    # A pseudonym is longer than any phone or serial number and has no @, so the cheap half decides for nearly all.
    shape = f"({_PHONE}|{_SERIAL})"
    found = " + ".join(
        f"coalesce(sum(n) FILTER (WHERE contains({name}, '@') "
        f"OR (strlen({name}) <= {_LONGEST} AND regexp_full_match({name}, '{shape}'))), 0)"
        for name in texts
    )
    (values,) = checked.query(f"SELECT ({found or '0'})::BIGINT FROM texts", texts=checked.texts)
    return CheckOutcome(
        passed=not columns and not values,
        description=f"Columns that are direct identifiers: {', '.join(columns) or 'none'}; values that look like an "
        f"e-mail, a phone number or a serial number: {values}.",
        numbers={"identifying columns": len(columns), "identifying values": values},
    )


def _references(checked: CheckContext) -> CheckOutcome:
    dangling = {column: _dangling(checked, column) for column in checked.table.references}
    missing = [
        f"{rows} rows have a {column} that is not in {checked.table.references[column][0]}"
        for column, rows in dangling.items()
    ]
    return CheckOutcome(
        passed=not any(dangling.values()),
        description=f"{', '.join(missing)}; if a landing day has not been run yet, run `stedi materialize`.",
        numbers={"dangling rows": sum(dangling.values())},
    )


def _dangling(checked: CheckContext, column: str) -> int:
    """The rows whose value of a column is not where the contract says that it must be found."""
    upstream, key = checked.table.references[column]
    (rows,) = checked.query(
        f"SELECT coalesce(sum(n), 0)::BIGINT FROM texts WHERE {named(column)} NOT IN "
        f"(SELECT {named(key)} FROM upstream)",
        texts=checked.texts,
        upstream=checked.relation(upstream),
    )
    return int(rows)


def _same_customer(checked: CheckContext) -> CheckOutcome:
    rows, same = checked.measured["rows"], checked.measured["same customer"]
    return CheckOutcome(
        passed=rows == same,
        description=f"{rows - same} of {rows} pairs join different customers who share a millisecond; filter by "
        "same_customer, or set STEDI_PAIRING=customer.",
        numbers={"pairs": rows, "same customer": same, "different customers": rows - same},
    )
