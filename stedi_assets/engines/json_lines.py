"""Raw lines in DuckDB's SQL: its JSON reader, the values that it gives, and the signs of a good line.

The reader coerces, so by itself it proves nothing; what does is said in ``stedi_assets.landing.fast_path``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from stedi_assets.contracts import DataType, LandingSource
from stedi_assets.contracts.line import EXACT_INTEGER, event_bounds
from stedi_assets.engines.sql import as_named, list_of, named, quoted

LONG_LINE = 1 << 20
"""Lines longer than this are not worth an engine's buffers."""


_READER = {DataType.TEXT: "JSON", DataType.INTEGER: "DOUBLE", DataType.NUMBER: "DOUBLE"}
_LARGE = 1e308
"""Numbers beyond it are judged; NaN and the infinities compare as beyond it too."""


def reader(source: LandingSource, paths: Sequence[str], keys: Mapping[str, str] | None = None) -> str:
    """A frame of files that are read as JSON, one object a line.

    Args:
        source: the fields.
        paths: of the files.
        keys: of fields that the objects spell in another way than the contract, the key.
    """
    keys = keys or {}
    columns = ", ".join(f"{quoted(keys.get(f.name, f.name))}: {quoted(_READER[f.type])}" for f in source.fields)
    # Folders named like ``user=ann`` say nothing of the rows.
    # The reader takes objects of up to this size; longer lines never reach ``parse_lines``.
    files = list_of(as_named(path) for path in paths)
    read = (
        f"read_json({files}, format = 'newline_delimited', compression = 'uncompressed', "
        "ignore_errors = true, "
        f"maximum_object_size = {2 * LONG_LINE}, filename = true, hive_partitioning = false, "
        f"columns = {{{columns}}})"
    )
    if not keys:
        return read
    renamed = ", ".join(f"{named(keys.get(f.name, f.name))} AS {named(f.name)}" for f in source.fields)
    return f"(SELECT {renamed} FROM {read})"


def values(source: LandingSource) -> str:
    """The fields as their contract's types; text without its quotes."""
    taken = []
    for field in source.fields:
        name = named(field.name)
        if field.type is DataType.TEXT:
            taken.append(f"{name} ->> '$' AS {name}")
        elif field.type is DataType.INTEGER:
            # A value that is not good may lie outside 64 bits; its row is judged or dropped, not read.
            taken.append(f"TRY_CAST({name} AS BIGINT) AS {name}")
        else:
            taken.append(name)
    return ", ".join(taken)


def good(source: LandingSource, landing_date: date) -> str:
    """A condition that holds for a row only if its line is good as read, but for what quotes tell.

    Null (which ``WHERE`` takes for false) for what lacks a required field.
    """
    signs = []
    for field in source.fields:
        name = named(field.name)
        if field.type is DataType.TEXT:
            # Between '"#' and '#' lies what starts with a quote and then anything above '"': text, not
            # empty, and not blank. Some good text starts lower (a space); it is judged.
            text = f"{name}::VARCHAR"
            sign = f"{text} >= '\"#' AND {text} < '#' AND NOT contains({text}, '\\')"
        elif field.type is DataType.NUMBER:
            sign = f"{name} BETWEEN {-_LARGE} AND {_LARGE}"
        else:
            low, high = -EXACT_INTEGER + 1, EXACT_INTEGER - 1
            if field.name == source.time:
                low, high = event_bounds(landing_date)
            elif field.minimum is not None:
                low = field.minimum
            sign = f"{name} BETWEEN {low} AND {high} AND {name} = trunc({name})"
        signs.append(sign if field.required else f"({name} IS NULL OR ({sign}))")
    return " AND ".join(signs)
