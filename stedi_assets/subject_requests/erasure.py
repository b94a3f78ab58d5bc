"""An erasure, step by step: find, forget, rebuild, vacuum, prove.

Every step can be killed and run again: what is known of the person lies in the request until it is done, and each
step looks at what is there instead of what it did. In this order, since it is what makes it hold while other runs
go on: the tombstone first, so that nothing that lands brings the person back; then the raw files and the landing
tables; then what is made from them, which reconciliation finds; then the files that no table uses any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stedi_assets.contracts import LANDING_TABLES, TABLES, Table
from stedi_assets.contracts import table as contract
from stedi_assets.lakehouse import DataFile
from stedi_assets.landing.manifest import manifest_entries
from stedi_assets.privacy.suppression import Suppression
from stedi_assets.privacy.tombstones import Tombstone, Tombstones, put
from stedi_assets.resources import Resources, today
from stedi_assets.subject_requests import partition_counts as account
from stedi_assets.subject_requests import raw_files as raw
from stedi_assets.subject_requests.partition_counts import Count, Partition, accounts, compared
from stedi_assets.subject_requests.receipts import Receipts
from stedi_assets.subject_requests.requests import Request, Requests
from stedi_assets.subject_requests.search import Findings, Search
from stedi_assets.subject_requests.subject import Person, frames, theirs

if TYPE_CHECKING:
    # At run time, whoever has an instance has imported it; whoever only looks need not wait a second for it.
    import dagster as dg

ROUNDS = 5
"""Times that landing tables are made anew while other runs keep bringing rows back; one does, usually."""


class ErasureError(RuntimeError):
    """An erasure is not complete; the message says what is left, in places and numbers."""


@dataclass(frozen=True)
class Place:
    """Where a person is.

    Args:
        kind: ``raw file``, ``table`` or ``old version``.
        where: the file below the landing root, or the table.
        landing_date: the landing day, where there is one.
        number: of lines or rows.
    """

    kind: str
    where: str
    landing_date: date | None
    number: int


class Erasure:
    """One request, on its way to be done.

    Args:
        resources: the lake.
        instance: where runs are recorded.
        request: which.
        say: told what goes on, in sentences without a value of anybody.
    """

    def __init__(
        self,
        resources: Resources,
        instance: dg.DagsterInstance,
        request: Request,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.resources = resources
        self.instance = instance
        self._requests = Requests(resources.privacy)
        self._receipts = Receipts(resources.privacy)
        self.say = say
        self.request = request

    # ---- what is known --------------------------------------------------------------------------

    @property
    def _known(self) -> Mapping[str, Any]:
        if self.request.progress is None:
            msg = f"The request {self.request.id} was not begun; run its job from the first step."
            raise ErasureError(msg)
        return self.request.progress

    @property
    def person(self) -> Person:
        """Whom it is about, as they were known when it began."""
        return Person.from_document(self._known["person"])

    @property
    def stone(self) -> Tombstone:
        """What stays of them."""
        return self.person.tombstone(self.resources.privacy, self.request.id, self._known["erased_at"])

    def _erased(self) -> Suppression:
        return rules_of([self])

    # ---- the steps ------------------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        """All the steps; the receipt."""
        (receipt,) = carry_out(self.resources, self.instance, [self.request], self.say)
        self.request = self._requests.get(self.request.id)
        return receipt

    def resolve(self) -> None:
        """Find out who it is; not stored yet."""
        person = Person.of(self.resources, str(self.request.email))
        # Whatever has landed by now is to go, also a record whose date lies ahead by mistake.
        erased_at = max(_now(), person.registered_at)
        self.request = replace(self.request, progress={"person": person.document(), "erased_at": erased_at})

    def begin(self) -> None:
        """Find out who it is and what is there, and remember it; once."""
        if not self.request.is_done and self.request.progress is None:
            begin_together([self])

    def remember(self, before: Mapping[Partition, Count], together: Sequence[str]) -> None:
        """Store where the person is, and what every partition holds, unless somebody else has by now."""
        resources = self.resources
        found = find(resources, self.person, self._erased())
        known = {
            **self._known,
            "found": [[one.kind, one.where, str(one.landing_date or ""), one.number] for one in found],
            "before": account.document(before),
            "together": list(together),
            "receipts": len(self._receipts.names()),
            "versions": {name: resources.lakehouse.snapshot(table).version for name, table in TABLES.items()},
        }
        self.request = self._requests.begin(replace(self.request, progress=known))
        places = Counter(one.kind for one in found)
        self.say("found in " + (", ".join(f"{n} {kind}s" for kind, n in sorted(places.items())) or "no place"))

    def forget(self) -> None:
        """From here on nothing of the person lands; then the raw files lose their lines."""
        if not self.request.is_done:
            forget_together([self])

    def rebuild(self) -> None:
        """The landing tables lose the rows, then every table that is made from them is made anew."""
        if not self.request.is_done:
            rebuild_together([self])

    def vacuum(self) -> None:
        """Delete the files of every table that its current version does not use."""
        if self.request.is_done:
            return
        gone = sum(self.resources.lakehouse.vacuum(table) for table in TABLES.values())
        self.say(f"{gone} files of old versions were deleted")

    def prove(self) -> dict[str, Any]:
        """Look for the person everywhere; write the receipt if they are nowhere, and close the request.

        Raises:
            ErasureError: they are somewhere.
        """
        known = self._receipts.of(self.request.id)
        if not self.request.is_done or known is None:
            # Also where it is there: who wrote it may have been killed before the chain's head was.
            known = self.add(known or self.proven())
        return self.close(known)

    def close(self, known: dict[str, Any]) -> dict[str, Any]:
        """Forget whose request it was, now that there is a receipt."""
        if not self.request.is_done:
            self.request = self._requests.close(self.request, known["done_at"])
            self.say(f"receipt {known['number']} was written")
        return known

    def receipt_or_proof(self) -> dict[str, Any]:
        """The receipt, if there is one; else what it will say."""
        return self._receipts.of(self.request.id) or self.proven()

    def add(self, content: dict[str, Any]) -> dict[str, Any]:
        """Write the receipt."""
        return self._receipts.add(self.request.id, content)

    def proven(self) -> dict[str, Any]:
        """What a receipt says, if the person is nowhere.

        Raises:
            ErasureError: they are somewhere.
        """
        resources, person = self.resources, self.person
        left = find(resources, person, self._erased())
        search = Search(person.needles(), resources.engine)
        findings = Findings()
        search.folder("landing zone", _local(resources.settings.landing_uri), findings)
        search.folder("lake", _local(resources.settings.lake_uri), findings)
        own = resources.privacy.path / "requests" / f"{self.request.id}.json"
        search.folder("privacy folder", resources.privacy.path, findings, [own])
        search.folder("Dagster's storage", resources.settings.dagster_home, findings)
        if left or findings.found:
            places = [f"{one.kind} {one.where} {one.landing_date or ''}".strip() + f": {one.number}" for one in left]
            places += [f"{kind}, {where}: {number}" for kind, where, number in findings.found]
            msg = (
                f"The person of {self.request.id} is still in {len(places)} place(s), so there is no receipt:\n  "
                + "\n  ".join(sorted(places)[:50])
                + "\nMend them (lines of others that mention the person are left to you), then run it again."
            )
            raise ErasureError(msg)
        before = account.from_document(self._known["before"])
        after = accounts(resources, [person], self._erased())
        between = self._receipts.names()[self._known["receipts"] :]
        others = [name.partition("-")[2] for name in between]
        if not others:
            self._must_add_up(before, after)
        found = [(str(kind), str(where), str(day), int(number)) for kind, where, day, number in self._known["found"]]
        return {
            "tool": f"stedi-assets {version('stedi-assets')}",
            "requested_at": self.request.requested_at,
            "erased_at": self._known["erased_at"],
            "done_at": _now(),
            "found": _summed(found),
            # Whose rows are among those removed, and who was erased before this one was counted again.
            "together_with": sorted(set(self._known["together"]) - {self.request.id}),
            "interleaved_with": sorted(set(others) - set(self._known["together"])),
            "partitions": compared(before, after),
            "versions": {
                name: [self._known["versions"][name], resources.lakehouse.snapshot(table).version]
                for name, table in TABLES.items()
            },
            "searched": {
                "values": len(search.needles),
                "values too short to look for": search.too_short,
                "files": findings.files,
                "bytes": findings.size,
                "found": 0,
            },
        }

    def _must_add_up(self, before: Mapping[Partition, Count], after: Mapping[Partition, Count]) -> None:
        """Of the landing tables, nothing but the person's rows may be gone; more may have landed meanwhile.

        Files that differed by the person's lines only are copies of each other now, and count once.
        """
        for table in LANDING_TABLES:
            files = manifest_entries(self.resources.engine, self.resources.lakehouse, table)
            copied = {file.landing_date.isoformat() for file in files if file.duplicate_of is not None}
            for (name, day), was in before.items():
                if (
                    name == table.name
                    and day not in copied
                    and after.get((name, day), _NOTHING).rows < was.rows - was.theirs
                ):
                    msg = (
                        f"{name} of {day} had {was.rows} rows, of which {was.theirs} are the person's of "
                        f"{self.request.id}, and has {after.get((name, day), _NOTHING).rows} now: others' rows are "
                        "gone. Restore that day's raw files from a backup, materialize it, and run this again."
                    )
                    raise ErasureError(msg)

    # ---- shared parts ---------------------------------------------------------------------------

    def rewritten(self) -> set[tuple[str, date]]:
        """The partitions whose raw files were written anew, though they may hold no row of the person (copies)."""
        dated = {file.path: (file.table, file.landing_date) for file in self.resources.listing().files}
        return {dated[where] for kind, where, *_ in self._known["found"] if kind == "raw file" and where in dated}


_NOTHING = Count(0, 0, "0")


def carry_out(
    resources: Resources,
    instance: dg.DagsterInstance,
    requests: Sequence[Request],
    say: Callable[[str], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Carry out requests from the first step to the last, those that were not begun together.

    Returns:
        Their receipts. Of requests that were carried out together, what was removed is that of all of them.

    Raises:
        ErasureError: somebody is still somewhere.
    """
    all_of_them = [Erasure(resources, instance, request, say) for request in requests]
    new = [one for one in all_of_them if not one.request.is_done and one.request.progress is None]
    batches = [*([one] for one in all_of_them if one not in new), *([new] if new else [])]
    receipts: dict[str, dict[str, Any]] = {}
    for batch in batches:
        going_on = [one for one in batch if not one.request.is_done]
        if going_on:
            begin_together([one for one in going_on if one.request.progress is None])
            # Another process may have been quicker, and be done.
            going_on = [one for one in going_on if not one.request.is_done]
        if going_on:
            forget_together(going_on)
            rebuild_together(going_on)
            going_on[0].vacuum()
        # All are looked for before the first receipt: what one of them says of the others' rows holds for all.
        contents = [one.receipt_or_proof() for one in batch]
        for one, content in zip(batch, contents):
            receipts[one.request.id] = one.close(content if one.request.is_done else one.add(content))
    return [receipts[request.id] for request in requests]


