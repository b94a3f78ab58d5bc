"""Dismissals: rejected texts of which an officer decided that they are held against nobody any more.

A decision names no one: it is kept in the privacy folder with keyed digests of the texts, the reason, the time and the
name of who decided. Decisions are only ever added, so who decided what and when can be proven; the latest about a text
holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from functools import cached_property
from typing import Any

import pyarrow as pa

from stedi_assets.lakehouse.fingerprint import fingerprint
from stedi_assets.privacy.folder import PrivacyFolder

_KIND = "dismissals"
DIGESTED = ("source_file", "source_line", "line")
"""The columns of ``landing_quarantine`` that a digest is of.

Not ``source_object``, which changes where an erasure takes another person's object out of the line.
"""


@dataclass(frozen=True)
class Decision:
    """What somebody decided about rejected texts.

    Args:
        decided_at: when, as text in UTC.
        decided_by: who decided.
        reason: why.
        dismissed: whether the texts are dismissed; else they are open again.
        texts: the digests of the texts.
    """

    decided_at: str
    decided_by: str
    reason: str
    dismissed: bool
    texts: tuple[str, ...]


class Dismissals:
    """The decisions in a privacy folder, as they are now.

    Args:
        folder: the privacy folder.
    """

    def __init__(self, folder: PrivacyFolder) -> None:
        self._folder = folder
        self._names = tuple(folder.names(_KIND))

    @property
    def state(self) -> str:
        """A fingerprint of which decisions there are."""
        return fingerprint(self._names)

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """All of them, the earliest first."""
        documents = (self._folder.read(_KIND, name) for name in self._names)
        return tuple(Decision(**{**found, "texts": tuple(found["texts"])}) for found in documents if found is not None)

    @cached_property
    def _latest(self) -> dict[str, Decision]:
        return {text: decision for decision in self.decisions for text in decision.texts}

    def digest(self, text: Mapping[str, Any]) -> str:
        """The digest of a rejected text.

        Args:
            text: a row of ``landing_quarantine``.
        """
        return self._folder.hash("rejected text", "\0".join(str(text[name]) for name in DIGESTED))

    def of(self, texts: pa.Table) -> list[Decision | None]:
        """The decision that holds about each of some texts; none where nobody decided.

        Args:
            texts: rows of ``landing_quarantine``.
        """
        if not self._names:
            return [None] * texts.num_rows
        return [self._latest.get(self.digest(text)) for text in texts.select(DIGESTED).to_pylist()]

    def are_dismissed(self, texts: pa.Table) -> pa.BooleanArray:
        """Whether each of some texts is dismissed.

        Args:
            texts: rows of ``landing_quarantine``.
        """
        return pa.array([found is not None and found.dismissed for found in self.of(texts)], pa.bool_())

    def decide(self, texts: Iterable[Mapping[str, Any]], reason: str, decided_by: str, *, dismissed: bool) -> Decision:
        """Store a decision.

        Args:
            texts: rows of ``landing_quarantine``.
            reason: why; it must not name anybody.
            decided_by: who decided.
            dismissed: whether the texts are dismissed; else they are open again.
        """
        decided_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
        digests = tuple(sorted({self.digest(text) for text in texts}))
        found = Decision(decided_at, decided_by, reason, dismissed, digests)
        with self._folder.locked("deciding"):
            number = len(self._folder.names(_KIND)) + 1
            self._folder.write(_KIND, f"{number:08d}", asdict(found))
        return found
