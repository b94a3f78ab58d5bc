"""What stays of the erased: keyed hashes, so that their data is recognised when it lands again.

A tombstone names nobody. With the privacy key it can be told whether an e-mail, a serial number or a reading of a
shared device is behind it; without the key, not even by guessing e-mails.
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
    """One erased person.

    Args:
        request: the id of the request.
        erased_at: in ms since 1970; a registration after it is a new customer.
        email: keyed hash of the e-mail.
        serials: keyed hashes of the serial numbers that nobody else claimed.
        shared: keyed hashes of the serial numbers that somebody else claims too.
        readings: keyed hashes of serial number and time of the readings of shared devices that were this person's.
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
    """Makes keyed hashes."""

    def hash(self, kind: str, value: str) -> str:
        """The hash of a value; kinds do not collide."""


class Tombstones:
    """Some tombstones, as they were when they were read.

    Args:
        hasher: hashes as they were hashed.
        stones: per request.
    """

    def __init__(self, hasher: Hasher, stones: Mapping[str, Tombstone]) -> None:
        self._hasher = hasher
        self._stones = stones

    @classmethod
    def read(cls, folder: PrivacyFolder) -> Tombstones:
        """Those in a privacy folder."""
        stones = {}
        for name in folder.names(_KIND):
            told = folder.read(_KIND, name)
            if told is not None:
                sets = {key: frozenset(told[key]) for key in ("serials", "shared", "readings", "marks")}
                stones[name] = Tombstone(name, told["erased_at"], told["email"], **sets)
        return cls(folder, stones)

    def __bool__(self) -> bool:
        return bool(self._stones)

    def __iter__(self) -> Iterator[Tombstone]:
        return iter(self._stones.values())

    @cached_property
    def state(self) -> str:
        """Names which there are."""
        return fingerprint([(stone.request, stone.erased_at) for stone in self._stones.values()])

    def of_email(self, email: str) -> Tombstone | None:
        """The latest under which the person with a (trimmed, lower-cased) e-mail was erased."""
        return self._by_email.get(self._hasher.hash("email", email)) if self._stones else None

    def of_serial(self, serial: str) -> Tombstone | None:
        """The latest of the person whose alone a (trimmed, lower-cased) serial number was."""
        return self._by_serial.get(self._hasher.hash("serial", serial)) if self._stones else None

    def is_shared(self, serial: str) -> bool:
        """Whether readings of a device were told apart by their times."""
        return bool(self._shared) and self._hasher.hash("serial", serial) in self._shared

    def of_reading(self, serial: str, time: int) -> Tombstone | None:
        """The tombstone of whoever a reading of a shared device was."""
        return self._by_reading.get(self._hasher.hash("reading", f"{serial}\0{time}"))

    def of_mark(self, value: str) -> Tombstone | None:
        """The tombstone of whoever alone has a (trimmed, lower-cased) name or phone number."""
        return self._by_mark.get(self._hasher.hash("mark", value))

    @cached_property
    def _by_mark(self) -> dict[str, Tombstone]:
        return {mark: stone for stone in self._in_order for mark in stone.marks}

    @cached_property
    def _by_email(self) -> dict[str, Tombstone]:
        return {stone.email: stone for stone in self._in_order}

    @cached_property
    def _by_serial(self) -> dict[str, Tombstone]:
        return {serial: stone for stone in self._in_order for serial in stone.serials}

    @cached_property
    def _shared(self) -> frozenset[str]:
        return frozenset(serial for stone in self._in_order for serial in stone.shared)

    @cached_property
    def _by_reading(self) -> dict[str, Tombstone]:
        return {reading: stone for stone in self._in_order for reading in stone.readings}

    @cached_property
    def _in_order(self) -> list[Tombstone]:
        return sorted(self._stones.values(), key=lambda stone: stone.erased_at)


def put(folder: PrivacyFolder, stone: Tombstone) -> None:
    """Store a tombstone."""
    folder.write(
        _KIND,
        stone.request,
        {
            "erased_at": stone.erased_at,
            "email": stone.email,
            "serials": sorted(stone.serials),
            "shared": sorted(stone.shared),
            "readings": sorted(stone.readings),
            "marks": sorted(stone.marks),
        },
    )
