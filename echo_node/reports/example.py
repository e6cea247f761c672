"""Made-up studies of no patient, small but with everything that a report can hold.

What the node's conformance statement says of its objects is read off the objects of these.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom import Dataset
from pydicom.uid import ComprehensiveSRStorage, UltrasoundMultiFrameImageStorage

from echo_node.codes import (
    UNIT_OF,
    Geometry,
    ImageMode,
    Method,
    ObjectKind,
    Quantity,
    Reason,
    Structure,
    View,
    WallPoint,
)
from echo_node.decisions import Decision, DecisionKind, Person
from echo_node.edits import Drawn, Edit, Shape
from echo_node.pictures import Picture
from echo_node.records import (
    Analysis,
    ClipAnalysis,
    DiameterCurve,
    EjectionEstimate,
    EngineIdentity,
    Finding,
    Landmarks,
    Measurement,
    NotMeasured,
    Report,
    Segmentation,
    Source,
    ViewPrediction,
    VolumeCurve,
)
from echo_node.reports import build_edit, build_rejection, build_reports
from echo_node.reports.source import normalise

_RETIRED_MULTI_FRAME = "1.2.840.10008.5.1.4.1.1.3"  # PS3.6 Annex A
_ED, _ES = 1, 3  # frame numbers
_READER = Person(name="Reader^", organization="Hospital")
_VOLUMES = (Quantity.LVEF, Quantity.LV_EDV, Quantity.LV_ESV)
_WALLS = (Quantity.IVSD, Quantity.LVIDD, Quantity.LVPWD, Quantity.LVIDS)
_MASS = (
    (Quantity.LV_MASS, Method.CUBE),
    (Quantity.LV_RWT, Method.TWICE_POSTERIOR_WALL),
    (Quantity.LV_MASS_INDEX, Method.CUBE),
)


@dataclass(frozen=True, slots=True)
class _Cine:
    """Frames without a picture on them."""

    sector: npt.NDArray[np.bool_]
    times_ms: npt.NDArray[np.float64]

    @property
    def NumberOfFrames(self) -> int:  # noqa: N802 (a DICOM keyword)
        return len(self.times_ms)

    def colours(self, indices: Sequence[int]) -> Iterator[Picture]:
        return (np.zeros((*self.sector.shape, 3), np.uint8) for _ in indices)


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """The header of a study's first clip, and the objects made of the study."""

    source: Dataset
    reports: tuple[Report, ...]  # of every kind, those of clips for each clip


def full(number: int) -> Example:
    """A study from a cart that fills everything in; studies of other numbers share no value with it.

    The first is complete and replaces an earlier report; all others lack a measurement, and a person has
    corrected them.
    """
    header = _header(number)
    study = _analysis(header, number)
    if number > 1:
        return _example(_edited(study, number), header)
    earlier = _example(replace(study, revision=number), header).reports
    return _example(replace(study, not_measured=()), header, predecessors=earlier)


def bare() -> Example:
    """A study from a cart that sends no attribute that it may leave out or empty."""
    ds = Dataset()
    for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "Rows", "Columns"):
        setattr(ds, keyword, _header(3)[keyword].value)
    ds.NumberOfFrames = 6
    header = normalise(ds)
    return _example(_analysis(header, 3), header)


