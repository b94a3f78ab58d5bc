"""``stedi quarantine``: what is open, who decided, and what the tables make of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from stedi_assets_tests.kit.commands import Done, stedi
from stedi_assets_tests.kit.driven import leave_out_dagster
from stedi_assets_tests.kit.lake import SmallLake
from stedi_assets_tests.kit.records import lines

BROKEN = {"email": "ann@example.com", "serialNumber": "serial-ann", "phone": 5}
FILE = "customer_landing/landing_date=2023-08-07/part.json"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ann and bob consent; a record of ann's could not be read, nor one of nobody's, nor a reading."""
    root = tmp_path_factory.mktemp("made")
    lake = SmallLake.at(root)
    lake.land_people("ann", "bob")
    lake.land("customer_landing", lines(BROKEN, {**BROKEN, "email": "who@example.com"}), day="2023-08-07")
    lake.land("accelerometer_landing", "noise\n", "noise.json")
    lake.materialize_directly()
    lake.close()
    return root


def run(root: Path, *arguments: str) -> Done:
    with pytest.MonkeyPatch.context() as patch:
        leave_out_dagster(patch)
        places = {f"STEDI_{name.upper()}_URI": str(root / name) for name in ("landing", "lake", "privacy")}
        return stedi(root, *arguments, **places)


def test_open_texts_are_listed_without_what_they_say(made: Path) -> None:
    done = run(made, "quarantine")
    assert done.code == 1
    ann, nobody = done.rows()
    assert (ann["source_file"], ann["source_line"], ann["people in doubt"]) == (FILE, "1", "1")
    assert (nobody["source_line"], nobody["people in doubt"]) == ("2", "0")
    assert ann["reason"] == "phone is not text"
    assert "example.com" not in done.out + done.err
    assert not (made / "privacy").exists()


def test_texts_are_shown_where_that_is_asked_for(made: Path) -> None:
    assert '"ann@example.com"' in run(made, "quarantine", "--show").out


def test_everything_that_was_rejected_can_be_listed(made: Path) -> None:
    done = run(made, "quarantine", "--all")
    assert done.code == 0
    tables = [row["source_file"].split("/")[0] for row in done.rows()]
    assert tables == ["accelerometer_landing", *["customer_landing"] * 2]
    assert {row["decision"] for row in done.rows()} == {""}


def test_a_dismissed_text_is_held_against_nobody(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    for line in ("1", "2"):
        done = run(tmp_path, "quarantine", "dismiss", FILE, line, "--reason", "a test", "--by", "R. Ray")
        assert done.code == 0, done.err
    assert run(tmp_path, "quarantine").code == 0
    done = run(tmp_path, "reconcile", "--dry-run")
    assert "customer_trusted" in done.out
    assert run(tmp_path, "reconcile").code == 1, "the noise is still there"
    assert run(tmp_path, "query", "SELECT count(*) AS n FROM customer_trusted").rows() == [{"n": "2"}]
    noise = "accelerometer_landing/landing_date=2023-08-06/noise.json"
    assert run(tmp_path, "quarantine", "dismiss", noise, "--reason", "noise", "--by", "R. Ray").code == 0
    done = run(tmp_path, "reconcile")
    assert (done.code, "up to date" in done.err) == (0, True), done.err
    assert {row["decision"] for row in run(tmp_path, "quarantine", "--all").rows()} == {"dismissed by R. Ray"}
    # A decision can be taken back, and what was decided is still listed.
    done = run(tmp_path, "quarantine", "reopen", FILE, "1", "--reason", "no test", "--by", "O. Orr")
    assert done.code == 0, done.err
    assert [row["source_line"] for row in run(tmp_path, "quarantine").rows()] == ["1"]
    decided = run(tmp_path, "quarantine", "decisions").rows()
    assert [(row["decision"], row["decided_by"], row["reason"], row["texts"]) for row in decided] == [
        *[("dismissed", "R. Ray", "a test", "1")] * 2,
        ("dismissed", "R. Ray", "noise", "1"),
        ("opened again", "O. Orr", "no test", "1"),
    ]


def test_what_cannot_be_dismissed_is_said(made: Path) -> None:
    done = run(made, "quarantine", "dismiss", FILE, "7", "--reason", "x", "--by", "y")
    assert (done.code, "No rejected text that is not dismissed begins on line 7" in done.err) == (2, True)
    done = run(made, "quarantine", "reopen", FILE, "1", "--reason", "x", "--by", "y")
    assert (done.code, "No rejected text that is dismissed begins on line 1" in done.err) == (2, True)
    done = run(made, "quarantine", "dismiss", FILE, "1", "--reason", " ", "--by", "y")
    assert (done.code, "needs a --reason and a name" in done.err) == (2, True)
    assert not (made / "privacy").exists()


def test_up_to_date_is_said_only_where_nothing_is_open(made: Path) -> None:
    for arguments in (("materialize", "--dry-run"), ("materialize",), ("reconcile",)):
        done = run(made, *arguments)
        assert done.code == 1
        assert "up to date" not in done.err
        assert "Each may be a withdrawal" in done.err
        assert "Nobody who was known then is named there" in done.err
        assert "nothing was read: accelerometer_landing/landing_date=2023-08-06/noise.json" in done.err


def test_why_somebody_is_kept_out_is_explained(made: Path) -> None:
    (made / "who.txt").write_text("ann@example.com\n")
    why = {row["table"]: row["why"] for row in run(made, "explain", "who.txt").rows()}
    assert "not used since 2023-08-07: a record that landed then could not be read" in why["customer_trusted"]
    assert "consent is in doubt" in why["accelerometer_trusted"]
