"""Steps of an erasure by themselves, on a lake of landing tables only: how it begins, and what is no proof."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from stedi_assets.contracts import table as contract
from stedi_assets.staleness import index
from stedi_assets.subject_requests import forgetting, proof
from stedi_assets.subject_requests.erasure import Erasure
from stedi_assets.subject_requests.matching import Subjects
from stedi_assets.subject_requests.progress import ErasureError, Progress
from stedi_assets.subject_requests.proof import prove
from stedi_assets.subject_requests.requests import Request, Requests
from stedi_assets.subject_requests.search import Findings, Search
from stedi_assets_tests.kit.driven import land_partitions
from stedi_assets_tests.kit.lake import SmallLake
from stedi_assets_tests.kit.records import DAY, customer, lines, movement

NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)
AHEAD = 4_000_000_000_000


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[SmallLake]:
    small = SmallLake.at(tmp_path)
    small.land("customer_landing", lines(customer("ann", registrationDate=AHEAD), customer("bob"), customer("cat")))
    land_partitions(small.resources, "customer_landing", [DAY])
    yield small
    small.close()


def begun(lake: SmallLake) -> Request:
    """A request of ann's that was begun."""
    requests = Requests(lake.resources.privacy)
    asked = requests.file("ann@example.com", "", NOW)
    Erasure(lake.resources, lambda _: 0, [asked.id]).begin()
    return requests.get(asked.id)


def subjects_of(lake: SmallLake, asked: Request) -> Subjects:
    progress = Progress.of(asked)
    tombstone = progress.tombstone(lake.resources.privacy, asked.id)
    return Subjects.erased(lake.resources, [progress.person], [tombstone])


def test_a_registration_that_lies_ahead_by_mistake_is_not_after_the_erasure(lake: SmallLake) -> None:
    assert Progress.of(begun(lake)).erased_at == AHEAD


def test_neither_the_rules_nor_the_search_suffices(lake: SmallLake, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = begun(lake)
    for blind, answer in (("find_places", []), ("_search_everywhere", Findings())):
        with monkeypatch.context() as patch:
            patch.setattr(proof, blind, lambda *_, answer=answer: answer)
            with pytest.raises(ErasureError, match=f"The person of {asked.id} is still in"):
                prove(lake.resources, asked)


def test_every_folder_is_searched_and_the_request_itself_is_not(lake: SmallLake) -> None:
    resources = lake.resources
    asked = Requests(resources.privacy).file("zoe@example.com", "", NOW)
    places = {
        "landing zone": "landing/notes.txt",
        "lake": "lake/left/behind.csv",
        "privacy folder": "privacy/requests/other.json",
        "Dagster's storage": "home/logs/run.err",
    }
    for name in places.values():
        (lake.root / name).parent.mkdir(parents=True, exist_ok=True)
        (lake.root / name).write_text("of Zoe@Example.com, and so on")
    findings = proof._search_everywhere(resources, asked, Search(["zoe@example.com"], resources.engine))
    assert findings.found == [(kind, name.partition("/")[2], 1) for kind, name in places.items()]


def test_others_must_have_their_rows(lake: SmallLake, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = begun(lake)
    monkeypatch.setattr(proof, "find_places", lambda *_: [])
    monkeypatch.setattr(proof, "_search_everywhere", lambda *_: Findings())

    def proven(left: str) -> dict[str, Any]:
        """What the receipt says of customer_landing, if these rows are left."""
        lake.spoil("customer_landing", DAY, left)
        (found,) = (one for one in prove(lake.resources, asked)["partitions"] if one["table"] == "customer_landing")
        return {name: found[name] for name in ("before", "removed", "after", "others_identical")}

    right = {"before": 3, "removed": 1, "after": 2, "others_identical": True}
    assert proven("FROM rows WHERE email NOT LIKE 'ann%'") == right
    assert proven("SELECT * REPLACE (phone || '1' AS phone) FROM rows") == {**right, "others_identical": False}
    with pytest.raises(ErasureError, match=r"had 3 rows, of which 1 are .* and has 1 now: others' rows are gone"):
        proven("FROM rows LIMIT 1")


def test_the_index_loses_the_person_though_nothing_is_left_to_rebuild(lake: SmallLake) -> None:
    """A run that was killed wrote the readings without the person, and not the index of them."""
    resources, name = lake.resources, "accelerometer_landing"
    lake.land(name, lines(movement("ann"), movement("bob")))
    land_partitions(resources, name, [DAY])
    index.write(resources.engine, resources.lakehouse, contract(name), [DAY])
    subjects = subjects_of(lake, begun(lake))
    for table in ("customer_landing", name):
        lake.spoil(table, DAY, "FROM rows WHERE NOT contains(rows::VARCHAR, 'ann@')")
    assert len(lake.rows("readings_index")) == 2
    assert forgetting.rebuild_tables(resources, subjects, {}, lambda _: 0, lambda _: None)
    assert lake.rows("readings_index", "subject") == [("bob@example.com",)]


def test_rows_that_keep_coming_back_are_no_success(lake: SmallLake) -> None:
    tried: list[Mapping[str, Collection[date]]] = []

    def rebuild(landing: Mapping[str, Collection[date]]) -> int:
        tried.append(landing)
        return 1

    subjects = subjects_of(lake, begun(lake))
    assert not forgetting.rebuild_tables(lake.resources, subjects, {}, rebuild, lambda _: None)
    assert tried == [{"customer_landing": {DAY}}] * forgetting.ROUNDS
