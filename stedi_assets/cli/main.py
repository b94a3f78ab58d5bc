"""The ``stedi`` command and its subcommands."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import time
import warnings
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from stedi_assets.cli.dev import dev
from stedi_assets.cli.output import DIFFERS, FAILED, FORMAT, OK, Failure, say, show
from stedi_assets.cli.privacy import erase, explain, export_subject
from stedi_assets.cli.quarantine import quarantine
from stedi_assets.cli.query import query
from stedi_assets.settings import Settings

_GARBAGE_AFTER = 10_000
"""New objects after which Python looks for cycles among them; 700 by default."""

if TYPE_CHECKING:
    from collections.abc import Callable

    from stedi_assets.defs.materialize import Materializer, Outcome
    from stedi_assets.defs.run_events import Progress as RunProgress


def _day(_: click.Context, __: click.Parameter, values: tuple[datetime, ...]) -> tuple[date, ...]:
    return tuple(value.date() for value in values)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="stedi-assets", prog_name="stedi")
def cli() -> None:
    """The STEDI lakehouse: landing files to trusted and curated tables, for customers who share with research.

    \b
    A first look:
      stedi sample          write a synthetic landing zone
      stedi materialize     make every table from it
      stedi counts          rows per table, beside the expected ones
      stedi query "SELECT * FROM machine_learning_curated LIMIT 5"

    Where things lie is set by environment variables: STEDI_LANDING_URI (data/landing), STEDI_LAKE_URI
    (data/lake) and others; see the README. Exit codes: 0 all well, 1 done and something
    differs or is to be looked at, 2 it failed.
    """  # noqa: D301 - click wants the backspace itself.


def _yesterday() -> date:
    """The last landing day (UTC) that is over."""
    return datetime.now(timezone.utc).date() - timedelta(days=1)


@cli.command()
@click.option(
    "--customers", type=click.IntRange(1), default=956, show_default=True, help="How many customers there are."
)
@click.option("--days", type=click.IntRange(1), default=4, show_default=True, help="Landing days to spread over.")
@click.option("--last-day", type=click.DateTime(["%Y-%m-%d"]), help="The last landing day. [default: yesterday]")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same bytes.")
@click.option(
    "--faults", is_flag=True, help="Add broken lines, duplicates, late files, withdrawals …, in known numbers."
)
def sample(customers: int, days: int, last_day: datetime | None, seed: int, faults: bool) -> None:
    """Write a synthetic landing zone to STEDI_LANDING_URI.

    It has exactly the row counts of the public STEDI data at the default size, and only invented
    people. The expected counts are written beside it, where `stedi counts` finds them. It lands on the
    last days up to yesterday (UTC); a sample that lies there already is left as it is, whenever it landed.
    """
    from stedi_assets.sample import SampleError, last_day_there, write_sample

    settings = Settings.from_environment()
    started = time.perf_counter()
    with _progress() as bar:
        task = bar.add_task("writing customers", total=customers)
        try:
            report = write_sample(
                settings.landing_uri,
                customers=customers,
                days=days,
                seed=seed,
                faults=faults,
                last_day=last_day.date() if last_day else last_day_there(settings.landing_uri) or _yesterday(),
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
        except (SampleError, ValueError) as error:
            raise Failure(str(error)) from error
    took = time.perf_counter() - started
    if report.already_there:
        say(f"{settings.landing_uri} holds this sample already; its last landing day is {report.last_day}.")
    else:
        say(
            f"Wrote {report.rows_written:,} lines ({report.bytes_written / 1e6:,.0f} MB) to {settings.landing_uri} "
            f"in {took:.1f} s."
        )


@cli.command()
@click.argument("source", type=click.Path(exists=True))
def land(source: str) -> None:
    """Copy raw files from SOURCE into the landing zone.

    SOURCE is laid out as customer_landing/…, accelerometer_landing/…, step_trainer_landing/…, or as
    customer/landing/… and so on. A file that is there already is skipped if its bytes are the same; a
    different file is never overwritten.
    """
    from stedi_assets.landing.copy import LandError
    from stedi_assets.landing.copy import land as copy_in
    from stedi_assets.resources import Resources

    settings = Settings.from_environment()
    with _progress() as bar:
        task = bar.add_task("copying", total=None)
        try:
            report = copy_in(
                source,
                Resources.of(settings).landing,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
        except LandError as error:
            raise Failure(str(error)) from error
    say(f"Copied {report.copied:,} files to {settings.landing_uri}; {report.skipped:,} were there already.")


@cli.command()
@click.option(
    "--day",
    "days",
    multiple=True,
    type=click.DateTime(["%Y-%m-%d"]),
    callback=_day,
    help="Run this landed day only (again for more); reconciliation looks at every day. Exit 1 where others differ.",
)
@click.option("--force", is_flag=True, help="Run the days even if they are up to date.")
@click.option("--dry-run", is_flag=True, help="Print what differs and would be run, and change nothing.")
def materialize(days: tuple[date, ...], force: bool, dry_run: bool) -> None:
    """Bring the tables up to date: what the sensors do, without a daemon.

    Runs every landed day whose raw files are not as ingested, then every partition that consent, late
    files or changed tables have made differ, until none does. What is up to date is not run again.
    """
    _bring_up_to_date(lambda materializer: materializer.run(days or None, force=force), dry_run, landing=True)


@cli.command()
@click.option("--dry-run", is_flag=True, help="Print what differs and would be run, and change nothing.")
def reconcile(dry_run: bool) -> None:
    """Bring the trusted and curated tables in line with what customers consent to now.

    Runs exactly the partitions that do not hold what they should: people withdrew or consented, records or
    readings came late, a run failed, a table was changed by hand. No raw file is read; `stedi materialize`
    lands what is new first. With --dry-run, exit 1 where something differs.
    """
    _bring_up_to_date(lambda materializer: materializer.reconcile(), dry_run, landing=False)


def _bring_up_to_date(work: Callable[[Materializer], Outcome], dry_run: bool, landing: bool) -> None:
    """Do it with progress, and say what came of it; or only say what would be done."""
    from stedi_assets.defs.instance import open_instance
    from stedi_assets.defs.materialize import MaterializeError, Materializer
    from stedi_assets.defs.open_matters import OPEN_CHECKS
    from stedi_assets.resources import Resources

    settings = Settings.from_environment()
    resources = Resources.of(settings)
    try:
        if landing and not resources.landing.is_there():
            msg = (
                f"There is no landing zone at {settings.landing_uri}, so nothing can be said of what landed. Set "
                "STEDI_LANDING_URI to it, or make the folder."
            )
            raise Failure(msg)
        if dry_run:
            sys.exit(_print_plan(resources, settings, landing))
        started = time.perf_counter()
        with open_instance(settings.dagster_home) as instance, _progress() as bar:
            follow = _Follow(bar)
            try:
                outcome = work(Materializer(resources, instance, follow))
            except MaterializeError as error:
                raise Failure(str(error)) from error
        took = time.perf_counter() - started
        for path, why in outcome.ignored:
            say(f"left alone: {path}: {why}", style="yellow")
        # Of what keeps the lake open, what it comes to on all days is said below.
        warnings_of_runs = [one for one in outcome.warnings if one[1] not in OPEN_CHECKS]
        for check, says in _folded(warnings_of_runs):
            say(f"{check}: {says}", style="yellow")
        summary = f"{len(outcome.runs)} run{'' if len(outcome.runs) == 1 else 's'} in {took:.1f} s"
        matters = _say_open_matters(resources) + _say_differing(outcome)
        what = "Every table" if landing else "Every trusted and curated table"
        what = "What was to be run" if outcome.differing else what
        if matters:
            must = "1 matter above" if matters == 1 else f"{matters} matters above"
            say(f"{what} is made ({summary}), and the {must} must be looked at.")
            sys.exit(DIFFERS)
        say(f"{what} is up to date ({summary})." if outcome.runs else f"{what} was up to date.")
    finally:
        resources.close()


@cli.command()
@FORMAT
def counts(form: str | None) -> None:
    """Print the rows of each table beside the expected ones; exit 1 where they differ.

    The expected counts are STEDI_EXPECTED_COUNTS's, else the sample generator's, where its data lies.
    """
    from stedi_assets.contracts import TABLES
    from stedi_assets.expected_counts import expected_counts
    from stedi_assets.resources import Resources

    settings = Settings.from_environment()
    resources = Resources.of(settings)
    try:
        expected = expected_counts(settings)
    except ValueError as error:
        raise Failure(str(error)) from error
    rows: list[tuple[Any, ...]] = []
    for name, contract in TABLES.items():
        stored = resources.lakehouse.snapshot(contract).rows()
        expected_rows = expected.get(name)
        verdict = "" if expected_rows is None else "as expected" if expected_rows == stored else "DIFFERS"
        rows.append((name, stored, expected_rows, verdict))
    show(("table", "rows", "expected", "verdict"), rows, form)
    if not expected:
        say("Nothing says how many rows are expected; set STEDI_EXPECTED_COUNTS to a JSON file {table: rows}.")
    if any(verdict == "DIFFERS" for *_, verdict in rows):
        say("Run `stedi materialize`, and see `stedi materialize --dry-run` for what differs.", style="yellow")
        sys.exit(DIFFERS)


class _Follow:
    """Shows the runs of a materialization as they go on."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task: Any = None
        self._run: Any = None

    def __call__(self, progress: RunProgress) -> None:
        from stedi_assets.defs.run_events import steps

        if progress.run is not self._run:
            self._run = progress.run
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(self._label(), total=len(list(steps(progress.run))))
        elif progress.finished:
            self._bar.advance(self._task)
        else:
            self._bar.update(self._task, description=f"{self._label()}  {progress.step}")

    def _label(self) -> str:
        first, last = self._run.first_day, self._run.last_day
        return str(first) if first == last else f"{first} … {last}"


