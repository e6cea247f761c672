"""What an admin reads where the database or the disk does not work."""

from __future__ import annotations

import sqlite3

import pytest

from echo_node.errors import StoreError
from echo_node.store import Store
from tests.unit.store.builders import Clock


def test_a_database_that_is_not_there_says_what_the_driver_says_and_no_password(tmp_path):
    pytest.importorskip("psycopg")
    store = Store("postgresql://node:secret@127.0.0.1:1/echo", tmp_path, now=Clock())
    with pytest.raises(
        StoreError, match=r"node\.database\) refuses: OperationalError: .*Connection refused"
    ) as caught:
        store.migrate()
    assert "secret" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=rf"the disk refuses {tmp_path / 'file'}.*: Not a directory"):
        Store("sqlite://", tmp_path / "file" / "storage", now=Clock())


def test_what_quotes_a_row_is_not_said(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'node.db'}", tmp_path, now=Clock())
    store.migrate()
    with sqlite3.connect(tmp_path / "node.db") as conn:
        conn.execute("CREATE TRIGGER t BEFORE INSERT ON marks BEGIN SELECT RAISE(ABORT, 'DOE^JANE'); END")
        conn.execute("DELETE FROM marks")
    (tmp_path / "store.id").unlink()
    with pytest.raises(StoreError, match=r"refuses: IntegrityError$"):
        store.migrate()
    store.dispose()
