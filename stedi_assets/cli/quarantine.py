"""The ``stedi quarantine`` commands: the rejected texts that are open, and the decisions about them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from stedi_assets.cli.output import DIFFERS, FORMAT, Failure, say, show
from stedi_assets.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

    from stedi_assets.resources import Resources

_COLUMNS = ("landing_date", "source_file", "source_line", "source_object", "reason")
_FILE = "source_file"

_DECISION = (
    click.argument("file"),
    click.argument("line", type=click.IntRange(1), required=False),
    click.option(
        "--object",
        "number",
        type=click.IntRange(1),
        help="Which of the texts that begin on LINE, where there are several.",
    ),
    click.option("--reason", required=True, help="Why. It must not name anybody."),
    click.option("--by", "decided_by", required=True, help="The name of who decided."),
)


def _decides(command: Callable[..., None]) -> Callable[..., None]:
    """A command about rejected texts: which ones, why, and who decided."""
    for parameter in reversed(_DECISION):
        command = parameter(command)
    return command


@click.group(invoke_without_command=True)
@click.option("--show", "with_text", is_flag=True, help="Print the texts too. They may name people.")
@click.option("--all", "every", is_flag=True, help="List every rejected text of every landing table, open or not.")
@FORMAT
@click.pass_context
def quarantine(context: click.Context, with_text: bool, every: bool, form: str | None) -> None:
    """List the customer records that could not be read and are open; exit 1 if there are any.

    Each may be a withdrawal. Whoever it may speak of is in no trusted or curated table until a good record of theirs
    lands, the raw file is mended, or the text is dismissed:

    \b
      stedi quarantine --show
      stedi quarantine dismiss FILE LINE --reason "a test record" --by "R. Ray"
    """  # noqa: D301 - click wants the backspace itself.
    if context.invoked_subcommand is not None:
        return
    from stedi_assets.resources import Resources

    resources = Resources.of(Settings.from_environment())
    try:
        columns = (*_COLUMNS, "decision" if every else "people in doubt", *(("text",) if with_text else ()))
        rows = _rejected(resources, with_text) if every else _open(resources, with_text)
        listed = show(columns, rows, form, unbroken=_FILE)
        if not every and listed:
            context.exit(DIFFERS)
        if not listed:
            say("No rejected text is open." if not every else "No text was rejected.")
    finally:
        resources.close()


@quarantine.command()
@_decides
def dismiss(file: str, line: int | None, number: int | None, reason: str, decided_by: str) -> None:
    """Decide that a rejected text is held against nobody, and counts as looked at.

    FILE and LINE are as `stedi quarantine` lists them; without LINE, every rejected text of the file is dismissed.

    The decision is kept in the privacy folder with its reason, its time and who decided. It holds for this text on this
    line of this file; `stedi materialize` (or the consent sensor) makes the tables follow.
    """
    _decide(file, line, number, reason, decided_by, dismissed=True)


@quarantine.command()
@_decides
def reopen(file: str, line: int | None, number: int | None, reason: str, decided_by: str) -> None:
    """Take a dismissal back, for the texts that FILE and LINE name as in `stedi quarantine dismiss`.

    What was decided before stays in the list of decisions.
    """
    _decide(file, line, number, reason, decided_by, dismissed=False)


@quarantine.command()
@FORMAT
def decisions(form: str | None) -> None:
    """List every decision about rejected texts: when, by whom, why, and about how many.

    `stedi quarantine --all` shows which one holds about a text.
    """
    from stedi_assets.privacy.dismissals import Dismissals
    from stedi_assets.resources import Resources

    resources = Resources.of(Settings.from_environment())
    try:
        found = Dismissals(resources.privacy).decisions
        rows = ((one.decided_at, one.decided_by, _verb(one.dismissed), len(one.texts), one.reason) for one in found)
        if not show(("decided_at", "decided_by", "decision", "texts", "reason"), rows, form):
            say("Nothing was decided about rejected texts.")
    finally:
        resources.close()


def _decide(file: str, line: int | None, number: int | None, reason: str, decided_by: str, *, dismissed: bool) -> None:
    """Store a decision about the texts that are named and not decided so already."""
    from stedi_assets.privacy.dismissals import Dismissals
    from stedi_assets.resources import Resources

    if not reason.strip() or not decided_by.strip():
        msg = "A decision needs a --reason and a name in --by."
        raise Failure(msg)
    resources = Resources.of(Settings.from_environment())
    try:
        dismissals = Dismissals(resources.privacy)
        texts = _texts(resources, file, line, number)
        are_dismissed = dismissals.are_dismissed(texts).to_pylist()
        found = [text for text, is_so in zip(texts.to_pylist(), are_dismissed, strict=True) if is_so != dismissed]
        if not found:
            state = "not dismissed" if dismissed else "dismissed"
            place = file if line is None else f"line {line} of {file}"
            named = f"No rejected text that is {state} begins at object {number} of" if number else ""
            named = named or f"No rejected text that is {state} " + ("is in" if line is None else "begins on")
            msg = f"{named} {place}. `stedi quarantine --all` lists them."
            raise Failure(msg)
        if line is not None and number is None and len(found) > 1:
            several = ", ".join(str(text["source_object"]) for text in found)
            msg = f"{len(found)} texts begin on line {line} of {file}; say which with --object ({several})."
            raise Failure(msg)
        dismissals.decide(found, reason.strip(), decided_by.strip(), dismissed=dismissed)
        done = "Dismissed" if dismissed else "Opened again"
        say(f"{done}: {len(found)} text{'' if len(found) == 1 else 's'}. `stedi materialize` makes the tables follow.")
    finally:
        resources.close()


def _texts(resources: Resources, file: str, line: int | None = None, number: int | None = None) -> pa.Table:
    """The rejected texts of a raw file, or of a place in it."""
    from stedi_assets.engines.sql import quoted

    conditions = [f"source_file = {quoted(file)}"]
    conditions += [f"source_line = {line}"] if line is not None else []
    conditions += [f"source_object = {number}"] if number is not None else []
    query = f"SELECT * FROM stored WHERE {' AND '.join(conditions)} ORDER BY source_line, source_object"
    return resources.session.arrow(query, stored=_stored(resources))


def _open(resources: Resources, with_text: bool) -> Iterator[tuple[Any, ...]]:
    from stedi_assets.staleness.doubt import open_texts
    from stedi_assets.transforms.doubt import PLACE

    view = resources.view()
    lines = {}
    if with_text:
        lines = {tuple(text[name] for name in PLACE): text["line"] for text in view.undismissed_texts.to_pylist()}
    for text in open_texts(view):
        place = (text.landing_date, text.source_file, text.source_line, text.source_object)
        shown = (lines[place],) if with_text else ()
        yield (*place, text.reason, text.people_in_doubt, *shown)


def _rejected(resources: Resources, with_text: bool) -> Iterator[tuple[Any, ...]]:
    import pyarrow as pa

    from stedi_assets.privacy.dismissals import Dismissals

    dismissals = Dismissals(resources.privacy)
    wanted = (*_COLUMNS, *(("line",) if with_text or dismissals.decisions else ()))
    reader = _stored(resources).order(", ".join(_COLUMNS)).project(", ".join(wanted)).fetch_arrow_reader(10_000)
    # Batch by batch: nothing says how many there are.
    for batch in map(pa.Table.from_batches, ([batch] for batch in reader)):
        for text, decision in zip(batch.to_pylist(), dismissals.of(batch), strict=True):
            decided = "" if decision is None else f"{_verb(decision.dismissed)} by {decision.decided_by}"
            yield (*(text[name] for name in _COLUMNS), decided, *((text["line"],) if with_text else ()))


def _stored(resources: Resources) -> Any:
    from stedi_assets.contracts import table

    contract = table("landing_quarantine")
    return resources.session.relation(contract, resources.lakehouse.snapshot(contract).files)


def _verb(dismissed: bool) -> str:
    return "dismissed" if dismissed else "opened again"