def _print_plan(resources: Any, settings: Settings, landing: bool) -> int:
    """Print what differs; the exit code says whether anything does."""
    from stedi_assets.contracts import table
    from stedi_assets.staleness.stale import reasons, rows_to_remove, stale_partitions

    rows: list[tuple[Any, ...]] = []

    def differs(name: str, day: date, why: str) -> None:
        rows.append((name, day, resources.lakehouse.snapshot(table(name)).rows({day}), why))

    if landing:
        for name, found in resources.landing_differences(resources.listing()).items():
            for day, difference in found.items():
                differs(name, day, str(difference))
    view = resources.view()
    stale = stale_partitions(view)
    to_remove, why = rows_to_remove(view, stale), reasons(view, stale)
    for name, partitions in stale.items():
        for day in sorted(partitions):
            must_go = to_remove.get(name, {}).get(day, 0)
            consent = f", {must_go} rows of people who do not consent" if must_go else ""
            differs(name, day, f"{why[name, day]}{consent}")
    for name, days in _unpassed(resources, settings).items() if landing else ():
        for day in sorted(days):
            differs(name, day, "did not pass its blocking checks")
    matters = _say_open_matters(resources)
    if not rows:
        say("Every table is made; the matters above must be looked at." if matters else "Every table is up to date.")
        return DIFFERS if matters else OK
    show(("table", "landing day", "rows now", "why"), rows)
    return DIFFERS