def begin_together(erasures: Sequence[Erasure]) -> None:
    """Find out who some people are and what is there, and remember it."""
    if not erasures:
        return
    for one in erasures:
        one.resolve()
    resources = erasures[0].resources
    before = accounts(resources, [one.person for one in erasures], rules_of(erasures))
    for one in erasures:
        one.remember(before, [other.request.id for other in erasures])


def forget_together(erasures: Sequence[Erasure]) -> None:
    """Write the tombstones, then the raw files without the lines."""
    resources = erasures[0].resources
    # Whoever commits to a landing table asks for the tombstones under this lock.
    with resources.lakehouse.committing():
        for one in erasures:
            put(resources.privacy, one.stone)
    lines = raw.Lines(rules_of(erasures), [hint for one in erasures for hint in one.person.hints()])
    files = gone = 0
    # So that what lies beside the raw files was left by a killed process, and is nobody's work.
    with resources.privacy.alone("raw-files"):
        raw.tidy(resources.landing)
        for file in all_raw_files(resources):
            number = raw.scrub(resources.landing, file, lines)
            files += bool(number)
            gone += number
    erasures[0].say(f"{gone} lines left {files} raw files")


def rebuild_together(erasures: Sequence[Erasure]) -> None:
    """The landing tables lose the rows, then every table that is made from them is made anew."""
    # Where it stands above, the definitions, which have this job, would import themselves.
    from stedi_assets.defs.materialize import Materializer

    first = erasures[0]
    people, rules = [one.person for one in erasures], rules_of(erasures)
    rewritten = {place for one in erasures for place in one.rewritten()}
    for _ in range(ROUNDS):
        days = landing_days_with(first.resources, people, rules)
        for table, day in rewritten:
            days.setdefault(table, set()).add(day)
        outcome = Materializer(first.resources, first.instance).rerun(days)
        first.say(f"{len(outcome.runs)} runs made the tables anew")
        if not landing_days_with(first.resources, people, rules):
            return
    msg = (
        f"After {ROUNDS} rounds the landing tables still hold rows of the person of {first.request.id}: other runs "
        "keep bringing them back. Stop them and run it again."
    )
    raise ErasureError(msg)


