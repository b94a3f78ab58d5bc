"""The subcommands for privacy officers: erase, explain, export-subject.

An e-mail never comes as an argument, which would stay in the shell's history: it is typed, or read from a file or
standard input. Only ``explain`` and ``export-subject`` print anything of a person, which is what they are for.
"""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from stedi_assets.cli.output import DIFFERS, FORMAT, Failure, say, show
from stedi_assets.settings import Settings
from stedi_assets.subject_requests.requests import ERASE, HIDE, SHARED_DEVICES

if TYPE_CHECKING:
    from stedi_assets.resources import Resources
    from stedi_assets.subject_requests.requests import Request

_EMAIL_FILE = click.argument("file", type=click.File("r"), required=False)


@click.command()
@_EMAIL_FILE
@click.option("--reason", default="", help="Why, for the record. It must not name anybody.")
@click.option("--due", type=click.IntRange(0), default=30, show_default=True, help="Days in which it must be done.")
@click.option(
    "--shared-devices",
    type=click.Choice(SHARED_DEVICES),
    help="What becomes of readings of devices that others claim too: out of every table and left in the raw files "
    "(hide, the default), or erased there as well.",
)
@click.option("--dry-run", is_flag=True, help="Print where the person is, in places and numbers, and change nothing.")
@click.option("--now", is_flag=True, help="Carry it out in this process, rather than leave it to the erasure sensor.")
@click.option("--open", "every", is_flag=True, help="Carry out every open request in this process; asks for no e-mail.")
@click.option("--list", "listing", is_flag=True, help="Print the requests, with their state and the days left.")
@click.option("--verify", is_flag=True, help="See that every receipt is there and as it was written; exit 1 if not.")
@FORMAT
def erase(
    file: IO[str] | None,
    reason: str,
    due: int,
    shared_devices: str | None,
    dry_run: bool,
    now: bool,
    every: bool,
    listing: bool,
    verify: bool,
    form: str | None,
) -> None:
    """Forget a person: everything, raw files included.

    Files a request. The erasure sensor carries it out within a minute where `make dev` (or the daemon)
    runs; --now does it at once. The e-mail is asked for, or read from FILE (- is standard input):

    \b
      stedi erase --dry-run            where is this person?
      stedi erase --now                forget them, and prove it
      stedi erase --list               which requests there are
      stedi erase --verify             are the receipts complete and unaltered?

    What is erased cannot be brought back. See docs/privacy.md for what is promised.
    """  # noqa: D301 - click wants the backspace itself.
    from stedi_assets.resources import Resources
    from stedi_assets.subject_requests.requests import Requests

    if sum((dry_run, now, every, listing, verify)) > 1:
        msg = "Of --dry-run, --now, --open, --list and --verify, give one."
        raise click.UsageError(msg)
    resources = Resources.of(Settings.from_environment())
    try:
        requests = Requests(resources.privacy)
        if listing:
            _list(requests.all(), form)
        elif verify:
            _verify(resources)
        elif every:
            _carry_out(resources, requests.open())
        elif dry_run:
            _find(resources, _email(file), shared_devices or HIDE, form)
        else:
            request = requests.file(_email(file), reason, datetime.now(timezone.utc), due, shared_devices)
            say(f"Request {request.id} is filed; it is due on {request.due}.")
            if now:
                _carry_out(resources, [request])
            else:
                say("The erasure sensor carries it out; `stedi erase --open` does without a daemon.")
    finally:
        resources.close()


def _email(file: IO[str] | None) -> str:
    """The e-mail that is asked for: from a file, or typed."""
    from stedi_assets.contracts.names import normalize

    email = normalize(file.read() if file is not None else click.prompt("E-mail", err=True))
    if "@" not in email or any(character.isspace() for character in email):
        # What was given is not said back: it may be somebody's e-mail with a slip in it.
        msg = "Expected one e-mail address, as in ann@example.com, and nothing else."
        raise Failure(msg)
    return email


def _list(requests: list[Request], form: str | None) -> None:
    from stedi_assets.resources import today

    rows = [
        (
            request.id,
            request.state(today()),
            datetime.fromtimestamp(request.requested_at / 1000, timezone.utc).date(),
            request.due,
            None if request.is_done else request.days_left(today()),
            request.reason,
        )
        for request in requests
    ]
    show(("request", "state", "requested", "due", "days left", "reason"), rows, form)


def _verify(resources: Resources) -> None:
    from stedi_assets.privacy.ledger import Ledger
    from stedi_assets.subject_requests.receipts import Receipts

    receipts, ledger = Receipts(resources.privacy), Ledger(resources.lakehouse)
    # Under another key every receipt looks altered.
    ledger.require_key(resources.privacy)
    faults = receipts.faults(ledger.seals())
    for fault in faults:
        say(fault, style="red")
    if faults:
        sys.exit(DIFFERS)
    number = len(receipts.names())
    if not number:
        say("There are no receipts, and no erasure that one is missing of.")
        return
    say(f"{number} receipt{'' if number == 1 else 's'}: all there, as written, each following the one before it.")


