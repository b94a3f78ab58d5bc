"""Raw lines in DuckDB's SQL: its JSON reader, the values that it gives, and the signs of a good line.

The reader coerces, so by itself it proves nothing; what does is said in ``stedi_assets.landing.fast_path``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from stedi_assets.contracts import DataType, LandingSource
from stedi_assets.contracts.line import EXACT_INTEGER, event_bounds
from stedi_assets.contracts.names import ADDRESS
from stedi_assets.engines.base import Keys
from stedi_assets.engines.sql import as_named, list_of, named, quoted

LONG_LINE = 1 << 20
"""Lines longer than this are not worth an engine's buffers."""


_READER = {DataType.TEXT: "JSON", DataType.INTEGER: "DOUBLE", DataType.NUMBER: "DOUBLE"}
_LARGE = 1e308
"""Numbers beyond it are judged; NaN and the infinities compare as beyond it too."""


def reader(source: LandingSource, paths: Sequence[str], keys: Keys | None = None) -> str:
    """A frame of files that are read as JSON, one object a line.

    Args:
        source: the fields.
        paths: of the files.
        keys: those of the objects; of the ones that mean no field, the frame has the columns :func:`unknown_columns`.
            By default they are the fields' names.
    """
    keys = keys or Keys()
    read_as = {keys.spelt.get(one.name, one.name): _READER[one.type] for one in source.fields}
    read_as |= dict.fromkeys(keys.unknown, "JSON")
    columns = ", ".join(f"{quoted(key)}: {quoted(kind)}" for key, kind in read_as.items())
    # Folders named like ``user=ann`` say nothing of the rows.
    # The reader takes objects of up to this size; longer lines never reach ``parse_lines``.
    files = list_of(as_named(path) for path in paths)
    read = (
        f"read_json({files}, format = 'newline_delimited', compression = 'uncompressed', "
        "ignore_errors = true, "
        f"maximum_object_size = {2 * LONG_LINE}, filename = true, hive_partitioning = false, "
        f"columns = {{{columns}}})"
    )
    if keys == Keys():
        return read
    renamed = {one.name: keys.spelt.get(one.name, one.name) for one in source.fields}
    renamed |= dict(zip(unknown_columns(keys), keys.unknown, strict=True))
    return f"(SELECT {', '.join(f'{named(key)} AS {named(name)}' for name, key in renamed.items())} FROM {read})"


def unknown_columns(keys: Keys) -> list[str]:
    """The names of the columns with the values of keys that mean no field, as JSON, in their order."""
    return [f"unknown {number}" for number in range(len(keys.unknown))]


def marks(source: LandingSource, keys: Keys) -> dict[str, str]:
    """The fewest quotes, commas and truth values that a line can have, as expressions of its row by their names.

    A line that has exactly as many has nothing that the row does not show; see ``landing.fast_path``.
    """
    quotes, commas, truths = [], [], ["0"]
    for one in source.fields:
        is_there = f"({named(one.name)} IS NOT NULL)::INTEGER"
        quotes.append(f"{4 if one.type is DataType.TEXT else 2} * {is_there}")
        commas.append(is_there)
    for column in map(named, unknown_columns(keys)):
        is_there, text = f"({column} IS NOT NULL)::INTEGER", f"coalesce({column}::VARCHAR, '')"
        quotes.append(f"(2 + 2 * starts_with({text}, '\"')::INTEGER) * {is_there}")
        commas.append(f"{is_there} + len({text}) - len(replace({text}, ',', ''))")
        truths.append(f"({text} IN ('true', 'false'))::INTEGER")
    return {"quotes": " + ".join(quotes), "commas": f"{' + '.join(commas)} - 1", "truths": " + ".join(truths)}


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


def good(source: LandingSource, landing_date: date, keys: Keys | None = None) -> str:
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
            if field.address:
                sign += f" AND regexp_full_match({text}, {quoted(chr(34) + ADDRESS + chr(34))})"
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
    for column in map(named, unknown_columns(keys or Keys())):
        text = f"{column}::VARCHAR"
        sign = (
            f"{text} IN ('true', 'false') OR regexp_full_match({text}, '-?[0-9][0-9.eE+-]*') "
            f"OR (starts_with({text}, '\"') AND NOT contains({text}, '\\'))"
        )
        signs.append(f"({column} IS NULL OR {sign})")
    return " AND ".join(signs)
