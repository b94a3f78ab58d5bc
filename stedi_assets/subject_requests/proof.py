"""The proof of an erasure: the person is nowhere, nobody else's rows are gone, and what the receipt says of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stedi_assets.contracts import LANDING_TABLES, TABLES
from stedi_assets.landing.files import is_data
from stedi_assets.landing.manifest import manifest_entries
from stedi_assets.privacy.tombstones import Tombstones
from stedi_assets.resources import Resources
from stedi_assets.subject_requests.partition_counts import (
    EMPTY,
    Partition,
    PartitionCount,
    compare_counts,
    count_partitions,
)
from stedi_assets.subject_requests.places import LINKED_RAW_FILE, RAW_FILE, Place, count_by_table, find_places
from stedi_assets.subject_requests.progress import ErasureError, Progress, under_erasure
from stedi_assets.subject_requests.raw_files import RESTED
from stedi_assets.subject_requests.receipts import Receipts
from stedi_assets.subject_requests.requests import ERASE, Request, now_ms
from stedi_assets.subject_requests.search import Findings, Search
from stedi_assets.subject_requests.subject import longer_addresses, searchable

_PLACES_SHOWN = 50
_RAW = {RAW_FILE, LINKED_RAW_FILE}


def prove(resources: Resources, request: Request) -> dict[str, Any]:
    """Prove that the person of a request is nowhere.

    Args:
        resources: the lake.
        request: one that was begun.

    Returns:
        The content of the receipt, which names nobody. It has ``not_proven_for`` where files cannot be decoded.

    Raises:
        ErasureError: the person is somewhere, or others' rows are gone.
    """
    progress = Progress.of(request)
    subjects = under_erasure(resources, [request])
    remaining = find_places(resources, subjects)
    values = searchable(resources, progress.person)
    search = Search(values, resources.session, longer_addresses(resources, progress.person))
    findings = _search_everywhere(resources, request, search)
    if remaining or findings.found:
        raise _open_places(request, remaining, findings)
    after = count_partitions(resources, subjects)
    # Whoever was not done when the rows were counted may have been counted among the others, and be gone by now.
    receipts = [name.partition("-")[2] for name in Receipts(resources.privacy).names()]
    others = {tombstone.request for tombstone in Tombstones.read(resources.privacy)} - set(progress.together)
    interleaved = others - set(receipts[: progress.receipts])
    if not interleaved:
        _require_others_rows(resources, request, progress.before, after)
    undecodable = sorted(f"{kind}, {file}" for kind, file in findings.undecodable)
    return {
        "tool": f"stedi-assets {version('stedi-assets')}",
        "requested_at": request.requested_at,
        "erased_at": progress.erased_at,
        "done_at": now_ms(),
        "found": count_by_table(progress.found),
        "shared_devices": {
            "serial_numbers": len(progress.person.shared),
            "readings": len(progress.person.readings) + progress.hidden,
            "in_raw_files": "erased" if request.shared_devices == ERASE else "left",
        },
        # Whose rows are among those removed, and who was erased before this one was counted again.
        "together_with": sorted(set(progress.together) - {request.id}),
        "interleaved_with": sorted(interleaved),
        "partitions": compare_counts(progress.before, after),
        "versions": {
            name: [progress.versions[name], resources.lakehouse.snapshot(table).version]
            for name, table in TABLES.items()
        },
        "searched": {
            "values": len(search.needles),
            "values too short to look for": search.too_short,
            "values that are common words or others' too": len(progress.person.needles()) - len(values),
            "files": findings.files,
            "bytes": findings.size,
            "found": 0,
        },
        **({"not_proven_for": undecodable} if undecodable else {}),
    }


def _search_everywhere(resources: Resources, request: Request, search: Search) -> Findings:
    """Search everything that is stored, but for the request itself, which names the person until it is done."""
    settings, privacy = resources.settings, resources.privacy.path
    findings = Findings()
    search.folder("landing zone", _local_folder(settings.landing_uri), findings)
    search.folder("lake", _local_folder(settings.lake_uri), findings)
    search.folder("privacy folder", privacy, findings, [privacy / "requests" / f"{request.id}.json"])
    search.folder("Dagster's storage", settings.dagster_home, findings)
    return findings


def _local_folder(uri: str) -> Path:
    if "://" in uri:
        msg = f"{uri} is not a folder of this machine; an erasure there cannot be proven so far."
        raise ErasureError(msg)
    return Path(uri)


def _open_places(request: Request, left: Sequence[Place], findings: Findings) -> ErasureError:
    """The error that names the places in which the person still is."""
    places = [
        f"{place.kind} {place.location} {place.landing_date or ''}".strip() + f": {place.number}" for place in left
    ]
    places += [f"{kind}, {file}: {number}" for kind, file, number in findings.found]
    links = sum(place.kind == LINKED_RAW_FILE for place in left)
    unfinished = sum(place.kind in _RAW and not all(map(is_data, place.location.split("/"))) for place in left)
    remedy = (
        f"\n{links} of these are files that have another name too (hard links), under which the person would stay, so "
        "an erasure does not write them. Remove the other names (find -samefile FILE)."
        if links
        else ""
    )
    remedy += (
        f"\n{unfinished} of these may be half written, by their names. They are written anew {RESTED // 60} minutes "
        "after they last changed; or delete them."
        if unfinished
        else ""
    )
    return ErasureError(
        f"The person of {request.id} is still in {len(places)} place(s), so there is no receipt:\n  "
        + "\n  ".join(sorted(places)[:_PLACES_SHOWN])
        + remedy
        + "\nMend them (objects of others that mention the person are left to you), then run it again."
    )


def _require_others_rows(
    resources: Resources,
    request: Request,
    before: Mapping[Partition, PartitionCount],
    after: Mapping[Partition, PartitionCount],
) -> None:
    """Require that landing tables lost nothing but the person's rows; more may have landed meanwhile.

    Files that differed by the person's lines only are copies of each other now, and count once.
    """
    for table in LANDING_TABLES:
        entries = manifest_entries(resources.session, resources.lakehouse, table)
        duplicated = {entry.landing_date.isoformat() for entry in entries if entry.duplicate_of is not None}
        for (name, day), old in before.items():
            new = after.get((name, day), EMPTY)
            if name == table.name and day not in duplicated and new.rows < old.rows - old.subject_rows:
                msg = (
                    f"{name} of {day} had {old.rows} rows, of which {old.subject_rows} are the person's of "
                    f"{request.id}, and has {new.rows} now: others' rows are gone. Restore that day's raw files from "
                    "a backup, materialize it, and run this again."
                )
                raise ErasureError(msg)
