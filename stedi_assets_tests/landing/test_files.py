"""Listing raw files: which there are, on which day each landed, and what is left alone and said so."""

from __future__ import annotations

import gzip
import os
from datetime import date, datetime, timezone
from pathlib import Path

import fsspec
import pytest

from stedi_assets.landing.errors import UnreadableFileError
from stedi_assets.landing.files import LandingZone, landing_day
from stedi_assets.landing.profile import FileProfile, count_lines, profile_file

DAY = date(2023, 8, 6)
NOON = 1_691_323_200
FIRST, LAST = date(2022, 1, 1), date(2024, 1, 1)
FS = fsspec.filesystem("file")


def put(root: Path, path: str, content: bytes = b"x\n", modified: float = NOON) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    os.utime(file, (modified, modified))
    return file


def listed(root: Path, **options: object) -> dict[str, date]:
    found = LandingZone(str(root)).list(FIRST, LAST, **options)  # type: ignore[arg-type]
    return {file.path: file.landing_date for file in found.files}


@pytest.mark.parametrize(
    ("path", "day"),
    [
        ("customer_landing/landing_date=2023-08-06/a.json", DAY),
        ("customer_landing/landing_date=2023-08-06/hour=23/a.json", DAY),
        ("customer_landing/2023/08/06/a.json", DAY),
        ("customer_landing/2023/08/06/23/a.json", DAY),
        ("customer_landing/app/2023/08/06/customer-1600000000000.json", DAY),
        ("customer_landing/2022/02/02/landing_date=2023-08-06/a.json", DAY),
        ("customer_landing/customer-1691348231445.json", DAY),
        ("customer_landing/1691366399999.json.gz", DAY),
        ("customer_landing/1691366400000.json", date(2023, 8, 7)),
        # twelve or fourteen digits are no time; nor is a day in the file's own name
        ("customer_landing/169134823144.json", date(1970, 1, 1)),
        ("customer_landing/16913482314450.json", date(1970, 1, 1)),
        ("customer_landing/landing_date=2023-08-06.json", date(1970, 1, 1)),
        ("customer_landing/landing_date=2023-8-6/a.json", date(1970, 1, 1)),
        ("customer_landing/2023/08/a.json", date(1970, 1, 1)),
        ("customer_landing/1691348231445/a.json", date(1970, 1, 1)),
    ],
)
def test_landing_day(path: str, day: date):
    assert landing_day(path, 0.0) == day


@pytest.mark.parametrize("modified", [1691366399.999, datetime(2023, 8, 6, 23, 59, 59, tzinfo=timezone.utc)])
def test_landing_day_by_modification_time_is_utc(modified: float | datetime):
    assert landing_day("customer_landing/a.json", modified) == DAY


@pytest.mark.parametrize("folder", ["landing_date=2023-02-30", "2023/13/01", "landing_date=0000-01-01"])
def test_a_day_that_no_calendar_has(folder: str, tmp_path: Path):
    put(tmp_path, f"customer_landing/{folder}/a.json")
    put(tmp_path, "customer_landing/b.json")
    found = LandingZone(str(tmp_path)).list(FIRST, LAST)
    assert [file.path for file in found.files] == ["customer_landing/b.json"]
    [(path, reason)] = found.ignored
    assert path == f"customer_landing/{folder}/a.json"
    assert "does not exist" in reason


def test_listing(tmp_path: Path):
    next_day = date(2023, 8, 7)
    put(tmp_path, "step_trainer_landing/landing_date=2023-08-07/b.json", b"12345")
    put(tmp_path, "step_trainer_landing/landing_date=2023-08-07/a/deep/er/a.json.gz")
    put(tmp_path, "step_trainer_landing/by time.json")
    put(tmp_path, "customer_landing/2023/08/06/c.json", b"")
    put(tmp_path, "elsewhere/2023/08/06/c.json")
    found = LandingZone(str(tmp_path)).list(FIRST, LAST)
    assert [(file.table, file.landing_date, file.path, file.size) for file in found.files] == [
        ("customer_landing", DAY, "customer_landing/2023/08/06/c.json", 0),
        ("step_trainer_landing", DAY, "step_trainer_landing/by time.json", 2),
        ("step_trainer_landing", next_day, "step_trainer_landing/landing_date=2023-08-07/a/deep/er/a.json.gz", 2),
        ("step_trainer_landing", next_day, "step_trainer_landing/landing_date=2023-08-07/b.json", 5),
    ]
    assert found.ignored == ()
    assert list(found.by_day("step_trainer_landing")) == [DAY, date(2023, 8, 7)]
    assert found.by_day("accelerometer_landing") == {}
    assert list(listed(tmp_path, only=frozenset({DAY}))) == [
        "customer_landing/2023/08/06/c.json",
        "step_trainer_landing/by time.json",
    ]


