"""``land``: copying raw files in never overwrites, never loses a file's day, and says what it could not do."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import fsspec
import pytest

from stedi_assets.landing.copy import LandError, LandReport, land
from stedi_assets.landing.files import LandingZone

NOON = 1_691_323_200


def put(root: Path, path: str, content: bytes = b"x\n", modified: float = NOON) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    os.utime(file, (modified, modified))
    return file


def tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def zone(tmp_path: Path) -> LandingZone:
    return LandingZone(str(tmp_path / "zone"))


def test_both_layouts(tmp_path: Path, zone: LandingZone):
    put(tmp_path, "source/customer_landing/a.json", b"a")
    put(tmp_path, "source/customer/landing/deep/b.json.gz", b"b")
    put(tmp_path, "source/accelerometer/landing/2023/08/06/c.json", b"c")
    put(tmp_path, "source/step_trainer/landing/d.json", b"d")
    put(tmp_path, "source/customer/trusted/no.json")
    calls: list[tuple[int, int]] = []
    assert land(tmp_path / "source", zone, lambda done, total: calls.append((done, total))) == LandReport(4, 0)
    assert tree(tmp_path / "zone") == {
        "customer_landing/a.json": b"a",
        "customer_landing/deep/b.json.gz": b"b",
        "accelerometer_landing/2023/08/06/c.json": b"c",
        "step_trainer_landing/d.json": b"d",
    }
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_again_copies_nothing(tmp_path: Path, zone: LandingZone):
    put(tmp_path, "source/customer_landing/a.json", b"a" * 3_000_000)
    put(tmp_path, "source/customer_landing/empty.json", b"")
    assert land(str(tmp_path / "source"), zone) == LandReport(2, 0)
    before = {path: (tmp_path / "zone" / path).stat() for path in tree(tmp_path / "zone")}
    assert land(str(tmp_path / "source"), zone) == LandReport(0, 2)
    assert {path: (tmp_path / "zone" / path).stat() for path in tree(tmp_path / "zone")} == before


def test_the_landing_zone_itself_may_be_the_source(tmp_path: Path, zone: LandingZone):
    put(tmp_path, "zone/customer_landing/a.json")
    assert land(tmp_path / "zone", zone) == LandReport(0, 1)


@pytest.mark.parametrize("there", [b"B", b"bb", b"", b"b" * 2_000_000 + b"x"])
def test_a_different_file_is_never_overwritten(tmp_path: Path, zone: LandingZone, there: bytes):
    for name in "abc":
        put(tmp_path, f"source/customer_landing/{name}.json", name.encode() * (2_000_001 if len(there) > 9 else 1))
    put(tmp_path, "zone/customer_landing/b.json", there)
    with pytest.raises(LandError) as raised:
        land(tmp_path / "source", zone)
    assert "1 of 3 files were not copied (2 were, 0 were there already)" in str(raised.value)
    assert f"{tmp_path}/zone/customer_landing/b.json is there already with other bytes" in str(raised.value)
    assert "a.json" not in str(raised.value)
    found = tree(tmp_path / "zone")
    assert set(found) == {f"customer_landing/{name}.json" for name in "abc"}
    assert found["customer_landing/b.json"] == there


def test_the_two_layouts_may_not_bring_different_files_of_one_name(tmp_path: Path, zone: LandingZone):
    put(tmp_path, "source/customer_landing/a.json", b"a")
    put(tmp_path, "source/customer/landing/a.json", b"b")
    with pytest.raises(LandError, match="1 of 2 files"):
        land(tmp_path / "source", zone)


def test_all_that_fails_is_listed_and_the_rest_copied(
    tmp_path: Path, zone: LandingZone, monkeypatch: pytest.MonkeyPatch
):
    for name in ("a", "b", "c"):
        put(tmp_path, f"source/customer_landing/{name}.json", b"mine")
    (tmp_path / "source/customer_landing/dangling.json").symlink_to(tmp_path / "nowhere")
    put(tmp_path, "zone/customer_landing/a.json", b"theirs")
    (tmp_path / "zone/customer_landing/b.json").mkdir()
    with pytest.raises(LandError) as raised:
        land(tmp_path / "source", zone)
    assert "3 of 4 files were not copied (1 were" in str(raised.value)
    for name in ("a.json", "b.json", "dangling.json"):
        assert name in str(raised.value)
    assert tree(tmp_path / "zone") == {"customer_landing/a.json": b"theirs", "customer_landing/c.json": b"mine"}


def test_half_a_file_is_never_seen(tmp_path: Path, zone: LandingZone, monkeypatch: pytest.MonkeyPatch):
    put(tmp_path, "source/customer_landing/a.json", b"a" * 5_000_000)
    seen: list[tuple[int, int]] = []

    def peek(file: object) -> object:
        for block in real(file):
            here = LandingZone(zone.uri).list(date(2022, 1, 1), date(2999, 1, 1))
            seen.append((len(here.files), len(here.ignored)))
            yield block
        msg = "the disk is full"
        raise OSError(msg)

    from stedi_assets.landing import copy

    real = copy._blocks
    monkeypatch.setattr(copy, "_blocks", peek)
    with pytest.raises(LandError, match=r"a\.json: OSError"):
        land(tmp_path / "source", zone)
    assert seen
    assert set(seen) == {(0, 0)}
    assert tree(tmp_path / "zone") == {}


def test_a_file_that_someone_else_puts_there_meanwhile_stays(
    tmp_path: Path, zone: LandingZone, monkeypatch: pytest.MonkeyPatch
):
    put(tmp_path, "source/customer_landing/a.json", b"mine")
    from stedi_assets.landing import copy

    real = copy._blocks

    def race(file: object) -> object:
        put(tmp_path, "zone/customer_landing/a.json", b"theirs")
        return real(file)

    monkeypatch.setattr(copy, "_blocks", race)
    with pytest.raises(LandError, match="other bytes"):
        land(tmp_path / "source", zone)
    assert tree(tmp_path / "zone") == {"customer_landing/a.json": b"theirs"}


def test_the_landing_day_stays_where_time_gives_it(tmp_path: Path, zone: LandingZone):
    put(tmp_path, "source/customer_landing/a.json", modified=NOON + 0.123456789)
    land(tmp_path / "source", zone)
    [file] = zone.list(date(2022, 1, 1), date(2024, 1, 1)).files
    assert file.landing_date == date(2023, 8, 6)
    copied = tmp_path / "zone/customer_landing/a.json"
    assert copied.stat().st_mtime_ns == (tmp_path / "source/customer_landing/a.json").stat().st_mtime_ns


@pytest.mark.parametrize("names", [[], ["customers", "readme.txt"], [f"folder-{n:02}" for n in range(20)]])
def test_a_source_without_any_known_folder(tmp_path: Path, zone: LandingZone, names: list[str]):
    (tmp_path / "source").mkdir()
    for name in names:
        (tmp_path / "source" / name).mkdir()
    with pytest.raises(LandError) as raised:
        land(tmp_path / "source", zone)
    for expected in ("customer_landing", "customer/landing", "accelerometer/landing", "step_trainer_landing"):
        assert expected in str(raised.value)
    for name in names[:10] or ["found nothing"]:
        assert name in str(raised.value)
    assert "folder-19" not in str(raised.value)


def test_a_source_that_is_not_there(tmp_path: Path, zone: LandingZone):
    with pytest.raises(LandError, match="found nothing"):
        land(tmp_path / "nowhere", zone)


def test_what_nobody_means_as_data_is_not_copied(tmp_path: Path, zone: LandingZone):
    for name in ("a.json", "notes.txt", "deep/b.csv", ".hidden.json", "_half.json", "a.crc"):
        put(tmp_path, f"source/customer_landing/{name}", name.encode())
    assert land(tmp_path / "source", zone) == LandReport(3, 0)


def test_other_stores(tmp_path: Path):
    fs = fsspec.filesystem("memory")
    put(tmp_path, "source/customer_landing/a.json", b"a")
    zone = LandingZone("memory://landzone")
    try:
        assert land(tmp_path / "source", zone) == LandReport(1, 0)
        assert land(tmp_path / "source", zone) == LandReport(0, 1)
        assert fs.find("/landzone") == ["/landzone/customer_landing/a.json"]
        put(tmp_path, "source/customer_landing/a.json", b"b")
        with pytest.raises(LandError, match="other bytes"):
            land(tmp_path / "source", zone)
        assert fs.cat_file("/landzone/customer_landing/a.json") == b"a"
        assert land("memory://landzone", LandingZone(str(tmp_path / "zone"))) == LandReport(1, 0)
        assert tree(tmp_path / "zone") == {"customer_landing/a.json": b"a"}
    finally:
        fs.rm("/landzone", recursive=True)
