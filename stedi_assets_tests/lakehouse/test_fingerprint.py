"""Fingerprints of the parts that a partition is made of."""

from __future__ import annotations

import hashlib
import re
from datetime import date

from stedi_assets.lakehouse.fingerprint import fingerprint

DAY = date(2023, 8, 6)


def test_fingerprints() -> None:
    """Of equal parts they are equal, on every machine: this one is in the names of stored files."""
    assert fingerprint(1, "a", None, [DAY]) == hashlib.sha256(b'[1,"a",null,["2023-08-06"]]').hexdigest()[:16]
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    different = [(), ((),), (None,), ("",), ("1",), (1,), (1, 2), (2, 1), ("1,2",), ([1], 2), ([1, 2],), ("é",)]
    found = {fingerprint(*parts) for parts in different}
    assert len(found) == len(different)
    assert all(re.fullmatch("[0-9a-f]{16}", one) for one in found)
