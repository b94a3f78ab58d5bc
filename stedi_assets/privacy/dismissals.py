"""Dismissals: rejected texts of which an officer decided that they are held against nobody any more.

A dismissal names no one: it is kept in the privacy folder by a keyed digest of the text and the place where it landed,
with the reason and the name of who decided.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import pyarrow as pa

from stedi_assets.lakehouse.fingerprint import fingerprint
from stedi_assets.privacy.folder import PrivacyFolder
from stedi_assets.transforms.doubt import PLACE

_KIND = "dismissals"


@dataclass(frozen=True)
class Dismissal:
    """The decision about one rejected text.

    Args:
        digest: of the text and its place.
        reason: why it is held against nobody.
        decided_by: who decided.
        decided_at: when, as text in UTC.
    """

    digest: str
    reason: str
    decided_by: str
    decided_at: str


class Dismissals:
    """The dismissals in a privacy folder, as they are now.

    Args:
        folder: the privacy folder.
    """

    def __init__(self, folder: PrivacyFolder) -> None:
        self._folder = folder
        self._names = frozenset(folder.names(_KIND))

    @property
    def state(self) -> str:
        """A fingerprint of which there are."""
        return fingerprint(sorted(self._names))

    def digest(self, text: Mapping[str, Any]) -> str:
        """The digest of a rejected text.

        Args:
            text: a row of ``landing_quarantine``.
        """
        place = "\0".join(str(text[name]) for name in (*PLACE, "line"))
        return self._folder.hash("rejected text", place)

    def without_dismissed(self, texts: pa.Table) -> pa.Table:
        """The texts that are not dismissed.

        Args:
            texts: rows of ``landing_quarantine``.
        """
        if not self._names or not texts.num_rows:
            return texts
        return texts.filter(pa.array([self.digest(text) not in self._names for text in texts.to_pylist()]))

    def dismiss(self, text: Mapping[str, Any], reason: str, decided_by: str) -> Dismissal:
        """Store a decision.

        Args:
            text: a row of ``landing_quarantine``.
            reason: why it is held against nobody.
            decided_by: who decided.
        """
        decided_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
        found = Dismissal(self.digest(text), reason, decided_by, decided_at)
        self._folder.write(_KIND, found.digest, {"reason": reason, "decided_by": decided_by, "decided_at": decided_at})
        return found