def test_folders_of_other_days_are_not_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    table = "step_trainer_landing"
    paths = [
        f"{table}/landing_date=2023-08-06/a.json",
        f"{table}/landing_date=2023-08-06/landing_date=2023-08-07/b.json",
        f"{table}/2023/08/07/landing_date=2023-08-06/c.json",
        f"{table}/2023/08/06/d.json",
        f"{table}/landing_date=2023-08-07/e.json",
        f"{table}/landing_date=2023-08-07/landing_date=2023-08-06/f.json",
        f"{table}/landing_date=2023-02-30/2023/08/06/g.json",
        f"{table}/landing_date=2023-08-06-late/1691323200000.json",
    ]
    for path in paths:
        put(tmp_path, path)
    everything = {path for path, day in listed(tmp_path).items() if day == DAY}
    looked_into: list[str] = []
    real = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: looked_into.append(str(folder)) or real(folder))
    only = listed(tmp_path, only=frozenset({DAY}))
    assert set(only) == everything == {paths[index] for index in (0, 1, 2, 3, 7)}
    assert not [folder for folder in looked_into if "landing_date=2023-08-07" in folder and "-06" not in folder]


def test_no_landing_zone_holds_nothing(tmp_path: Path):
    assert LandingZone(str(tmp_path / "none")).list(FIRST, LAST).files == ()
    (tmp_path / "customer_landing").write_bytes(b"a file where a folder should be")
    assert LandingZone(str(tmp_path)).list(FIRST, LAST).files == ()


def test_unfinished_files_and_folders_are_not_seen(tmp_path: Path):
    for path in (".a.json", "_a.json", "2023/08/06/.a.json", "_temporary/0/a.json", ".staging/a.json", "_SUCCESS"):
        put(tmp_path, f"customer_landing/{path}")
    found = LandingZone(str(tmp_path)).list(FIRST, LAST)
    assert (found.files, found.ignored) == ((), ())


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (
            "landing_date=2099-01-01/a.json",
            "dated 2099-01-01, which is not between 2022-01-01 (STEDI_FIRST_DAY) and 2024-01-01",
        ),
        ("landing_date=2021-12-31/a.json", "dated 2021-12-31"),
        ("landing_date=2024-01-02/a.json", "dated 2024-01-02"),
        ("9999999999999.json", "dated 2286-11-20"),
    ],
)
def test_what_is_left_alone_is_said(tmp_path: Path, path: str, reason: str):
    put(tmp_path, f"customer_landing/{path}")
    put(tmp_path, "customer_landing/2022/01/01/first.json")
    put(tmp_path, "customer_landing/2024/01/01/last.json")
    found = LandingZone(str(tmp_path)).list(FIRST, LAST)
    assert len(found.files) == 2
    [(ignored, said)] = found.ignored
    assert ignored == f"customer_landing/{path}"
    assert said.startswith(reason)


@pytest.mark.parametrize(
    "name", ["a.csv", "a.JSON", "json", "part-00000", "a.json.bak", "x.json/inner", "a.crc.gz", "tmp"]
)
def test_any_name_may_be_data(tmp_path: Path, name: str):
    put(tmp_path, f"customer_landing/{name}")
    found = LandingZone(str(tmp_path)).list(FIRST, LAST)
    assert [file.path for file in found.files] == [f"customer_landing/{name}"]
    assert found.ignored == ()


