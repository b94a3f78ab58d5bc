"""Pseudonyms of customers (``subject_id``), and the secret key that they are computed with."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import narwhals.stable.v2 as nw
import pyarrow as pa

from stedi_assets.privacy.keys import SecretKeyError, read_or_create
from stedi_assets.settings import Settings


class Pseudonyms:
    """Pseudonyms: the HMAC-SHA256 (RFC 2104) of the e-mail under a secret key, in hex.

    An unkeyed hash would hide nothing: whoever can guess an e-mail can compute it.

    Args:
        key: returns the secret, when it is first needed.
        frame: turns rows in memory into a frame of the engine in use; without it they become one of
            the same kind as the customers', who must be in memory too (PyArrow, pandas).
    """

    def __init__(self, key: Callable[[], bytes], frame: Callable[[pa.Table], Any] | None = None) -> None:
        self._read_key = key
        self._frame = frame

    @cached_property
    def _key(self) -> bytes:
        return self._read_key()

    @cached_property
    def key_id(self) -> str:
        """The identifier of the key, which says nothing about it."""
        return hmac.new(self._key, b"stedi key id", hashlib.sha256).hexdigest()[:16]

    def subject_id(self, email: str) -> str:
        """The pseudonym of a customer.

        Args:
            email: the normalised e-mail.
        """
        return hmac.digest(self._key, email.encode(), "sha256").hex()

    def subject_ids(self, customers: Any) -> Any:
        """The pseudonyms of the customers in a frame.

        Args:
            customers: a frame with the column ``email``.

        Returns:
            A frame of ``email`` and ``subject_id``.
        """
        lazy = nw.from_native(customers).lazy()
        emails = lazy.select("email").unique().collect("pyarrow").to_native()["email"].combine_chunks()
        known = [email for email in emails.to_pylist() if email is not None]
        schema = pa.schema([("email", pa.string()), ("subject_id", pa.string())])
        rows = pa.table([known, [self.subject_id(email) for email in known]], schema=schema)
        if self._frame is not None:
            return self._frame(rows)
        return nw.from_arrow(rows, backend=lazy.implementation).lazy()


def pseudonyms(
    settings: Settings,
    frame: Callable[[pa.Table], Any] | None = None,
    in_use: Callable[[], bool] = lambda: False,
) -> Pseudonyms:
    """The pseudonyms of a lake, whose key is read, or created, when it is first needed.

    Args:
        settings: the settings, which name the lake and may have its key.
        frame: see :class:`Pseudonyms`.
        in_use: whether the lake has pseudonyms already, so that a new key would change them.
    """
    return Pseudonyms(lambda: _key(settings, in_use), frame)


def _key(settings: Settings, in_use: Callable[[], bool]) -> bytes:
    if settings.pseudonym_key is not None:
        return settings.pseudonym_key.encode()
    if "://" in settings.lake_uri:
        msg = (
            "STEDI_PSEUDONYM_KEY is not set, and this lake is not a folder of this machine. Set it to the secret "
            "that subject_id is made with: a long random text, the same for every run on this lake."
        )
        raise SecretKeyError(msg)
    return read_or_create(
        key_path(settings.lake_uri),
        "pseudonym key",
        "Make its folder writable, or set STEDI_PSEUDONYM_KEY.",
        lambda: _DEPENDENTS if in_use() else "",
    )


_DEPENDENTS = (
    "The lake has subject_ids that were made with it, and with another key every one of them would change: nothing "
    "that was derived from them before could be matched to the tables any more."
)


def key_path(lake_uri: str) -> Path:
    """The path of the key of a local lake: beside the lake, so that sharing the lake does not share the key.

    Args:
        lake_uri: the folder of the lake.
    """
    lake = Path(lake_uri)
    return lake.parent / f".{lake.name}-pseudonym-key"
