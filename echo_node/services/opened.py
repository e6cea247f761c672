"""The store of a node, for as long as a command or a process needs it. Its files are the user's alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from echo_node.config import Config
from echo_node.services.process import private_files, utc_now
from echo_node.store import Store


@contextmanager
def opened_store(config: Config) -> Iterator[Store]:
    """The store, its tables up to date; closed at the end."""
    node = config.node
    with private_files():
        store = Store(node.database_url, node.storage, now=utc_now, max_attempts=config.analyse.max_attempts)
        try:
            store.migrate()
            yield store
        finally:
            store.dispose()
