"""Connections, transactions and the schema's version: SQLite (WAL) or PostgreSQL, by URL."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import alembic.util
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from echo_node.errors import DiskFull, StoreError

MIGRATIONS = Path(__file__).parent / "migrations"

_BUSY_MS = 15_000  # how long a SQLite transaction waits for another process's
_MIGRATION_LOCK = 0x6563686F  # PostgreSQL advisory lock: "echo"
_POSTGRESQL_DISK_FULL = "53100"


class Database:
    """An engine whose transactions are short, durable and end in a StoreError when they fail.

    Parameters
    ----------
    url : str
        SQLAlchemy URL: ``sqlite:////var/lib/echo-node/node.db`` or ``postgresql://user@host/name``.
    """

    def __init__(self, url: str) -> None:
        parsed = sa.make_url(url)
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        self._is_sqlite = parsed.get_backend_name() == "sqlite"
        # SQLite has one writer at a time and polls for its turn; threads queue here instead.
        self._turn: Any = threading.Lock() if self._is_sqlite else nullcontext()
        self._engine = sa.create_engine(
            parsed,
            hide_parameters=True,  # parameters name patients
            pool_size=8,
            max_overflow=56,  # a receiver has a thread per association
            pool_pre_ping=not self._is_sqlite,
        )
        if self._is_sqlite:
            sa.event.listen(self._engine, "connect", _on_sqlite_connect)
            sa.event.listen(self._engine, "begin", _on_sqlite_begin)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that only reads."""
        with _as_store_errors(), self._engine.begin() as conn:
            yield conn

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that writes: all of it is on disk when it ends, or none."""
        with (
            _as_store_errors(),
            self._turn,
            self._engine.connect() as fresh,
            fresh.execution_options(writes=True) as conn,
            conn.begin(),
        ):
            yield conn

    def migrate(self) -> None:
        """Bring the schema to this version; machines that start together take turns.

        On SQLite the caller sees to it that one process at a time is here: the switch to WAL
        tolerates no second one.

        Raises
        ------
        StoreError
            The database is away, or newer than this version of the node.
        """
        if self._is_sqlite:
            with _as_store_errors(), self._engine.connect() as conn:
                conn.connection.cursor().execute("PRAGMA journal_mode=WAL")
        with self.write() as conn:
            if not self._is_sqlite:
                conn.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            config = alembic.config.Config()
            config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
            config.attributes["connection"] = conn
            try:
                alembic.command.upgrade(config, "head")
            except alembic.util.CommandError as error:
                raise StoreError(f"the database does not fit this version: {error}") from error

    def dispose(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def insert_or_ignore(conn: sa.Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that leaves a row with the same key as it is."""
    if conn.dialect.name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    return postgresql.insert(table).on_conflict_do_nothing()


def _on_sqlite_connect(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself: _on_sqlite_begin does
    connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
    connection.execute("PRAGMA synchronous=FULL")  # a commit is on disk, also in WAL
    connection.execute("PRAGMA foreign_keys=ON")


def _on_sqlite_begin(conn: sa.Connection) -> None:
    """A writer takes the lock at once: a reader that turns writer could only fail."""
    writes = conn.get_execution_options().get("writes", False)
    conn.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _said(error: sa.exc.DBAPIError) -> str:
    """What is wrong, in the driver's words where these quote no row: of a connection, a lock, a file."""
    name = type(error.orig).__name__
    if not isinstance(error, sa.exc.OperationalError):
        return name
    return f"{name}: {next(iter(str(error.orig).splitlines()), '')}"


@contextmanager
def _as_store_errors() -> Iterator[None]:
    try:
        yield
    except sa.exc.DBAPIError as error:
        cause = error.orig
        full = getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        if full or getattr(cause, "sqlstate", None) == _POSTGRESQL_DISK_FULL:
            raise DiskFull("the database's disk is full") from error
        raise StoreError(f"the database (node.database) refuses: {_said(error)}") from error
    except sa.exc.TimeoutError as error:
        raise StoreError("the database has no connection free") from error
