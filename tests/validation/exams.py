"""The exams: of each, the cart's files, and every object that the node makes of them.

The objects are of all that :class:`~echo_node.codes.ObjectKind` has: a new kind is validated from its first day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset

from echo_node.codes import BY_PERSONS, ObjectKind
from echo_node.decisions import Decision, DecisionKind
from echo_node.dicom.clips import open_clip
from echo_node.records import Analysis, Report
from echo_node.reports import DOCUMENTS, accept_document, build_rejection, build_results, read_made, read_source
from echo_node.reports.observers import edits_of
from tests.unit.reports.builders import STUDY, analysis, clip
from tests.unit.reports.drawn import drawn
from tests.validation.bad import BAD
from tests.validation.files import write_source
from tests.validation.plans import ABSENT, CHARACTER_SETS, DECIDED_AT, MEASURED, READER, REAL_FILES

KINDS = tuple(kind for kind in ObjectKind if kind not in BY_PERSONS)
PLANS = MEASURED | REAL_FILES | ABSENT | CHARACTER_SETS | BAD


@dataclass(frozen=True, slots=True, kw_only=True)
class Exam:
    """What a cart sent, and what is sent on."""

    name: str
    sources: tuple[Path, ...]  # with the reports of persons that a result rests on
    is_bad: bool  # was something sent that the standard forbids?
    reports: tuple[Report, ...]  # of all revisions, and what a person drew on the node
    taken: Mapping[str, str]  # what every object must say of patient and study


def make(name: str, folder: Path, data: Path) -> Exam:
    """Write an exam's sources into a folder and build the objects.

    Parameters
    ----------
    name : str
        One of ``PLANS``.
    folder : Path
        For the sources.
    data : Path
        The folder of real ultrasound files.
    """
    plan = PLANS[name]
    if plan.file:
        paths = [data / plan.file]
    else:
        paths = [
            write_source(folder / f"source{n}.dcm", f"{STUDY}.2.{n}", sent, plan.raw, is_implicit=plan.is_implicit)
            for n, sent in enumerate(plan.sent, start=1)
        ]
    headers = [read_source(path) for path in paths]
    sources = {ds.SOPInstanceUID: ds for ds in headers}
    files = dict(zip(sources, paths, strict=True))

    def built(study: Analysis, earlier: Sequence[Report] = ()) -> tuple[Report, ...]:
        made = build_results(
            study,
            sources,
            kinds=KINDS,
            frames=lambda uid: open_clip(files[uid]),
            earlier=earlier,
            budget=plan.budget,
        )
        return made.reports

    study = plan.analyse(headers)
    earlier: tuple[Report, ...] = ()
    if study.revision > 1:
        first = clip(headers[0])
        earlier = built(analysis(first))
    latest = built(study, earlier)
    decided = () if plan.decided is None else _decided(plan.decided, study, latest, folder)
    here = () if plan.draws is None else (plan.draws(headers),)
    reports = {report.SOPInstanceUID: report for report in (*earlier, *here, *latest, *decided)}  # SEGs stay
    sent = [edit for edit in edits_of(study) if edit.SOPInstanceUID not in reports]
    persons = [_person(folder, one.SOPInstanceUID, one.SeriesInstanceUID, headers[0]) for one in sent]
    return Exam(
        name=name,
        sources=(*paths, *persons),
        is_bad=name in BAD,
        reports=tuple(reports.values()),
        taken=plan.taken,
    )


def _decided(kind: DecisionKind, study: Analysis, latest: Sequence[Report], folder: Path) -> tuple[Report, ...]:
    """What goes out once a person has decided on the results."""
    decision = Decision(
        StudyInstanceUID=STUDY,
        revision=study.revision,
        kind=kind,
        by=READER,
        reason="Wie von mir gelesen; die Außenwand im Blick behalten.",
        made_at=DECIDED_AT,
        decided=(),
        made=(),
    )
    if kind is DecisionKind.ACCEPTED:
        return tuple(accept_document(report, decision) for report in latest if report.kind in DOCUMENTS)
    for report in latest:
        (folder / report.SOPInstanceUID).write_bytes(report.content)
    return (build_rejection([read_made(folder / report.SOPInstanceUID) for report in latest], decision),)


def _person(folder: Path, uid: str, series: str, of: Dataset) -> Path:
    """The report of a person as the viewer saved it."""
    path = folder / f"{uid}.dcm"
    ds = drawn(of=of, SOPInstanceUID=uid, SeriesInstanceUID=series)
    for keyword in ("PatientBirthDate", "PatientSex", "StudyID", "AccessionNumber", "ReferringPhysicianName"):
        ds[keyword] = of[keyword]
    ds.save_as(path, enforce_file_format=True)
    return path
