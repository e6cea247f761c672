"""The URL of ``node.database``: what the store can open, checked without loading SQLAlchemy."""

from __future__ import annotations

import re
from importlib.util import find_spec

_DRIVERS = ("postgresql", "postgresql+psycopg", "sqlite", "sqlite+pysqlite")
# SQLAlchemy's grammar of URLs, as far as the drivers need it.
_SQLITE = re.compile(r":///(/[^?]*[^?/])")
_POSTGRESQL = re.compile(r"://([^:/]*(:[^@]*)?@)?(\[[^/?\]]+\]|[^/:?\[]+)?(:(?P<port>\d+))?/[^?/]+(\?.*)?")


def checked(value: str) -> str:
    """A URL that the store can open, or nothing; no message repeats more of it than the driver."""
    if not value:
        return value
    driver, colon, rest = value.partition("://")
    if not colon or not value.isprintable():
        raise ValueError("is no SQLAlchemy URL, like postgresql+psycopg://user@host/echo_node")
    if driver not in _DRIVERS:
        shown = repr(driver) if re.fullmatch(r"[\w+]+", driver) else "that"
        raise ValueError(f"{shown} is no driver of the node; allowed: {', '.join(_DRIVERS)}")
    if driver.startswith("sqlite"):
        if _SQLITE.fullmatch("://" + rest) is None:
            raise ValueError("SQLite needs an absolute path and no more: sqlite:////var/lib/echo-node/node.db")
        return value
    found = _POSTGRESQL.fullmatch("://" + rest)
    if found is None:
        raise ValueError("PostgreSQL needs a URL like postgresql+psycopg://user@host/echo_node")
    if found["port"] and not 1 <= int(found["port"]) <= 65535:
        raise ValueError("a port is 1 to 65535")
    if find_spec("psycopg") is None:
        raise ValueError("PostgreSQL needs psycopg: pip install 'echo-node[postgresql]'")
    return value
