"""Erasure: the steps from a filed request to its receipt.

The steps are those of the job in ``defs.erasure``: begin, forget, rebuild, vacuum, prove. Each can be killed and run
again: what is known of the person lies in the stored request until that is done, and each step looks at what is there
instead of what it did. The order is what makes it hold while other runs go on: the tombstone first, so that nothing
that lands brings the person back; then the raw files and the landing tables; then what is made from them, which
reconciliation finds; then the files that no table uses any more.

Finding is in ``places``, removing in ``forgetting``, the proof in ``proof``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from stedi_assets.contracts import TABLES
from stedi_assets.privacy.ledger import Ledger
from stedi_assets.privacy.tombstones import Tombstone
from stedi_assets.resources import Resources
from stedi_assets.subject_requests import forgetting
from stedi_assets.subject_requests.forgetting import ROUNDS, Log, Rebuild
from stedi_assets.subject_requests.matching import Subjects
from stedi_assets.subject_requests.partition_counts import count_partitions
from stedi_assets.subject_requests.places import (
    LINKED_RAW_FILE,
    RAW_FILE,
    LandingDays,
    Place,
    find_places,
    landing_days_of,
)
from stedi_assets.subject_requests.progress import ErasureError, Progress, if_erased, under_erasure
from stedi_assets.subject_requests.proof import prove
from stedi_assets.subject_requests.receipts import Receipts
from stedi_assets.subject_requests.requests import ERASE, Request, Requests, now_ms
from stedi_assets.subject_requests.subject import Person, hidden_before, with_hidden_devices


class Erasure:
    """The steps of requests that are carried out together.

    An erasure has no state of its own: every step reads the stored requests, and does nothing for those that are done.

    Args:
        resources: the lake.
        rebuild: runs partitions of the lake.
        request_ids: the requests.
        log: takes what is done, in sentences without a value of anybody.
    """

    def __init__(
        self, resources: Resources, rebuild: Rebuild, request_ids: Sequence[str], log: Log = lambda _: None
    ) -> None:
        self._resources = resources
        self._rebuild = rebuild
        self._ids = tuple(request_ids)
        self._log = log
        self._requests = Requests(resources.privacy)
        self._receipts = Receipts(resources.privacy)

    def run(self) -> list[dict[str, Any]]:
        """Run all the steps.

        Returns:
            The receipts, in the order of the requests.

        Raises:
            ErasureError: somebody is still somewhere.
        """
        self.begin()
        self.forget()
        self.rebuild()
        self.vacuum()
        return self.prove()

    def begin(self) -> None:
        """Find out who the people are and where they are, and store it, once."""
        # What a request says may change until it is begun.
        while new := [request for request in self._open() if request.progress is None]:
            self._begin(new)

    def _begin(self, new: Sequence[Request]) -> None:
        resources = self._resources
        # Under another key than the lake's, nobody who was erased before would be recognised any more.
        resources.erased()
        people = [self._resolve(request) for request in new]
        # Whatever has landed by now is to go, also a record whose date lies ahead by mistake.
        times = [max(now_ms(), person.registered_at) for person in people]
        tombstones = [
            person.tombstone(resources.privacy, request.id, erased_at)
            for request, person, erased_at in zip(new, people, times, strict=True)
        ]
        before = count_partitions(resources, Subjects.erased(resources, people, tombstones))
        ready: list[Request] = []
        for request, person, tombstone in zip(new, people, tombstones, strict=True):
            progress = Progress(
                person=person,
                erased_at=tombstone.erased_at,
                found=(),
                before=before,
                together=tuple(request.id for request in new),
                receipts=len(self._receipts.names()),
                versions={name: resources.lakehouse.snapshot(table).version for name, table in TABLES.items()},
                hidden=_hidden_texts(resources, person) if request.shared_devices == ERASE else 0,
            )
            begun = replace(request, progress=progress.document())
            progress = replace(progress, found=tuple(find_places(resources, under_erasure(resources, [begun]))))
            ready.append(replace(request, progress=progress.document()))
            kinds = Counter(place.kind for place in progress.found)
            places = ", ".join(f"{number} {kind}s" for kind, number in sorted(kinds.items()))
            self._log(f"found in {places or 'no place'}")
        # One after the other without anything between: what each says of those who are begun with it is to be true.
        for request in ready:
            self._requests.begin(request)

    def forget(self) -> None:
        """Store the tombstones, then remove the people's texts from the raw files."""
        begun = self._begun()
        if begun:
            forgetting.suppress(self._resources, self._tombstones(begun))
            forgetting.redact_raw_files(self._resources, self._subjects(), self._log)

    def rebuild(self) -> None:
        """Rebuild the landing tables without the people's rows, then every table that is made from them.

        Raises:
            ErasureError: other runs keep bringing rows back.
        """
        begun = self._begun()
        if not begun:
            return
        redacted: LandingDays = {}
        for progress in begun.values():
            for table, days in landing_days_of(self._resources, progress.found).items():
                redacted.setdefault(table, set()).update(days)
        if not forgetting.rebuild_tables(self._resources, self._subjects(), redacted, self._rebuild, self._log):
            msg = (
                f"After {ROUNDS} rounds the landing tables still hold rows of the person of {next(iter(begun))}: other "
                "runs keep bringing them back. Stop them and run it again."
            )
            raise ErasureError(msg)

    def vacuum(self) -> None:
        """Delete the files that no table uses any more."""
        if self._open():
            forgetting.vacuum(self._resources, self._log)

    def prove(self) -> list[dict[str, Any]]:
        """Prove that the people are nowhere, write the receipts, and close the requests.

        Returns:
            The receipts, in the order of the requests.

        Raises:
            ErasureError: somebody is still somewhere, or others' rows are gone; no receipt is written.
        """
        requests = [self._requests.get(request_id) for request_id in self._ids]
        # Everybody is looked for before the first receipt: what one says of the others' rows holds for all.
        contents = [self._receipts.of(request.id) or prove(self._resources, request) for request in requests]
        return [self._close(request, content) for request, content in zip(requests, contents, strict=True)]

    def _close(self, request: Request, content: dict[str, Any]) -> dict[str, Any]:
        """Write the receipt and forget whose request it was, unless both are done."""
        if request.is_done:
            return content
        # Also where the receipt is there: whoever wrote it may have been killed before the head of the chain was.
        receipt = self._receipts.add(request.id, content)
        Ledger(self._resources.lakehouse).close(request.id, receipt["number"], receipt["seal"])
        self._requests.close(request, receipt["done_at"])
        unproven = len(receipt.get("not_proven_for", []))
        self._log(f"receipt {receipt['number']} was written" + f", not proven for {unproven} files" * bool(unproven))
        return receipt

    def _open(self) -> list[Request]:
        """The requests that are not done, as they are stored now."""
        requests = [self._requests.get(request_id) for request_id in self._ids]
        return [request for request in requests if not request.is_done]

    def _begun(self) -> dict[str, Progress]:
        """The progress of the requests that are not done."""
        return {request.id: Progress.of(request) for request in self._open()}

    def _tombstones(self, begun: dict[str, Progress]) -> list[Tombstone]:
        return [progress.tombstone(self._resources.privacy, request) for request, progress in begun.items()]

    def _subjects(self) -> Subjects:
        return under_erasure(self._resources, self._open())

    def _resolve(self, request: Request) -> Person:
        """The person of a request, with what earlier erasures left in raw files where it is to go now."""
        person = Person.of(self._resources, str(request.email))
        return with_hidden_devices(self._resources, person) if request.shared_devices == ERASE else person


