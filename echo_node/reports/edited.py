"""A person's drawings as a structured report (PS3.16 TID 1500), for a page that has no viewer to write one.

:func:`echo_node.reports.corrections.read_corrections` reads it as it reads a viewer's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np
from highdicom import sr
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian

import echo_node
import echo_node.reports.coded as coded
import echo_node.reports.envelope as envelope
from echo_node.codes import ObjectKind, Structure
from echo_node.decisions import Person
from echo_node.edits import Drawn, Shape
from echo_node.identity import MANUFACTURER
from echo_node.records import Report
from echo_node.reports.coded import concept
from echo_node.reports.document import nameless
from echo_node.reports.items import comment
from echo_node.reports.observers import as_observer
from echo_node.reports.retired import as_successors, refer_to
from echo_node.reports.uids import derived_uid

MODEL = "Corrections by persons"  # the node's own results name another
_SERIES = 9010
_POINTS = (Shape.FOREGROUND, Shape.BACKGROUND)


def build_edit(
    drawn: Sequence[Drawn], sources: Mapping[str, Dataset], *, by: Person, reason: str, at: datetime
) -> Report:
    """What a person drew, as one Comprehensive SR, which every archive of SRs takes.

    Parameters
    ----------
    drawn : sequence of Drawn
        At least one, all on clips of one study.
    sources : mapping of SOPInstanceUID to Dataset
        Normalised headers of these clips (:func:`echo_node.reports.source.read_source`).
    by : Person
        Who drew.
    reason : str
        Why, in words; empty where none is given.
    at : datetime
        When, with a time zone.
    """
    known = as_successors(sources)
    clips = [known[uid] for uid in dict.fromkeys(drawing.SOPInstanceUID for drawing in drawn)]
    first = clips[0]
    report = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_person_context=as_observer(by)),
        procedure_reported=concept(coded.ECHOCARDIOGRAPHY),
        imaging_measurements=[_group(part, known, reason, at) for drawing in drawn for part in _parts(drawing)],
    )
    study = str(first.StudyInstanceUID)
    ds = sr.ComprehensiveSR(
        evidence=[nameless(clip) for clip in clips],
        content=report[0],
        series_instance_uid=derived_uid(study, MODEL, echo_node.__version__),
        series_number=_SERIES,
        sop_instance_uid=derived_uid(study, MODEL),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    envelope.set_origin(ds, first)
    envelope.set_times(ds, first, at)
    ds.SeriesDescription = MODEL
    ds.ManufacturerModelName = MODEL
    ds.SoftwareVersions = echo_node.__version__
    refer_to(ds, sources)
    del ds.ContributingEquipmentSequence  # highdicom's, with the time of day: the same drawings are the same report
    return envelope.named_by_content(ObjectKind.EDIT, ds)


def _group(
    drawing: Drawn, sources: Mapping[str, Dataset], reason: str, at: datetime
) -> sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    """A measurement group with the drawing as its region and the subject as its label (PS3.16 TID 1410)."""
    is_structure = isinstance(drawing.subject, Structure)
    words = drawing.subject.code.meaning if is_structure else drawing.subject.name
    label = f"{words} background" if drawing.shape is Shape.BACKGROUND else words
    clip = sources[drawing.SOPInstanceUID]
    image = sr.SourceImageForRegion(str(clip.SOPClassUID), str(clip.SOPInstanceUID), [drawing.frame_number])
    points = np.array(_corners(drawing), np.float64)[:, ::-1] + 0.5  # (column, row) from the outer corner
    kind = sr.GraphicTypeValues.POINT if drawing.shape in _POINTS else sr.GraphicTypeValues.POLYLINE
    group = sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=derived_uid(MODEL, drawing, reason, at.isoformat()), identifier=label
        ),
        referenced_region=sr.ImageRegion(kind, points, image),
        finding_sites=[sr.FindingSite(concept(drawing.subject.code))] if is_structure else None,
    )
    if reason:
        group[0].ContentSequence.append(comment(reason))
    return group


def _parts(drawing: Drawn) -> Iterator[Drawn]:
    """What a region can be: points one by one (PS3.16 TID 1410 has no set of them)."""
    if drawing.shape in _POINTS:
        yield from (replace(drawing, points=(point,)) for point in drawing.points)
    else:
        yield drawing


def _corners(drawing: Drawn) -> tuple[tuple[float, float], ...]:
    """The points as they are drawn: a box by its corners, outlines closed."""
    if drawing.shape is Shape.BOX:
        (top, left), (bottom, right) = drawing.points
        return (top, left), (top, right), (bottom, right), (bottom, left), (top, left)
    if drawing.shape is Shape.CONTOUR:
        return (*drawing.points, drawing.points[0])
    return drawing.points
