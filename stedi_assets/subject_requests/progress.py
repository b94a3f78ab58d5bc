"""The progress of an erasure: what is known of its person, and what the lake held, before anything was removed.

It is stored in the request until that is done, in the privacy folder only. Each step of an erasure reads it, so that
any process can go on where another one was killed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from stedi_assets.privacy.tombstones import Hasher, Tombstone
from stedi_assets.resources import Resources
from stedi_assets.subject_requests import partition_counts
from stedi_assets.subject_requests.matching import Subjects
from stedi_assets.subject_requests.partition_counts import Partition, PartitionCount
from stedi_assets.subject_requests.places import Place
from stedi_assets.subject_requests.requests import ERASE, HIDE, Request
from stedi_assets.subject_requests.subject import Person, hidden_before, with_hidden_devices


class ErasureError(RuntimeError):
    """An erasure is not complete; the message says what is left, in places and numbers.

    Remedy: mend what it names and run the erasure again; its request stays open until it is done.
    """


@dataclass(frozen=True)
class Progress:
    """The state of an erasure, written when it begins.

    Args:
        person: the data subject.
        erased_at: the time of the erasure, in ms since 1970; a registration after it is a new customer.
        found: the places in which the person was.
        before: the count of every partition.
        together: ids of the requests that were begun in the same pass, this one included.
        receipts: the number of receipts that there were.
        versions: the version of every table.
        hidden: how many texts of raw files an earlier erasure left there, as readings of shared devices.
    """

    person: Person
    erased_at: int
    found: tuple[Place, ...]
    before: Mapping[Partition, PartitionCount]
    together: tuple[str, ...]
    receipts: int
    versions: Mapping[str, int]
    hidden: int = 0

    @classmethod
    def of(cls, request: Request) -> Progress:
        """The progress that a request holds.

        Args:
            request: one that was begun and is not done.

        Raises:
            ErasureError: the request was not begun.
        """
        stored = request.progress
        if stored is None:
            msg = f"The request {request.id} was not begun; run its job from the first step."
            raise ErasureError(msg)
        return cls(
            person=Person.from_document(stored["person"]),
            erased_at=stored["erased_at"],
            found=tuple(_place(*row) for row in stored["found"]),
            before=partition_counts.from_document(stored["before"]),
            together=tuple(stored["together"]),
            receipts=stored["receipts"],
            versions=stored["versions"],
            hidden=stored.get("hidden", 0),
        )

    def document(self) -> dict[str, Any]:
        """The progress as JSON takes it; for the privacy folder only."""
        return {
            "person": self.person.document(),
            "erased_at": self.erased_at,
            "found": [_row(place) for place in self.found],
            "before": partition_counts.document(self.before),
            "together": list(self.together),
            "receipts": self.receipts,
            "versions": dict(self.versions),
            "hidden": self.hidden,
        }

    def tombstone(self, hasher: Hasher, request_id: str) -> Tombstone:
        """The tombstone that stays of the person.

        Args:
            hasher: the privacy folder, which has the key.
            request_id: the request that it belongs to.
        """
        return self.person.tombstone(hasher, request_id, self.erased_at)


def if_erased(resources: Resources, person: Person, shared_devices: str) -> tuple[Person, Subjects]:
    """Somebody as an erasure would know them, and how it would recognise them; nothing is stored.

    Args:
        resources: the lake.
        person: the data subject.
        shared_devices: what it would do with readings of shared devices; see ``SHARED_DEVICES``.
    """
    hidden = hidden_before(resources, with_hidden_devices(resources, person)) if shared_devices == ERASE else []
    if not hidden:
        return person, Subjects.of(resources, person, shared_devices=shared_devices)
    person = with_hidden_devices(resources, person)
    tombstone = person.tombstone(resources.privacy, "nobody", 2**62)
    return person, Subjects.erased(resources, [person], [tombstone, *hidden])


def under_erasure(resources: Resources, requests: Iterable[Request]) -> Subjects:
    """The people whose erasure was begun, and how they are recognised.

    Args:
        resources: the lake.
        requests: requests that were begun and are not done.
    """
    begun = [(request, Progress.of(request)) for request in requests]
    tombstones = [progress.tombstone(resources.privacy, request.id) for request, progress in begun]
    for request, progress in begun:
        if request.shared_devices == ERASE:
            # The tombstone of this request is stored by now, and says more.
            tombstones += [one for one in hidden_before(resources, progress.person) if one.request != request.id]
    left = [request.id for request, _ in begun if request.shared_devices == HIDE]
    return Subjects.erased(resources, [progress.person for _, progress in begun], tombstones, left)


def _row(place: Place) -> Sequence[object]:
    return [place.kind, place.location, str(place.landing_date or ""), place.number]


def _place(kind: str, location: str, landing_date: str, number: int) -> Place:
    return Place(kind, location, date.fromisoformat(landing_date) if landing_date else None, number)
