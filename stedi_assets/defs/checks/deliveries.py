"""Checks of what was delivered: nothing lost, little rejected, no unknown key, no copy, no possible withdrawal.

Dagster concept: the content of asset checks, which ``build`` hands to Dagster.

A check belongs here if it is about raw files or rejected texts. Which texts speak of whom is decided in
``privacy.mentions``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pyarrow as pa

from stedi_assets.contracts import Table
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
from stedi_assets.staleness.doubt import OpenText, open_texts

_SHOWN = 5
"""Days or files that a check names."""


def checks_of_deliveries(table: Table) -> list[Check]:
    """The checks of deliveries that a table has.

    Args:
        table: any table.
    """
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
