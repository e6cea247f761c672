"""``echo-node status``: what the node holds and does, for the admin."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from datetime import timedelta

from echo_node.config import Commitment, Config
from echo_node.dicom import scu
from echo_node.errors import AssociationRejected, DeliveryError
from echo_node.records import DeliveryState, JobKind, StudyState
from echo_node.services.opened import opened_store
from echo_node.services.process import utc_now
from echo_node.services.schedule import close_policy
from echo_node.store import (
    UNFINISHED,
    ClosePolicy,
    InstanceOutcome,
    JobState,
    StoreStatus,
    StudyOutcome,
    Unconfirmed,
    Waiting,
    Word,
    why_close,
)

_AGAIN = "once that is mended, echo-node requeue tries again"
_UNCONFIRMED = timedelta(days=1)  # archives that commit only after their nightly backup are well
_UNDELIVERED = timedelta(days=1)  # a PACS that is away for a night needs nobody here
_UNCLOSED = timedelta(minutes=10)  # the schedule looks every second
_UNFINISHED = timedelta(hours=1)  # a large exam is done sooner
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  listening on all: ask on loopback


def print_status(config: Config, *, objects: bool) -> int:
    """Print the node's state; 1 where something needs a person.

    Parameters
    ----------
    config : Config
        The node's settings.
    objects : bool
        Also list every study with why it was closed, and every object with its stated outcome.
    """
    with opened_store(config) as store:
        status = store.status()
        unconfirmed = store.outbox.unconfirmed(sent_before=utc_now() - _UNCONFIRMED)
        waiting = store.outbox.waiting(made_before=utc_now() - _UNDELIVERED)
        studies = store.study_outcomes() if objects else ()
        outcomes = store.instance_outcomes() if objects else ()
    trouble = [
        *_trouble(status),
        *_unclosed(status, close_policy(config)),
        *_undelivered(status, waiting, config),
        *_unconfirmed(unconfirmed, config),
        *_surroundings(config),
    ]
    for line in (*_counts(status), *(f"LOOK: {line}" for line in trouble)):
        print(line)
    for study in studies:
        print(study_line(study))
    for outcome in outcomes:
        print(object_line(outcome))
    return 1 if trouble else 0


def _counts(status: StoreStatus) -> Iterator[str]:
    seen = status.set_aside - status.unseen
    acknowledged = f", {seen} of them acknowledged" if seen else ""
    yield f"objects     {status.instances} kept, {status.set_aside} set aside{acknowledged}"
    for state, count in status.studies.items():
        yield f"studies     {count} {state.value}"
    if status.shortened:
        yield f"studies     {status.shortened} over the budget; status --objects says what was left out"
    for (kind, job_state), count in status.jobs.items():
        yield f"jobs        {count} {kind.value} {job_state.value}"
    for (destination, delivery_state), count in status.deliveries.items():
        yield f"deliveries  {count} {delivery_state.value} for {destination}"
    if status.oldest_job_at is not None:
        yield f"waiting     since {status.oldest_job_at:%Y-%m-%d %H:%M:%S} UTC"


def _trouble(status: StoreStatus) -> Iterator[str]:
    """What in the store needs a person."""
    if status.unseen:
        yield (
            f"{status.unseen} objects are set aside; status --objects names them; "
            "once somebody has looked, echo-node acknowledge"
        )
    if quarantined := status.studies.get(StudyState.QUARANTINED):
        yield (
            f"{quarantined} studies are in quarantine; status --objects says why; "
            "once it is known whose they are, echo-node release"
        )
    if status.oldest_job_at is not None and status.oldest_job_at < utc_now() - _UNFINISHED:
        unfinished = sum(n for (_, state), n in status.jobs.items() if state in UNFINISHED)
        yield (
            f"{unfinished} jobs are not done, the first of them queued at {status.oldest_job_at:%Y-%m-%d %H:%M:%S} "
            "UTC: the analyser does not run, fails, or cannot keep up; its log says which: "
            "journalctl -u echo-node@analyse.service"
        )
    if failed := status.jobs.get((JobKind.CLIP, JobState.DEAD)):
        yield f"{failed} clips could not be analysed; status --objects says why; {_AGAIN}"
    if failed := status.jobs.get((JobKind.CORRECTION, JobState.DEAD)):
        yield f"{failed} corrections could not be applied; status --objects says why; {_AGAIN}"
    for uid, why in status.unreported.items():
        yield f"study {uid} has no report: {why}; {_AGAIN}"


def _unclosed(status: StoreStatus, policy: ClosePolicy) -> Iterator[str]:
    """Studies that are long due: nothing of them is reported before they are closed."""
    late = [study for study in status.open_studies if why_close(study, policy, now=utc_now() - _UNCLOSED)]
    if late:
        yield (
            f"{len(late)} studies should have been closed and are not, the last of the first came at "
            f"{late[0].last_received_at:%Y-%m-%d %H:%M:%S} UTC: the schedule does not run, or fails; its log says "
            "which: journalctl -u echo-node@schedule.service"
        )


def _undelivered(status: StoreStatus, waiting: Sequence[Waiting], config: Config) -> Iterator[str]:
    """What a destination refuses, has not taken for long, or cannot get any more."""
    for (destination, why), count in status.given_up.items():
        yield f"{count} objects were given up for {destination}: {why}; {_AGAIN}"
    known = {destination.name for destination in config.deliver.destinations}
    for (name, state), count in status.deliveries.items():
        if state in (DeliveryState.QUEUED, DeliveryState.FAILED) and name not in known:
            yield (
                f"{count} objects wait for {name}, which deliver.destinations no longer names: they are sent once "
                f"it is named again; echo-node outbox --destination {name} lists them"
            )
    for late in waiting:
        if late.destination in known:
            yield (
                f"{late.objects} objects wait for {late.destination}, the first made at "
                f"{late.since:%Y-%m-%d %H:%M:%S} UTC: {late.error or 'not tried yet'}; they are sent once it takes "
                "them; the sender's log: journalctl -u echo-node@deliver.service"
            )


def _unconfirmed(unconfirmed: Sequence[Unconfirmed], config: Config) -> Iterator[str]:
    """What a destination was sent and does not say that it keeps."""
    known = {destination.name: destination for destination in config.deliver.destinations}
    for late in unconfirmed:
        commitment = known[late.destination].commitment if late.destination in known else Commitment.NONE
        if commitment is not Commitment.NONE:
            yield (
                f"{late.destination} has not confirmed {late.objects} objects, the first sent at "
                f"{late.since:%Y-%m-%d %H:%M:%S} UTC: {_remedy(commitment, config)}; "
                f"echo-node outbox --destination {late.destination} --state sent lists them"
            )


def _remedy(commitment: Commitment, config: Config) -> str:
    """What to do about an archive that does not say that it keeps what it was sent."""
    title = config.deliver.calling_ae_title
    if commitment is Commitment.FIND:
        return f"it must answer C-FIND of {title}; otherwise set its commitment to none"
    return (
        f"its answers must reach {title} on port {config.receive.port} of this machine, from the AE title and host "
        "of the destination; where it never answers, set its commitment to find or none"
    )


def _surroundings(config: Config) -> Iterator[str]:
    settings = config.receive
    if not _answers(config):
        yield f"the receiver does not answer on port {settings.port}"
    free = shutil.disk_usage(config.node.storage).free >> 20
    if free < settings.min_free_disk_mib:
        yield f"{free} MiB free on the disk; below {settings.min_free_disk_mib} nothing is received"


def _answers(config: Config) -> bool:
    settings = config.receive
    host = _LOOPBACK.get(settings.host, settings.host)
    calling = next((c.ae_title for c in settings.carts if c.ae_title), settings.ae_title)
    try:
        scu.echo(scu.Peer(ae_title=settings.ae_title, host=host, port=settings.port), calling_ae=calling)
    except AssociationRejected:  # this address need not be a cart's: who refuses is there
        return True
    except DeliveryError:
        return False
    return True


def study_line(study: StudyOutcome) -> str:
    """A study in words: where it stands, and why it was closed."""
    reason = "" if study.reason is None else f": {study.reason.code.meaning}"
    line = f"study {study.StudyInstanceUID}  {study.state.value}{reason}"
    released = _said("released from quarantine", study.released)
    if study.closed_because is None or study.closed_at is None:
        return line + released
    again = ", open again" if study.state is StudyState.RECEIVING else ""
    closed = f"closed at {study.closed_at:%Y-%m-%d %H:%M:%S} UTC: {study.closed_because.value}"
    remark = f"; {study.remark}" if study.remark else ""
    return f"{line}; {closed}, revision {study.revision}{again}{remark}{released}"


def object_line(outcome: InstanceOutcome) -> str:
    """An object in words: what became of it, and who has looked at one that is set aside."""
    number = "" if outcome.number is None else f", number {outcome.number}"
    seen = _said("acknowledged", outcome.acknowledged)
    reason = "" if outcome.reason is None else f": {outcome.reason.code.meaning}"
    detail = f" ({outcome.detail})" if outcome.detail else ""
    return f"{outcome.SOPInstanceUID}  {outcome.outcome.value}{number}{reason}{detail}{seen}"


def _said(what: str, word: Word | None) -> str:
    if word is None:
        return ""
    reason = f": {word.reason}" if word.reason else ""
    return f"; {what} at {word.at:%Y-%m-%d %H:%M:%S} UTC by {word.by}{reason}"
