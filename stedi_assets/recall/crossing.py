"""Pairs whose halves landed on different days: remembered per pair of days, without asking who consents."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from stedi_assets.engines.duckdb import DuckDBEngine, named
from stedi_assets.lakehouse import Snapshot
from stedi_assets.recall.digests import Codes, Hashes, day_number
from stedi_assets.recall.names import Names, column, hashed, keyed, summed

STEP_TIME, MOVE_TIME = "sensorReadingTime", "timestamp"

Days = tuple[date, date]
"""The landing day of a step reading, and that of an accelerometer reading."""

Contents = tuple[str, ...]


@dataclass(frozen=True)
class Pairs:
    """Pairs of readings of the same millisecond, those of one device with one wearer together.

    Args:
        later: the number of the landing day of the half that landed later.
        device, wearer: by code.
        details: a digest of what the pairs say.
    """

    later: Codes
    device: Codes
    wearer: Codes
    details: Hashes

    @classmethod
    def of(cls, parts: Iterable[Pairs]) -> Pairs:
        """Put some together."""
        every = [_NONE, *parts]
        return cls(
            np.concatenate([part.later for part in every]),
            np.concatenate([part.device for part in every]),
            np.concatenate([part.wearer for part in every]),
            np.concatenate([part.details for part in every]),
        )


_NO_CODES = np.empty(0, np.int32)
_NONE = Pairs(_NO_CODES, _NO_CODES, _NO_CODES, np.empty(0, np.uint64))


class CrossingPairs:
    """Remembers the pairs of each two days whose readings have times in common.

    Args:
        engine: reads the trusted readings.
        emails, devices: number the wearers and the serial numbers.
    """

    def __init__(self, engine: DuckDBEngine, emails: Names, devices: Names) -> None:
        self._engine = engine
        self._emails = emails
        self._devices = devices
        self._known: dict[Days, tuple[tuple[Contents, Contents], Pairs]] = {}

    def pairs(self, steps: Snapshot, moves: Snapshot, days: Collection[date] | None = None) -> Pairs:
        """The pairs whose halves landed on different days.

        Args:
            steps: ``step_trainer_trusted``.
            moves: ``accelerometer_trusted``.
            days: the landing days of the later half wanted; none takes all.
        """
        meeting = overlaps(steps, moves)
        for gone in [both for both in self._known if both not in meeting]:
            del self._known[gone]
        wanted = {both: window for both, window in meeting.items() if both[0] != both[1]}
        if days is not None:
            wanted = {both: window for both, window in wanted.items() if max(both) in days}
        contents = {both: (steps.contents[both[0]], moves.contents[both[1]]) for both in wanted}
        unknown = {both: wanted[both] for both in wanted if self._known.get(both, ((), None))[0] != contents[both]}
        if unknown:
            found = self._read(steps, moves, unknown)
            for both in unknown:
                self._known[both] = contents[both], found.get(both, _NONE)
        return Pairs.of(self._known[both][1] for both in wanted)

    def _read(self, steps: Snapshot, moves: Snapshot, windows: dict[Days, tuple[int, int]]) -> dict[Days, Pairs]:
        step_windows = sorted({(both[0], *window) for both, window in windows.items()})
        move_windows = sorted({(both[1], *window) for both, window in windows.items()})

        def within(frame: str, time: str) -> str:
            return (
                f"SELECT * FROM {frame} r SEMI JOIN {frame}_windows w "
                f"ON r.landing_date = w.day AND r.{named(time)} BETWEEN w.low AND w.high"
            )

        details = hashed(
            *("s.sensorReadingTime", "s.distanceFromObject", "s.landing_date"),
            *('m."timestamp"', "m.x", "m.y", "m.z", "m.landing_date"),
        )
        rows = self._engine.arrow(
            f"""
            WITH s AS ({within("steps", STEP_TIME)}), m AS ({within("moves", MOVE_TIME)}), met AS (
                SELECT s.landing_date AS step_day, m.landing_date AS move_day, s.serialNumber AS device,
                       m."user" AS wearer, {summed(details)} AS details
                FROM m JOIN s ON s.sensorReadingTime = m."timestamp" AND s.landing_date <> m.landing_date
                WHERE s.serialNumber IS NOT NULL AND m."user" IS NOT NULL
                GROUP BY ALL
            )
            SELECT *, {keyed("device")} AS device_key, {keyed("wearer")} AS wearer_key FROM met
            ORDER BY step_day, move_day
            """,
            steps=self._engine.relation(steps.table, steps.select({day for day, _, _ in step_windows})),
            moves=self._engine.relation(moves.table, moves.select({day for day, _, _ in move_windows})),
            steps_windows=_table(step_windows),
            moves_windows=_table(move_windows),
        )
        step_days, move_days = column(rows, "step_day"), column(rows, "move_day")
        every = Pairs(
            np.maximum(step_days, move_days),
            self._devices.codes(rows["device"], column(rows, "device_key")),
            self._emails.codes(rows["wearer"], column(rows, "wearer_key")),
            column(rows, "details"),
        )
        key = step_days.astype(np.int64) << 32 | move_days
        found: dict[Days, Pairs] = {}
        for both in windows:
            one = day_number(both[0]) << 32 | day_number(both[1])
            place = slice(*np.searchsorted(key, [one, one + 1]).tolist())
            if place.start < place.stop:
                found[both] = Pairs(every.later[place], every.device[place], every.wearer[place], every.details[place])
        return found


def _table(windows: list[tuple[date, int, int]]) -> pa.Table:
    days, low, high = zip(*windows)
    return pa.table(
        {"day": pa.array(days, pa.date32()), "low": pa.array(low, pa.int64()), "high": pa.array(high, pa.int64())}
    )


def overlaps(steps: Snapshot, moves: Snapshot) -> dict[Days, tuple[int, int]]:
    """Which days' readings have times in common, and from when to when, by what the tables' logs say.

    Args:
        steps: a table of step readings.
        moves: a table of accelerometer readings.
    """
    found: dict[Days, tuple[int, int]] = {}
    spans = sorted(
        [(low, high, day, True) for day, (low, high) in steps.ranges(STEP_TIME).items()]
        + [(low, high, day, False) for day, (low, high) in moves.ranges(MOVE_TIME).items()]
    )
    active: list[tuple[int, date, bool]] = []
    for low, high, day, is_step in spans:
        active = [span for span in active if span[0] >= low]
        for end, other, other_is_step in active:
            if is_step != other_is_step:
                found[(day, other) if is_step else (other, day)] = low, min(high, end)
        active.append((high, day, is_step))
    return found
