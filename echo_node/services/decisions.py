"""A person accepts, edits or rejects a study's results: records, and documents that say so.

For whatever asks on a person's behalf: the command line, a page. Nothing is printed here.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from io import BytesIO

import pydicom

from echo_node.codes import BY_PERSONS, Reason
from echo_node.config import Config
from echo_node.decisions import Decision, DecisionKind, Person, standing_acceptance
from echo_node.dicom.incoming import PREAMBLE, IncomingObject
from echo_node.edits import Drawn
from echo_node.errors import CorrectionError, DecisionError, ReportError
from echo_node.records import DRAWN_HERE, Delivery, Report
from echo_node.reports import (
    DOCUMENTS,
    accept_document,
    build_edit,
    build_rejection,
    check_person,
    read_corrections,
    read_made,
)
from echo_node.services.addresses import addressed
from echo_node.services.receive import keep
from echo_node.services.sources import readable_sources
from echo_node.store import Made, MadeObject, Results, Store, check_revision, earlier_decision

_log = logging.getLogger(__name__)

_GROUP_LENGTH = 12  # bytes of the element that says how long file meta information is (PS3.10 7.1)


def accept(
    store: Store,
    config: Config,
    StudyInstanceUID: str,
    *,
    by: Person,
    at: datetime,
    reason: str = "",
    revision: int | None = None,
) -> Decision:
    """Accept a study's results as they are: each document gets a VERIFIED successor, sent where it was sent.

    Parameters
    ----------
    store, config : Store, Config
        The node's.
    StudyInstanceUID : str
        The study.
    by : Person
        Who stands for the results from now on.
    at : datetime
        When, with a time zone.
    reason : str
        In words; it stands in the documents.
    revision : int, optional
        What the person has looked at; left out: whatever is the latest.

    Returns
    -------
    Decision
        The one that stands; where the same person has accepted the same results before, that one.

    Raises
    ------
    DecisionError
        The person is not named well, there is nothing to accept yet, or another decision stands.
    ReportError
        A document cannot be written on.
    StoreError
        The store refuses; nothing is changed.
    """
    seen, decision, before = _begun(store, StudyInstanceUID, DecisionKind.ACCEPTED, by, at, reason, revision)
    if before is not None:
        return before
    documents = [o for o in seen.objects if o.revision == seen.revision and o.kind in DOCUMENTS]
    if not documents:
        raise DecisionError(f"study {StudyInstanceUID}: there is no document to accept; no destination takes one")
    made = tuple(accept_document(_read(document), decision) for document in documents)
    accepted = Made(reports=made, deliveries=addressed(made, config))
    saved = store.decisions.save(_naming(decision, documents), lambda _: accepted)
    _log.info("study %s: revision %d accepted, %d documents", StudyInstanceUID, saved.revision, len(saved.made))
    return saved


def reject(
    store: Store,
    config: Config,
    StudyInstanceUID: str,
    *,
    by: Person,
    at: datetime,
    reason: str = "",
    revision: int | None = None,
) -> Decision:
    """Reject a study's results: every destination is told which of the objects that it was sent are meant.

    What it was not sent yet it does not get.
    What a person accepted of an earlier revision stands. Who accepted these very results takes that back so.

    Parameters and errors are those of :func:`accept`.
    """
    seen, decision, before = _begun(store, StudyInstanceUID, DecisionKind.REJECTED, by, at, reason, revision)
    if before is not None:
        return before
    rejected = _rejected(store.decisions.of_study(StudyInstanceUID), seen)
    if not rejected:
        raise DecisionError(f"study {StudyInstanceUID}: there is no object to reject")
    decision = _naming(decision, rejected)
    saved = store.decisions.save(decision, lambda deliveries: _rejections(deliveries, config, decision, rejected))
    _log.info("study %s: revision %d rejected, %d objects", StudyInstanceUID, saved.revision, len(saved.decided))
    return saved


def edit(
    store: Store, StudyInstanceUID: str, drawn: Sequence[Drawn], *, by: Person, at: datetime, reason: str = ""
) -> str:
    """Correct a study's results by drawings on its clips, as a report that a viewer sends does.

    The record is the report that is kept: who drew what, when and why. The analyser measures anew by it, the
    documents that follow name the person, and the report goes to whoever gets them.

    Parameters
    ----------
    store, StudyInstanceUID, by, at, reason
        As of :func:`accept`.
    drawn : sequence of Drawn
        At least one.

    Returns
    -------
    str
        The report's SOPInstanceUID; ``echo-node status --objects`` says what became of it.

    Raises
    ------
    DecisionError
        The person is not named well, or nothing is drawn.
    CorrectionError
        A drawing lies on no clip of the study, or beside its frames.
    StoreError
        The store refuses; nothing is changed.
    """
    check_person(by)
    if not drawn:
        raise DecisionError(f"study {StudyInstanceUID}: nothing is drawn")
    images = store.find({drawing.SOPInstanceUID for drawing in drawn})
    own = (image for image in images.values() if image.StudyInstanceUID == StudyInstanceUID)
    sources = readable_sources(own)
    for drawing in drawn:
        if drawing.SOPInstanceUID not in sources:
            raise CorrectionError(Reason.UNKNOWN_CLIP, f"image {drawing.SOPInstanceUID}")
    made = build_edit(drawn, sources, by=by, reason=" ".join(reason.split()), at=at)
    ds = pydicom.dcmread(BytesIO(made.content))
    read_corrections(ds, sources)
    meta = len(PREAMBLE) + _GROUP_LENGTH + ds.file_meta.FileMetaInformationGroupLength
    dataset = memoryview(made.content)[meta:]
    incoming = IncomingObject(
        store.incoming,
        SOPClassUID=made.SOPClassUID,
        SOPInstanceUID=made.SOPInstanceUID,
        TransferSyntaxUID=str(ds.file_meta.TransferSyntaxUID),
        calling_ae=DRAWN_HERE,
        peer_host="",
        limit=len(dataset),
    )
    incoming.write(dataset)
    keep(store, incoming.finish())
    _log.info("study %s: edited by report %s", StudyInstanceUID, made.SOPInstanceUID)
    return made.SOPInstanceUID


def _begun(
    store: Store,
    StudyInstanceUID: str,
    kind: DecisionKind,
    by: Person,
    at: datetime,
    reason: str,
    revision: int | None,
) -> tuple[Results, Decision, Decision | None]:
    """What is decided on, the decision so far, and the same person's same one from before."""
    check_person(by)
    seen = store.decisions.results(StudyInstanceUID)
    if revision is not None:
        check_revision(StudyInstanceUID, seen.revision, revision)
    decision = Decision(
        StudyInstanceUID=StudyInstanceUID,
        revision=seen.revision,
        kind=kind,
        by=by,
        reason=" ".join(reason.split()),
        made_at=at,
        decided=(),
        made=(),
    )
    return seen, decision, earlier_decision(store.decisions.of_study(StudyInstanceUID), decision)