def _say_differing(outcome: Outcome) -> int:
    """Say which landing days were not to be run and differ from their raw files; 1 if there are any."""
    days = sorted({day for stale in outcome.differing.values() for day in stale})
    if days:
        named = ", ".join(map(str, days[:5])) + (f" and {len(days) - 5} more" if len(days) > 5 else "")
        say(f"Not made from their raw files, as they were not to be run: {named}.", style="yellow")
    return int(bool(days))


def _say_open_matters(resources: Any) -> int:
    """Say what must be looked at, and return how many matters that are."""
    from stedi_assets.defs.open_matters import open_matters

    matters = open_matters(resources)
    for (table, check), says in matters.items():
        say(f"{table}.{check}: {says}", style="yellow")
    return len(matters)


def _unpassed(resources: Any, settings: Settings) -> dict[str, set[date]]:
    """The partitions that did not pass, by Dagster's state; where there is none, none is made."""
    from stedi_assets.defs.instance import open_instance
    from stedi_assets.defs.materialize import Materializer

    if not settings.dagster_home.exists():
        return {}
    with open_instance(settings.dagster_home) as instance:
        return Materializer(resources, instance).unpassed()


def _folded(warned: list[tuple[str, str, str]]) -> list[tuple[str, str]]:
    """Warnings of the same check on several tables as one line, so that the others are seen."""
    by_check: dict[str, list[tuple[str, str]]] = {}
    for table, check, message in warned:
        by_check.setdefault(check, []).append((table, message))
    lines = []
    for check, messages in by_check.items():
        tables = list(dict.fromkeys(table for table, _ in messages))
        more = f" (and {len(tables) - 1} more tables)" if len(tables) > 1 else ""
        lines.append((f"{tables[0]}.{check}{more}", messages[-1][1] if len(tables) == 1 else messages[0][1]))
    return lines


def _progress() -> Progress:
    """A progress bar on standard error, shown on a terminal only."""
    return Progress(
        SpinnerColumn(),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )


for _command in (query, dev, erase, explain, export_subject, quarantine):
    cli.add_command(_command)


def main() -> None:
    """The entry point."""
    # What Dagster's import makes lives as long as the process, and looking through it again and again for garbage took
    # a tenth of a small run. What is large (rows) is freed by counting references, as before.
    gc.set_threshold(_GARBAGE_AFTER, 50)
    # Dagster's notes on what is beta are for developers.
    warnings.simplefilter("ignore")
    try:
        cli(standalone_mode=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else OK if end.code is None else FAILED
    except Exception as error:
        from stedi_assets.errors import described, is_safe_to_show

        Failure(str(error) if is_safe_to_show(error) else f"This is a defect: {described(error)}").show()
        code = FAILED
    _end(code)


def _end(code: int) -> None:
    """End the process at once: when Python ends by itself, DuckDB prints 30 lines on what it still holds."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
