"""Devices that several customers claim: when one of them moved at the very millisecond that the device measured.

Nearly no device is claimed by several, so what is read and remembered is theirs only: per landing day of the
device's readings, and claim.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from stedi_assets.contracts.names import normalized_sql
from stedi_assets.engines.duckdb import DuckDBEngine, named
from stedi_assets.lakehouse import Snapshot
from stedi_assets.recall.crossing import MOVE_TIME, STEP_TIME, overlaps
from stedi_assets.recall.digests import Codes, Hashes, Ints, Seen, by_day, day_number
from stedi_assets.recall.names import Names, column, hashed, summed

Contents = tuple[str, ...]
WhoIsIn = Callable[[Snapshot, Collection[date]], Seen]


_NO_CLAIMS: Ints = np.empty(0, np.int64)
_NO_DAYS: Codes = np.empty(0, np.int32)
_NOTHING: Hashes = np.empty(0, np.uint64)


@dataclass(frozen=True)
class _Day:
    """What is known of the readings of devices on one landing day.

    Args:
        contents: the files that it is known of.
        asked: the claims (see ``_key``) that were looked at, in order.
        claims, later, met: of each that met, per landing day that it counts for, a digest of when.
    """

    contents: tuple[Contents, ...]
    asked: Ints
    claims: Ints
    later: Codes
    met: Hashes


class SharedDevices:
    """Remembers when claimants moved while their device measured.

    Args:
        engine: reads the readings.
        emails, devices: number the claimants and the serial numbers.
        paired: whether a moment counts only where it makes pairs (with anybody's movement), and for the landing day
            of the half that landed later; else for the day on which the device's reading landed.
    """

    def __init__(self, engine: DuckDBEngine, emails: Names, devices: Names, *, paired: bool) -> None:
        self._engine = engine
        self._emails = emails
        self._devices = devices
        self._paired = paired
        self._known: dict[date, _Day] = {}

    def moved(
        self,
        steps: Snapshot,
        moves: Snapshot,
        who_is_in: WhoIsIn,
        device: Codes,
        claimant: Codes,
        days: Collection[date] | None = None,
    ) -> dict[date, str]:
        """Of some claims, a digest of who moved when the device measured.

        Args:
            steps, moves: the tables of readings.
            who_is_in: tells it of some days of these tables.
            device, claimant: the claims, by code.
            days: the landing days wanted; none takes all.

        Returns:
            A digest for each landing day on which somebody did.
        """
        around = _around(steps, moves)
        for gone in self._known.keys() - around.keys():
            del self._known[gone]
        if not len(device):
            return {}
        wanted = {day for day, near in around.items() if days is None or self._counts_for(day, near) & set(days)}
        candidates = self._candidates(steps, moves, who_is_in, {day: around[day] for day in wanted}, device, claimant)
        unknown: dict[date, Ints] = {}
        for day, claims in candidates.items():
            contents = (steps.contents[day], *(moves.contents[near] for near in around[day]))
            if day not in self._known or self._known[day].contents != contents:
                self._known[day] = _Day(contents, _NO_CLAIMS, _NO_CLAIMS, _NO_DAYS, _NOTHING)
            missing = np.setdiff1d(claims, self._known[day].asked, assume_unique=True)
            if len(missing):
                unknown[day] = missing
        if unknown:
            self._learn(steps, moves, unknown, {near for day in unknown for near in around[day]})
        later, met = [_NO_DAYS], [_NOTHING]
        for day, claims in candidates.items():
            known = self._known[day]
            current = np.isin(known.claims, claims)
            later.append(known.later[current])
            met.append(known.met[current])
        return by_day(np.concatenate(later), np.concatenate(met))

    def _counts_for(self, day: date, near: Collection[date]) -> set[date]:
        """The landing days that readings of a day may count for."""
        return {max(day, other) for other in near} if self._paired else {day}

    def _candidates(
        self,
        steps: Snapshot,
        moves: Snapshot,
        who_is_in: WhoIsIn,
        around: Mapping[date, Collection[date]],
        device: Codes,
        claimant: Codes,
    ) -> dict[date, Ints]:
        """Per landing day, the claims of which device and claimant have readings that may meet."""
        order = np.argsort(device, kind="stable")
        device, claimant = device[order], claimant[order]
        measured = _parts(who_is_in(steps, around.keys()))
        moved = _parts(who_is_in(moves, {near for days in around.values() for near in days}))
        found: dict[date, Ints] = {}
        claimed = np.zeros(len(self._devices), dtype=np.bool_)
        claimed[device] = True
        for day, codes in measured.items():
            here = codes[claimed[codes]]
            if not len(here):
                continue
            # Of each device that measured, its claims.
            low, high = np.searchsorted(device, here), np.searchsorted(device, here, side="right")
            places = np.repeat(low, high - low) + _counting(high - low)
            about = np.zeros(len(self._emails), dtype=np.bool_)
            for near in around[day]:
                about[moved.get(near, _NO_DAYS)] = True
            places = places[about[claimant[places]]]
            if len(places):
                found[day] = np.sort(_key(device[places], claimant[places]))
        return found

    def _learn(self, steps: Snapshot, moves: Snapshot, unknown: dict[date, Ints], near: Collection[date]) -> None:
        """Look at claims on days; what was known of these days stays known."""
        keys = np.concatenate(list(unknown.values()))
        numbers = np.repeat([day_number(day) for day in unknown], [len(claims) for claims in unknown.values()])
        claims = pa.table(
            {
                "claim": keys,
                "landing_date": pa.array(numbers.astype(np.int32), pa.int32()).cast(pa.date32()),
                "device": self._devices.texts((keys >> 32).astype(np.int32)),
                "email": self._emails.texts((keys & 0xFFFFFFFF).astype(np.int32)),
            }
        )
        counts = (
            """SELECT DISTINCT s.landing_date, s.device, s.time, greatest(s.landing_date, m.landing_date) AS later
               FROM moves m JOIN measured s ON s.time = m."timestamp" """
            if self._paired
            else "SELECT *, landing_date AS later FROM measured"
        )
        rows = self._engine.arrow(
            f"""
            WITH measured AS (
                SELECT DISTINCT landing_date, device, time
                FROM (SELECT landing_date, {normalized_sql("serialNumber")} AS device, {named(STEP_TIME)} AS time
                      FROM steps)
                SEMI JOIN claims USING (landing_date, device)
            ), movers AS (
                SELECT DISTINCT email, time
                FROM (SELECT {normalized_sql("user")} AS email, {named(MOVE_TIME)} AS time FROM moves)
                SEMI JOIN claims USING (email)
            ), met AS (
                SELECT * FROM movers JOIN (SELECT * FROM measured JOIN claims USING (landing_date, device))
                USING (email, time)
            ), counts AS ({counts})
            SELECT claim, landing_date, later, {summed(hashed("device", "email", "time"))} AS met
            FROM counts JOIN met USING (landing_date, device, time) GROUP BY ALL
            """,
            steps=self._engine.relation(steps.table, steps.select(unknown.keys())),
            moves=self._engine.relation(moves.table, moves.select(near)),
            claims=claims,
        )
        landed, claim = column(rows, "landing_date"), column(rows, "claim")
        later, met = column(rows, "later"), column(rows, "met")
        for day, asked in unknown.items():
            of = landed == day_number(day)
            known = self._known[day]
            self._known[day] = _Day(
                known.contents,
                np.union1d(known.asked, asked),
                np.concatenate([known.claims, claim[of]]),
                np.concatenate([known.later, later[of]]),
                np.concatenate([known.met, met[of]]),
            )


def _key(device: Codes, claimant: Codes) -> Ints:
    """One number for a claim."""
    return device.astype(np.int64) << 32 | claimant


def _counting(lengths: Ints) -> Ints:
    """0, 1, … for each of some lengths, one after the other."""
    return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def _parts(seen: Seen) -> dict[date, Codes]:
    return dict(zip(seen.days, np.split(seen.codes, seen.ends[:-1])))


def _around(steps: Snapshot, moves: Snapshot) -> dict[date, list[date]]:
    """Of each landing day with step readings, the landing days whose accelerometer readings may be of the same time."""
    around: dict[date, list[date]] = {}
    for step_day, move_day in sorted(overlaps(steps, moves)):
        around.setdefault(step_day, []).append(move_day)
    return around
