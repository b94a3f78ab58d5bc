"""Erasure requests: what was asked, by when it must be done, and whether it is.

A request holds the e-mail until it is done; then only its receipt and a tombstone stay. Run configuration, tags,
logs and everything else that Dagster stores carry the request's id.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from typing import Any

from stedi_assets.privacy.folder import PrivacyFolder

_KIND = "requests"

HIDE = "hide"
ERASE = "erase"
SHARED_DEVICES = (HIDE, ERASE)
"""What an erasure does with the readings of devices that others claim too: ``hide`` takes them out of every table and
leaves them in the raw files, ``erase`` takes them there as well. Whoever writes a false customer record can claim
anybody's device, so nothing of it is destroyed unless an officer says so."""

DUE_DAYS = 30
"""Days in which a request is to be done: a month, as Article 12(3) of the GDPR has it."""


class RequestError(ValueError):
    """There is no erasure request with that id, or it is under way and cannot be changed any more.

    Remedy: `stedi erase --list` shows those there are. Of one that is under way, wait until it is done, and file
    another.
    """


@dataclass(frozen=True)
class Request:
    """A request to erase a person.

    Args:
        id: the name of the request in runs, tags, logs and receipts.
        requested_at: the time at which it was filed, in ms since 1970.
        due: the day by which it must be done.
        reason: the reason in the words of whoever filed it.
        email: the e-mail of the person; none once it is done.
        done_at: the time at which it was done, in ms since 1970.
        progress: the document of its :class:`Progress` while it is carried out; none before and after.
        shared_devices: what is done with readings of shared devices, one of ``SHARED_DEVICES``.
    """

    id: str
    requested_at: int
    due: date
    reason: str
    email: str | None
    done_at: int | None = None
    progress: Mapping[str, Any] | None = None
    shared_devices: str = HIDE

    @property
    def is_done(self) -> bool:
        """Whether it was carried out and proven."""
        return self.done_at is not None

    def days_left(self, today: date) -> int:
        """The days until the request is due; negative where it is overdue."""
        return (self.due - today).days

    def state(self, today: date) -> str:
        """The state of the request: ``done``, ``overdue``, ``under way`` or ``open``."""
        if self.is_done:
            return "done"
        if self.days_left(today) < 0:
            return "overdue"
        return "under way" if self.progress else "open"


class Requests:
    """The requests in a privacy folder.

    Args:
        folder: the privacy folder.
    """

    def __init__(self, folder: PrivacyFolder) -> None:
        self._folder = folder

    def all(self) -> list[Request]:
        """Every request, the oldest first."""
        found = [self.get(name) for name in self._folder.names(_KIND)]
        return sorted(found, key=lambda request: (request.requested_at, request.id))

    def open(self) -> list[Request]:
        """The requests that are not done, the oldest first."""
        return [request for request in self.all() if not request.is_done]

    def get(self, request_id: str) -> Request:
        """The request with an id, as it is stored now.

        Args:
            request_id: the id.

        Raises:
            RequestError: there is none.
        """
        stored = self._folder.read(_KIND, request_id) if request_id.isascii() and "/" not in request_id else None
        if stored is None:
            msg = f"There is no erasure request {request_id!r}; `stedi erase --list` shows those there are."
            raise RequestError(msg)
        return Request(**{**stored, "due": date.fromisoformat(stored["due"])})

    def file(
        self, email: str, reason: str, now: datetime, due_days: int = DUE_DAYS, shared_devices: str | None = None
    ) -> Request:
        """File a request, unless one is open for the same e-mail.

        Args:
            email: trimmed and lower-cased.
            reason: kept with the request and in the receipt; must not name anybody.
            now: the time.
            due_days: days in which it must be done.
            shared_devices: one of ``SHARED_DEVICES``; none for ``hide``, or for what the open request says.

        Returns:
            The request that is open for the e-mail now.

        Raises:
            RequestError: it is under way, and is to do something else with readings of shared devices.
        """
        with self._changing():
            for request in self.open():
                if request.email == email:
                    same = replace(request, shared_devices=shared_devices or request.shared_devices)
                    if same != request:
                        self._require_not_begun(request)
                        self.save(same)
                    return same
            day = now.astimezone(timezone.utc).date()
            request = Request(
                id=f"erasure-{day:%Y%m%d}-{secrets.token_hex(4)}",
                requested_at=int(now.timestamp() * 1000),
                due=day + timedelta(days=due_days),
                reason=reason,
                email=email,
                shared_devices=shared_devices or HIDE,
            )
            self.save(request)
            return request

    def save(self, request: Request) -> None:
        """Store a request in place of what was stored under its id.

        Args:
            request: the request.
        """
        self._folder.write(_KIND, request.id, {**request.__dict__, "due": request.due.isoformat()})

    def begin(self, request: Request) -> Request:
        """Store the progress of a request, unless another process that carries it out has done so before.

        The first count holds: a later one may have been made when some rows were gone. Nor is progress stored that was
        made for another choice about shared devices than the request says by now.

        Args:
            request: the request with its progress.

        Returns:
            The request as it is stored now.
        """
        with self._changing():
            stored = self.get(request.id)
            is_same = replace(request, progress=None) == stored
            if is_same:
                self.save(request)
            return request if is_same else stored

    def close(self, request: Request, done_at: int) -> Request:
        """Store that a request is done, and forget whose it was.

        Args:
            request: the request.
            done_at: the time at which it was done, in ms since 1970.

        Returns:
            The request as it is stored now.
        """
        with self._changing():
            done = replace(self.get(request.id), email=None, progress=None, done_at=done_at)
            self.save(done)
            return done

    def _changing(self) -> AbstractContextManager[None]:
        """Hold the lock under which requests are read and stored again."""
        return self._folder.locked("filing")

    @staticmethod
    def _require_not_begun(request: Request) -> None:
        if request.progress is not None:
            msg = (
                f"The request {request.id} for this e-mail is under way with --shared-devices "
                f"{request.shared_devices}. Wait until it is done, and file another one with your choice."
            )
            raise RequestError(msg)


def now_ms() -> int:
    """The time, in ms since 1970."""
    return int(datetime.now(timezone.utc).timestamp() * 1000)
