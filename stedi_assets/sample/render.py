"""Readings and customers as the devices' newline-delimited JSON.

Here: arrays to lines, as one Arrow text column whose data buffer is the very bytes of the file.  Not here: which
file they go to (`files`).  Lines look as the devices write them: readings without spaces, customers with a space
after each colon and comma.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stedi_assets.sample.people import concat
from stedi_assets.sample.quota import READINGS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stedi_assets.sample.population import Group

_X = _Y = ("-1.0", "0.0", "1.0")
_Z = ("-1.0", "0.0")
ENDINGS: Final = pa.array([f',"x":{x},"y":{y},"z":{z}}}\n' for x in _X for y in _Y for z in _Z])
"""The 18 accelerations that occur."""
# Steps that have no factor in common with 18: rows of one reading are then all different, up to 18 of them.
_STEPS: Final = np.array([1, 5, 7, 11, 13, 17])


def accelerometer_lines(group: Group, chosen: NDArray[np.intp]) -> pa.StringArray:
    """Return the accelerometer rows of the `chosen` readings (places in the flattened group), each a line."""
    before = concat('{"user":"', group.people.email, '","timestamp":')
    start = concat(before.take(pa.array(chosen // READINGS)), _texts(group.time.reshape(-1)[chosen]))
    rows = group.rows.reshape(-1)[chosen]
    reading = np.repeat(np.arange(len(chosen)), rows)
    nth = np.arange(len(reading)) - np.repeat(np.cumsum(rows) - rows, rows)
    chance, first = np.divmod(group.acceleration.reshape(-1)[chosen], len(ENDINGS))
    step = _STEPS[chance % len(_STEPS)]
    ending = (first[reading] + nth * step[reading]) % len(ENDINGS)
    return concat(start.take(pa.array(reading)), ENDINGS.take(pa.array(ending)))


def step_lines(group: Group, chosen: NDArray[np.intp]) -> pa.StringArray:
    """Return the `chosen` step readings (places in the flattened group), each a line."""
    middle = concat(',"serialNumber":"', group.people.serial_number, '","distanceFromObject":')
    return concat(
        '{"sensorReadingTime":',
        _texts(group.time.reshape(-1)[chosen]),
        middle.take(pa.array(chosen // READINGS)),
        _texts(group.distance.reshape(-1)[chosen]),
        "}\n",
    )


def customer_lines(group: Group, chosen: NDArray[np.intp]) -> pa.StringArray:
    """Return the records of the `chosen` customers, each a line; those who share nothing lack the keys."""
    people = group.people
    lines = concat(
        '{"customerName": "',
        people.name,
        '", "email": "',
        people.email,
        '", "phone": "',
        people.phone,
        '", "birthDay": "',
        people.birth_day,
        '", "serialNumber": "',
        people.serial_number,
        '", "registrationDate": ',
        _texts(group.registered),
        ', "lastUpdateDate": ',
        _texts(group.updated),
        _optional("shareWithResearchAsOfDate", group.consented, group.shares),
        _optional("shareWithPublicAsOfDate", group.updated, group.public),
        _optional("shareWithFriendsAsOfDate", group.updated, group.friends),
        "}\n",
    )
    return lines.take(pa.array(chosen))


def _texts(values: NDArray[np.int64]) -> pa.StringArray:
    return pa.array(values).cast(pa.string())


def _optional(key: str, values: NDArray[np.int64], there: NDArray[np.bool_]) -> pa.StringArray:
    return pc.if_else(pa.array(there), concat(f', "{key}": ', _texts(values)), "")
