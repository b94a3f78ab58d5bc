"""The privacy folder, which holds requests, tombstones and receipts for its owner only.

It lies beside the lake, never in it: whoever may read the tables may not read who asked to be forgotten. This module
keeps documents private and whole; the modules that store them decide what they say.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock

from stedi_assets.privacy.keys import read_or_create


class PrivacyFolderError(RuntimeError):
    """The privacy folder cannot be made, can be entered by others, or holds a damaged document.

    Remedy: run the `chmod` that the message names, set `STEDI_PRIVACY_URI` to a folder of this machine, or put the
    document back from a backup.
    """


class PrivacyFolder:
    """A folder that only its owner can enter.

    Args:
        path: the path of the folder, which is made when something is first written.
        key: the privacy key; none lets the folder keep its own.
    """

    def __init__(self, path: str | Path, key: str | None = None) -> None:
        self.path = Path(path)
        self._given = key

    @property
    def exists(self) -> bool:
        """Whether the folder is there: nothing makes it before something is written."""
        return self.path.is_dir()

    @property
    def key_name(self) -> str:
        """Where the privacy key comes from, for messages."""
        return str(self.path / "key") if self._given is None else "STEDI_PRIVACY_KEY"

    @cached_property
    def _key(self) -> bytes:
        if self._given is not None:
            return self._given.strip().encode()

        def dependents() -> str:
            if not self.names("tombstones"):
                return ""
            return "The erased are known by it only: with another key their data could come back unrecognised."

        self._make()
        return read_or_create(self.path / "key", "privacy key", "Make its folder writable.", dependents)

    def hash(self, kind: str, value: str) -> str:
        """HMAC-SHA256 (RFC 2104) of a value under the privacy key, in hex.

        Args:
            kind: the kind of value; values of different kinds have different hashes.
            value: the value.
        """
        return hmac.new(self._key, f"{kind}\0{value}".encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    def names(self, kind: str) -> list[str]:
        """The names of the documents of a kind, in order.

        Args:
            kind: the kind, which is a folder.

        Raises:
            PrivacyFolderError: others can enter the folder.
        """
        if not self.exists:
            return []
        self._require_private(self.path)
        return sorted(path.stem for path in (self.path / kind).glob("*.json"))

    def read(self, kind: str, name: str) -> dict[str, Any] | None:
        """A document, or none if it is not there.

        Args:
            kind: the kind of document.
            name: its name.

        Raises:
            PrivacyFolderError: it is not JSON.
        """
        text = self.read_text(kind, name)
        if text is None:
            return None
        try:
            document: dict[str, Any] = json.loads(text)
        except ValueError:
            msg = f"{self.path / kind / name}.json is not JSON any more; put it back from a backup."
            raise PrivacyFolderError(msg) from None
        return document

    def read_text(self, kind: str, name: str) -> str | None:
        """The text of a document, or none if it is not there.

        Args:
            kind: the kind of document.
            name: its name.
        """
        try:
            return (self.path / kind / f"{name}.json").read_text()
        except FileNotFoundError:
            return None

    def write(self, kind: str, name: str, document: Mapping[str, Any]) -> str:
        """Write a document, whole or not at all.

        Args:
            kind: the kind of document.
            name: its name.
            document: its content.

        Returns:
            The text that is stored.

        Raises:
            PrivacyFolderError: the folder cannot be made, or others can enter it.
        """
        self._make(kind)
        text = json.dumps(document, indent=2, sort_keys=True) + "\n"
        path = self.path / kind / f"{name}.json"
        with self.locked("writing"):
            # What a killed process left half written may name somebody, and nothing would ever delete it.
            for temporary in path.parent.glob(".*.json.*"):
                temporary.unlink()
            aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
            try:
                with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                aside.replace(path)
            finally:
                aside.unlink(missing_ok=True)
        return text

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold one of the folder's locks within the block.

        Args:
            name: the name of the lock.
        """
        self._make()
        with FileLock(self.path / f".{name}", mode=0o600, is_singleton=True):
            yield

    def _make(self, kind: str = "") -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.mkdir(mode=0o700, exist_ok=True)
            self._require_private(self.path)
            (self.path / kind).mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            msg = f"Cannot make the privacy folder {self.path}: {error.strerror}. Set STEDI_PRIVACY_URI to another."
            raise PrivacyFolderError(msg) from error

    @staticmethod
    def _require_private(path: Path) -> None:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            msg = (
                f"The privacy folder {path} can be entered by others (mode {mode:04o}; expected 0700). It says who "
                f"asked to be forgotten. Run: chmod 700 {path}"
            )
            raise PrivacyFolderError(msg)


def open_privacy_folder(uri: str, key: str | None = None) -> PrivacyFolder:
    """Open the privacy folder at a URI.

    Args:
        uri: a path on this machine.
        key: the privacy key; none lets the folder keep its own.

    Raises:
        PrivacyFolderError: it is not a folder of this machine.
    """
    if "://" in uri:
        msg = f"STEDI_PRIVACY_URI is {uri!r}; only folders of this machine can be kept private so far."
        raise PrivacyFolderError(msg)
    return PrivacyFolder(uri, key)
