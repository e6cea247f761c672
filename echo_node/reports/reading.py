"""Numbers, reasons and views, read back out of a structured report of the node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TypeVar

import pydicom
from pydicom import Dataset

import echo_node.reports.coded as coded
from echo_node.codes import Code, Geometry, Method, Quantity, Reason, Unit, View
from echo_node.errors import ReportError
from echo_node.records import Finding, Measurement, NotMeasured, Source
from echo_node.reports.document import PROFILES
from echo_node.reports.observers import read_edits
from echo_node.reports.precoordinated import NAMES, Key
from echo_node.reports.retired import every_item
from echo_node.reports.srt import to_sct

_CLASSES = {profile.SOPClassUID for profile in PROFILES.values()}
_TEMPLATES = {"1500", "5200", "5300"}

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
    """Read a report that the node wrote, after whatever template.

    Parameters
    ----------
    content : bytes
        A Part 10 file.

    Returns
    -------
    Reading or None
        None where the object is of another kind, a segmentation say. TID 5300 has numbers alone.

    Raises
    ------
    ReportError
        A number has a code that the node does not use.
    """
    header = pydicom.dcmread(BytesIO(content), specific_tags=["SOPClassUID"], stop_before_pixels=True)
    if header.SOPClassUID not in _CLASSES:
        return None
    ds = pydicom.dcmread(BytesIO(content))
    if not {item.TemplateIdentifier for item in ds.get("ContentTemplateSequence", [])} & _TEMPLATES:
        return None
    to_sct(ds)
    items = list(every_item(ds))
    series = _series(ds)
    return Reading(
        SOPInstanceUID=str(ds.SOPInstanceUID),
        StudyInstanceUID=str(ds.StudyInstanceUID),
        views=tuple(view for item in items for view in _views(item)),
        measurements=tuple(m for item in items for m in _measurements(item, series)),
        not_measured=tuple(_reasons(ds.ContentSequence, series)),
        findings=tuple(finding for item in items for finding in _findings(item, series)),
    )


def _series(ds: Dataset) -> dict[str, str]:
    """The series of everything that the report refers to, by SOPInstanceUID."""
    return {
        str(instance.ReferencedSOPInstanceUID): str(series.SeriesInstanceUID)
        for study in ds.get("CurrentRequestedProcedureEvidenceSequence", [])
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }


def _measurements(item: Dataset, series: Mapping[str, str]) -> Iterator[Measurement]:
    """The item as a number, if it is one and has a value."""
    if item.get("ValueType") != "NUM" or not item.MeasuredValueSequence:
        return
    meant = _meant(item)
    if meant is None:
        return
    quantity, method, view = meant
    value = item.MeasuredValueSequence[0]
    uncertainty = next(coded.named(item, coded.UPPER_UNCERTAINTY), None)
    yield Measurement(
        quantity=quantity,
        value=float(value.NumericValue),
        unit=_required(Unit, value.MeasurementUnitsCodeSequence),
        method=method,
        view=view,
        sources=tuple(_source(image) for image in coded.named(item, coded.SOURCE_OF_MEASUREMENT)),
        uncertainty=None if uncertainty is None else float(uncertainty.MeasuredValueSequence[0].NumericValue),
        edits=read_edits(item, series),
    )


def _meant(item: Dataset) -> Key | None:
    """Quantity, method and view of a number: by its code alone, or by its modifiers; None of any other number."""
    name = item.ConceptNameCodeSequence
    quantity, method = _member(Quantity, name), next(coded.named(item, coded.MEASUREMENT_METHOD), None)
    alone = next((key for key, n in NAMES.items() if coded.is_code(name[0], n.code)), None)
    if quantity is None or method is None or alone is not None:
        return alone
    return quantity, _required(Method, method.ConceptCodeSequence), _view(item, coded.IMAGE_VIEW)


def _views(item: Dataset) -> Iterator[SeenView]:
    """What an image is seen as: said of the image itself, or in a group beside a region on it."""
    view = _view(item, coded.IMAGE_VIEW)
    named = next(coded.named(item, coded.IMAGE_VIEW), item)
    certainty = next((c for i in (named, item) for c in coded.named(i, coded.CERTAINTY)), None)
    if view is None or certainty is None:
        return
    images = [item, *item.ContentSequence]
    image = next(i for i in images if i.ValueType in ("IMAGE", "SCOORD"))
    yield SeenView(
        SOPInstanceUID=_source(image).SOPInstanceUID,
        view=view,
        probability=float(certainty.MeasuredValueSequence[0].NumericValue) / 100,
    )


def _findings(group: Dataset, series: Mapping[str, str]) -> Iterator[Finding]:
    """Classes that a group's numbers fall into; they were read off where the numbers were."""
    for item in coded.named(group, Quantity.LV_GEOMETRY.code):
        value = _member(Geometry, item.ConceptCodeSequence)
        number = next((m for child in group.ContentSequence for m in _measurements(child, series)), None)
        if value is not None and number is not None:
            yield Finding(quantity=Quantity.LV_GEOMETRY, value=value, sources=number.sources)


def _reasons(items: Sequence[Dataset], series: Mapping[str, str]) -> Iterator[NotMeasured]:
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
                    edits=read_edits(item, series),
                )
        yield from _reasons(item.get("ContentSequence", []), series)


def _source(item: Dataset) -> Source:
    """The image that an item is, or that a region lies on."""
    image = item.ContentSequence[0] if item.ValueType == "SCOORD" else item
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
