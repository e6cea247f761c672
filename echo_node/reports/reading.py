"""Numbers, reasons and views, read back out of a structured report of the node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TypeVar

import pydicom
from highdicom import sr
from pydicom import Dataset
from pydicom.uid import Comprehensive3DSRStorage

import echo_node.reports.coded as coded
from echo_node.codes import Code, Geometry, Method, Quantity, Reason, Unit, View
from echo_node.errors import ReportError
from echo_node.records import Finding, Measurement, NotMeasured, Source
from echo_node.reports.observers import read_edits

_Coded = TypeVar("_Coded", View, Method, Quantity, Reason, Unit, Geometry)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenView:
    """The view of a clip as a report names it."""

    SOPInstanceUID: str
    view: View
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a report says."""

    SOPInstanceUID: str
    StudyInstanceUID: str
    views: tuple[SeenView, ...]
    measurements: tuple[Measurement, ...]
    not_measured: tuple[NotMeasured, ...]
    findings: tuple[Finding, ...]


def read_report(content: bytes) -> Reading | None:
    """Read a TID 1500 report that the node wrote.

    Parameters
    ----------
    content : bytes
        A Part 10 file.

    Returns
    -------
    Reading or None
        None where the object is of another kind, a segmentation say.

    Raises
    ------
    ReportError
        A number has a code that the node does not use.
    """
    header = pydicom.dcmread(BytesIO(content), specific_tags=["SOPClassUID"], stop_before_pixels=True)
    if header.SOPClassUID != Comprehensive3DSRStorage:
        return None
    ds = sr.srread(BytesIO(content))
    if not isinstance(ds.content, sr.MeasurementReport):
        return None
    groups = ds.content.get_planar_roi_measurement_groups()
    series = _series(ds)
    numbers = [_measurement(m[0], series) for g in groups for m in g.get_measurements() if _is_quantity(m[0])]
    return Reading(
        SOPInstanceUID=str(ds.SOPInstanceUID),
        StudyInstanceUID=str(ds.StudyInstanceUID),
        views=tuple(view for group in groups for view in _views(group[0])),
        measurements=tuple(numbers),
        not_measured=tuple(_reasons(ds.ContentSequence)),
        findings=tuple(finding for group in groups for finding in _findings(group[0], series)),
    )


def _is_quantity(item: Dataset) -> bool:
    return _member(Quantity, item.ConceptNameCodeSequence) is not None


def _series(ds: Dataset) -> dict[str, str]:
    """The series of everything that the report refers to, by SOPInstanceUID."""
    return {
        str(instance.ReferencedSOPInstanceUID): str(series.SeriesInstanceUID)
        for study in ds.get("CurrentRequestedProcedureEvidenceSequence", [])
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }


def _measurement(item: Dataset, series: Mapping[str, str]) -> Measurement:
    value = item.MeasuredValueSequence[0]
    uncertainty = next(coded.named(item, coded.UPPER_UNCERTAINTY), None)
    return Measurement(
        quantity=_required(Quantity, item.ConceptNameCodeSequence),
        value=float(value.NumericValue),
        unit=_required(Unit, value.MeasurementUnitsCodeSequence),
        method=_required(Method, next(coded.named(item, coded.MEASUREMENT_METHOD)).ConceptCodeSequence),
        view=_view(item, coded.IMAGE_VIEW),
        sources=tuple(_source(image) for image in coded.named(item, coded.SOURCE_OF_MEASUREMENT)),
        uncertainty=None if uncertainty is None else float(uncertainty.MeasuredValueSequence[0].NumericValue),
        edits=read_edits(item, series),
    )


def _views(group: Dataset) -> Iterator[SeenView]:
    view = _view(group, coded.IMAGE_VIEW)
    if view is None:
        return
    certainty = next(coded.named(group, coded.CERTAINTY)).MeasuredValueSequence[0].NumericValue
    region = next(item for item in group.ContentSequence if item.ValueType == "SCOORD")
    image = region.ContentSequence[0].ReferencedSOPSequence[0]
    yield SeenView(
        SOPInstanceUID=str(image.ReferencedSOPInstanceUID),
        view=view,
        probability=float(certainty) / 100,
    )


def _findings(group: Dataset, series: Mapping[str, str]) -> Iterator[Finding]:
    """Classes that a group's numbers fall into; they were read off where the numbers were."""
    for item in coded.named(group, Quantity.LV_GEOMETRY.code):
        value = _member(Geometry, item.ConceptCodeSequence)
        number = next((n for n in group.ContentSequence if n.ValueType == "NUM" and _is_quantity(n)), None)
        if value is not None and number is not None:
            yield Finding(quantity=Quantity.LV_GEOMETRY, value=value, sources=_measurement(number, series).sources)


def _reasons(items: Sequence[Dataset]) -> Iterator[NotMeasured]:
    """Every quantity that has a reason in place of a value, at any depth."""
    for item in items:
        if item.ValueType == "CODE":
            quantity = _member(Quantity, item.ConceptNameCodeSequence)
            reason = _member(Reason, item.ConceptCodeSequence)
            if quantity is not None and reason is not None:
                comment = next(coded.named(item, coded.COMMENT), None)
                method = next(coded.named(item, coded.MEASUREMENT_METHOD), None)
                yield NotMeasured(
                    quantity=quantity,
                    reason=reason,
                    detail="" if comment is None else str(comment.TextValue),
                    view=_view(item, coded.IMAGE_VIEW),
                    method=None if method is None else _member(Method, method.ConceptCodeSequence),
                )
        yield from _reasons(item.get("ContentSequence", []))


def _source(image: Dataset) -> Source:
    reference = image.ReferencedSOPSequence[0]
    frames = reference.get("ReferencedFrameNumber", 1)
    numbers = [frames] if isinstance(frames, int | str) else frames
    return Source(
        SOPInstanceUID=str(reference.ReferencedSOPInstanceUID),
        frame_numbers=tuple(int(number) for number in numbers),
    )


def _view(item: Dataset, name: Code) -> View | None:
    found = next(coded.named(item, name), None)
    return None if found is None else _member(View, found.ConceptCodeSequence)


def _member(kind: type[_Coded], sequence: Sequence[Dataset]) -> _Coded | None:
    return next((m for m in kind if coded.is_code(sequence[0], m.code)), None)


def _required(kind: type[_Coded], sequence: Sequence[Dataset]) -> _Coded:
    member = _member(kind, sequence)
    if member is None:
        raise ReportError(f"report holds a code that is no {kind.__name__} of the node")
    return member