@pytest.mark.parametrize(
    "name",
    [".a", "_SUCCESS", "a.crc", "a.TMP", "a.part", ".a.swp", "a.swp", "a~", "Thumbs.db", "desktop.ini", "x.tmp/a"],
)
def test_what_nobody_means_as_data_is_not_mentioned(tmp_path: Path, name: str):
    put(tmp_path, f"customer_landing/{name}")
    found = LandingZone(str(tmp_path)).list(FIRST, LAST)
    assert (found.files, found.ignored) == ((), ())


def test_a_pipe_is_not_waited_for(tmp_path: Path):
    (tmp_path / "customer_landing").mkdir()
    os.mkfifo(tmp_path / "customer_landing" / "a.json")
    found = LandingZone(str(tmp_path)).list(FIRST, LAST)
    assert found.files == ()
    assert "pipe" in found.ignored[0][1]


def test_a_name_that_is_no_text(tmp_path: Path):
    put(tmp_path, "customer_landing/good.json")
    with open(os.fsencode(tmp_path) + b"/customer_landing/\xff.json", "wb"):  # noqa: PTH123 - bytes
        pass
    found = LandingZone(str(tmp_path)).list(FIRST, LAST)
    assert [file.path for file in found.files] == ["customer_landing/good.json"]
    assert found.ignored == (("customer_landing/\\udcff.json", "its name is not UTF-8; rename it"),)


def test_symbolic_links(tmp_path: Path):
    put(tmp_path, "else/where/2023/08/06/a.json")
    put(tmp_path, "else/file.json", b"123")
    zone = tmp_path / "zone" / "customer_landing"
    zone.mkdir(parents=True)
    (zone / "linked").symlink_to(tmp_path / "else" / "where")
    (zone / "file.json").symlink_to(tmp_path / "else" / "file.json")
    (zone / "loop").symlink_to(zone)
    (zone / "gone.json").symlink_to(tmp_path / "nowhere")
    found = LandingZone(str(tmp_path / "zone")).list(FIRST, date(2999, 1, 1))
    assert {file.path.removeprefix("customer_landing/"): file.size for file in found.files} == {
        "linked/2023/08/06/a.json": 2,
        "file.json": 3,
        # Reading it fails and names it: it is not passed over.
        "gone.json": 0,
    }


def test_one_entry_does_not_stop_the_rest(tmp_path: Path):
    """A link to itself, a path that is too long for the system, a time that no calendar has: left alone by name."""
    put(tmp_path, "customer_landing/2023/08/06/a.json")
    zone = tmp_path / "customer_landing"
    (zone / "self.json").symlink_to("self.json")
    os.utime(put(tmp_path, "customer_landing/old.json"), ns=(0, 2**62))
    here = os.open(zone, os.O_RDONLY)
    for _ in range(30):
        os.mkdir("d" * 200, dir_fd=here)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    found = LandingZone(str(tmp_path)).list(FIRST, LAST)
    assert [file.path for file in found.files] == ["customer_landing/2023/08/06/a.json"]
    reasons = {path.rpartition("/")[2]: reason for path, reason in found.ignored}
    assert reasons.pop("d" * 200) == "it cannot be looked at (File name too long)"
    assert "symbolic links" in reasons.pop("self.json")
    assert list(reasons) == ["old.json"]


def test_folders_that_link_to_each_other_are_entered_once(tmp_path: Path):
    zone = tmp_path / "customer_landing"
    folders = [zone / f"folder-{number:02}" for number in range(12)]
    for folder in folders:
        folder.mkdir(parents=True)
        for other in folders:
            (folder / f"to-{other.name}").symlink_to(other)
    put(tmp_path, "customer_landing/folder-07/2023/08/06/a.json")
    found = LandingZone(str(tmp_path)).list(FIRST, LAST)
    assert [file.path for file in found.files] == ["customer_landing/folder-07/2023/08/06/a.json"]


def test_a_day_is_written_in_digits_of_ascii(tmp_path: Path):
    os.utime(put(tmp_path, "customer_landing/landing_date=2023-08-0\u0666/a.json"), (0, 86_400 * 19_000))
    (found,) = LandingZone(str(tmp_path)).list(FIRST, date.max).files
    assert found.landing_date == date(2022, 1, 8)


