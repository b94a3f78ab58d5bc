"""Dagster's SQLite event log, with its databases kept open.

Dagster concept: event log storage of the instance, named in ``dagster.yaml``.

Dagster 1.13 makes a new SQLAlchemy engine for every event that it stores. With it goes every statement it compiled, and
closing the only connection has SQLite tidy up the file: 15 ms an event where 3 ms do, some 600 events a run of all
tables. It also commits after each statement, up to five times an event. This is the same storage on the same files, and
only how a database is opened belongs here; what is stored is Dagster's. To go back to Dagster's own, take that line out
of ``dagster.yaml`` (decision record 5).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from dagster import EventLogEntry
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import QueuePool

_BUSY_SECONDS = 60
"""How long a writer waits for another process, as in Dagster's own storage."""

_KEPT = 8
"""Databases kept open: there is one for each run, and a server lives long."""


class PooledSqliteEventLogStorage(SqliteEventLogStorage):
    """Dagster's run-sharded SQLite event log; see the module."""

    _open_transactions: tuple[int, ExitStack, dict[str, Connection]] | None = None
    """While an event is stored: the thread that stores it, and its transaction in each database."""

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> PooledSqliteEventLogStorage:
        """Dagster's own makes an instance of Dagster's own class here, whatever the subclass."""
        return cls(inst_data=inst_data, **config_value)

    def store_event(self, event: EventLogEntry) -> None:
        """Store an event with one transaction in each database, where Dagster's own has one for each statement."""
        with self._db_lock, ExitStack() as stack:
            self._open_transactions = threading.get_ident(), stack, {}
            try:
                super().store_event(event)
            finally:
                self._open_transactions = None

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        # Overrides the one place where the storage opens a database; everything else is Dagster's.
        opened = self._open_transactions
        if opened is not None and opened[0] == threading.get_ident():
            _, stack, connections = opened
            if shard not in connections:
                connections[shard] = stack.enter_context(self._transaction(shard))
            yield connections[shard]
            return
        with self._db_lock, self._transaction(shard) as connection:
            yield connection

    @contextmanager
    def _transaction(self, shard: str) -> Iterator[Connection]:
        engine = self._engine(shard)
        if shard not in self._initialized_dbs:
            self._initdb(engine)
            self._initialized_dbs.add(shard)
        with engine.connect() as connection, connection.begin():
            yield connection

    def has_table(self, table_name: str) -> bool:
        """Whether the database has a table. Dagster asks before every check's result; one that is there stays."""
        ask = super().has_table
        return self._once(f"table {table_name}", lambda: ask(table_name))

    def _has_asset_key_col_on_connection(self, conn: Connection, column_name: str) -> bool:
        ask = super()._has_asset_key_col_on_connection
        return self._once(f"column {column_name}", lambda: ask(conn, column_name))

    def _once(self, what: str, ask: Callable[[], bool]) -> bool:
        """Whether something is there, asked until it is: a migration adds tables and columns, and takes none away."""
        there: set[str] = self.__dict__.setdefault("_there", set())
        if what not in there and ask():
            there.add(what)
        return what in there

    def _engine(self, shard: str) -> Engine:
        engines: OrderedDict[str, Engine] = self.__dict__.setdefault("_kept_engines", OrderedDict())
        if shard not in engines:
            # The lock lets one connection be used at a time, by whichever thread. The pool leaves a connection
            # alone that was made before a fork.
            engine = create_engine(
                self.conn_string_for_shard(shard),
                poolclass=QueuePool,
                pool_size=1,
                connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False},
            )
            event.listen(engine, "connect", _relaxed)
            engines[shard] = engine
        engines.move_to_end(shard)
        while len(engines) > _KEPT:
            _, oldest = engines.popitem(last=False)
            oldest.dispose()
        return engines[shard]

    def dispose(self) -> None:
        """Close every database."""
        with self._db_lock:
            engines = self.__dict__.pop("_kept_engines", {})
            for engine in engines.values():
                engine.dispose()
        super().dispose()


def _relaxed(connection: Any, _: object) -> None:
    # In write-ahead mode, as Dagster has it, a commit need not wait for the disk to keep the file whole: if the
    # power goes, the last events may be lost. What the tables hold is theirs to say, and is asked of them.
    connection.execute("PRAGMA synchronous = NORMAL")
