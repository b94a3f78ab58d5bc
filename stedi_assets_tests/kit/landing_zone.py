"""The files of a landing zone, as the reference computation takes them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

from stedi_assets.reference import LandedFile


def landed_files(folder: Path) -> Iterator[LandedFile]:
    """All files of a landing zone whose folders name the landing days, by path."""
    for path in sorted(folder.glob("*_landing/landing_date=*/*")):
        name = path.relative_to(folder)
        day = date.fromisoformat(path.parent.name.removeprefix("landing_date="))
        yield LandedFile(name.parts[0], day, name.as_posix(), path.read_bytes())
