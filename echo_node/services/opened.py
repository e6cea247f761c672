"""The store of a node, for as long as a command or a process needs it. Its files are the user's alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from echo_node.config import Config, load
from echo_node.errors import StoreError
from echo_node.services.process import private_files, utc_now
from echo_node.store import Store

_MADE_LAST = "store.lock"  # of what a new store's folder gets


@contextmanager
def opened_store(config: Config) -> Iterator[Store]:
    """The store, made where there is none, its tables up to date; closed at the end."""
    node = config.node
    with private_files():
        store = Store(node.database_url, node.storage, now=utc_now, max_attempts=config.analyse.max_attempts)
        try:
            store.migrate()
            yield store
        finally:
            store.dispose()


def settings_of_a_node(path: Path) -> Config:
    """The settings for a command that looks at what a node has; with a wrong file it would see a new, empty store.

    Raises
    ------
    ConfigError
        The file cannot be used.
    StoreError
        There is no store where it says.
    """
    config = load(path)
    storage = config.node.storage
    if not (storage / _MADE_LAST).exists():
        raise StoreError(
            f"no store at {storage}: has the node been started, and is {path} its settings file? (--config)"
        )
    return config
