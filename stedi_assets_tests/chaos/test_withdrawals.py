"""A reader never sees too much: once a withdrawal is reconciled, no read shows that person, whoever else writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from stedi_assets_tests.chaos.processes import told
from stedi_assets_tests.chaos.withdrawals import PEOPLE, SHOWN, SLOW, WITHDRAWING


@pytest.mark.process
@pytest.mark.slow
def test_no_read_shows_who_withdrew_once_that_is_reconciled(tmp_path: Path) -> None:
    said = told("withdrawals", tmp_path)
    reads, since = said["read"], said["withdrawn"]
    print(f"{len(reads)} reads")
    too_much = [(table, who) for began, table, _, shown in reads for who in shown if began > since.get(who, began)]
    assert too_much == []
    # There was something to see: everybody at first, some to the end, and reads after each withdrawal.
    everybody = {table for _, table, _, shown in reads if shown == sorted(PEOPLE)}
    assert everybody == {table.name for table in SHOWN}
    assert all(count for _, _, count, _ in reads)
    for group in WITHDRAWING:
        assert sum(began > since[group[0]] for began, *_ in reads) > len(SHOWN)
    # Whoever was slow came to an end, with what is right by then.
    assert [said[table] for table in SLOW] == [len(WITHDRAWING)] * len(SLOW)
