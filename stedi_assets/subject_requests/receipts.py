"""Receipts of erasures, chained by seals so that a removed or altered one shows.

A receipt says what an erasure found, removed and proved, and names nobody. Each carries the seal of the one before it
and its own, an HMAC-SHA256 (RFC 2104) under the privacy key over everything else in it, so whoever alters one without
the key cannot mend the chain. The number of receipts and the last seal stand in a document of their own, and each
request that is done names its receipt, so that a removed last one shows too. That document is sealed as well, and each
tombstone, and each erasure that the lake knows of, must have a receipt or an open request.

The key lies in the same folder, so the seals hold against whoever can write there and cannot read it, and against
mistakes. Whoever has the key can write the chain anew; the seals in the lake's ledger show it, and those in the letters
to the people, which whoever can write into the lake as well cannot reach.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from stedi_assets.privacy.folder import PrivacyFolder
from stedi_assets.subject_requests.requests import Requests

_KIND = "receipts"
_HEAD = "head"
_START = "0" * 64


class Receipts:
    """The receipts in a privacy folder.

    Args:
        folder: the privacy folder.
    """

    def __init__(self, folder: PrivacyFolder) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        """The names of the receipts, in order."""
        return [name for name in self._folder.names(_KIND) if name != _HEAD]

    def of(self, request: str) -> dict[str, Any] | None:
        """The receipt of a request, or none.

        Args:
            request: the id of the request.
        """
        for name in self.names():
            if name.partition("-")[2] == request:
                return self._folder.read(_KIND, name)
        return None

    def add(self, request: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """Write the receipt of a request, if there is none yet.

        Args:
            request: the id of the request.
            content: what the receipt says, but for its number and seals.

        Returns:
            The receipt as it is stored.
        """
        with self._folder.locked("receipts"):
            receipt = self.of(request)
            if receipt is None:
                names = self.names()
                last = self._folder.read(_KIND, names[-1]) if names else None
                receipt = {
                    **content,
                    "request": request,
                    "number": len(names) + 1,
                    "previous": last["seal"] if last else _START,
                }
                receipt["seal"] = self._seal(receipt)
                self._folder.write(_KIND, f"{len(names) + 1:06d}-{request}", receipt)
            # A killed process may have left the head behind.
            if receipt["number"] == len(self.names()):
                self._folder.write(_KIND, _HEAD, self._head(receipt["number"], receipt["seal"]))
            return receipt

    def _head(self, number: int, seal: str) -> dict[str, Any]:
        return {
            "receipts": number,
            "seal": seal,
            "head_seal": self._folder.hash("head of receipts", f"{number} {seal}"),
        }

    def faults(self, ledger: Mapping[str, str | None] | None = None) -> list[str]:
        """The faults of the chain.

        Args:
            ledger: the requests that the lake knows to be carried out, with the seals of their receipts.

        Returns:
            A sentence for each; none where every receipt is there and as it was written, and each erasure that is known
            of has one or is still open.
        """
        ledger, faults = ledger or {}, []
        previous = _START
        names = self.names()
        for number, name in enumerate(names, start=1):
            receipt = self._folder.read(_KIND, name) or {}
            if receipt.get("number") != number or not name.startswith(f"{number:06d}-"):
                faults.append(f"receipt {number} is missing: the next that is there is {name}")
                break
            if receipt.get("seal") != self._seal(receipt):
                faults.append(f"receipt {name} was altered")
            if receipt.get("previous") != previous:
                faults.append(f"receipt {name} does not follow the one before it")
            if ledger.get(str(receipt.get("request"))) not in {None, receipt.get("seal")}:
                faults.append(f"receipt {name} is not the one that the lake's ledger has the seal of")
            previous = str(receipt.get("seal"))
        head = self._folder.read(_KIND, _HEAD)
        if (head or {}).get("receipts", 0) != len(names):
            faults.append(f"there should be {(head or {}).get('receipts', 0)} receipts; {len(names)} are there")
        elif names and head != self._head(len(names), previous):
            faults.append("the head of the receipts is not as it was written")
        request_ids = {name.partition("-")[2] for name in names}
        lacking = [
            request.id for request in Requests(self._folder).all() if request.is_done and request.id not in request_ids
        ]
        faults += [f"request {request} is done, and its receipt is missing" for request in lacking]
        under_way = {request.id for request in Requests(self._folder).all() if not request.is_done}
        tombstones = self._folder.names("tombstones")
        gone = sorted(set(ledger) - set(tombstones))
        faults += [f"request {one} is in the lake's ledger, and its tombstone is missing" for one in gone]
        known = {"has a tombstone": tombstones, "is in the lake's ledger": ledger}
        for where, requests in known.items():
            lost = sorted(set(requests) - request_ids - under_way - set(lacking))
            faults += [f"request {one} {where}, and neither a receipt nor an open request" for one in lost]
        return faults

    def _seal(self, receipt: Mapping[str, Any]) -> str:
        content = {key: value for key, value in receipt.items() if key != "seal"}
        return self._folder.hash("receipt", json.dumps(content, sort_keys=True, separators=(",", ":")))
