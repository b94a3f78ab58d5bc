"""Checks that say what only some tables can: consent, references, nothing lost, no identifiers, warnings.

Dagster concept: the content of asset checks, which ``build`` hands to Dagster.

A check belongs here if a contract cannot say what it verifies. Who consents is decided in ``transforms``, and how a
stored row is traced to a person in ``staleness.consent``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from stedi_assets.contracts import READINGS_TABLES, DataType, Privacy, Table
from stedi_assets.contracts import table as contract
from stedi_assets.contracts.names import printable
from stedi_assets.defs.checks.from_contracts import WARN
from stedi_assets.defs.checks.model import Check, CheckContext, CheckOutcome
from stedi_assets.engines.sql import named
from stedi_assets.landing.day_plan import MOST_KEYS, OTHER_KEYS
from stedi_assets.landing.manifest import ManifestEntry, manifest_entries
from stedi_assets.landing.rejections import days_with_many_rejected, unknown_keys, unread_files
from stedi_assets.privacy.dismissals import Dismissals
from stedi_assets.privacy.identity import CUSTOMERS, EMAIL, MARKS, SERIAL
from stedi_assets.staleness.consent import CONSENTING, rows_without_consent, without_consent
from stedi_assets.staleness.doubt import OpenText, open_texts
from stedi_assets.staleness.fingerprints import expected_fingerprints
from stedi_assets.staleness.index import ReadingsIndex

# Of a whole value: a phone number, or the 8-4-4-4-12 of a serial number. An e-mail shows by its @.
_PHONE = r"\+?[0-9][0-9 ().-]{5,19}"
_LONGEST = 36
_SHOWN = 5
"""Days or files that a check names."""
_SERIAL = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"


def table_checks(table: Table) -> list[Check]:
    """The hand-written checks of a table."""
    checks: list[Check] = []
    if table.source is not None:
        checks += [
            Check(
                "nothing_lost",
                "Lines that landed = rows + quarantined lines + lines of skipped duplicate files and of erased people.",
                _nothing_lost,
                blocking=True,
                measures={"rows": "count(*)"},
            ),
            Check("rejected_lines", "No line was quarantined.", _rejected, severity=WARN),
            # Not blocking: what was read is right, and whoever must mend the files is not whoever waits for tables.
            Check(
                "few_rejected",
                "Nearly all that landed could be read, and something of each file.",
                _few_rejected,
                keeps_open=True,
            ),
            Check("unknown_keys", "Every key of what landed means a field.", _unknown_keys, severity=WARN),
            Check(
                "files_left_alone",
                "Every file below the landing folder is dated and can be read.",
                _left_alone,
                whole=True,
                keeps_open=True,
            ),
            Check("duplicate_files", "No file landed twice.", _duplicates, severity=WARN),
        ]
    if table is CUSTOMERS:
        checks += [
            Check(
                "unattributed_texts",
                "No customer record that could not be read is open and names nobody who is known.",
                _unattributed,
                whole=True,
                keeps_open=True,
            ),
            Check(
                "consent_in_doubt",
                "Nobody is kept out of the tables by a customer record that could not be read.",
                _in_doubt,
                severity=WARN,
                whole=True,
                keeps_open=True,
            ),
        ]
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


def _nothing_lost(checked: CheckContext) -> CheckOutcome:
    resources, name = checked.resources, checked.table.name
    days = checked.days
    files = [
        file
        for file in manifest_entries(resources.session, resources.lakehouse, checked.table)
        if days is None or file.landing_date in days
    ]
    counted = [file for file in files if file.duplicate_of is None]
    lines = sum(file.lines for file in files)
    skipped = lines - sum(file.lines for file in counted)
    quarantine = resources.lakehouse.snapshot(contract("landing_quarantine"))
    rejected = sum(file.rows for file in quarantine.part("landing_table", name, days))
    erased = sum(file.erased for file in files)
    rows = checked.measured["rows"]
    return CheckOutcome(
        passed=lines == rows + rejected + skipped + erased,
        description=f"{lines} lines landed; {rows} are rows, {rejected} are quarantined, {skipped} are in skipped "
        "duplicates" + (f", {erased} are of people who were erased." if erased else "."),
        numbers={"lines": lines, "rows": rows, "quarantined": rejected, "skipped": skipped, "erased": erased},
    )


def _rejected(checked: CheckContext) -> CheckOutcome:
    quarantine = checked.resources.lakehouse.snapshot(contract("landing_quarantine"))
    rejected = sum(file.rows for file in quarantine.part("landing_table", checked.table.name, checked.days))
    return CheckOutcome(
        passed=not rejected,
        description=f"{rejected} lines are in landing_quarantine, each with its file, line number and reason.",
        numbers={"quarantined": rejected},
    )


def _few_rejected(checked: CheckContext) -> CheckOutcome:
    entries = _entries(checked)
    limit = checked.resources.settings.max_rejected
    dismissed = _dismissed(checked)
    days, files = days_with_many_rejected(entries, limit, dismissed), unread_files(entries, dismissed)
    many = [f"{day} ({rejected} of {texts})" for day, (rejected, texts) in days.items()]
    found = []
    if days:
        found.append(f"On {len(days)} landing days more than {limit:.4g} of the texts were rejected: {_listed(many)}.")
    if files:
        found.append(f"Of {len(files)} files nothing was read: {_listed([file.source_file for file in files])}.")
    if found:
        found.append("Mend the raw files, or see `stedi quarantine --all` and dismiss what may stay as it is.")
    else:
        found.append("Nearly everything was read.")
    return CheckOutcome(
        passed=not days and not files,
        description=" ".join(found),
        numbers={
            "landing days": len(days),
            "rejected": sum(rejected for rejected, _ in days.values()),
            "files not read": len(files),
        },
    )


def _dismissed(checked: CheckContext) -> Counter[str]:
    """How many rejected texts of each raw file are dismissed."""
    resources, quarantine = checked.resources, contract("landing_quarantine")
    dismissals = Dismissals(resources.privacy)
    if not dismissals.decisions:
        return Counter()
    files = resources.lakehouse.snapshot(quarantine).part("landing_table", checked.table.name, checked.days)
    texts = resources.session.relation(quarantine, files).to_arrow_table()
    return Counter(texts["source_file"].filter(dismissals.are_dismissed(texts)).to_pylist())


def _unknown_keys(checked: CheckContext) -> CheckOutcome:
    counts = _without_values(checked, unknown_keys(_entries(checked)))
    named_ones = ", ".join(f"{name} ({number})" for name, number in counts.most_common(MOST_KEYS))
    return CheckOutcome(
        passed=not counts,
        description=f"Keys that mean no field, and how often they occur: {named_ones or 'none'}. One of them may be a "
        "field, spelt in another way.",
        numbers={"unknown keys": len(counts)},
    )


def _without_values(checked: CheckContext, counts: Counter[str]) -> Counter[str]:
    """The counts of keys by name; of those that are a customer's name or number without a name."""
    snapshot = checked.resources.lakehouse.snapshot(CUSTOMERS)
    if not counts or not snapshot.files:
        return counts
    plain = "regexp_replace(lower({}), '[^a-z0-9]', '', 'g')"
    values = ", ".join(plain.format(named(name)) for name in (EMAIL, SERIAL, *MARKS))
    rows = checked.resources.session.rows(
        f"SELECT name FROM keys SEMI JOIN (SELECT unnest([{values}]) AS value FROM customers) "
        f"ON {plain.format('name')} = value",
        keys=pa.table({"name": sorted(counts)}),
        customers=checked.resources.session.relation(CUSTOMERS, snapshot.files),
    )
    hidden = {name for (name,) in rows}
    shown: Counter[str] = Counter()
    for name, number in counts.items():
        shown[OTHER_KEYS if name in hidden else name] += number
    return shown