def _header(number: int) -> Dataset:
    """A clip's normalised header, no two values of it alike."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID = UltrasoundMultiFrameImageStorage if number % 2 else _RETIRED_MULTI_FRAME
    ds.StudyInstanceUID, ds.SeriesInstanceUID = f"2.25.{number}", f"2.25.{number}.1"
    ds.SOPInstanceUID = f"2.25.{number}.1.1"
    ds.PatientName, ds.PatientID, ds.IssuerOfPatientID = f"Name{number}", f"ID{number}", f"Issuer{number}"
    ds.PatientBirthDate, ds.PatientSex = f"1900010{number}", "MFO"[number % 3]
    ds.PatientSize, ds.PatientWeight = f"1.7{number}", f"7{number}"
    ds.StudyDate, ds.StudyTime = f"2000010{number}", f"10000{number}"
    ds.StudyID, ds.StudyDescription = f"Study{number}", f"Description{number}"
    ds.AccessionNumber, ds.ReferringPhysicianName = f"Accession{number}", f"Referrer{number}"
    ds.TimezoneOffsetFromUTC, ds.Modality, ds.InstanceNumber = f"+0{number}00", "US", 40 + number
    ds.Rows, ds.Columns, ds.NumberOfFrames = 16 + 8 * number, 100 + 8 * number, 3 + number
    request = Dataset()
    request.RequestedProcedureID = f"Request{number}"
    request.RequestedProcedureDescription = f"Requested{number}"
    ds.RequestAttributesSequence = [request]
    if number % 2:
        ds.LossyImageCompression, ds.LossyImageCompressionRatio = "01", 1.5 + number
        ds.LossyImageCompressionMethod = "ISO_10918_1"
    return normalise(ds)


def _example(study: Analysis, header: Dataset, *, predecessors: Sequence[Report] = ()) -> Example:
    """Every clip of the study has this header, but for its UID."""
    sources = {}
    for clip in study.clips:
        sources[clip.SOPInstanceUID] = copy.deepcopy(header)
        sources[clip.SOPInstanceUID].SOPInstanceUID = clip.SOPInstanceUID
    frame_times = np.arange(float(header.NumberOfFrames)) * 20
    blank = _Cine(np.ones((header.Rows, header.Columns), np.bool_), frame_times)
    reports = build_reports(study, sources, kinds=tuple(ObjectKind), frames=lambda _: blank, earlier=predecessors)
    by_persons = (_rejection(study, reports), _edit(study, sources))
    return Example(source=sources[study.clips[0].SOPInstanceUID], reports=(*reports, *by_persons))


def every_shape(SOPInstanceUID: str) -> list[Drawn]:
    """A person's drawings of every shape on one clip."""
    points = ((5.0, 5.0), (9.0, 9.0))
    return [
        Drawn(
            SOPInstanceUID=SOPInstanceUID,
            frame_number=_ED,
            shape=shape,
            points=(*points, (9.0, 5.0)) if shape is Shape.CONTOUR else points,
            subject=Quantity.IVSD if shape is Shape.LINE else Structure.LV_CAVITY,
        )
        for shape in Shape
    ]


def _edit(study: Analysis, sources: Mapping[str, Dataset]) -> Report:
    """What a person drew on the first clip."""
    drawn = every_shape(study.clips[0].SOPInstanceUID)
    return build_edit(drawn, sources, by=_READER, reason="why", at=study.made_at)


def _rejection(study: Analysis, reports: Sequence[Report]) -> Report:
    """A person's rejection of them all."""
    decision = Decision(
        StudyInstanceUID=study.StudyInstanceUID,
        revision=study.revision,
        kind=DecisionKind.REJECTED,
        by=_READER,
        reason="",
        made_at=study.made_at,
        decided=tuple(report.SOPInstanceUID for report in reports),
        made=(),
    )
    return build_rejection(
        [pydicom.dcmread(BytesIO(r.content), stop_before_pixels=True) for r in reports], decision
    )


def _analysis(source: Dataset, number: int) -> Analysis:
    """Both apical views, a long axis and a view that is not measured."""
    first, second = (_apical(source, number, view) for view in (View.A4C, View.A2C))
    walls = _long_axis(source, number)
    apex = _seen(source, number, View.PSAX_APEX)
    biplane = [_measurement(q, number, (first, second), method=Method.DISKS_BIPLANE, view=None) for q in _VOLUMES]
    mass = [_measurement(q, number, (walls,), method=m, view=View.PLAX) for q, m in _MASS]
    clips = (first, second, walls, apex)
    finding = Finding(quantity=Quantity.LV_GEOMETRY, value=Geometry.NORMAL, sources=walls.measurements[0].sources)
    return Analysis(
        StudyInstanceUID=source.StudyInstanceUID,
        revision=number + 1,
        clips=clips,
        measurements=(*(m for clip in clips for m in clip.measurements), *biplane, *mass),
        not_measured=tuple(_unmeasured(reason, view) for reason, view in _REASONS),
        engine=_engine(number),
        made_at=datetime(2001, 2, number, 12, 30, number, tzinfo=UTC),
        findings=(finding,),
    )


def _edited(study: Analysis, number: int) -> Analysis:
    """The same study where an outline, a number and the lack of one rest on a person's report."""
    edit = Edit(
        SOPClassUID=ComprehensiveSRStorage,
        SOPInstanceUID=f"2.25.{number}.2.1",
        SeriesInstanceUID=f"2.25.{number}.2",
        observer=f"Reader{number}^",
        made_at=study.made_at,
        reason="why",
    )
    first, *clips = study.clips
    outlined, *others = first.segmentations
    outlined = replace(outlined, edits=(edit,), drawn_frames=(_ED,))
    return replace(
        study,
        clips=(replace(first, segmentations=(outlined, *others)), *clips),
        measurements=(replace(study.measurements[0], edits=(edit,)), *study.measurements[1:]),
        not_measured=(replace(study.not_measured[0], edits=(edit,)), *study.not_measured[1:]),
    )