def rules_of(erasures: Sequence[Erasure]) -> Suppression:
    """Rules that know the people of some requests, and nobody else."""
    resources = erasures[0].resources
    stones = {one.request.id: one.stone for one in erasures}
    return Suppression(resources.engine, resources.lakehouse, Tombstones(resources.privacy, stones))


def all_raw_files(resources: Resources) -> list[raw.RawFile]:
    """Every raw file, those that the lake leaves alone too."""
    dated = {file.path: file.landing_date for file in resources.listing().files}
    return list(raw.raw_files(resources.landing, dated, today()))


def find(resources: Resources, person: Person, erased: Suppression) -> list[Place]:
    """Where a person is: raw files, tables, and files of old versions.

    Args:
        resources: the lake.
        person: who.
        erased: rules that know this person.
    """
    places: list[Place] = []
    lines = raw.Lines(erased, person.hints())
    for file in all_raw_files(resources):
        number = raw.count(resources.landing, file, lines)
        if number:
            places.append(Place("raw file", file.path, file.landing_date, number))
    for table in TABLES.values():
        snapshot = resources.lakehouse.snapshot(table)
        for day, number in rows_of(resources, table, snapshot.files, [person], erased).items():
            places.append(Place("table", table.name, day, number))
        old = resources.lakehouse.unused_files(table)
        for day, number in rows_of(resources, table, old, [person], erased).items():
            places.append(Place("old version", table.name, day, number))
    return places