def _left_alone(checked: CheckContext) -> CheckOutcome:
    folder = f"{checked.table.name}/"
    files = [f"{path} ({why})" for path, why in checked.resources.listing().ignored if path.startswith(folder)]
    remedy = " Nothing of them is in any table. Move them to a landing day of the lake, or away." if files else ""
    return CheckOutcome(
        passed=not files,
        description=f"{len(files)} files were left alone{': ' if files else ''}{_listed(files)}.{remedy}",
        numbers={"files": len(files)},
    )


def _entries(checked: CheckContext) -> list[ManifestEntry]:
    entries = manifest_entries(checked.resources.session, checked.resources.lakehouse, checked.table)
    return [entry for entry in entries if checked.days is None or entry.landing_date in checked.days]


def _unattributed(checked: CheckContext) -> CheckOutcome:
    texts = [text for text in open_texts(checked.resources.view()) if text.is_unattributed]
    return _of_open_texts(
        texts,
        "Nobody who was known then is named there, or only a part of the record is there, so a withdrawal may be held "
        "against nobody. Mend the raw files, or see `stedi quarantine` and dismiss what may stay as it is.",
    )


def _in_doubt(checked: CheckContext) -> CheckOutcome:
    texts = [text for text in open_texts(checked.resources.view()) if text.people_in_doubt]
    return _of_open_texts(
        texts,
        "Each may be a withdrawal: whoever it may speak of is in no trusted or curated table until a good record of "
        "theirs lands, the raw file is mended or the text is dismissed. See `stedi quarantine`.",
    )


def _of_open_texts(texts: Sequence[OpenText], consequence: str) -> CheckOutcome:
    days = sorted({str(text.landing_date) for text in texts})
    landed = f" (landed on {_listed(days)})" if days else ""
    records = f"{len(texts)} customer record{'' if len(texts) == 1 else 's'}"
    return CheckOutcome(
        passed=not texts,
        description=f"{records} could not be read{landed}. {consequence}",
        numbers={"texts": len(texts), "landing days": len(days)},
    )


def _listed(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    more = len(names) - _SHOWN
    return ", ".join(map(printable, names[:_SHOWN])) + (f" and {more} more" if more > 0 else "")


def _duplicates(checked: CheckContext) -> CheckOutcome:
    resources = checked.resources
    files = [
        file
        for file in manifest_entries(resources.session, resources.lakehouse, checked.table)
        if (checked.days is None or file.landing_date in checked.days) and file.duplicate_of is not None
    ]
    return CheckOutcome(
        passed=not files,
        description=f"{len(files)} files were skipped, because files with the same bytes had landed "
        "(landing_files.duplicate_of says which).",
        numbers={"skipped files": len(files)},
    )


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


def _same_customer(checked: CheckContext) -> CheckOutcome:
    rows, same = checked.measured["rows"], checked.measured["same customer"]
    return CheckOutcome(
        passed=rows == same,
        description=f"{rows - same} of {rows} pairs join different customers who share a millisecond; filter by "
        "same_customer, or set STEDI_PAIRING=customer.",
        numbers={"pairs": rows, "same customer": same, "different customers": rows - same},
    )
