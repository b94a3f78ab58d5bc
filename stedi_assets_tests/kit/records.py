"""Records as raw files hold them, of invented people.

``customer``, ``movement`` and ``step`` are of somebody by name, whole, and go together: ``ann`` is
``ann@example.com`` and wears ``serial-ann``. The ``…_record`` functions have only the fields that rules look at, for
cases that choose each of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

Record = dict[str, Any]

DAY = date(2023, 8, 6)
"""The day of the landing files that tests write by hand."""

STAMP = 1_691_300_000_000
"""A time on that day, in ms."""

NOON = 1_691_323_200_000
"""The middle of that day, in ms."""

LONG_AGO = 1_600_000_000_000

UPDATED = 1_690_000_000_000
"""A time before these, in ms: that of the update 0 of a record."""


def customer_record(email: str, serial: str, share: int | None = LONG_AGO, update: int = 1, **more: object) -> Record:
    """A customer record, with consent; of two, the one with the greater update was changed later."""
    fields = {
        "email": email,
        "serialNumber": serial,
        "lastUpdateDate": UPDATED + update,
        "shareWithResearchAsOfDate": share,
    }
    return {**fields, **more}


def accelerometer_record(user: str, time: int = NOON, x: float = 1.0, y: float = 2.0, z: float = 3.0) -> Record:
    """An accelerometer reading."""
    return {"user": user, "timestamp": time, "x": x, "y": y, "z": z}


def step_record(serial: str, time: int = NOON, distance: int = 7) -> Record:
    """A step trainer reading."""
    return {"sensorReadingTime": time, "serialNumber": serial, "distanceFromObject": distance}


def customer(name: str, consents: bool = True, updated: int = STAMP - 1000, **changed: Any) -> Record:
    """A customer record."""
    return {
        "customerName": f"{name.title()} Invented",
        "email": f"{name}@example.com",
        "phone": "5550100",
        "birthDay": "1970-01-01",
        "serialNumber": f"serial-{name}",
        "registrationDate": STAMP - 9000,
        "lastUpdateDate": updated,
        "shareWithResearchAsOfDate": STAMP - 9000 if consents else None,
        "shareWithPublicAsOfDate": None,
        "shareWithFriendsAsOfDate": None,
    } | changed


def movement(name: str, time: int = STAMP) -> Record:
    """An accelerometer reading."""
    return accelerometer_record(f"{name}@example.com", time, z=-1.5)


def step(name: str, time: int = STAMP) -> Record:
    """A step trainer reading."""
    return step_record(f"serial-{name}", time, 200)


def lines(*records: Mapping[str, Any]) -> str:
    """Records as a raw file has them."""
    return "".join(json.dumps(record) + "\n" for record in records)
