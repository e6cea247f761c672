"""The store of a node, for as long as a command needs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from echo_node.config import Config
from echo_node.services.process import utc_now
from echo_node.store import Store


@contextmanager
def opened_store(config: Config) -> Iterator[Store]:
    """The store, its tables up to date; closed at the end."""
    store = Store(config.node.database_url, config.node.storage, now=utc_now)
    try:
        store.migrate()
        yield store
    finally:
        store.dispose()
