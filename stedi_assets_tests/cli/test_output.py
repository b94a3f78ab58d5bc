"""What commands print: values and names as they are, and nothing that they do to a terminal or a spreadsheet."""

from __future__ import annotations

import pytest

from stedi_assets.cli.output import say, show

ODD = "a\x1b[31m\x1b]0;owned\x07\u202eb\u2028c"
SHOWN = r"a\x1b[31m\x1b]0;owned\x07\u202eb\u2028c"


def test_markup_and_controls_in_a_table_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    show(("name",), [("[red]",), ("[/b]",), ("[link=http://x]y[/link]",), (ODD,)], "table")
    printed = [line.rstrip() for line in capsys.readouterr().out.split("\n")]
    assert printed[1:5] == ["[red]", "[/b]", "[link=http://x]y[/link]", SHOWN]


def test_what_is_said_keeps_its_own_lines_only(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"[b]{ODD}\nsecond")
    assert capsys.readouterr().err == f"[b]{SHOWN}\nsecond\n"


@pytest.mark.parametrize("cell", ["=cmd|calc!A1", "+cmd", "-2+3+cmd|x", "@SUM(A1)", "\t=1"])
def test_a_cell_that_a_spreadsheet_would_run_is_text(capsys: pytest.CaptureFixture[str], cell: str) -> None:
    show(("a",), [(cell,)], "csv")
    assert capsys.readouterr().out == f"a\n'{cell}\n"


@pytest.mark.parametrize("cell", ["+49 30 5550100", "-1.5e3", "a=b", "", -3])
def test_other_cells_are_as_they_are(capsys: pytest.CaptureFixture[str], cell: object) -> None:
    show(("a", "b"), [(cell, 1)], "csv")
    assert capsys.readouterr().out == f"a,b\n{cell},1\n"