def landing_days_with(resources: Resources, people: Sequence[Person], erased: Suppression) -> dict[str, set[date]]:
    """The partitions of landing tables, and of their quarantine, that hold rows of some people."""
    found: dict[str, set[date]] = {}
    for table in LANDING_TABLES:
        days = set(rows_of(resources, table, resources.lakehouse.snapshot(table).files, people, erased))
        quarantine = contract("landing_quarantine")
        mine = [
            file
            for file in resources.lakehouse.snapshot(quarantine).files
            if file.partition["landing_table"] == table.name
        ]
        days |= set(rows_of(resources, quarantine, mine, people, erased))
        if days:
            found[table.name] = days
    return found


def rows_of(
    resources: Resources, table: Table, files: Sequence[DataFile], people: Sequence[Person], erased: Suppression
) -> dict[date, int]:
    """How many rows of some people some files of a table hold, per landing day."""
    if not files:
        return {}
    stored = resources.engine.relation(table, files)
    if table.name == "landing_quarantine":
        lines = resources.engine.rows("SELECT landing_date, line FROM stored", stored=stored)
        return dict(Counter(day for day, line in lines if erased.of_rejected(line) is not None))
    if table.source is not None:
        marked = erased.marked(table, stored)
        if marked is None:
            return {}
        query = "SELECT landing_date, count(*) FROM marked WHERE request IS NOT NULL GROUP BY ALL"
        return dict(resources.engine.rows(query, marked=marked))
    return dict(
        resources.engine.rows(
            f"SELECT landing_date, count(*) FROM stored WHERE {theirs(table)} GROUP BY ALL",
            stored=stored,
            **frames(people),
        )
    )


def _summed(found: list[tuple[str, str, str, int]]) -> dict[str, dict[str, int]]:
    """Places and numbers, without names of raw files: people name files as they like."""
    summed: dict[str, Counter[str]] = {}
    for kind, where, _, number in found:
        table = where.split("/")[0]
        summed.setdefault(f"{kind}s", Counter())[table] += number
    return {kind: dict(sorted(tables.items())) for kind, tables in sorted(summed.items())}


def _local(uri: str) -> Path:
    if "://" in uri:
        msg = f"{uri} is not a folder of this machine; an erasure there cannot be proven so far."
        raise ErasureError(msg)
    return Path(uri)


def _now() -> int:
    return int(datetime.now(timezone.utc).timestamp() * 1000)
