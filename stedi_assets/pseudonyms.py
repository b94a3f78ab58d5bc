"""``subject_id``: the pseudonym of a customer, and the secret key it is made with."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import narwhals.stable.v2 as nw
import pyarrow as pa

from stedi_assets.settings import Settings

_BYTES = 32


class PseudonymKeyError(RuntimeError):
    """The secret key is missing or not secret; the message says what to do."""


class Pseudonyms:
    """Makes pseudonyms: HMAC-SHA256 (RFC 2104) of the e-mail under a secret key, in hex.

    An unkeyed hash would hide nothing: whoever can guess an e-mail can compute it.

    Args:
        key: gives the secret, when it is first needed.
        frame: turns rows in memory into a frame of the engine in use; without it they become one of
            the same kind as the customers', who must be in memory too (PyArrow, pandas).
    """

    def __init__(self, key: Callable[[], bytes], frame: Callable[[pa.Table], Any] | None = None) -> None:
        self._make_key = key
        self._frame = frame

    @cached_property
    def _key(self) -> bytes:
        return self._make_key()

    @cached_property
    def key_id(self) -> str:
        """Tells one key from another, and says nothing about it."""
        return hmac.new(self._key, b"stedi key id", hashlib.sha256).hexdigest()[:16]

    def subject_id(self, email: str) -> str:
        """The pseudonym of the customer with this (trimmed, lower-cased) e-mail."""
        return hmac.new(self._key, email.encode(), hashlib.sha256).hexdigest()

    def subject_ids(self, customers: Any) -> Any:
        """``email`` and ``subject_id`` of the customers in a frame."""
        lazy = nw.from_native(customers).lazy()
        emails = lazy.select("email").unique().collect("pyarrow").to_native()["email"].combine_chunks()
        known = [email for email in emails.to_pylist() if email is not None]
        schema = pa.schema([("email", pa.string()), ("subject_id", pa.string())])
        rows = pa.table([known, [self.subject_id(email) for email in known]], schema=schema)
        if self._frame is not None:
            return self._frame(rows)
        return nw.from_arrow(rows, backend=lazy.implementation).lazy()


def pseudonyms(settings: Settings, frame: Callable[[pa.Table], Any] | None = None) -> Pseudonyms:
    """The pseudonyms of a lake; its key is read, or made, when it is first needed."""
    return Pseudonyms(lambda: _key(settings), frame)


def _key(settings: Settings) -> bytes:
    if settings.pseudonym_key is not None:
        return settings.pseudonym_key.encode()
    if "://" in settings.lake_uri:
        msg = (
            "STEDI_PSEUDONYM_KEY is not set, and this lake is not a folder of this machine. Set it to the secret "
            "that subject_id is made with: a long random text, the same for every run on this lake."
        )
        raise PseudonymKeyError(msg)
    return _local_key(key_path(settings.lake_uri))


def key_path(lake_uri: str) -> Path:
    """Where the key of a local lake lies: beside the lake, not in it, so that sharing the lake does not share it."""
    lake = Path(lake_uri)
    return lake.parent / f".{lake.name}-pseudonym-key"


def _local_key(path: Path) -> bytes:
    """Read the key, or make it if there is none.

    Raises:
        PseudonymKeyError: others than its owner can read it, or there is nothing in it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Written aside and linked, so that of several processes that make it at once all read one whole key.
        made = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        if not path.exists():
            with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_hex(_BYTES) + "\n")
            try:
                os.link(made, path)
            except FileExistsError:
                pass
            finally:
                made.unlink()
    except OSError as error:
        msg = (
            f"Cannot make the pseudonym key {path}: {error.strerror}. "
            "Make its folder writable, or set STEDI_PSEUDONYM_KEY."
        )
        raise PseudonymKeyError(msg) from error
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        msg = (
            f"The pseudonym key {path} can be read by others (mode {mode:04o}; expected 0600), so the pseudonyms "
            f"may be undone. Run: chmod 600 {path} - and if others did read it, make a new lake with a new key."
        )
        raise PseudonymKeyError(msg)
    key = path.read_text().strip().encode()
    if not key:
        msg = (
            f"The pseudonym key {path} is empty, so anybody could compute the pseudonyms. Put the lake's key back; "
            "if there never was one, delete the file, and a new one is made."
        )
        raise PseudonymKeyError(msg)
    return key
