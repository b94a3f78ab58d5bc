"""Everything that can go wrong with landed data, done to invented people.

Here: the stories, each of which lands lines in a kit.  Not here: how a line looks (`kit`, `broken`), what the tables
must hold for it (`tally`), and writing the files (`write`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stedi_assets.sample import broken
from stedi_assets.sample.forms import FORMS
from stedi_assets.sample.kit import ACCELERATIONS, COMPRESSED, COPIED, DAY_FILES, LATE, Kit
from stedi_assets.sample.schedule import MINUTE, SECOND, Schedule

if TYPE_CHECKING:
    from collections.abc import Iterator

_KIT_PER_CUSTOMERS: Final = 2_000
_FEWEST, _MOST = 2, 250


def kits(schedule: Schedule, seed: int) -> Iterator[Kit]:
    """Yield the kits of a sample: one per 2,000 customers, at least 2, at most 250."""
    for number in range(min(max(schedule.customers // _KIT_PER_CUSTOMERS, _FEWEST), _MOST)):
        kit = Kit(number, schedule, seed)
        _broken_lines(kit)
        _repeated_readings(kit)
        _copied_and_late_files(kit, compressed=number == 0)
        _shared_by_willing(kit)
        _shared_with_unwilling(kit)
        _spellings(kit)
        _withdrawals(kit)
        _grants_again(kit)
        _records_out_of_order(kit)
        _devices_change_hands(kit)
        _oddities(kit)
        _forms(kit)
        yield kit


def _broken_lines(kit: Kit) -> None:
    """Land all kinds of broken lines, between the good ones of a customer."""
    who = kit.person()
    kit.record(who, kit.home, kit.morning(kit.home))
    time = kit.walk(who)[-1]
    end = kit.day_end(kit.home)
    kit.unusable("accelerometer_landing", broken.accelerometer(who.email, time, end))
    kit.unusable("step_trainer_landing", broken.step_trainer(who.serial_number, time, end))
    kit.unusable("customer_landing", broken.customer(who.email, who.serial_number, end - MINUTE))
    kit.walk(who)
    for table in ("customer_landing", "accelerometer_landing", "step_trainer_landing"):
        for blank in ("", "   ", "\t"):
            kit.odd_line(table, blank)
            kit.kinds["blank lines"] += 1


def _repeated_readings(kit: Kit) -> None:
    """Land rows twice in a day, as they were and spelled otherwise, of one who shares and one who does not."""
    for shares in (True, False):
        who = kit.person()
        kit.record(who, kit.home, kit.morning(kit.home) if shares else None)
        for email, serial in (
            (who.email, who.serial_number),
            (f" {who.email.upper()} ", f"{who.serial_number.upper()} "),
        ):
            time = kit.tick()
            for _ in range(2):
                kit.move_as(who.email, time, ACCELERATIONS[0])
            kit.move_as(email, time, ACCELERATIONS[0])
            kit.move_as(who.email, time, ACCELERATIONS[1])
            kit.step(who.serial_number, time, distance=250)
            kit.step(serial, time, distance=250)
            kit.step(who.serial_number, time, distance=251)
        kit.walk(who, 1)


def _copied_and_late_files(kit: Kit, *, compressed: bool) -> None:
    """Land customers' files several times, days later, or compressed."""
    for shares in (True, True, False):
        who = kit.person()
        kit.record(who, kit.home, kit.morning(kit.home) if shares else None, file=COPIED)
        kit.walk(who, file=COPIED)
    later = kit.home + 2
    for step_day, row_day in ((later, kit.home), (kit.home, later), (later, later)):
        for shares in (True, False):
            who = kit.person()
            kit.record(who, kit.home, kit.morning(kit.home) if shares else None)
            for _ in range(3):
                time = kit.tick()
                kit.move(who.email, time, day=row_day, file=DAY_FILES if row_day == kit.home else LATE)
                kit.step(who.serial_number, time, day=step_day, file=DAY_FILES if step_day == kit.home else LATE)
                kit.kinds["step readings that landed days late"] += step_day == later
    who = kit.person()
    kit.record(who, kit.home, kit.morning(kit.home))
    for _ in range(3):
        time = kit.tick()
        kit.move(who.email, time, file=COMPRESSED if compressed else DAY_FILES)
        kit.step(who.serial_number, time)


def _shared_by_willing(kit: Kit) -> None:
    """Share a device between two customers, and one between three, who all share data, one later than the others."""
    for others in (1, 2):
        owner, outsider = kit.person(), kit.person()
        claimants = [owner, *(kit.person() for _ in range(others))]
        device = owner.serial_number
        kit.record(outsider, kit.home, kit.morning(kit.home))
        times = [kit.tick() for _ in range(10)]
        for who in claimants:
            kit.record(who, kit.home, times[5] if who is claimants[-1] else kit.morning(kit.home), serial=device)
        for half in (times[:5], times[5:]):
            for time in half:
                kit.step(device, time)
            kit.move(owner.email, half[0])
            kit.move(claimants[-1].email, half[1])
            for who in claimants:
                kit.move(who.email, half[2], rows=1)
            kit.move(outsider.email, half[3], rows=3)


