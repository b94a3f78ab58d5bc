"""The erasure ledger: which erasures a lake knows of, so that it does not forget them with the privacy folder.

Tombstones recognise erased people when their data lands again. They lie in the privacy folder, and with that folder,
one of them or its key gone, everybody would be ingested again, and nothing would say so. So the lake keeps, beside its
tables, which requests were carried out, under which privacy key, and the seals of their receipts: no name, and nothing
that the key could be found from.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

from fsspec.core import url_to_fs

from stedi_assets.lakehouse import Lakehouse
from stedi_assets.privacy.folder import PrivacyFolder, PrivacyFolderError
from stedi_assets.privacy.tombstones import Tombstones

LEDGER = "_erasures"
"""The folder in the lake."""


class Ledger:
    """The erasures that a lake knows of.

    Args:
        lakehouse: the lake.
    """

    def __init__(self, lakehouse: Lakehouse) -> None:
        fs, root = url_to_fs(lakehouse.uri, **lakehouse.storage_options)
        self._fs = fs
        self._folder = f"{root}/{LEDGER}"

    def add(self, request: str, folder: PrivacyFolder) -> None:
        """Enter an erasure, unless it is there.

        Args:
            request: the id of its request.
            folder: the privacy folder under whose key its tombstone is.
        """
        if not self._fs.exists(self._path(request)):
            self._write(request, {"privacy_key": _key_id(folder)})

    def close(self, request: str, number: int, seal: str) -> None:
        """Enter the receipt of an erasure, so that another one in its place shows.

        Args:
            request: the id of its request.
            number: the number of the receipt.
            seal: its seal.
        """
        self._write(request, {**self._read(request), "receipt": number, "seal": seal})

    def seals(self) -> dict[str, str | None]:
        """The seal of the receipt of each request; none where it had none yet."""
        return {request: self._read(request).get("seal") for request in self.requests()}

    def _path(self, request: str) -> str:
        return f"{self._folder}/{request}.json"

    def _write(self, request: str, entry: Mapping[str, Any]) -> None:
        self._fs.makedirs(self._folder, exist_ok=True)
        aside = f"{self._folder}/.{request}.{secrets.token_hex(4)}"
        with self._fs.open(aside, "w") as file:
            json.dump(entry, file)
        self._fs.mv(aside, self._path(request))

    def _read(self, request: str) -> dict[str, Any]:
        with self._fs.open(self._path(request)) as file:
            entry: dict[str, Any] = json.load(file)
        return entry

    def requests(self) -> list[str]:
        """The ids of the requests, in order."""
        if not self._fs.exists(self._folder):
            return []
        names = (path.rpartition("/")[2] for path in self._fs.ls(self._folder, detail=False))
        return sorted(name.removesuffix(".json") for name in names if name.endswith(".json"))

    def require_key(self, folder: PrivacyFolder) -> None:
        """Require that the privacy folder's key is that of every erasure that the lake knows of.

        Args:
            folder: the privacy folder.

        Raises:
            PrivacyFolderError: it is another one.
        """
        requests = self.requests()
        others = sum(self._read(request).get("privacy_key") != _key_id(folder) for request in requests)
        if others:
            raise _not_recognised(
                len(requests), f"{others} of their tombstones are under another privacy key than {folder.key_name}"
            )

    def require(self, folder: PrivacyFolder, tombstones: Tombstones) -> None:
        """Require that the privacy folder still has what the lake knows of.

        Args:
            folder: the privacy folder.
            tombstones: those in it.

        Raises:
            PrivacyFolderError: a tombstone is gone, or the key is another one.
        """
        requests = self.requests()
        if not requests:
            return
        gone = set(requests) - {tombstone.request for tombstone in tombstones}
        if gone:
            raise _not_recognised(
                len(requests),
                f"{len(gone)} of their {len(requests)} tombstones are not in the privacy folder {folder.path}",
            )
        self.require_key(folder)


def _not_recognised(people: int, fault: str) -> PrivacyFolderError:
    return PrivacyFolderError(
        f"The lake knows of {people} people who were erased, and {fault}. Nothing lands, because their data would come "
        "back unrecognised. Restore the privacy folder from a backup, or set STEDI_PRIVACY_URI and, if the key is kept "
        "elsewhere, STEDI_PRIVACY_KEY."
    )


def _key_id(folder: PrivacyFolder) -> str:
    return folder.hash("key", "id")[:16]