def find_to_be_erased(resources: Resources, email: str, shared_devices: str) -> tuple[Person, Sequence[Place], int]:
    """Find what an erasure would take, and change nothing.

    Args:
        resources: the lake.
        email: of the person.
        shared_devices: what it would do with readings of shared devices; see ``SHARED_DEVICES``.

    Returns:
        The person, the places they are in, and how many of the readings there are of shared devices.
    """
    person, subjects = if_erased(resources, Person.of(resources, email), shared_devices)
    hidden = _hidden_texts(resources, person) if shared_devices == ERASE else 0
    return person, find_places(resources, subjects), len(person.readings) + hidden


def _hidden_texts(resources: Resources, person: Person) -> int:
    """How many texts of raw files are readings of shared devices that an earlier erasure of the person left."""
    hidden = hidden_before(resources, person)
    if not hidden:
        return 0
    places = find_places(resources, Subjects.erased(resources, [person], hidden))
    return sum(place.number for place in places if place.kind in {RAW_FILE, LINKED_RAW_FILE})


def carry_out(
    resources: Resources, rebuild: Rebuild, requests: Sequence[Request], log: Log = lambda _: None
) -> list[dict[str, Any]]:
    """Carry out requests from the first step to the last: those that were not begun together, the others one by one.

    Processes that do so at the same time wait for each other, so that the proof of one can compare the rows of all
    others.

    Args:
        resources: the lake.
        rebuild: runs partitions of the lake.
        requests: what was asked.
        log: takes what is done, in sentences without a value of anybody.

    Returns:
        Their receipts. Of requests that were carried out together, what was removed is that of all of them.

    Raises:
        ErasureError: somebody is still somewhere.
    """
    with resources.privacy.locked("erasure"):
        stored = [Requests(resources.privacy).get(request.id) for request in requests]
        new = [request.id for request in stored if not request.is_done and request.progress is None]
        batches = [[request.id] for request in stored if request.id not in new]
        batches += [new] if new else []
        receipts = [receipt for batch in batches for receipt in Erasure(resources, rebuild, batch, log).run()]
    by_request = {receipt["request"]: receipt for receipt in receipts}
    return [by_request[request.id] for request in requests]
