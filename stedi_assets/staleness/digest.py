"""SQL that digests rows: the same numbers on every machine and in every version of the engine."""

from __future__ import annotations


def row_digest(*expressions: str) -> str:
    """SQL of 64 bits of MD5 of a row.

    Each value goes in with its length, so that no two rows look the same: ``a|b`` and ``c`` is not ``a`` and
    ``b|c``, and a null is no text.

    Args:
        expressions: SQL of the row's values; their order counts.
    """
    texts = [f"({expression})::VARCHAR" for expression in expressions]
    row = ", ".join(f"coalesce(length({text}) || ':' || {text}, '-')" for text in texts)
    return f"md5_number_lower(concat({row}))"


def sum_digest(number: str) -> str:
    """SQL of one text for the numbers of a group, whatever their order: their sum modulo 2**64.

    Args:
        number: SQL of each row's number, as :func:`row_digest` gives it.
    """
    return f"printf('%016x', CAST(sum({number}::HUGEINT) % 18446744073709551616 AS UBIGINT))"
