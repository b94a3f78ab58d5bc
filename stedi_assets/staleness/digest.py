"""SQL that digests rows, to see whether they are the same as before."""

from __future__ import annotations


def row_digest(*expressions: str) -> str:
    """SQL of 64 bits for a row.

    They are DuckDB's own hash, which takes a twentieth of the time of MD5. It is the same on every machine, and may be
    another in another version of DuckDB: then every partition is made anew once.

    Args:
        expressions: SQL of the row's values; their order counts.
    """
    return f"hash({', '.join(expressions)})"


def sum_digest(number: str) -> str:
    """SQL of one text for the numbers of a group, whatever their order: their sum modulo 2**64.

    Args:
        number: SQL of each row's number, as :func:`row_digest` gives it.
    """
    return f"printf('%016x', CAST(sum({number}::HUGEINT) % 18446744073709551616 AS UBIGINT))"
