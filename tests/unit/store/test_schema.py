"""The migrations make the tables that the code expects, whoever starts first."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import alembic.command
import alembic.config
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from echo_node.codes import ObjectKind
from echo_node.errors import StoreError
from echo_node.records import StudyState
from echo_node.store import Store
from echo_node.store.database import MIGRATIONS, Database
from echo_node.store.schema import UTCDateTime, metadata, reports, studies
from tests.unit.store.builders import STUDY, Clock, received

_SR, _SEG = "1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.66.4"

_MIGRATE = """
import sys
from pathlib import Path
from echo_node.records import ObjectKind
from echo_node.store import Store
from tests.unit.store.builders import Clock
store = Store(sys.argv[2], Path(sys.argv[1]), now=Clock())
store.migrate()
print(store.status().instances)
"""


def test_migrations_and_tables_agree(store: Store) -> None:
    with store._db.read() as conn:
        context = MigrationContext.configure(conn, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_several_processes_migrate_at_once(url: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _MIGRATE, str(tmp_path), url]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(4)]
    assert [child.communicate()[0] for child in children] == [b"0\n"] * 4


def test_migrating_twice_keeps_the_data(store: Store) -> None:
    store.keep(received(store))
    store.migrate()
    assert store.status().instances == 1


def _as_of(url: str, revision: str) -> Database:
    """A database as an earlier version of the node left it."""
    database = Database(url)
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with database.write() as conn:
        config.attributes["connection"] = conn
        alembic.command.upgrade(config, revision)
    return database


def _keep_a_file(folder: Path) -> None:
    """What rows name: a database with them and a folder without any do not belong together."""
    (folder / "spool" / "00").mkdir(parents=True)
    (folder / "spool" / "00" / "kept.dcm").touch()


def test_a_study_from_before_birth_dates_is_quarantined_by_none(url: str, tmp_path: Path, clock: Clock) -> None:
    database = _as_of(url, "0001")
    with database.write() as conn:
        old = sa.insert(studies).values(
            StudyInstanceUID=STUDY,
            PatientID="P1",
            source_ae="CART",
            state=StudyState.RECEIVING,
            revision=0,
            opened_at=clock.time,
            last_received_at=clock.time,
        )
        conn.execute(old)
    database.dispose()
    store = Store(url, tmp_path, now=clock)
    store.migrate()
    try:
        store.keep(received(store, "1.1", PatientBirthDate="19500102"))
        assert store.study(STUDY).state is StudyState.RECEIVING
        store.keep(received(store, "1.2", PatientBirthDate="19500103"))
        assert store.study(STUDY).state is StudyState.QUARANTINED
    finally:
        store.dispose()


def test_reports_of_the_first_version_are_told_apart(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'node.db'}"
    database = _as_of(url, "0001")
    with database.write() as conn:
        conn.execute(
            sa.text(
                "INSERT INTO studies (StudyInstanceUID, PatientID, source_ae, state, revision, opened_at,"
                " last_received_at) VALUES ('1', '', '', 'REPORTED', 1, '2026-01-01', '2026-01-01')"
            )
        )
        for uid, kind in (("2.1", _SR), ("2.2", _SEG)):
            conn.execute(
                sa.text(f"INSERT INTO reports VALUES ('{uid}', '{kind}', '1', 1, 'r/{uid}.dcm', '2026-01-01')")
            )
    database.dispose()
    _keep_a_file(tmp_path)
    store = Store(url, tmp_path, now=Clock())
    store.migrate()
    with store._db.read() as conn:
        kinds = {row.SOPInstanceUID: row.kind for row in conn.execute(sa.select(reports))}
    assert kinds == {"2.1": ObjectKind.SR, "2.2": ObjectKind.SEG}
    store.dispose()


def test_what_is_older_than_acknowledgements_and_releases_has_none(url: str, tmp_path: Path, clock: Clock) -> None:
    database = _as_of(url, "0005")
    at = clock.time.strftime("%Y-%m-%d %H:%M:%S+00:00")
    with database.write() as conn:
        for statement in (
            'INSERT INTO studies ("StudyInstanceUID", "PatientID", source_ae, state, revision, opened_at,'
            f" last_received_at) VALUES ('1.2', 'P1', '', 'QUARANTINED', 1, '{at}', '{at}')",
            'INSERT INTO reports ("SOPInstanceUID", kind, "SOPClassUID", "StudyInstanceUID", revision, path,'
            f" made_at) VALUES ('2.1', 'SR', '{_SR}', '1.2', 1, 'r/2.1.dcm', '{at}')",
            'INSERT INTO instances_aside ("SOPInstanceUID", "SOPClassUID", "StudyInstanceUID", path, sha256, size,'
            " source_ae, source_host, received_at, reason)"
            f" VALUES ('', '', '', 's/1', 'x', 1, '', '', '{at}', 'MISSING_UID')",
        ):
            conn.execute(sa.text(statement))
    database.dispose()
    _keep_a_file(tmp_path)
    store = Store(url, tmp_path, now=clock)
    store.migrate()
    try:
        assert (store.status().set_aside, store.status().unseen) == (1, 1)
        assert [study.released for study in store.study_outcomes()] == [None]
        with store._db.read() as conn:
            assert conn.scalars(sa.select(reports.c.is_withdrawn)).all() == [False]
    finally:
        store.dispose()


def test_database_of_a_newer_version_is_refused(store: Store) -> None:
    with store._db.write() as conn:
        conn.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="does not fit this version"):
        store.migrate()


def test_sqlite_is_durable(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'node.db'}", tmp_path, now=Clock())
    store.migrate()
    with store._db.read() as conn:
        pragmas = {name: conn.scalar(sa.text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous")}
        assert pragmas == {"journal_mode": "wal", "synchronous": 2}
        assert conn.scalar(sa.text("PRAGMA foreign_keys")) == 1
    store.dispose()


def test_times_are_utc_whatever_the_zone() -> None:
    engine = sa.create_engine("sqlite://")
    table = sa.Table("t", sa.MetaData(), sa.Column("at", UTCDateTime))
    table.create(engine)
    noon = datetime(2026, 7, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    with engine.begin() as conn:
        conn.execute(table.insert().values(at=noon))
        back = conn.scalar(sa.select(table.c.at))
        assert back == noon
        assert back is not None
        assert back.tzinfo is UTC
        with pytest.raises(sa.exc.StatementError):
            conn.execute(table.insert().values(at=datetime(2026, 1, 1)))
