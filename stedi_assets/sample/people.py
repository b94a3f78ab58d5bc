"""Invented people and devices: names, e-mail addresses, telephone and serial numbers, birthdays.

Here: what identifies a customer, as Arrow arrays, a pure function of the customer's number and a random generator.
Not here: when they consent and what they measure (`population`), and how it is written (`render`).
Addresses are of `example.com` (RFC 2606), telephone numbers `…555 01xx` (reserved for fiction); nobody is real.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FIRST = (
    "Ada Alma Amos Anouk Arlo Astrid Axel Basil Bela Bruno Calla Cato Cleo Cyril Dalia Dario Delia Edda Elio Enzo "
    "Esme Ezra Fay Finn Flora Gaia Gus Hedy Hugo Ida Ines Iris Ivo Jada Jonas Juno Kai Lena Lior Lotte Luca Mabel "
    "Mara Milo Nadia Nell Nico Noor Odile Orla Otis Pia Quinn Rafa Remy Rosa Runa Saul Selma Silas"
).split()
_LAST = (
    "Alder Arden Ashby Barrow Beck Birch Bolt Bramble Brook Cairn Calder Cedar Clay Colt Cove Crane Dale Drift Dune "
    "Elm Ember Fable Fen Field Finch Flint Ford Frost Gale Glen Grove Hale Harbor Hazel Heath Heron Hill Holt Isle "
    "Ivy Juniper Kestrel Lake Larch Lark Linden Loom Lowe Marsh Meadow Mercer Moor Moss North Oakes Orchard Pike "
    "Quill Reed Ridge"
).split()
_COMBINATIONS = len(_FIRST) * len(_LAST)
_STRIDE = 1_663  # prime, and no factor of the number of combinations: neighbours get unlike names

_HEX_PAIRS = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), dtype=np.uint16)
_UUID_LENGTH = 36


@dataclass(frozen=True)
class People:
    """The names, addresses and devices of some customers: text columns of equal length, one place per customer.

    E-mail addresses differ from each other also when lower-cased; so do serial numbers (random, version 4 UUIDs).
    """

    name: pa.StringArray
    email: pa.StringArray
    phone: pa.StringArray
    birth_day: pa.StringArray
    serial_number: pa.StringArray

    def __len__(self) -> int:
        return len(self.email)


def concat(*parts: Any) -> pa.StringArray:
    """Join text columns (or single texts) place by place, with nothing between them."""
    return pc.binary_join_element_wise(*parts, "")


def invent(first: int, count: int, rng: np.random.Generator) -> People:
    """Return the customers with the numbers `first` to `first + count - 1`.

    Names and addresses follow from the number alone, so that two calls never invent the same address; what is drawn
    from `rng` is the rest.
    """
    number = np.arange(first, first + count, dtype=np.int64)
    place = number * _STRIDE % _COMBINATIONS
    first_name = pa.array(_FIRST).take(pa.array(place // len(_LAST)))
    last_name = pa.array(_LAST).take(pa.array(place % len(_LAST)))
    generation = pa.array(number // _COMBINATIONS)
    ordinal = pc.if_else(pc.equal(generation, 0), "", generation.cast(pa.string()))
    phone = rng.integers(200, 990, count) * 10_000_000 + 5_550_100 + rng.integers(0, 100, count)
    # Years as odd as in the public data, where most birthdays lie before any timestamp type begins.
    year = rng.integers(1_000, 2_005, count).astype(str)
    month = np.char.zfill(rng.integers(1, 13, count).astype(str), 2)
    day = np.char.zfill(rng.integers(1, 29, count).astype(str), 2)
    return People(
        name=concat(first_name, " ", last_name),
        email=concat(first_name, ".", last_name, ordinal, "@example.com"),
        phone=pa.array(phone).cast(pa.string()),
        birth_day=concat(pa.array(year), "-", pa.array(month), "-", pa.array(day)),
        serial_number=serial_numbers(count, rng),
    )


def serial_numbers(count: int, rng: np.random.Generator) -> pa.StringArray:
    """Return `count` random version 4 UUIDs in lower-case text."""
    raw = rng.integers(0, 256, (count, 16), dtype=np.uint8)
    raw[:, 6] = raw[:, 6] & 0x0F | 0x40
    raw[:, 8] = raw[:, 8] & 0x3F | 0x80
    digits = _HEX_PAIRS[raw].view(np.uint8).reshape(count, 32)
    text: NDArray[np.uint8] = np.full((count, _UUID_LENGTH), ord("-"), dtype=np.uint8)
    taken = 0
    for start, length in ((0, 8), (9, 4), (14, 4), (19, 4), (24, 12)):
        text[:, start : start + length] = digits[:, taken : taken + length]
        taken += length
    offsets = np.arange(0, (count + 1) * _UUID_LENGTH, _UUID_LENGTH, dtype=np.int32)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(text))