def test_the_stamp_changes_with_the_file(tmp_path: Path):
    file = put(tmp_path, "customer_landing/2023/08/06/a.json", b"one")

    def stamp() -> tuple[int, str]:
        [found] = LandingZone(str(tmp_path)).list(FIRST, LAST).files
        return found.size, found.stamp

    before = stamp()
    assert stamp() == before
    file.write_bytes(b"two")
    assert stamp() != before
    put(tmp_path, "customer_landing/2023/08/06/a.json", b"one")
    assert stamp() == before


def test_the_day_that_time_alone_gives(tmp_path: Path):
    put(tmp_path, "customer_landing/a.json")
    put(tmp_path, "customer_landing/2023/08/07/a.json")
    zone = LandingZone(str(tmp_path))
    assert zone.day_by_time("customer_landing/a.json") == DAY
    assert zone.day_by_time("customer_landing/2023/08/07/a.json") is None
    assert zone.day_by_time("customer_landing/gone.json") is None


def test_any_store_of_fsspec_is_listed():
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/zone/customer_landing/2023/08/06/a.json", b"x")
    fs.pipe_file("/zone/customer_landing/_tmp/2023/08/06/a.json", b"x")
    fs.pipe_file("/zone/customer_landing/2023/08/06/.b.json", b"x")
    fs.pipe_file("/zone/customer_landing/landing_date=2099-01-01/c.json", b"x")
    try:
        found = LandingZone("memory://zone").list(FIRST, LAST)
    finally:
        fs.rm("/zone", recursive=True)
    assert [file.path for file in found.files] == ["customer_landing/2023/08/06/a.json"]
    assert [path for path, _ in found.ignored] == ["customer_landing/landing_date=2099-01-01/c.json"]


# --- profiles ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "lines", "blank", "plain"),
    [
        (b"", 0, True, True),
        (b"\xef\xbb\xbf", 1, True, True),
        (b"\xef\xbb\xbf \r\n\n", 2, True, True),
        (b" \v", 1, True, False),
        (b"a", 1, False, True),
        (b"a\n\nb\n", 3, False, True),
        (b"a\n\xef\xbb\xbf", 2, False, True),
        (b"[]", 1, True, True),
        (b"[\n,\x1e\n\xef\xbb\xbf]", 3, True, True),
        (b" " * ((1 << 20) - 1) + b"\xef\xbb\xbf", 1, True, True),
        (b" " * ((1 << 20) - 1) + b"\xef\xbb", 1, False, True),
        (b'{"x":true}', 1, False, False),
        (b'{"x":false}', 1, False, False),
        (b'{"x":"a\f"}', 1, False, False),
        (b" " * (1 << 20) + b" \n", 1, True, True),
        (b" " * (1 << 20) + b"x", 1, False, True),
        *((b" " * ((1 << 20) - n) + b"true", 1, False, False) for n in range(6)),
        *((b" " * ((1 << 20) - n) + b"false", 1, False, False) for n in range(6)),
    ],
)
def test_profile(tmp_path: Path, content: bytes, lines: int, blank: bool, plain: bool):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    found = profile_file(FS, str(path))
    assert found == FileProfile(
        found.digest,
        len(content),
        lines,
        content.count(b'"'),
        content.count(b","),
        plain=plain,
        long=False,
        blank=blank,
    )
    assert (count_lines(FS, str(path)) == 0) is blank


@pytest.mark.parametrize(
    ("content", "blank"), [(b"", True), (b" \n\r\n", True), (b"\xef\xbb\xbf", True), (b"[ ]", True), (b"a", False)]
)
def test_profile_of_gzip(tmp_path: Path, content: bytes, blank: bool):
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(content))
    found = profile_file(FS, str(path))
    assert found.blank is blank
    assert not found.plain
    assert found.size == path.stat().st_size


def test_unreadable_files_are_named(tmp_path: Path):
    for name in ("a.json", "a.json.gz"):
        with pytest.raises(UnreadableFileError, match=name):
            profile_file(FS, str(tmp_path / name))
    (tmp_path / "x.json").mkdir()
    with pytest.raises(UnreadableFileError, match=r"x\.json"):
        profile_file(FS, str(tmp_path / "x.json"))
