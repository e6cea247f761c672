"""A fresh store with a clock that stands still: on SQLite, or on the PostgreSQL server that is named."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from echo_node.store import Store
from tests.unit.store.builders import Clock

SERVER_VARIABLE = "ECHO_NODE_TEST_POSTGRESQL"  # URL of a database on a server where others may be made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def url(tmp_path: Path) -> str:
    server = os.environ.get(SERVER_VARIABLE)
    return new_database(server) if server else f"sqlite:///{tmp_path / 'node.db'}"


@pytest.fixture
def store(url: str, tmp_path: Path, clock: Clock) -> Iterator[Store]:
    store = Store(url, tmp_path, now=clock)
    store.migrate()
    yield store
    store.dispose()


def new_database(server: str) -> str:
    """The URL of an empty database of its own."""
    name = f"t{secrets.token_hex(6)}"
    url = sa.make_url(server).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as conn:
        conn.execute(sa.text(f'CREATE DATABASE "{name}"'))
    engine.dispose()
    return url.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
