"""Writing a sample landing zone: the one public function.

Here: the order of work.  Not here: any rule about the data.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from stedi_assets.reference import LANDING_TABLES
from stedi_assets.sample.faults import kits
from stedi_assets.sample.files import LandingZone, SampleError
from stedi_assets.sample.forms import FORMS
from stedi_assets.sample.kit import COMPRESSED, COPIED, COPY_DAYS, DAY_FILES, LATE
from stedi_assets.sample.population import Population
from stedi_assets.sample.render import accelerometer_lines, customer_lines, step_lines
from stedi_assets.sample.report import DEFAULT_POLICY, SampleArguments, SampleReport
from stedi_assets.sample.schedule import Schedule
from stedi_assets.sample.tally import Policy, Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from stedi_assets.sample.population import Group

    _Progress = Callable[[int, int], None]

__all__ = ["DEFAULT_LAST_DAY", "SampleError", "last_day_there", "write_sample"]

DEFAULT_LAST_DAY: Final = dt.date(2023, 8, 6)
"""Fixed, so that the same arguments always make the same bytes; the command line names the day before today."""
_EARLIEST_DAY: Final = dt.date(2015, 1, 3)
_FEWEST_DAYS_FOR_FAULTS: Final = 3


def last_day_there(target: str) -> dt.date | None:
    """Return the last landing day of the sample that lies at a target, complete or unfinished, or None.

    Whoever has a sample end on the day before today asks this first, so that the sample of another day is found to be
    the one that was wanted, and not another one.
    """
    return LandingZone.last_day(target)


def write_sample(
    target: str,
    *,
    customers: int = 956,
    days: int = 4,
    seed: int = 0,
    faults: bool = False,
    last_day: dt.date | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SampleReport:
    """Write a synthetic landing zone and the row counts that its tables must have.

    target: a landing zone's folder or fsspec URI.  It must hold no landing files, or exactly this sample (then
        nothing is written), or an unfinished attempt at it (then it is written again).
    customers: 956 gives exactly the public data's counts; any other number scales them.
    days: consecutive landing days, ending at `last_day` (UTC; default 2023-08-06).
    seed: another seed, other people and readings; the same arguments always make the same bytes.
    faults: add broken, repeated, late and contradictory data in known numbers; needs three days.
    progress: is called with the customers written so far and all of them.

    Raises ValueError for arguments that make no sample, SampleError where other data lies at the target.
    """
    last_day = last_day or DEFAULT_LAST_DAY
    _validate(customers, days, seed, last_day, faults=faults)
    schedule = Schedule(customers, days, last_day)
    zone = LandingZone(target, schedule, seed)
    arguments = SampleArguments(
        customers=customers,
        days=days,
        seed=seed,
        faults=faults,
        first_day=schedule.first_day.isoformat(),
        last_day=last_day.isoformat(),
    )
    report = zone.find(arguments)
    if report is None:
        tally = Tally()
        fault_lines = _FaultLines(zone, schedule, seed, tally) if faults else None
        _write_all(zone, Population(schedule, seed), tally, fault_lines, progress)
        report = _report(target, arguments, zone, tally, [schedule.date(day) for day in range(days)])
        zone.finish(report)
    if progress is not None:
        progress(customers, customers)
    return report


def _validate(customers: int, days: int, seed: int, last_day: dt.date, *, faults: bool) -> None:
    if customers < 1 or days < 1 or seed < 0:
        msg = f"customers and days must be 1 or more and seed 0 or more; got {customers}, {days} and {seed}"
        raise ValueError(msg)
    if faults and days < _FEWEST_DAYS_FOR_FAULTS:
        msg = f"faults need {_FEWEST_DAYS_FOR_FAULTS} landing days or more, as some arrive days late; got {days}"
        raise ValueError(msg)
    if (last_day - _EARLIEST_DAY).days < days:
        msg = f"readings before 2015 are not valid: {days} days that end at {last_day} begin too early"
        raise ValueError(msg)


class _FaultLines:
    """The lines of all kits: those in files of their own are written at once, the others wait for their day."""

    def __init__(self, zone: LandingZone, schedule: Schedule, seed: int, tally: Tally) -> None:
        self._zone = zone
        self._tally = tally
        self._waiting: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        apart: dict[tuple[str, str, int], list[str]] = defaultdict(list)
        for kit in kits(schedule, seed):
            tally.add_kit(kit)
            for (file, table, day), lines in kit.lines.items():
                (self._waiting[day][table] if file == DAY_FILES else apart[file, table, day]).extend(lines)
        for (file, table, day), lines in apart.items():
            if file == COPIED:
                for later in COPY_DAYS:
                    self._write_file(table, day + later, lines)
                copies = len(COPY_DAYS) - 1
                tally.skipped_files += copies
                tally.skipped_lines[table] += copies * len(lines)
            else:
                self._write_file(table, day, lines, file=file)

    def write(self, day: int) -> None:
        """Write what lands among the other lines of a day, once."""
        for table, lines in self._waiting.pop(day, {}).items():
            self._tally.landed[table, day] += sum(not line.isspace() for line in lines)
            self._zone.write(table, day, pa.array(lines, pa.string()))

    def _write_file(self, table: str, day: int, lines: list[str], *, file: str = COPIED) -> None:
        form = FORMS.get(file)
        content = "".join(lines)
        if file == LATE:
            content = content.removesuffix("\n")  # a last line without a line feed is a line
        suffix = ".json.gz" if file == COMPRESSED else form.suffix if form else ".json"
        landed = self._zone.create(table, day, compressed=file == COMPRESSED, suffix=suffix)
        landed.write(form.encode(lines) if form else content.encode())
        landed.close()
        self._tally.landed[table, day] += len(lines)
        self._tally.faults[f"files: {file}"] += 1


def _write_all(
    zone: LandingZone, population: Population, tally: Tally, faults: _FaultLines | None, progress: _Progress | None
) -> None:
    customers, done = population.schedule.customers, 0
    for group in population.groups():
        day = int(group.step_day.min())
        if faults is not None:
            faults.write(day)
        # Records land a day earlier at most, so the files of the day before that are complete.
        zone.close(day - 1)
        tally.add(group)
        _write_group(zone, group, tally)
        done += len(group.people)
        if progress is not None and done < customers:
            progress(done, customers)
    for day in range(population.schedule.days):
        if faults is not None:
            faults.write(day)  # of days on which nobody else measured anything
    zone.close(population.schedule.days)


def _write_group(zone: LandingZone, group: Group, tally: Tally) -> None:
    for day, customers in _by_day(group.customer_day):
        lines = customer_lines(group, customers)
        tally.landed["customer_landing", day] += len(lines)
        zone.write("customer_landing", day, lines)
    for day, readings in _by_day(group.accelerometer_day):
        lines = accelerometer_lines(group, readings)
        tally.landed["accelerometer_landing", day] += len(lines)
        zone.write("accelerometer_landing", day, lines)
    for day, readings in _by_day(group.step_day):
        lines = step_lines(group, readings)
        tally.landed["step_trainer_landing", day] += len(lines)
        zone.write("step_trainer_landing", day, lines)


def _by_day(days: NDArray[np.int64]) -> list[tuple[int, NDArray[np.intp]]]:
    """Return (landing day, places in the flattened array) for each day that occurs."""
    flat = days.reshape(-1)
    return [(int(day), np.flatnonzero(flat == day)) for day in range(int(flat.min()), int(flat.max()) + 1)]


def _report(target: str, arguments: SampleArguments, zone: LandingZone, tally: Tally, dates: list[str]) -> SampleReport:
    lines = tally.lines(dates)
    policies = tally.policies()
    default: Policy = ("include", "timestamp")
    return SampleReport(
        target=target,
        **arguments,
        expected=policies[DEFAULT_POLICY].tables,
        policies=policies,
        lines=lines,
        quarantined={table: tally.quarantined[table] for table in LANDING_TABLES},
        faults_written=dict(sorted(tally.faults.items())),
        duplicate_files=tally.skipped_files,
        duplicate_file_lines=tally.skipped_lines.total(),
        duplicate_readings={table: tally.repeated[table] for table in LANDING_TABLES[1:]},
        shared_serial_numbers=tally.shared_serial_numbers,
        steps_landed_first=tally.steps_first[default],
        steps_landed_last=tally.steps_last[default],
        files=dict(sorted(zone.files.items())),
        rows_written=sum(sum(of_day.values()) for of_day in lines.values()),
        bytes_written=sum(zone.files.values()),
    )
