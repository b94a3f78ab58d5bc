"""The ``stedi query`` command: SQL over the lake's tables, and over nothing else."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import click

from stedi_assets.cli.output import FORMAT, Failure, show
from stedi_assets.settings import Settings

if TYPE_CHECKING:
    import duckdb

    from stedi_assets.resources import Resources


@click.command()
@click.argument("sql")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), default=600, show_default=True,
              help="Stop the query after this time.")  # fmt: skip
@FORMAT
def query(sql: str, seconds: float, form: str | None) -> None:
    """Run SQL over the tables, by name.

    Any query of DuckDB's. It reads the lake's tables and nothing else: no file, no network, no settings; it changes
    nothing, and has the memory of STEDI_MEMORY_LIMIT. Who needs more opens DuckDB. For example:

    \b
      stedi query "SELECT landing_date, count(*) FROM machine_learning_curated GROUP BY ALL"
      stedi query --format csv "SELECT * FROM machine_learning_curated" > pairs.csv
    """  # noqa: D301 - click wants the backspace itself.
    import duckdb

    from stedi_assets.contracts import TABLES
    from stedi_assets.resources import Resources

    resources = Resources.of(Settings.from_environment())
    connection = resources.session.connection
    timer = threading.Timer(seconds, connection.interrupt)
    timer.daemon = True
    try:
        _confine(resources)
        try:
            _require_query(connection, sql)
            timer.start()
            result = connection.execute(sql)
            columns = [column[0] for column in result.description or ()]
            show(columns, iter(result.fetchone, None), form)
        except duckdb.InterruptException as error:
            msg = f"The query took more than {seconds:g} s; allow it more with --seconds."
            raise Failure(msg) from error
        except duckdb.Error as error:
            raise Failure(f"{_of_sql(error)}\nThere are the tables {', '.join(TABLES)}.") from error
    finally:
        timer.cancel()
        resources.close()


def _confine(resources: Resources) -> None:
    """Make the tables views, and let the connection read their files and nothing else from now on."""
    from stedi_assets.contracts import TABLES
    from stedi_assets.engines.sql import list_of

    connection = resources.session.connection
    paths: list[str] = []
    for name, contract in TABLES.items():
        snapshot = resources.lakehouse.snapshot(contract)
        resources.session.relation(contract, snapshot.files).create_view(name)
        paths += [file.uri for file in snapshot.files]
    connection.execute(f"SET allowed_paths = {list_of(paths)}")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _require_query(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Require that SQL only asks: what writes could write into a file that it may read."""
    import duckdb

    asks = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}
    others = [statement.type for statement in connection.extract_statements(sql) if statement.type not in asks]
    if others:
        kinds = ", ".join(sorted({str(kind).rpartition(".")[2] for kind in others}))
        msg = f"Expected a query (SELECT, FROM, DESCRIBE, EXPLAIN …), and came {kinds}. `stedi query` changes nothing."
        raise Failure(msg)


def _of_sql(error: Exception) -> str:
    """The message for an error of a user's SQL; of an error that came while rows were read, the class only."""
    import duckdb

    from stedi_assets.errors import described

    if isinstance(error, duckdb.PermissionException):
        return "The query asked for a file, the network or a setting; it may read the lake's tables only."
    if isinstance(error, (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException)):
        return str(error)
    return f"The query failed: {described(error)}"
