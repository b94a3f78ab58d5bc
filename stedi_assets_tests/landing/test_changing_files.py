"""Raw files that grow, shrink, are replaced or vanish while they are read: that day fails, or is read again."""

from __future__ import annotations

import gzip
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stedi_assets.landing.day_plan import MissingFilesError
from stedi_assets.landing.errors import UnreadableFileError
from stedi_assets_tests.kit.table_lake import TableLake, steps

SECONDS = 2


def grow(path: Path, pick: random.Random) -> None:
    with path.open("ab") as file:
        file.write(steps(pick.randrange(1000)) * pick.randrange(1, 300))


def cut(path: Path, pick: random.Random) -> None:
    with path.open("r+b") as file:
        file.truncate(pick.randrange(path.stat().st_size + 1))


def rewrite(path: Path, pick: random.Random) -> None:
    path.write_bytes(steps(*(pick.randrange(1000) for _ in range(pick.randrange(300)))))


def replace(path: Path, pick: random.Random) -> None:
    aside = path.with_name(f".{path.name}.part")
    text = steps(*(pick.randrange(1000) for _ in range(300)))
    aside.write_bytes(pick.choice([text, gzip.compress(text)]))
    aside.replace(path)


def vanish(path: Path, pick: random.Random) -> None:
    path.unlink()
    time.sleep(pick.random() / 200)
    rewrite(path, pick)


@pytest.mark.slow
@pytest.mark.parametrize("change", [grow, cut, rewrite, replace, vanish])
def test_what_changes_while_it_is_read_is_as_it_is_once_it_rests(
    lake: TableLake, change: Callable[[Path, random.Random], None]
) -> None:
    pick = random.Random(7)
    paths = [lake.put(f"{number}.json", steps(*range(500))) for number in range(3)]
    resting = threading.Event()

    def disturb() -> None:
        while not resting.is_set():
            change(pick.choice(paths), pick)
            time.sleep(pick.random() / 100)

    disturbing = threading.Thread(target=disturb)
    disturbing.start()
    runs, failures = 0, []
    try:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            runs += 1
            try:
                lake.run()
            except (UnreadableFileError, MissingFilesError) as error:
                failures.append(str(error))
    finally:
        resting.set()
        disturbing.join()
    assert runs > len(failures)
    assert all("step_trainer_landing" in failure for failure in failures)
    # A file that grew by itself has another stamp, so the day differs unless the last run has read it at rest.
    lake.settle()
    contents = [gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data for data in map(Path.read_bytes, paths)]
    texts = [line for content in contents for line in content.splitlines() if line]
    good = [int(line.split(b":")[-1].rstrip(b"}")) for line in texts if line.endswith(b"}")]
    assert lake.numbers() == sorted(good)
    assert len(lake.quarantine()) == len(texts) - len(good)
    assert lake.settle() == 0
