"""What becomes of a received object."""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from echo_node.codes import Reason
from echo_node.errors import DiskFull, StoreError
from echo_node.records import JobKind, StudyState
from echo_node.store import JobState, KeepOutcome, Outcome, Store, database
from tests.unit.store.builders import POLICY, STUDY, Clock, received, report

CLIPS = (JobKind.CLIP, JobState.QUEUED)


def _spooled(root: Path) -> list[Path]:
    return [path for path in (root / "spool").rglob("*") if path.is_file()]


def test_new_object_is_kept_byte_for_byte_with_a_study_and_a_job(
    store: Store, clock: Clock, tmp_path: Path
) -> None:
    obj = received(store, content=b"\0\1\2")
    assert store.keep(obj) is KeepOutcome.NEW
    (instance,) = store.study(STUDY).instances
    assert instance == store.instance(obj.SOPInstanceUID)
    assert instance.path.read_bytes() == b"\0\1\2"
    assert instance.path.is_relative_to(tmp_path / "spool")
    assert instance.received_at == clock.time
    assert store.study(STUDY).state is StudyState.RECEIVING
    assert store.status().jobs == {CLIPS: 1}
    assert not list(store.incoming.iterdir())


def test_no_name_on_disk_comes_from_the_sender(store: Store, tmp_path: Path) -> None:
    for uid in ("../../../../tmp/x", "1.2/../3", "1.2\0.3", "1" * 70, "1'; DROP TABLE jobs; --", ""):
        assert store.keep(received(store, uid)) is KeepOutcome.SET_ASIDE
    assert {path.parent.parent for path in _spooled(tmp_path)} == {tmp_path / "spool"}
    assert len(_spooled(tmp_path)) == store.status().set_aside == 6
    assert store.status().jobs == {}
    assert {row.reason for row in store.instance_outcomes()} == {Reason.MISSING_UID}


def test_exact_duplicate_makes_no_second_job_and_no_second_file(store: Store, tmp_path: Path) -> None:
    store.keep(received(store))
    before = _spooled(tmp_path)
    assert store.keep(received(store)) is KeepOutcome.DUPLICATE
    assert _spooled(tmp_path) == before
    assert store.status().jobs == {CLIPS: 1}
    assert not list(store.incoming.iterdir())


def test_same_uid_other_bytes_keeps_both_and_says_so(store: Store, tmp_path: Path) -> None:
    store.keep(received(store, content=b"first"))
    assert store.keep(received(store, content=b"second")) is KeepOutcome.SET_ASIDE
    assert store.keep(received(store, content=b"second")) is KeepOutcome.DUPLICATE
    assert sorted(path.read_bytes() for path in _spooled(tmp_path)) == [b"first", b"second"]
    assert store.instance("1.2.826.1.1").path.read_bytes() == b"first"
    assert store.status().set_aside == 1
    aside = store.instance_outcomes()[-1]
    assert (aside.outcome, aside.reason) == (Outcome.SET_ASIDE, Reason.SAME_UID_OTHER_CONTENT)
    assert store.status().jobs == {CLIPS: 1}


def test_same_uid_other_bytes_in_another_study_leaves_no_empty_study(store: Store) -> None:
    store.keep(received(store, content=b"first"))
    store.keep(received(store, content=b"second", StudyInstanceUID="1.2.9"))
    assert store.status().studies == {StudyState.RECEIVING: 1}


@pytest.mark.parametrize("keyword", ["SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"])
def test_missing_uid_is_set_aside(store: Store, keyword: str) -> None:
    missing: dict[str, Any] = {keyword: ""}
    obj = replace(received(store), **missing)
    assert store.keep(obj) is KeepOutcome.SET_ASIDE
    (row,) = store.instance_outcomes()
    assert row.reason is Reason.MISSING_UID
    assert store.status().studies == {}


def test_what_hides_its_uids_is_set_aside_for_the_reason_that_hides_them(store: Store) -> None:
    store.keep(replace(received(store, reason=Reason.TRUNCATED), StudyInstanceUID="", SeriesInstanceUID=""))
    (row,) = store.instance_outcomes()
    assert (row.outcome, row.reason) == (Outcome.SET_ASIDE, Reason.TRUNCATED)


def test_object_with_a_reason_or_no_image_is_kept_without_a_job(store: Store) -> None:
    store.keep(received(store, "1.1", reason=Reason.TRUNCATED))
    store.keep(received(store, "1.2", job=None))
    assert store.status().jobs == {}
    assert store.instance("1.1").reason is Reason.TRUNCATED
    assert [(row.outcome, row.reason) for row in store.instance_outcomes(STUDY)] == [
        (Outcome.KEPT, Reason.TRUNCATED),
        (Outcome.KEPT, None),
    ]


def test_two_patients_in_a_study_quarantine_it_for_good(store: Store, clock: Clock) -> None:
    store.keep(received(store, "1.1", PatientID="P1", job=None))
    store.keep(received(store, "1.2", PatientID="P2", job=None))
    store.keep(received(store, "1.3", PatientID="P1", job=None))
    clock.pass_(100_000)
    assert store.close_studies(POLICY) == []
    study = store.study(STUDY)
    assert study.state is StudyState.QUARANTINED
    assert len(study.instances) == 3
    assert {row.reason for row in store.instance_outcomes()} == {Reason.MIXED_PATIENTS}


