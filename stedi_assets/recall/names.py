"""E-mails and serial numbers as small numbers, and the SQL that compares and digests them."""

from __future__ import annotations

from hashlib import blake2b
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stedi_assets.engines.duckdb import named
from stedi_assets.recall.digests import Codes, Hashes


def normal(name: str) -> str:
    """An e-mail or serial number as it is compared, in SQL; the same rule as ``transforms``'."""
    return f"lower(trim({named(name)}, chr(32) || chr(9) || chr(10) || chr(13) || chr(11) || chr(12)))"


def hashed(*expressions: str) -> str:
    """SQL of a number for a row, the same on every machine and in every version of DuckDB.

    Each value goes in with its length, so that no two rows look the same: ``a|b`` and ``c`` is not ``a`` and
    ``b|c``, and a null is no text.
    """
    texts = [f"({expression})::VARCHAR" for expression in expressions]
    row = ", ".join(f"coalesce(length({text}) || ':' || {text}, '-')" for text in texts)
    return f"md5_number_lower(concat({row}))"


def summed(number: str) -> str:
    """SQL of the sum of the numbers of a group, wrapped around at 2**64."""
    return f"CAST(sum({number}::HUGEINT) % 18446744073709551616 AS UBIGINT)"


def column(rows: pa.Table, name: str) -> np.ndarray:
    """A column without nulls, as numpy has it; dates as days since 1970."""
    values = rows[name].combine_chunks()
    if pa.types.is_date32(values.type):
        values = values.cast(pa.int32())
    return values.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def keyed(name: str) -> str:
    """SQL of a number by which :class:`Names` finds a name: quick, and the same in one process only."""
    return f"hash({name})"


class Names:
    """A dictionary that grows: every name gets the next number, and keeps it.

    Names are told from each other as text: two that have the same key are two.
    """

    def __init__(self) -> None:
        self._texts = pa.nulls(0, pa.large_string())
        self._keys: Hashes = np.empty(0, np.uint64)
        self._order: Codes = np.empty(0, np.int32)
        self._clashing: dict[str, int] = {}
        self.hashes: Hashes = np.empty(0, np.uint64)
        """A number for each name, by its code: 64 bits of BLAKE2b, the same in every process."""

    def __len__(self) -> int:
        return len(self.hashes)

    def codes(self, texts: pa.Array | pa.ChunkedArray, keys: Hashes) -> Codes:
        """The codes of names, those that are new included.

        Args:
            texts: the names as they are compared, in any order, any number of times; no nulls.
            keys: of each (see :func:`keyed`).
        """
        texts = texts.cast(pa.large_string())
        if isinstance(texts, pa.ChunkedArray):
            texts = texts.combine_chunks()
        found = self._find(keys)
        new = np.flatnonzero(found < 0)
        if len(new):
            _, first = np.unique(keys[new], return_index=True)
            self._add(texts.take(pa.array(new[first])), keys[new[first]])
            found = self._find(keys)
        others = np.flatnonzero(pc.not_equal(self._texts.take(pa.array(found)), texts).to_numpy(zero_copy_only=False))
        for place in others.tolist():
            found[place] = self._clash(texts[place].as_py())
        return found

    def texts(self, codes: Codes) -> pa.Array:
        """The names of codes."""
        return self._texts.take(pa.array(codes)).cast(pa.string())

    def _find(self, keys: Hashes) -> Codes:
        if not len(self._keys):
            return np.full(len(keys), -1, np.int32)
        places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[places] == keys, self._order[places], np.int32(-1))

    def _add(self, texts: pa.Array, keys: Hashes) -> None:
        codes = np.arange(len(self), len(self) + len(keys), dtype=np.int32)
        self._append(texts)
        every, order = np.concatenate([self._keys, keys]), np.concatenate([self._order, codes])
        sorting = np.argsort(every, kind="stable")
        self._keys, self._order = every[sorting], order[sorting]

    def _append(self, texts: pa.Array) -> None:
        # Of a new array, so its offsets begin at 0.
        _, offsets, content = texts.buffers()
        view, ends = memoryview(content or b""), np.frombuffer(offsets, np.int64)[: len(texts) + 1].tolist()
        digests = b"".join(blake2b(view[start:end], digest_size=8).digest() for start, end in pairwise(ends))
        hashes = np.frombuffer(digests, np.dtype("<u8")).astype(np.uint64)
        self._texts = pa.concat_arrays([self._texts, texts])
        self.hashes = np.concatenate([self.hashes, hashes])

    def _clash(self, text: str) -> int:
        """The code of a name whose key another name had before."""
        if text not in self._clashing:
            self._clashing[text] = len(self)
            self._append(pa.array([text], pa.large_string()))
        return self._clashing[text]