def _find(resources: Resources, email: str, shared_devices: str, form: str | None) -> None:
    from stedi_assets.subject_requests.erasure import find_to_be_erased

    person, places, readings = find_to_be_erased(resources, email, shared_devices)
    show(("kind", "where", "landing day", "lines or rows"), [tuple(vars(one).values()) for one in places], form)
    say(
        f"{len(places)} places. Serial numbers of this person alone: {len(person.serials)}; shared with others: "
        f"{len(person.shared)}."
    )
    _say_shared(len(person.shared), readings, is_erased=shared_devices == ERASE)


def _say_shared(devices: int, readings: int, *, is_erased: bool) -> None:
    """Say what becomes of the readings of devices that others claim too."""
    if not readings:
        return
    what = f"{readings} readings of {devices} devices that others claim too can be told to be this person's: "
    if is_erased:
        say(f"{what}they go from the tables and from the raw files. See that the claim is true (`stedi explain`).")
    else:
        say(f"{what}they go from every table, and are left in the raw files. --shared-devices erase takes them there.")


def _carry_out(resources: Resources, requests: list[Request]) -> None:
    from stedi_assets.defs.instance import open_instance
    from stedi_assets.defs.materialize import MaterializeError, rebuilder
    from stedi_assets.subject_requests.erasure import carry_out

    if not requests:
        say("No request is open.")
    with open_instance(resources.settings.dagster_home) as instance:
        try:
            receipts = carry_out(resources, rebuilder(resources, instance), requests, say)
        except MaterializeError as error:
            raise Failure(f"{error}\nWhat was not done stays open; run it again once this is mended.") from error
    for receipt in receipts:
        _say(receipt, resources)
    if any("not_proven_for" in receipt for receipt in receipts):
        sys.exit(DIFFERS)


def _say(receipt: dict[str, Any], resources: Resources) -> None:
    """Say what a receipt proves, and for which files it proves nothing."""
    found = sum(number for tables in receipt["found"].values() for number in tables.values())
    unproven = receipt.get("not_proven_for", [])
    files = sum(receipt["searched"]["files"].values()) - len(unproven)
    say(
        f"{receipt['request']} is done: it was in {found} lines and rows, and is in none of {files} files. Receipt "
        f"{receipt['number']} is in {resources.privacy.path / 'receipts'}."
    )
    shared = receipt["shared_devices"]
    _say_shared(shared["serial_numbers"], shared["readings"], is_erased=shared["in_raw_files"] == "erased")
    say(f"Its seal, for the letter to the person: {receipt['seal']}")
    if unproven:
        they, them = ("1 file", "it") if len(unproven) == 1 else (f"{len(unproven)} files", "them")
        say(
            f"It is not proven for {they}, which nothing here can decode. See for yourself that nobody is in {them}:",
            style="red",
        )
        for name in unproven:
            say(f"  not proven for {name}", style="red")


@click.command("export-subject")
@_EMAIL_FILE
@click.option("--to", "target", default="subject.zip", show_default=True, help="The file to write.")
def export_subject(file: IO[str] | None, target: str) -> None:
    """Write everything that is held about one person to a zip, for an access request.

    The e-mail is asked for, or read from FILE (- is standard input). The zip holds one JSON file per table, the
    raw lines as they arrived, and a README. Only you can read it; hand it over in a safe way and delete it.
    """
    from stedi_assets.resources import Resources
    from stedi_assets.subject_requests.export import ExportError
    from stedi_assets.subject_requests.export import export_subject as export
    from stedi_assets.subject_requests.subject import Person

    resources = Resources.of(Settings.from_environment())
    try:
        counts = export(resources, Person.of(resources, _email(file)), Path(target))
    except ExportError as error:
        raise Failure(str(error)) from error
    finally:
        resources.close()
    say(f"Wrote {sum(counts.values()):,} rows and lines to {target}.")


@click.command()
@_EMAIL_FILE
@FORMAT
def explain(file: IO[str] | None, form: str | None) -> None:
    """Say why one customer's data is, or is not, in each table.

    The e-mail is asked for, or read from FILE (- is standard input). The answer is for the privacy officer: it
    says when the person consented and withdrew, and which rule left out which of their readings.
    """
    from stedi_assets.resources import Resources
    from stedi_assets.subject_requests.explain import explain as answers
    from stedi_assets.subject_requests.subject import Person

    resources = Resources.of(Settings.from_environment())
    try:
        found = answers(resources, Person.of(resources, _email(file)))
    finally:
        resources.close()
    show(("table", "rows", "why"), [(one.table, one.rows, "; ".join(one.reasons)) for one in found], form)
