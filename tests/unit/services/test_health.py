"""What status says of studies."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from echo_node.codes import Reason
from echo_node.config import Config
from echo_node.records import CloseReason, JobKind, StudyState
from echo_node.services.health import print_status, study_line
from echo_node.services.requeue import requeue
from echo_node.store import Store, StudyOutcome
from tests.unit.store.builders import received

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