_REASONS = ((Reason.DISAGREEMENT, None), (Reason.VIEW_MISSING, View.PSAX_APEX))


def _unmeasured(reason: Reason, view: View | None) -> NotMeasured:
    return NotMeasured(
        quantity=Quantity.LVEF_COMBINED, reason=reason, detail="why", view=view, method=Method.DISKS_BIPLANE
    )


def _engine(number: int) -> EngineIdentity:
    return EngineIdentity(
        name=f"engine{number}", version=f"{number}.0.0", digest=str(number) * 64, backend=f"backend{number}"
    )


def _seen(source: Dataset, number: int, view: View) -> ClipAnalysis:
    """A clip whose view is known and on which nothing was measured."""
    uid = f"{source.SOPInstanceUID}.{list(View).index(view)}"
    prediction = ViewPrediction(
        SOPInstanceUID=uid,
        view=view,
        probability=0.9 + number / 100,
        runner_up=View.OTHER,
        runner_up_probability=0.01,
        mode=ImageMode.TWO_D,
    )
    return ClipAnalysis(
        SOPInstanceUID=uid,
        StudyInstanceUID=source.StudyInstanceUID,
        prediction=prediction,
        outcome=Reason.NO_HEAD_FOR_VIEW,
        detail="",
        spacing_mm=(0.5, 0.5),
        segmentations=(),
        curve=None,
        measurements=(),
        not_measured=(_unmeasured(Reason.LOW_QUALITY, view),),
        engine=_engine(number),
    )


def _apical(source: Dataset, number: int, view: View) -> ClipAnalysis:
    """A clip with masks, volumes and a learned EF."""
    clip = _seen(source, number, view)
    uid = clip.SOPInstanceUID
    frames = tuple(range(1, source.NumberOfFrames + 1))
    masks = np.zeros((len(frames), source.Rows, source.Columns), np.bool_)
    masks[:-1, 4:9, 4 : 9 + number] = True  # the last frame shows nothing
    structures = list(Structure)[: 1 + number]
    apart = 0 if number == 1 else 20  # columns: in the first study structures overlap
    numbers = [_measurement(q, number, (clip,), method=Method.DISKS_SINGLE_PLANE, view=view) for q in _VOLUMES]
    learned = _measurement(Quantity.LVEF, number, (clip,), method=Method.LEARNED, view=view)
    return replace(
        clip,
        outcome=None,
        segmentations=tuple(
            Segmentation(
                SOPInstanceUID=uid, structure=s, masks=np.roll(masks, i * apart, axis=2), frame_numbers=frames
            )
            for i, s in enumerate(structures)
        ),
        curve=VolumeCurve(volumes_ml=np.ones(4), times_ms=np.arange(4.0), ed_frame=_ED, es_frame=_ES),
        measurements=(*numbers, learned),
        estimate=EjectionEstimate(SOPInstanceUID=uid, ef=60.0, uncertainty=5.0, ed_frame=_ED, es_frame=_ES),
    )


def _long_axis(source: Dataset, number: int) -> ClipAnalysis:
    """A clip with walls."""
    clip = _seen(source, number, View.PLAX)
    points = tuple((point, 4.0 + 2 * i, 6.0 + number) for i, point in enumerate(WallPoint))
    return replace(
        clip,
        outcome=None,
        diameters=DiameterCurve(diameters_mm=np.ones(4), times_ms=np.arange(4.0), ed_frame=_ED, es_frame=_ES),
        landmarks=tuple(
            Landmarks(SOPInstanceUID=clip.SOPInstanceUID, frame_number=f, points=points, probability=0.9)
            for f in (_ED, _ES)
        ),
        measurements=tuple(_measurement(q, number, (clip,), method=Method.DIRECT, view=View.PLAX) for q in _WALLS),
    )


def _measurement(
    quantity: Quantity, number: int, clips: tuple[ClipAnalysis, ...], *, method: Method, view: View | None
) -> Measurement:
    return Measurement(
        quantity=quantity,
        value=50.0 + number,
        unit=UNIT_OF[quantity],
        method=method,
        view=view,
        sources=tuple(Source(SOPInstanceUID=c.SOPInstanceUID, frame_numbers=(_ED, _ES)) for c in clips),
        uncertainty=2.0 + number,
    )
