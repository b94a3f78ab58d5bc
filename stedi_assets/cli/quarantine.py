"""The ``stedi quarantine`` command: the rejected texts that are open, and the decision about one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from stedi_assets.cli.output import DIFFERS, FORMAT, Failure, say, show
from stedi_assets.settings import Settings

if TYPE_CHECKING:
    from stedi_assets.resources import Resources

_COLUMNS = ("landing_table", "landing_date", "source_file", "source_line", "source_object", "reason")


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
        columns = (*_COLUMNS, *(() if every else ("people in doubt",)), *(("text",) if with_text else ()))
        listed = show(columns, _rejected(resources, with_text) if every else _open(resources, with_text), form)
        if not every and listed:
            context.exit(DIFFERS)
        if not listed:
            say("No rejected text is open." if not every else "No text was rejected.")
    finally:
        resources.close()


@quarantine.command()
@click.argument("file")
@click.argument("line", type=click.IntRange(1))
@click.option("--object", "number", type=click.IntRange(1), default=1, show_default=True,
              help="Which of the texts that begin on that line.")  # fmt: skip
@click.option("--reason", required=True, help="Why it is held against nobody. It must not name anybody.")
@click.option("--by", "decided_by", required=True, help="The name of who decided.")
def dismiss(file: str, line: int, number: int, reason: str, decided_by: str) -> None:
    """Decide that a rejected text is held against nobody: FILE and LINE as `stedi quarantine` lists them.

    The decision is kept in the privacy folder with its reason, its time and who decided. It holds for this text in this
    place; `stedi materialize` (or the consent sensor) makes the tables follow.
    """
    from stedi_assets.privacy.dismissals import Dismissals
    from stedi_assets.resources import Resources

    if not reason.strip() or not decided_by.strip():
        msg = "A decision needs a --reason and a name in --by."
        raise Failure(msg)
    resources = Resources.of(Settings.from_environment())
    try:
        texts = resources.view().open_texts.to_pylist()
        place = (file, line, number)
        found = [text for text in texts if (text["source_file"], text["source_line"], text["source_object"]) == place]
        if not found:
            msg = f"No open customer record begins at object {number} of line {line} of {file}. See `stedi quarantine`."
            raise Failure(msg)
        for text in found:
            Dismissals(resources.privacy).dismiss(text, reason.strip(), decided_by.strip())
        say("Dismissed. `stedi materialize` makes the tables follow.")
    finally:
        resources.close()


def _open(resources: Resources, with_text: bool) -> Iterator[tuple[Any, ...]]:
    from stedi_assets.staleness.doubt import open_texts
    from stedi_assets.transforms.doubt import PLACE

    view = resources.view()
    lines = {tuple(text[name] for name in PLACE): text["line"] for text in view.open_texts.to_pylist()}
    for text in open_texts(view):
        place = (text.landing_date, text.source_file, text.source_line, text.source_object)
        shown = (lines[place],) if with_text else ()
        yield ("customer_landing", *place, text.reason, text.people_in_doubt, *shown)


def _rejected(resources: Resources, with_text: bool) -> Iterator[tuple[Any, ...]]:
    from stedi_assets.contracts import table
    from stedi_assets.engines.sql import named

    contract = table("landing_quarantine")
    columns = ", ".join(map(named, (*_COLUMNS, *(("line",) if with_text else ()))))
    stored = resources.session.relation(contract, resources.lakehouse.snapshot(contract).files)
    return iter(resources.session.rows(f"SELECT {columns} FROM stored ORDER BY ALL", stored=stored))
