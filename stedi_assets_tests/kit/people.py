"""A lake with ten people to forget, and what must be left when they are."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from stedi_assets.contracts import TABLES
from stedi_assets.defs.materialize import rebuilder
from stedi_assets.staleness.stale import stale_partitions
from stedi_assets.subject_requests.erasure import Erasure
from stedi_assets.subject_requests.requests import Request, Requests
from stedi_assets_tests.kit.driven import leave_out_dagster
from stedi_assets_tests.kit.lake import SmallLake
from stedi_assets_tests.kit.records import STAMP, customer, lines, movement, step

DAYS = [date(2023, 8, 1) + timedelta(days=n) for n in range(3)]
NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)

SHARING, SHARED_WITH = "sam", "tom"
"""Two people whose records claim the same device."""

IN_QUARANTINE = "quinn"
"""Whom only rejected lines name."""

NEVER_CONSENTED = "nora"
ON_SEVERAL_DAYS = "ann"
OTHERS = ["bob", "eve", "fay", "gus", "hal", "ida"]
STAYING = ["kim", "lou", "ann.b", "xann", SHARED_WITH]
EVERYBODY = [ON_SEVERAL_DAYS, *OTHERS, SHARING, NEVER_CONSENTED, *STAYING]


def at(day: date, offset: int) -> int:
    """A time on a day, in ms."""
    return STAMP + (day - date(2023, 8, 6)).days * 86_400_000 + offset


def person(name: str, day: date, **changed: Any) -> dict[str, Any]:
    """A customer record of somebody whose name, phone and device are their own."""
    number = sum(ord(letter) * 31**place for place, letter in enumerate(name)) % 10**6
    share = None if name == NEVER_CONSENTED else at(DAYS[0], 0)
    return (
        customer(
            name,
            updated=at(day, -1000),
            phone=f"555{number:06}",
            shareWithResearchAsOfDate=share,
            registrationDate=at(DAYS[0], -9000),
            serialNumber="serial-shared" if name in {SHARING, SHARED_WITH} else f"serial-{name}",
        )
        | changed
    )


def land(lake: SmallLake, days: Sequence[date] = DAYS) -> None:
    """Land some days of everybody, broken lines, a copied file and a compressed one among them."""
    for number, day in enumerate(days):
        here = [name for name in EVERYBODY if number == 0 or name == ON_SEVERAL_DAYS or hash_of(name) % 3 == number]
        rejected = [
            '{"customerName":"Quinn Only","email":" Quinn@Example.com ","serialNumber":7}',
            '{"email":"quinn@example.com.au","serialNumber":7}',
            '{"email":"ann@example.co',
        ]
        lake.land(
            "customer_landing", lines(*(person(name, day) for name in here)) + "\n".join(rejected) + "\n", day=day
        )
        moves = [movement(name, at(day, n)) for n, name in enumerate(here)]
        steps = [
            step(name, at(day, n)) | {"serialNumber": person(name, day)["serialNumber"]} for n, name in enumerate(here)
        ]
        moves[0]["user"] = " ANN@Example.COM" if here[0] == "ann" else moves[0]["user"]
        text = lines(*moves).replace("ann@", "ann\\u0040") if number == 1 else lines(*moves)
        # Not among the customers, where it would put her consent in doubt.
        text += '{"user":"ann@example.com","timestamp":"soon"}\n'
        lake.land("accelerometer_landing", text, day=day)
        lake.path("step_trainer_landing", "part.json.gz", day).write_bytes(gzip.compress(lines(*steps).encode()))
    copied = lake.path("accelerometer_landing", day=DAYS[0]).read_text()
    lake.land("accelerometer_landing", copied, "copy.json", days[-1])


def hash_of(name: str) -> int:
    """The same in every process."""
    return sum(map(ord, name))


def email(name: str) -> str:
    return f"{name}@example.com"


@dataclass(frozen=True)
class Forgotten:
    """A lake after an erasure; not to be changed.

    Args:
        lake: it.
        receipts: of each who was erased, the receipt.
    """

    lake: SmallLake
    receipts: dict[str, dict[str, Any]]


def request(lake: SmallLake, name: str, shared_devices: str | None = None) -> Request:
    """File a request for somebody."""
    return Requests(lake.resources.privacy).file(email(name), "asked by letter", NOW, shared_devices=shared_devices)


def erase(lake: SmallLake, name: str) -> dict[str, Any]:
    """Forget somebody; the receipt."""
    return carry_out(lake, request(lake, name))


def carry_out(lake: SmallLake, asked: Request) -> dict[str, Any]:
    """Carry out a request; the receipt."""
    (receipt,) = erasure(lake, asked).run()
    return receipt


def erase_directly(lake: SmallLake, *names: str, shared_devices: str | None = None) -> list[dict[str, Any]]:
    """Forget some people together, without Dagster's runs; the receipts."""
    with pytest.MonkeyPatch.context() as patch:
        leave_out_dagster(patch)
        return erasure(lake, *(request(lake, name, shared_devices) for name in names)).run()


def erasure(lake: SmallLake, *asked: Request) -> Erasure:
    """The steps of some requests that are carried out together, by Dagster's runs."""
    return Erasure(lake.resources, rebuilder(lake.resources, lake.instance), [one.id for one in asked])


def nothing_differs(lake: SmallLake) -> bool:
    """Whether every table is as the raw files and its inputs ask for."""
    resources = lake.resources
    return not resources.landing_differences(resources.listing()) and not stale_partitions(resources.view())


def tables(lake: SmallLake) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of every table but the record of files, in order."""
    return {name: lake.rows(name) for name in TABLES if name != "landing_files"}


def names_one(values: Iterable[Any], names: Collection[str]) -> bool:
    """Whether a value is, or a text names, one of these people's e-mails or devices."""
    text = "\0".join(str(value).lower() for value in values)
    return any(re.search(rf"(?<![\w.]){re.escape(who)}(?![\w-]|\.\w)", text) for who in mentions(names))


def mentions(names: Collection[str]) -> list[str]:
    return [value for name in names for value in (email(name), f"serial-{name}")]


def without(rows: dict[str, list[tuple[Any, ...]]], lake: SmallLake, names: Collection[str]) -> dict[str, list[Any]]:
    """The same rows but those of some people, by every column."""
    subjects = {lake.resources.pseudonyms.subject_id(email(name)) for name in names}
    return {
        table: [row for row in found if not names_one(row, names) and not subjects & set(map(str, row))]
        for table, found in rows.items()
    }


def everything_stored(root: Path) -> bytes:
    """Every byte below a folder, gzip inflated, in lower case."""
    parts = []
    for path in sorted(root.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            parts.append(gzip.decompress(data) if path.suffix == ".gz" else data)
    return b"\0".join(parts).lower()


def moved_at_first() -> list[str]:
    """Who moved at each millisecond of the first day."""
    return list(EVERYBODY)


def stored_texts(lake: SmallLake) -> str:
    """Every text in every Parquet file below the lake, used by a table or not."""
    found = []
    for path in sorted((lake.root / "lake").rglob("*.parquet")):
        rows = lake.resources.engine.connection.read_parquet(str(path)).fetchall()
        found.append(json.dumps(rows, default=str))
    return "\n".join(found).lower()
