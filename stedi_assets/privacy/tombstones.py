"""Tombstones: keyed hashes that stay of erased people, so that their data is recognised when it lands again.

A tombstone names nobody. With the privacy key, an e-mail, a serial number or a reading of a shared device can be
compared with it; without the key, not even guessed e-mails can.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from stedi_assets.lakehouse.fingerprint import fingerprint
from stedi_assets.privacy.folder import PrivacyFolder

_KIND = "tombstones"


@dataclass(frozen=True)
class Tombstone:
    """The tombstone of one erased person.

    Args:
        request: the id of the erasure request.
        erased_at: the time of the erasure, in ms since 1970; a registration after it is a new customer.
        email: keyed hash of the e-mail.
        serials: keyed hashes of the serial numbers that nobody else claimed.
        shared: keyed hashes of the serial numbers that somebody else claims too.
        readings: keyed hashes of serial number and time of this person's readings of shared devices.
        marks: keyed hashes of the name and the phone number, where nobody else has them.
    """

    request: str
    erased_at: int
    email: str
    serials: frozenset[str]
    shared: frozenset[str]
    readings: frozenset[str]
    marks: frozenset[str]


class Hasher(Protocol):
    """A maker of keyed hashes."""

    def hash(self, kind: str, value: str) -> str:
        """The hash of a value.

        Args:
            kind: the kind of value; values of different kinds have different hashes.
            value: the value.
        """


class Tombstones:
    """A set of tombstones.

    Args:
        hasher: the hasher that their hashes were made with.
        by_request: the tombstone of each request.
    """

    def __init__(self, hasher: Hasher, by_request: Mapping[str, Tombstone]) -> None:
        self._hasher = hasher
        self._by_request = by_request

    @classmethod
    def read(cls, folder: PrivacyFolder) -> Tombstones:
        """Read the tombstones in a privacy folder.

        Args:
            folder: the privacy folder.
        """
        by_request = {}
        for name in folder.names(_KIND):
            document = folder.read(_KIND, name)
            if document is not None:
                sets = {key: frozenset(document[key]) for key in ("serials", "shared", "readings", "marks")}
                by_request[name] = Tombstone(name, document["erased_at"], document["email"], **sets)
        return cls(folder, by_request)

    def __bool__(self) -> bool:
        return bool(self._by_request)

    def __iter__(self) -> Iterator[Tombstone]:
        return iter(self._by_request.values())

    @cached_property
    def state(self) -> str:
        """A fingerprint of which tombstones there are."""
        return fingerprint([(tombstone.request, tombstone.erased_at) for tombstone in self._by_request.values()])

    def of_email(self, email: str) -> Tombstone | None:
        """The latest tombstone of the person with an e-mail.

        Args:
            email: the normalised e-mail.
        """
        return self._by_email.get(self._hasher.hash("email", email)) if self._by_request else None

    def of_serial(self, serial: str) -> Tombstone | None:
        """The latest tombstone of the only person who claimed a device.

        Args:
            serial: the normalised serial number.
        """
        return self._by_serial.get(self._hasher.hash("serial", serial)) if self._by_request else None

    def is_shared(self, serial: str) -> bool:
        """Whether some tombstone has readings of a shared device.

        Args:
            serial: the normalised serial number.
        """
        return bool(self._shared) and self._hasher.hash("serial", serial) in self._shared

    def of_reading(self, serial: str, time: int) -> Tombstone | None:
        """The tombstone of the person who took a reading of a shared device.

        Args:
            serial: the normalised serial number.
            time: the time of the reading, in ms since 1970.
        """
        return self._by_reading.get(self._hasher.hash("reading", f"{serial}\0{time}"))

    def of_mark(self, value: str) -> Tombstone | None:
        """The tombstone of the only person with a name or phone number.

        Args:
            value: the normalised name or phone number.
        """
        return self._by_mark.get(self._hasher.hash("mark", value))

    @cached_property
    def _by_mark(self) -> dict[str, Tombstone]:
        return {mark: tombstone for tombstone in self._in_order for mark in tombstone.marks}

    @cached_property
    def _by_email(self) -> dict[str, Tombstone]:
        return {tombstone.email: tombstone for tombstone in self._in_order}

    @cached_property
    def _by_serial(self) -> dict[str, Tombstone]:
        return {serial: tombstone for tombstone in self._in_order for serial in tombstone.serials}

    @cached_property
    def _shared(self) -> frozenset[str]:
        return frozenset(serial for tombstone in self._in_order for serial in tombstone.shared)

    @cached_property
    def _by_reading(self) -> dict[str, Tombstone]:
        return {reading: tombstone for tombstone in self._in_order for reading in tombstone.readings}

    @cached_property
    def _in_order(self) -> list[Tombstone]:
        return sorted(self._by_request.values(), key=lambda tombstone: tombstone.erased_at)


def write_tombstone(folder: PrivacyFolder, tombstone: Tombstone) -> None:
    """Store a tombstone.

    Args:
        folder: the privacy folder.
        tombstone: the tombstone.
    """
    folder.write(
        _KIND,
        tombstone.request,
        {
            "erased_at": tombstone.erased_at,
            "email": tombstone.email,
            "serials": sorted(tombstone.serials),
            "shared": sorted(tombstone.shared),
            "readings": sorted(tombstone.readings),
            "marks": sorted(tombstone.marks),
        },
    )
