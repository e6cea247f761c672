"""What status says of studies, and what it tells a person to look at."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from echo_node.codes import Reason
from echo_node.config import Config
from echo_node.records import CloseReason, JobKind, StudyState
from echo_node.services.health import print_status, study_line
from echo_node.services.requeue import requeue
from echo_node.store import Store, StudyOutcome
from tests.unit.store.builders import POLICY, Clock, received, report

REPORTED = StudyOutcome(
    StudyInstanceUID="1.2.3",
    state=StudyState.REPORTED,
    revision=2,
    closed_because=CloseReason.QUIET,
    closed_at=datetime(2026, 11, 23, 12, 2, tzinfo=UTC),
    reason=None,
)


@pytest.mark.parametrize(
    ("because", "words"),
    [
        (CloseReason.QUIET, "quiet time over"),
        (CloseReason.ASSOCIATION_END, "association ended"),
        (CloseReason.HARD_CAP, "hard cap reached"),
    ],
)
def test_a_study_says_why_and_when_it_was_closed(because, words):
    line = study_line(replace(REPORTED, closed_because=because))
    assert line == f"study 1.2.3  reported; closed at 2026-11-23 12:02:00 UTC: {words}, revision 2"


def test_a_study_that_came_on_after_its_close_says_so():
    assert study_line(replace(REPORTED, remark="2 clips have none")).endswith("; 2 clips have none")
    line = study_line(replace(REPORTED, state=StudyState.RECEIVING))
    assert line.startswith("study 1.2.3  receiving; closed at ")
    assert line.endswith(", revision 2, open again")


def test_a_study_that_was_never_closed_and_one_in_quarantine():
    new = replace(REPORTED, state=StudyState.RECEIVING, closed_because=None, closed_at=None, revision=0)
    assert study_line(new) == "study 1.2.3  receiving"
    held = replace(new, state=StudyState.QUARANTINED, reason=Reason.MIXED_PATIENTS)
    assert study_line(held) == "study 1.2.3  quarantined: Study holds more than one patient"


def test_a_correction_that_was_given_up_is_told_and_can_be_tried_again(tmp_path, capsys):
    settings = Config.model_validate({})
    config = settings.model_copy(update={"node": settings.node.model_copy(update={"storage": tmp_path})})
    store = Store(config.node.database_url, tmp_path, now=lambda: datetime.now(UTC))
    store.migrate()
    store.keep(received(store, job=JobKind.CORRECTION))
    job = store.lease([JobKind.CORRECTION], "w", 60)
    assert job is not None
    store.fail(job, Reason.ANALYSIS_FAILED, "MemoryError", retry_at=None)
    told = "1 corrections could not be applied; status --objects says why; once that is mended, echo-node requeue"
    print_status(config, objects=False)
    assert told in capsys.readouterr().out
    requeue(config, StudyInstanceUID=None, destination=None)
    assert capsys.readouterr().out.startswith("0 clips, 1 corrections and 0 reports are tried again\n")
    print_status(config, objects=False)
    assert told not in capsys.readouterr().out
    store.dispose()


def sent(storage: Path, *, hours_ago: float, wants_word: bool = True) -> None:
    """A store of which two results were sent to PACS, and one to it waits."""
    clock = Clock()
    clock.time = datetime.now(UTC) - timedelta(hours=hours_ago)
    store = Store(settings(storage).node.database_url, storage, now=clock)
    store.migrate()
    store.keep(received(store, job=None))
    store.close_studies(replace(POLICY, quiet_seconds=0))
    job = store.lease([JobKind.STUDY], "w", 60)
    assert job is not None
    reports = [report(f"2.25.{n}") for n in (1, 2, 3)]
    store.complete_study(job, reports, [("PACS", r) for r in reports])
    for delivery in store.outbox.lease("PACS", "d", 60, 2):
        store.outbox.mark_sent(delivery, confirm_at=clock() if wants_word else None)
    store.dispose()


@pytest.mark.parametrize(("hours_ago", "is_told"), [(1, True), (0, False)])
def test_a_study_that_nobody_closes_is_told(tmp_path, capsys, hours_ago, is_told):
    clock = Clock()
    clock.time = datetime.now(UTC) - timedelta(hours=hours_ago)
    store = Store(settings(tmp_path).node.database_url, tmp_path, now=clock)
    store.migrate()
    store.keep(received(store, job=None))
    told = "LOOK: 1 studies should have been closed and are not"
    assert any(line.startswith(told) for line in looks(tmp_path, capsys)) is is_told
    store.close_studies(replace(POLICY, quiet_seconds=0))
    assert not any(line.startswith(told) for line in looks(tmp_path, capsys))
    store.dispose()


def settings(storage: Path, *destinations: dict[str, object]) -> Config:
    return Config.model_validate({"node": {"storage": storage}, "deliver": {"destinations": destinations}})


def looks(storage: Path, capsys: pytest.CaptureFixture[str], *destinations: dict[str, object]) -> list[str]:
    print_status(settings(storage, *destinations), objects=False)
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("LOOK: ")]


def pacs(commitment: str) -> dict[str, object]:
    return {"name": "PACS", "ae_title": "PACS", "host": "192.0.2.1", "port": 104, "commitment": commitment}


@pytest.mark.parametrize(("commitment", "remedy"), [("request", "port 11112"), ("find", "C-FIND")])
def test_an_archive_that_does_not_confirm_for_a_day_is_told_with_what_to_do(tmp_path, capsys, commitment, remedy):
    sent(tmp_path, hours_ago=25)
    (line,) = [line for line in looks(tmp_path, capsys, pacs(commitment)) if "confirmed" in line]
    since = f"{datetime.now(UTC) - timedelta(hours=25):%Y-%m-%d}"
    assert line.startswith(f"LOOK: PACS has not confirmed 2 objects, the first sent at {since} ")
    assert remedy in line
    assert "echo-node outbox --destination PACS --state sent" in line


@pytest.mark.parametrize(
    ("hours_ago", "wants_word", "commitment"),
    [(23, True, "request"), (25, False, "request"), (25, True, "none")],
)
def test_an_archive_that_still_has_time_or_is_not_asked_is_not_told(
    tmp_path, capsys, hours_ago, wants_word, commitment
):
    sent(tmp_path, hours_ago=hours_ago, wants_word=wants_word)
    assert not any("confirmed" in line for line in looks(tmp_path, capsys, pacs(commitment)))


def test_results_for_a_destination_that_is_gone_are_told(tmp_path, capsys):
    sent(tmp_path, hours_ago=1)
    told = "LOOK: 1 objects wait for PACS, which deliver.destinations no longer names"
    assert any(line.startswith(told) for line in looks(tmp_path, capsys))
    assert not any("wait for" in line for line in looks(tmp_path, capsys, pacs("request")))


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[tuple[Store, Clock]]:
    """A store on a clock of its own; what status says goes by the wall clock."""
    clock = Clock()
    store = Store(settings(tmp_path).node.database_url, tmp_path, now=clock)
    store.migrate()
    yield store, clock
    store.dispose()


def hours_ago(hours: float) -> datetime:
    return datetime.now(UTC) - timedelta(hours=hours)


def test_clips_that_nobody_analyses_are_told_after_an_hour(kept, tmp_path, capsys):
    store, clock = kept
    clock.time = hours_ago(0.9)
    store.keep(received(store))
    assert not any("not done" in line for line in looks(tmp_path, capsys))
    clock.time = hours_ago(1.1)
    store.keep(received(store, "1.2"))
    (line,) = [line for line in looks(tmp_path, capsys) if "not done" in line]
    queued = f"{clock.time:%Y-%m-%d %H:%M:%S} UTC"
    assert line.startswith(f"LOOK: 2 jobs are not done, the first of them queued at {queued}")
    assert line.endswith("journalctl -u echo-node@analyse.service")


def test_a_clip_that_is_put_off_again_and_again_is_told_and_one_tried_anew_is_not(kept, tmp_path, capsys):
    store, clock = kept
    clock.time = hours_ago(30)
    store.keep(received(store))
    job = store.lease([JobKind.CLIP], "w", 60)
    assert job is not None
    store.put_off(job, until=datetime.now(UTC))  # as the analyser does with what it cannot save
    assert any("1 jobs are not done" in line for line in looks(tmp_path, capsys))
    clock.time = datetime.now(UTC)
    job = store.lease([JobKind.CLIP], "w", 60)
    assert job is not None
    store.fail(job, Reason.ANALYSIS_FAILED, "MemoryError", retry_at=None)
    store.requeue_jobs()
    assert not any("not done" in line for line in looks(tmp_path, capsys))


def test_results_that_a_known_destination_has_not_taken_for_a_day_are_told(tmp_path, capsys):
    sent(tmp_path, hours_ago=25, wants_word=False)
    store = Store(settings(tmp_path).node.database_url, tmp_path, now=lambda: datetime.now(UTC))
    (line,) = [line for line in looks(tmp_path, capsys, pacs("none")) if "wait for PACS" in line]
    assert line.startswith(f"LOOK: 1 objects wait for PACS, the first made at {hours_ago(25):%Y-%m-%d} ")
    assert "not tried yet" in line
    assert line.endswith("journalctl -u echo-node@deliver.service")
    (delivery,) = store.outbox.lease("PACS", "d", 60, 9)
    store.outbox.mark_failed(delivery, "no association", next_attempt_at=hours_ago(-1))
    (line,) = [line for line in looks(tmp_path, capsys, pacs("none")) if "wait for PACS" in line]
    assert "UTC: no association; " in line
    store.dispose()


def test_results_that_wait_for_less_than_a_day_or_were_sent_anew_just_now_are_not_told(tmp_path, capsys):
    sent(tmp_path, hours_ago=23, wants_word=False)
    assert not any("wait for" in line for line in looks(tmp_path, capsys, pacs("none")))
    older = tmp_path / "older"
    older.mkdir()
    sent(older, hours_ago=200, wants_word=False)
    store = Store(settings(older).node.database_url, older, now=lambda: datetime.now(UTC))
    for delivery in store.outbox.lease("PACS", "d", 60, 9):
        store.outbox.mark_dead(delivery, "out of attempts")
    assert store.requeue_deliveries(["PACS"]) == 1
    assert not any("wait for" in line for line in looks(older, capsys, pacs("none")))
    (delivery,) = store.outbox.lease("PACS", "d", 60, 9)
    store.outbox.mark_failed(delivery, "no association", next_attempt_at=hours_ago(-1))
    assert any("1 objects wait for PACS" in line for line in looks(older, capsys, pacs("none")))
    store.dispose()
