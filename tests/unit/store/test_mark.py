"""Folder and database belong together."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from echo_node.errors import StoreError
from echo_node.store import Store
from tests.unit.store.builders import Clock, received


def _open(database: Path, root: Path) -> Store:
    store = Store(f"sqlite:///{database}", root, now=Clock())
    try:
        store.migrate()
    except StoreError:
        store.dispose()
        raise
    return store


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Path, Path]:
    """A database and its folder, which hold an object."""
    (tmp_path / "a").mkdir()
    database, root = tmp_path / "a.db", tmp_path / "a"
    store = _open(database, root)
    store.keep(received(store))
    store.dispose()
    return database, root


def _unmark(database: Path, root: Path) -> None:
    """As versions without marks left them."""
    (root / "store.id").unlink()
    with sa.create_engine(f"sqlite:///{database}").begin() as conn:
        conn.execute(sa.text("DELETE FROM marks"))


@pytest.mark.parametrize("is_older", [False, True])
def test_a_new_database_does_not_take_a_full_folder_for_leavings(
    kept: tuple[Path, Path], tmp_path: Path, *, is_older: bool
) -> None:
    database, root = kept
    if is_older:
        _unmark(database, root)
    before = sorted(root.rglob("*.dcm"))
    with pytest.raises(StoreError, match=r"the folder holds objects .* the database is empty .*node\.database"):
        _open(tmp_path / "new.db", root)
    assert sorted(root.rglob("*.dcm")) == before
    store = _open(database, root)  # pointed back, all is there
    assert store.sweep().unacknowledged == 0
    assert store.instance("1.2.826.1.1").path.exists()
    store.dispose()


def test_a_folder_that_is_not_mounted_is_not_started_with(kept: tuple[Path, Path], tmp_path: Path) -> None:
    database, _ = kept
    (tmp_path / "bare").mkdir()
    with pytest.raises(StoreError, match=r"the folder is empty .* mounted"):
        _open(database, tmp_path / "bare")
    assert not (tmp_path / "bare" / "store.id").exists()


def test_folders_of_two_nodes_are_told_apart(kept: tuple[Path, Path], tmp_path: Path) -> None:
    database, _ = kept
    (tmp_path / "b").mkdir()
    other = _open(tmp_path / "b.db", tmp_path / "b")
    other.keep(received(other))
    other.dispose()
    with pytest.raises(StoreError, match="bears the mark"):
        _open(database, tmp_path / "b")


def test_an_older_version_is_marked(kept: tuple[Path, Path]) -> None:
    database, root = kept
    _unmark(database, root)
    _open(database, root).dispose()
    mark = (root / "store.id").read_text()
    with sa.create_engine(f"sqlite:///{database}").begin() as conn:
        assert conn.scalar(sa.text("SELECT id FROM marks")) == mark


def test_a_folder_may_move(kept: tuple[Path, Path], tmp_path: Path) -> None:
    database, root = kept
    shutil.move(root, tmp_path / "larger")
    _open(database, tmp_path / "larger").dispose()


def test_a_first_start_that_was_cut_short_goes_on(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    _open(tmp_path / "a.db", tmp_path / "a").dispose()
    (tmp_path / "a" / "store.id").unlink()  # the database's mark came first
    _open(tmp_path / "a.db", tmp_path / "a").dispose()
    assert (tmp_path / "a" / "store.id").exists()
