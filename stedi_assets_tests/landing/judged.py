"""What the rule says of a whole raw file, to compare what the product reads of it with.

What belongs here: the verdict on a file. How its lines are made belongs to ``corpus``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from hypothesis import HealthCheck, settings

from stedi_assets.contracts import Table
from stedi_assets.contracts import table as contract
from stedi_assets.contracts.line import Rejected, decode_object, field_of, validate_line
from stedi_assets.reference.texts import texts
from stedi_assets_tests.kit.records import DAY

Row = tuple[object, ...]
Place = tuple[int, int]
"""A line, and which of its texts; both from 1."""

SEVERAL = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


def judged(table: str, content: bytes) -> tuple[list[tuple[Place, Row]], list[tuple[int, int, str, str]]]:
    """What the rule says of a file: its good texts and its bad ones, by their place."""
    good, bad = [], []
    for line, number, text in texts(content.removeprefix(b"\xef\xbb\xbf")):
        verdict = validate_line(text, contract(table).landing_source, DAY)
        if isinstance(verdict, Rejected):
            bad.append((line, number, verdict.reason, text.decode("utf-8", "backslashreplace")))
        else:
            assert verdict is not None
            good.append(((line, number), verdict))
    return good, bad


def unknown_keys_in(table: str, content: bytes) -> Counter[str]:
    """How often keys that mean no field stand in the objects of a file, good or not."""
    counts: Counter[str] = Counter()
    for _, _, text in texts(content.removeprefix(b"\xef\xbb\xbf")):
        try:
            found, end = decode_object(text.decode())
        except (ValueError, RecursionError):
            continue
        if end == len(text.decode()):
            counts.update(key for key, _ in found if field_of(key, contract(table).landing_source) is None)
    return counts


def rows_of(table: Table, rows: Iterable[dict[str, object]]) -> list[Row]:
    """Rows as they are compared: the data columns' values, in order."""
    names = [column.name for column in table.data_columns]
    return [tuple(row[name] for name in names) for row in rows]
