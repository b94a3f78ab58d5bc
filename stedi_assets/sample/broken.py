"""Lines that must be quarantined.

Here: the ways in which a landing line can be wrong, as (kind, line).  Not here: where they land (`faults`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stedi_assets.sample.schedule import DAY

if TYPE_CHECKING:
    from collections.abc import Iterator

_BEFORE_2015: Final = 1_420_070_400_000 - 1
_RESET_CLOCK: Final = 1_000


def _not_one_object(line: str) -> Iterator[tuple[str, str]]:
    yield "truncated line", line[: len(line) // 2]
    yield "truncated line", line[:-1]
    yield "not JSON", "upload failed, will try again"
    yield "not one object", line[1:]
    yield "not one object", "[1, 2]"
    yield "not one object", "null"
    key = line[1 : line.index(",")]
    yield "repeated key", f"{{{key},{line[1:]}"


def accelerometer(user: str, time: int, day_end: int) -> Iterator[tuple[str, str]]:
    """Yield broken accelerometer lines; `day_end` is the first millisecond after the landing day."""

    def line(user: str = f'"{user}"', time: object = time, x: str = "1.0", y: str = "0.0", z: str = "-1.0") -> str:
        return f'{{"user":{user},"timestamp":{time},"x":{x},"y":{y},"z":{z}}}'

    yield from _not_one_object(line())
    yield "missing field", f'{{"timestamp":{time},"x":1.0,"y":0.0,"z":0.0}}'
    yield "missing field", f'{{"user":"{user}","timestamp":{time},"x":1.0,"y":0.0}}'
    yield "missing field", "{}"
    yield "missing field", line(user="null")
    yield "missing field", line(user='"  "')
    yield "missing field", line(z="null")
    yield "wrong type", line(user="7")
    yield "wrong type", line(time=f'"{time}"')
    yield "wrong type", line(time=f"{time}.5")
    yield "wrong type", line(x='"1.0"')
    yield "wrong type", line(y="true")
    yield "wrong type", line(z="[0.0]")
    yield "non-finite number", line(x="NaN")
    yield "non-finite number", line(y="Infinity")
    yield "non-finite number", line(z="-Infinity")
    yield "non-finite number", line(x="1e999")
    yield "before 2015", line(time=_BEFORE_2015)
    yield "before 2015", line(time=_RESET_CLOCK)
    yield "before 2015", line(time=-time)
    yield "in the future", line(time=day_end + 2 * DAY)
    yield "in the future", line(time=day_end + 36_500 * DAY)


def step_trainer(serial_number: str, time: int, day_end: int) -> Iterator[tuple[str, str]]:
    """Yield broken step trainer lines; `day_end` is the first millisecond after the landing day."""

    def line(time: object = time, serial: str = f'"{serial_number}"', distance: str = "218") -> str:
        return f'{{"sensorReadingTime":{time},"serialNumber":{serial},"distanceFromObject":{distance}}}'

    yield from _not_one_object(line())
    yield "missing field", f'{{"sensorReadingTime":{time},"distanceFromObject":218}}'
    yield "missing field", f'{{"sensorReadingTime":{time},"serialNumber":"{serial_number}"}}'
    yield "missing field", line(serial='""')
    yield "missing field", line(distance="null")
    yield "wrong type", line(time="true")
    yield "wrong type", line(serial="{}")
    yield "wrong type", line(distance='"218"')
    yield "wrong type", line(distance="218.5")
    yield "non-finite number", line(distance="NaN")
    yield "negative distance", line(distance="-1")
    yield "negative distance", line(distance="-218")
    yield "before 2015", line(time=_BEFORE_2015)
    yield "before 2015", line(time=0)
    yield "in the future", line(time=day_end + 2 * DAY)
    yield "in the future", line(time=day_end + 36_500 * DAY)


def customer(email: str, serial_number: str, updated: int) -> Iterator[tuple[str, str]]:
    """Yield broken customer lines; were they taken for records, they would withdraw the customer's consent."""

    def line(
        email: str = f'"{email}"', serial: str = f'"{serial_number}"', updated: object = updated, more: str = ""
    ) -> str:
        return f'{{"email": {email}, "serialNumber": {serial}, "lastUpdateDate": {updated}{more}}}'

    yield from _not_one_object(line())
    yield "missing field", f'{{"serialNumber": "{serial_number}", "lastUpdateDate": {updated}}}'
    yield "missing field", f'{{"email": "{email}", "lastUpdateDate": {updated}}}'
    yield "missing field", f'{{"email": "{email}", "serialNumber": "{serial_number}"}}'
    yield "missing field", line(email='" "')
    yield "missing field", line(serial="null")
    yield "missing field", line(updated="null")
    yield "wrong type", line(email="7")
    yield "wrong type", line(updated=f'"{updated}"')
    yield "wrong type", line(updated=f"{updated}.5")
    yield "wrong type", line(more=', "shareWithResearchAsOfDate": "never"')
    yield "wrong type", line(more=', "birthDay": 19000101')
    yield "before 2015", line(updated=_RESET_CLOCK)
    yield "before 2015", line(updated=updated // 1_000)
    yield "in the future", line(updated=updated * 1_000)
    yield "in the future", line(updated=updated + 36_500 * DAY)
