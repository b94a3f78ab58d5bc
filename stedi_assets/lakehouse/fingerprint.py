"""Fingerprints: short names for the inputs that something was made from."""

from __future__ import annotations

import hashlib
import json


def fingerprint(*parts: object) -> str:
    """16 hexadecimal digits that stand for ``parts``.

    Args:
        parts: anything JSON can hold; equal parts in equal order give equal fingerprints, on
            every machine and in every version of Python.
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