def _read(made: MadeObject) -> Report:
    try:
        content = made.path.read_bytes()
    except OSError as error:
        raise ReportError(f"{made.path}: cannot be read: {error.strerror}") from error
    return Report(kind=made.kind, SOPClassUID=made.SOPClassUID, SOPInstanceUID=made.SOPInstanceUID, content=content)


def _naming(decision: Decision, decided: Sequence[MadeObject]) -> Decision:
    return replace(decision, decided=tuple(sorted(o.SOPInstanceUID for o in decided)))


def _rejected(decisions: tuple[Decision, ...], seen: Results) -> list[MadeObject]:
    """Everything since what stands accepted of an earlier revision, but for what is rejected already."""
    earlier = standing_acceptance([d for d in decisions if d.revision < seen.revision])
    since = 0 if earlier is None else earlier.revision
    gone = {uid for d in decisions if d.kind is DecisionKind.REJECTED for uid in d.decided}
    return [
        o for o in seen.objects if o.revision > since and o.kind not in BY_PERSONS and o.SOPInstanceUID not in gone
    ]


def _rejections(
    deliveries: Sequence[Delivery], config: Config, decision: Decision, rejected: Sequence[MadeObject]
) -> Made:
    """A note for each set of objects that a destination was sent, and who gets which.

    An attempt that failed counts: the object may have come though its answer did not.
    """
    known = {destination.name for destination in config.deliver.destinations}
    paths = {o.SOPInstanceUID: o.path for o in rejected}
    sent: dict[str, set[str]] = defaultdict(set)
    for delivery in deliveries:
        if delivery.destination in known and (delivery.attempts or delivery.sent_at):
            sent[delivery.destination].add(delivery.SOPInstanceUID)
    notes = {
        uids: build_rejection([read_made(paths[uid]) for uid in sorted(uids)], decision)
        for uids in {frozenset(uids) for uids in sent.values()}
    }
    return Made(
        reports=tuple(notes.values()),
        deliveries=[(name, notes[frozenset(uids)]) for name, uids in sorted(sent.items())],
    )
