"""Raw files that cannot be read, or not to their end: what becomes of their day and their rest."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable

import fsspec
import pytest

from stedi_assets.landing import reading
from stedi_assets.landing.errors import UnreadableFileError
from stedi_assets.landing.parse import CUT_OFF_REASON
from stedi_assets_tests.kit.records import DAY
from stedi_assets_tests.kit.table_lake import D1, D2, D3, TableLake, steps


@pytest.mark.parametrize("cut", [1, 8, 9, 60, 300])
def test_a_gzip_file_that_is_cut_off(lake: TableLake, cut: int):
    content = steps(*(n * 7919 % 1009 for n in range(500)))
    lake.put("a.json.gz", gzip.compress(content)[:-cut])
    lake.put("b.json", steps(5000))
    report = lake.run()[DAY]
    assert report.rejected == 1
    assert report.reasons == {CUT_OFF_REASON: 1}
    assert report.lines == report.rows + 1
    [(name, line, reason, rest)] = lake.quarantine()
    read = content.split(b"\n")[: line - 1]
    assert (name, reason) == ("a.json.gz", CUT_OFF_REASON)
    assert content.startswith(b"\n".join([*read, rest.encode()]))
    assert lake.numbers() == sorted([5000, *(json.loads(text)["distanceFromObject"] for text in read)])
    # With only its check sum gone all lines are there, and that something is gone is not silent.
    assert (line, rest) == (501, "") if cut <= 8 else line > 10
    assert lake.plan() == {}
    lake.put("a.json.gz", gzip.compress(content))
    assert list(lake.plan()) == [DAY]
    lake.run()
    assert (len(lake.rows()), lake.quarantine()) == (501, [])


NO_GZIP = b"\x1f\x8bno gzip at all"


def cut_to_nothing(lake: TableLake) -> None:
    lake.put("bad.json.gz", gzip.compress(steps(9))[:10])


def damaged(lake: TableLake) -> None:
    packed = bytearray(gzip.compress(steps(*range(1000))))
    packed[-6] ^= 1
    lake.put("bad.json.gz", bytes(packed))


def dangling(lake: TableLake) -> None:
    lake.put("bad.json", b"").unlink()
    (lake.root / "raw" / lake.path("bad.json")).symlink_to("/nowhere/at/all")


@pytest.mark.parametrize("spoil", [cut_to_nothing, damaged, dangling])
def test_an_unreadable_file_fails_its_day_and_is_named(lake: TableLake, spoil: Callable[[TableLake], None]):
    lake.put("a.json", steps(1) + b"bad\n")
    lake.run()
    before, versions = lake.state(), lake.versions()
    spoil(lake)
    lake.put("b.json", steps(2))
    with pytest.raises(UnreadableFileError, match=r"bad\.json"):
        lake.run()
    assert (lake.state(), lake.versions()) == (before, versions)
    assert lake.plan() == {DAY: "2 new files"}


def test_a_file_that_may_not_be_read(lake: TableLake, monkeypatch: pytest.MonkeyPatch):
    lake.put("a.json", steps(1))
    lake.run()
    before, versions = lake.state(), lake.versions()
    lake.put("secret.json", steps(2))
    local = type(fsspec.filesystem("file"))
    real = local.open

    def refuse(self: object, path: str, *args: object, **options: object) -> object:
        if path.endswith("secret.json"):
            raise PermissionError(13, "Permission denied", path)
        return real(self, path, *args, **options)

    monkeypatch.setattr(local, "open", refuse)
    with pytest.raises(UnreadableFileError, match=r"secret\.json: PermissionError"):
        lake.run()
    assert (lake.state(), lake.versions()) == (before, versions)


def test_a_file_that_breaks_while_it_is_read(lake: TableLake, monkeypatch: pytest.MonkeyPatch):
    """Its profile was taken; the store fails in the middle of the second reading."""
    lake.put("a.json", steps(1) + b"bad\n" * 10)
    real = reading.read_texts

    def fail(*args: object) -> object:
        yield from real(*args)  # type: ignore[arg-type]
        raise UnreadableFileError(str(args[2]))

    monkeypatch.setattr(reading, "read_texts", fail)
    with pytest.raises(UnreadableFileError, match=r"a\.json"):
        lake.run()
    assert lake.versions() == [-1, -1, -1]


def test_other_days_of_the_run_are_done(lake: TableLake):
    lake.put("a.json", steps(1), D1)
    lake.put("bad.json.gz", NO_GZIP, D2)
    lake.put("c.json", steps(3), D3)
    with pytest.raises(UnreadableFileError, match=r"bad\.json\.gz"):
        lake.run(D1, D2, D3)
    assert lake.numbers() == [1, 3]
    assert lake.plan() == {D2: "1 new file"}
    lake.put("worse.json.gz", NO_GZIP, D3)
    with pytest.raises(UnreadableFileError, match=r"(?s)bad\.json\.gz.*worse\.json\.gz"):
        lake.run(D1, D2, D3)
    assert lake.numbers() == [1, 3]


def test_a_folder_where_a_file_should_be(lake: TableLake):
    lake.put("x.json/inner.json", steps(1))
    lake.put("a.json", steps(2))
    lake.run()
    assert lake.numbers() == [1, 2]
    assert lake.plan() == {}
