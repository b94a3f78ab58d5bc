"""Whether a lake and its landing zone hold invented people of the sample generator, and nobody else.

Messages of errors may be shown there. Whatever is in doubt, unreadable or too large to look through means no. What an
error shows belongs to ``errors``, making a sample to ``sample``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stedi_assets.contracts import TABLES, DataType
from stedi_assets.lakehouse import Lakehouse
from stedi_assets.landing.decode import text_blocks
from stedi_assets.settings import Settings

_DETAILS = "expected_counts.details.json"
"""What the generator writes beside a sample that is complete: its arguments, and every file with its size."""
_MARKERS = {_DETAILS, "expected_counts.json"}
_MOST_BYTES = 256 << 20
"""Of raw files and of tables; the sample of the public data's size has 11 MB."""

_INVENTED = re.compile(rb"(?i)@(?!example\.com(?![\w.-]))")
"""An address that is not of the domain that is reserved for examples (RFC 2606), which is the generator's."""


def only_invented_people(settings: Settings) -> bool:
    """Whether everybody in a lake is invented: whether all of it can only come from a sample.

    The landing zone is a folder with the generator's marker, exactly the files that the marker names, and no address
    but of example.com; the lake knows no other raw file and has no other address in any file of any version; nobody
    has asked to be erased, since a request names an address that somebody typed.

    Args:
        settings: say where they lie.
    """
    try:
        landing, lake, privacy = (
            Path(uri) for uri in (settings.landing_uri, settings.lake_uri, settings.privacy_uri) if "://" not in uri
        )
        files = json.loads((landing / _DETAILS).read_text())["files"]
        return (
            not any((privacy / "requests").glob("*"))
            and _sizes(landing) == files
            and sum(files.values()) <= _MOST_BYTES
            and not any(_names_others(landing / name) for name in files)
            and _known_files(settings.lake_uri) <= set(files)
            and sum(path.stat().st_size for path in lake.rglob("*.parquet")) <= _MOST_BYTES
            and not any(_INVENTED.search(text.encode()) for text in _texts(lake))
        )
    except Exception:
        return False


def _sizes(landing: Path) -> dict[str, int]:
    """Every file of a landing zone but the generator's markers, with its size."""
    files = (path for path in landing.rglob("*") if path.is_symlink() or not path.is_dir())
    sizes = {path.relative_to(landing).as_posix(): path.lstat().st_size for path in files}
    return {name: size for name, size in sizes.items() if name not in _MARKERS}


def _names_others(path: Path) -> bool:
    """Whether a raw file has another address, or may hide one in an escape, which the generator never uses."""
    text = bytearray()
    for block in text_blocks(fsspec.filesystem("file"), str(path)):
        text += block
        if len(text) > _MOST_BYTES:
            return True
    return b"\\u" in text.lower() or _INVENTED.search(text) is not None


def _known_files(lake_uri: str) -> set[str]:
    """The raw files that the lake has ever heard of, by its current version."""
    snapshot = Lakehouse(lake_uri).snapshot(TABLES["landing_files"])
    return {
        name
        for file in snapshot.files
        for name in pq.ParquetFile(file.uri).read(["source_file"])["source_file"].to_pylist()
    }


def _texts(lake: Path) -> Iterator[str]:
    """Every different text with an address in it that any data file holds, whether a table still uses it or not."""
    columns = {column.name for table in TABLES.values() for column in table.columns if column.type is DataType.TEXT}
    for path in lake.rglob("*.parquet"):
        if "_delta_log" in path.parts:
            continue
        stored = pq.ParquetFile(path)
        for name in columns & set(stored.schema_arrow.names):
            values = pc.unique(stored.read([name])[name])
            yield from (text for text in values.to_pylist() if text is not None and "@" in text)
