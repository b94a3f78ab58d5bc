"""The export of everything that is held about one person, for an access request (Article 15 of the GDPR)."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from stedi_assets.contracts import TABLES, Table
from stedi_assets.resources import Resources
from stedi_assets.subject_requests.matching import QUARANTINE, Subjects, subject_condition
from stedi_assets.subject_requests.places import all_raw_files
from stedi_assets.subject_requests.raw_files import removed
from stedi_assets.subject_requests.redaction import TextFilter
from stedi_assets.subject_requests.subject import Person


class ExportError(RuntimeError):
    """The file of an export is there already.

    Remedy: name another file.
    """


def export_subject(resources: Resources, person: Person, target: Path) -> dict[str, int]:
    """Write everything that is held about one person to a zip.

    Args:
        resources: the lake.
        person: whose data.
        target: the file to write, readable by its owner only.

    Returns:
        How many rows, or objects of raw files, each file in it has.

    Raises:
        ExportError: there is a file of that name.
    """
    subjects = Subjects.of(resources, person)
    counts: dict[str, int] = {}
    try:
        file = os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except FileExistsError:
        msg = f"{target} is there already; name another file, or move it away."
        raise ExportError(msg) from None
    try:
        with file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
            for table in TABLES.values():
                name = f"{table.name}.json"
                counts[name] = _write(packed, name, _rows(resources, table, subjects))
            counts["raw_files.json"] = _write(packed, "raw_files.json", _raw_texts(resources, subjects))
            packed.writestr("README.txt", _readme(person, counts))
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return counts


def _rows(resources: Resources, table: Table, subjects: Subjects) -> Iterator[dict[str, Any]]:
    stored = resources.session.relation(table, resources.lakehouse.snapshot(table).files)
    if table.name == QUARANTINE:
        rows = resources.session.arrow("SELECT * FROM stored ORDER BY ALL", stored=stored).to_pylist()
        yield from (row for row in rows if subjects.own_rejected(row["line"]))
        return
    query = f"SELECT * FROM stored WHERE {subject_condition(table)} ORDER BY ALL"
    for batch in resources.session.arrow(query, stored=stored, **subjects.frames()).to_batches(max_chunksize=10_000):
        yield from batch.to_pylist()


def _raw_texts(resources: Resources, subjects: Subjects) -> Iterator[dict[str, Any]]:
    texts = TextFilter(subjects, resources.session, resources.landing.limits.longest_text)
    for file in all_raw_files(resources):
        for text in removed(resources.landing, file, texts):
            yield {"file": file.path, "text": text.decode("utf-8", "backslashreplace")}


def _write(packed: zipfile.ZipFile, name: str, rows: Iterator[dict[str, Any]]) -> int:
    """Rows as a JSON array, one in a line."""
    count = 0
    with packed.open(name, "w") as file:
        file.write(b"[")
        for row in rows:
            file.write(b",\n" if count else b"\n")
            file.write(json.dumps(row, default=str, ensure_ascii=False).encode())
            count += 1
        file.write(b"\n]\n" if count else b"]\n")
    return count


def _readme(person: Person, counts: dict[str, int]) -> str:
    """The text of the README in the zip, for the person."""
    parts = [
        f"What the STEDI lakehouse holds about {person.email}, as of {datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC.",
        "",
        "Each file is a JSON array with one row in a line. Times are milliseconds since 1970-01-01 UTC.",
        "",
        f"raw_files.json: {counts['raw_files.json']} objects of the files in which data arrived, as they arrived.",
    ]
    for table in TABLES.values():
        parts += ["", f"{table.name}.json: {counts[f'{table.name}.json']} rows.", f"  {table.description}"]
        parts += [f"  {column.name}: {column.description}" for column in table.columns]
    if person.shared:
        parts += ["", f"{len(person.shared)} of the serial numbers are also in other people's records."]
        parts += [f"Of these devices, only what can be told to be theirs is included: {len(person.readings)} readings."]
    return "\n".join(parts) + "\n"