def _shared_with_unwilling(kit: Kit) -> None:
    """Share a device with one who never shared data, with one who withdrew, and with both."""
    for never, withdrawn in ((1, 0), (0, 1), (1, 1)):
        owner, outsider = kit.person(), kit.person()
        device = owner.serial_number
        kit.record(owner, kit.home, kit.morning(kit.home))
        kit.record(outsider, kit.home, kit.morning(kit.home))
        unwilling = [kit.person() for _ in range(never + withdrawn)]
        for who in unwilling[:never]:
            kit.record(who, kit.home, None, serial=device)
        for who in unwilling[never:]:
            kit.record(who, kit.home, kit.morning(kit.home), serial=device)
            kit.record(who, kit.home + 1, None, serial=device)
            kit.kinds["withdrawals"] += 1
        alone, theirs, both, nobody, strange, mixed = times = [kit.tick() for _ in range(6)]
        for time in times:
            kit.step(device, time)
        for time in (alone, both, mixed):
            kit.move(owner.email, time)
        for time in (theirs, both):
            kit.move(unwilling[-1].email, time)
        for time in (strange, mixed):
            kit.move(outsider.email, time)
        # At `nobody`, no phone at all was worn.
        kit.step(device, nobody, distance=199)


def _spellings(kit: Kit) -> None:
    """Spell addresses and serial numbers in other cases and with spaces around, in one record and in two."""
    for again in (False, True):
        who = kit.person()
        email, serial = f"  {who.email.upper()}", f"{who.serial_number.upper()} "
        kit.record(who, kit.home, kit.morning(kit.home), email=email, serial=serial)
        if again:
            kit.record(who, kit.home + 1, kit.morning(kit.home), email=who.email.lower())
        for user, device in ((who.email, serial), (email, who.serial_number), (f"{who.email} ", f" {serial}")):
            time = kit.tick()
            kit.move(user, time)
            kit.step(device, time)
        kit.kinds["customers spelled in several ways"] += 1


def _withdrawals(kit: Kit) -> None:
    """Say in each possible way, in a later record, that the customer no longer shares."""
    far = kit.day_end(kit.home + 10)
    for value, null in ((None, False), (None, True), (0, False), (-1, False), (far, False)):
        who = kit.person()
        kit.record(who, kit.home, kit.morning(kit.home))
        kit.walk(who)
        kit.record(who, kit.home + 1, value, null=null)
        kit.kinds["withdrawals"] += 1


def _grants_again(kit: Kit) -> None:
    """Consent, withdraw and consent again, from after all readings so far or from between them."""
    for dated_back in (False, True):
        who = kit.person()
        kit.record(who, kit.home, kit.morning(kit.home))
        times = kit.walk(who, 4)
        kit.record(who, kit.home + 1, None)
        again = kit.morning(kit.home + 2)
        kit.record(who, kit.home + 2, times[2] if dated_back else again)
        time = kit.tick(kit.home + 2)
        kit.move(who.email, time, day=kit.home + 2)
        kit.step(who.serial_number, time, day=kit.home + 2)
        kit.kinds["withdrawals"] += 1
        kit.kinds["grants after a withdrawal"] += 1


def _records_out_of_order(kit: Kit) -> None:
    """Land records after a newer one, and records of the same time, of which the later landed decides."""
    for first_shares in (True, False):
        for same_time in (False, True):
            who = kit.person()
            updated = kit.morning(kit.home)
            consent = updated - SECOND
            kit.record(who, kit.home, consent if first_shares else None, updated=updated)
            older = updated if same_time else updated - SECOND
            kit.record(who, kit.home + 1, None if first_shares else consent, updated=older)
            kit.walk(who)
            kit.kinds["records of the same time" if same_time else "records that landed after a newer one"] += 1


def _devices_change_hands(kit: Kit) -> None:
    """Give a customer a new device, and another one the old one."""
    before, after = kit.person(), kit.person()
    kit.record(before, kit.home, kit.morning(kit.home))
    kit.walk(before)
    new = kit.device()
    kit.record(before, kit.home + 1, kit.morning(kit.home), serial=new)
    kit.record(after, kit.home + 2, kit.morning(kit.home), serial=before.serial_number)
    # Whether a device counts whose customer has no phone readings at all can be read either way; none is made here.
    kit.move(after.email, kit.tick())
    time = kit.tick()
    kit.move(before.email, time)
    kit.step(new, time)
    kit.kinds["devices that changed hands"] += 1
    lost = kit.person()
    kit.record(lost, kit.home, kit.morning(kit.home))
    kit.walk(lost, 2)
    kit.record(lost, kit.home + 1, kit.morning(kit.home), serial=kit.device())


def _oddities(kit: Kit) -> None:
    """Land what is unusual and yet valid."""
    kit.record(kit.person(), kit.home, kit.morning(kit.home))
    kit.kinds["customers without readings"] += 1
    stranger = kit.person()
    kit.walk(stranger)
    kit.kinds["phones and devices without a customer"] += 1

    fast = kit.person()  # whose clock runs some minutes ahead, past the end of the day
    kit.record(fast, kit.home, kit.morning(kit.home))
    for _ in range(3):
        time = kit.tick(kit.home + 1)
        kit.move(fast.email, time)
        kit.step(fast.serial_number, time)
        kit.kinds["step readings ahead of their landing day"] += 1

    one, other = kit.person(), kit.person()
    for who in (one, other):
        kit.record(who, kit.home, kit.morning(kit.home))
    for _ in range(3):
        time = kit.tick()
        for who in (one, other):
            kit.move(who.email, time)
            kit.step(who.serial_number, time)

    more = ',"battery":87,"firmware":{"major":1}}\n'
    for ending in (ACCELERATIONS[3], ACCELERATIONS[4]):
        kit.move_as(one.email, kit.tick(), ending.removesuffix("}\n") + more)
        kit.kinds["unknown keys"] += 1


def _forms(kit: Kit) -> None:
    """Land a customer's files in each form: other sequences of objects, encodings and compressions."""
    for form in FORMS:
        who = kit.person()
        kit.record(who, kit.home, kit.morning(kit.home), file=form)
        kit.walk(who, file=form)