def test_quarantine_stops_the_report_under_way_and_those_unsent(store: Store, clock: Clock) -> None:
    store.keep(received(store, "1.1", job=None))
    clock.pass_(200)
    store.close_studies(POLICY)
    job = store.lease([JobKind.STUDY], "w", 60)
    assert job is not None
    store.complete_study(job, [report()], [("PACS", report())])
    store.keep(received(store, "1.2", PatientID="P2"))
    assert store.requeue_deliveries(["PACS"]) == 0
    assert store.status().given_up == {}  # the quarantine is said of the study
    assert store.outbox.send_again(store.deliveries(STUDY)) == 0
    assert store.outbox.lease("PACS", "d", 60, 10) == []
    assert store.study(STUDY).state is StudyState.QUARANTINED


def test_padding_makes_no_second_patient(store: Store) -> None:
    store.keep(received(store, "1.1", PatientID="P1"))
    store.keep(received(store, "1.2", PatientID="P1 "))
    assert store.study(STUDY).state is StudyState.RECEIVING


def _state_after(store: Store, *births: str) -> StudyState:
    for number, birth in enumerate(births):
        store.keep(received(store, f"1.{number}", PatientBirthDate=birth))
    return store.study(STUDY).state


@pytest.mark.parametrize(
    "births",
    [
        ("19500102", "19500103"),
        ("19500102", "", "1950.01.03"),
        ("", "19500102", "19500103"),
        ("19500103", "19500102", "19500103"),
    ],
)
def test_two_birth_dates_in_a_study_are_two_patients(store: Store, births: tuple[str, ...]) -> None:
    assert _state_after(store, *births) is StudyState.QUARANTINED
    assert {row.reason for row in store.instance_outcomes()} == {Reason.MIXED_PATIENTS}


@pytest.mark.parametrize(
    "births",
    [
        ("19500102", "19500102"),
        ("19500102", "1950.01.02", "1950-01-02", "1950/01/02", "19500102 ", "19500102\0"),
        ("19500102", ""),
        ("", "19500102"),
        ("", ""),
        ("19500102", "00000000", "unknown", "195001", "1950.0102", "19500231", "1950010203", "1950-W01"),
        ("unknown", "19500102", "00000000"),
    ],
)
def test_one_birth_date_or_none_is_one_patient(store: Store, births: tuple[str, ...]) -> None:
    assert _state_after(store, *births) is StudyState.RECEIVING


def test_failed_folder_fsync_keeps_nothing(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    obj = received(store)

    def refuse(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(StoreError):
            store.keep(obj)
    assert not obj.path.exists()
    assert _spooled(tmp_path) == []
    assert store.status().instances == 0
    assert store.keep(received(store)) is KeepOutcome.NEW


def test_full_disk_is_said(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    obj = received(store)

    def refuse(_self: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(DiskFull):
        store.keep(obj)
    assert not obj.path.exists()


def test_database_that_is_away_is_a_store_error(tmp_path: Path, clock: Clock) -> None:
    store = Store(f"sqlite:///{tmp_path / 'absent' / 'node.db'}", tmp_path, now=clock)
    obj = received(store)
    with pytest.raises(StoreError):
        store.keep(obj)
    assert not obj.path.exists()
    store.dispose()


def test_unknown_uids_are_store_errors(store: Store) -> None:
    with pytest.raises(StoreError):
        store.instance("1.9")
    with pytest.raises(StoreError):
        store.study("1.9")


def test_locked_database_is_a_store_error_and_the_sender_may_try_again(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_BUSY_MS", 20)
    store = Store(f"sqlite:///{tmp_path / 'node.db'}", tmp_path, now=clock)
    store.migrate()
    with contextlib.closing(sqlite3.connect(tmp_path / "node.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="OperationalError"):
            store.keep(received(store))
    assert store.keep(received(store)) is KeepOutcome.NEW
    assert store.sweep().superfluous == 1
    assert len(_spooled(tmp_path)) == 1
    store.dispose()


def test_full_database_is_a_full_disk(tmp_path: Path, clock: Clock) -> None:
    store = Store(f"sqlite:///{tmp_path / 'node.db'}", tmp_path, now=clock)
    store.migrate()
    with store._db.read() as conn:  # the pool hands the same connection out again
        pages = conn.scalar(sa.text("PRAGMA page_count"))
        conn.execute(sa.text(f"PRAGMA max_page_count={pages}"))
    with pytest.raises(DiskFull):
        [store.keep(received(store, f"1.2.{n}")) for n in range(100)]
    store.dispose()


def test_errors_name_no_patient(store: Store) -> None:
    with store._db.write() as conn:
        conn.execute(sa.text("ALTER TABLE studies RENAME TO gone"))
    canary = secrets.token_hex(8)
    with pytest.raises(StoreError) as caught:
        store.keep(received(store, PatientID=canary))
    assert canary not in "".join(traceback.format_exception(caught.value))


def test_threads_that_keep_the_same_objects(store: Store) -> None:
    def keep_all(_thread: int) -> list[KeepOutcome]:
        return [store.keep(received(store, f"1.2.{n}")) for n in range(12)]

    with ThreadPoolExecutor(6) as pool:
        outcomes = [outcome for some in pool.map(keep_all, range(6)) for outcome in some]
    assert outcomes.count(KeepOutcome.NEW) == 12
    assert outcomes.count(KeepOutcome.DUPLICATE) == 60
    assert store.status().jobs == {CLIPS: 12}


def test_a_known_object_is_acknowledged_though_the_database_takes_nothing(store: Store, monkeypatch) -> None:
    store.keep(received(store, "1.1"))

    def refuse(*_: object, **__: object) -> None:
        raise StoreError("read only")

    monkeypatch.setattr("echo_node.store.instances.note_again", refuse)
    assert store.keep(received(store, "1.1")) is KeepOutcome.DUPLICATE
