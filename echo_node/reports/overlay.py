"""A measured clip with its findings drawn on it, for viewers that show no SEG (US Multi-frame, PS3.3 A.7).

The picture keeps its size, its times and its regions, so that a viewer's calipers measure on it as on
the source.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt
import simplejpeg
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.tag import Tag
from pydicom.uid import JPEGBaseline8Bit, UltrasoundMultiFrameImageStorage

import echo_node.reports.coded as coded
import echo_node.reports.envelope as envelope
from echo_node.codes import ObjectKind
from echo_node.errors import ReportError
from echo_node.pictures import Cine, plan_overlay
from echo_node.records import ClipAnalysis, Report
from echo_node.reports.frames import image_reference
from echo_node.reports.uids import after_edits, after_rejections, derived_uid

JPEG_QUALITY = 90
MOST_FRAMES = 3000  # 100 s at 30 a second: the whole object is made in memory
_ACQUISITION = (
    "AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime", "HeartRate", "PixelAspectRatio", "CineRate",
    "RecommendedDisplayFrameRate",
)  # fmt: skip
_REGION_NEEDS = (  # type 1 (PS3.3 C.8.5.5)
    "RegionSpatialFormat", "RegionDataType", "RegionFlags", "RegionLocationMinX0", "RegionLocationMinY0",
    "RegionLocationMaxX1", "RegionLocationMaxY1", "PhysicalUnitsXDirection", "PhysicalUnitsYDirection",
    "PhysicalDeltaX", "PhysicalDeltaY",
)  # fmt: skip


def is_drawn(analysis: ClipAnalysis) -> bool:
    """Is there anything to draw on the clip's frames?"""
    return bool(analysis.landmarks or analysis.lines) or any(s.masks.any() for s in analysis.segmentations)


def build_overlay(
    analysis: ClipAnalysis, source: Dataset, cine: Cine, *, made_at: datetime, rejections: int = 0
) -> Report | None:
    """All frames of a clip with its outlines or wall lines, its view, numbers and curve.

    Parameters
    ----------
    analysis : ClipAnalysis
        Its masks are [T,H,W] with the source's H and W.
    source : Dataset
        Normalised header of the clip (:func:`echo_node.reports.source.read_source`).
    cine : Cine
        The same clip's frames; each is decoded once, one after the other.
    made_at : datetime
        When the findings were made, with a time zone.
    rejections : int
        How often a person has rejected the study's results: what follows is never the rejected object.

    Returns
    -------
    Report or None
        None where there is nothing to draw, the clip does not say its frames' times, which the class
        needs, or it has more than ``MOST_FRAMES`` frames.

    Raises
    ------
    ReportError
        The frames do not fit the source.
    ClipError
        They cannot be decoded.

    Notes
    -----
    The SOPInstanceUID is derived from the source, the engine and the coded frames, as a SEG's is.
    """
    if not is_drawn(analysis) or cine.times_ms is None or cine.NumberOfFrames > MOST_FRAMES:
        return None
    if cine.sector.shape != (source.get("Rows"), source.get("Columns")):
        raise ReportError(f"{analysis.SOPInstanceUID}: frames are {cine.sector.shape}, the source is not")
    coded_frames = _coded_frames(analysis, cine)
    ds = Dataset()
    envelope.set_origin(ds, source)
    envelope.set_series(ds, envelope.OVERLAY_SERIES, source, analysis.engine)
    envelope.set_made(ds, source, analysis.engine, made_at)
    ds.SOPClassUID = UltrasoundMultiFrameImageStorage
    ds.SOPInstanceUID = derived_uid(
        source.SOPInstanceUID,
        "OVERLAY",
        analysis.engine.digest,
        _digest(coded_frames),
        *after_edits(analysis.edits),
        *after_rejections(rejections),
    )
    ds.InstanceNumber = envelope.instance_number(source, analysis.edits, rejections)
    _set_derivation(ds, source, analysis)
    _set_kept(ds, source)
    _set_times(ds, source, cine.times_ms)
    _set_pixels(ds, source, coded_frames)
    return envelope.to_report(ObjectKind.OVERLAY, ds, transfer_syntax_uid=JPEGBaseline8Bit)


def _coded_frames(analysis: ClipAnalysis, cine: Cine) -> list[bytes]:
    """The frames drawn on and coded as JPEG baseline, colour sampled half as wide (PS3.5 8.2.1)."""
    overlay = plan_overlay(analysis, cine)
    return [
        simplejpeg.encode_jpeg(overlay.draw(frame, number), quality=JPEG_QUALITY, colorsubsampling="422")
        for number, frame in enumerate(cine.colours(range(cine.NumberOfFrames)), start=1)
    ]


def _digest(coded_frames: Sequence[bytes]) -> str:
    digest = hashlib.sha256()
    for frame in coded_frames:
        digest.update(frame)
    return digest.hexdigest()


def _set_derivation(ds: Dataset, source: Dataset, analysis: ClipAnalysis) -> None:
    """What it was made from, and how (PS3.3 C.7.6.1.1.3, C.12.4)."""
    ds.ImageType = ["DERIVED", "SECONDARY"]
    of_whom = "of software, in part from what a person drew," if analysis.edits else "of software"
    ds.DerivationDescription = f"Findings {of_whom} drawn on the frames of the source image"
    item = image_reference(source)
    item.SpatialLocationsPreserved = "YES"
    item.PurposeOfReferenceCodeSequence = [coded.code_item(coded.SOURCE_FOR_PROCESSING)]
    ds.SourceImageSequence = [item]
    ds.BurnedInAnnotation = "YES"


def _set_kept(ds: Dataset, source: Dataset) -> None:
    """What a viewer plays and measures by (PS3.3 C.8.5.5)."""
    ds.PatientOrientation = source.get("PatientOrientation") or None
    ds.Laterality = source.get("Laterality") or None
    for keyword in _ACQUISITION:
        if source.get(keyword) not in (None, ""):
            ds[keyword] = source[keyword]
    regions = [
        item
        for item in source.get("SequenceOfUltrasoundRegions", [])
        if all(item.get(keyword) is not None for keyword in _REGION_NEEDS)
    ]
    if regions:
        ds.SequenceOfUltrasoundRegions = regions


def _set_times(ds: Dataset, source: Dataset, times_ms: npt.NDArray[np.float64]) -> None:
    """Frame times as the source has them, or one step where it only has a rate (PS3.3 C.7.6.5, C.7.6.6)."""
    vector = source.get("FrameTimeVector") or []
    if source.get("FrameTime"):
        ds.FrameTime = source.FrameTime
    if len(np.atleast_1d(vector)) == len(times_ms):
        ds.FrameTimeVector = vector
    elif not source.get("FrameTime"):
        ds.FrameTime = f"{times_ms[1] - times_ms[0]:.4f}"
    ds.FrameIncrementPointer = Tag("FrameTimeVector" if "FrameTimeVector" in ds else "FrameTime")


def _set_pixels(ds: Dataset, source: Dataset, coded_frames: Sequence[bytes]) -> None:
    """Image pixel and multi-frame modules (PS3.3 C.7.6.3, C.7.6.6); what was lost before stays said."""
    ds.SamplesPerPixel = 3
    ds.PhotometricInterpretation = "YBR_FULL_422"
    ds.PlanarConfiguration = 0
    ds.Rows, ds.Columns = source.Rows, source.Columns
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit = 7
    ds.PixelRepresentation = 0
    ds.NumberOfFrames = len(coded_frames)
    ratio = ds.Rows * ds.Columns * 3 * len(coded_frames) / sum(map(len, coded_frames))
    before = _steps(source)
    ds.LossyImageCompression = "01"
    ds.LossyImageCompressionRatio = [*(step[0] for step in before), f"{ratio:.4f}"]
    ds.LossyImageCompressionMethod = [*(step[1] for step in before), "ISO_10918_1"]
    ds.PixelData = encapsulate(list(coded_frames))
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True


def _steps(source: Dataset) -> list[tuple[str, str]]:
    """Ratio and method of each lossy step that the source states; values stand in pairs (C.7.6.1.1.5)."""
    if source.get("LossyImageCompression") != "01":
        return []
    ratios, methods = (
        np.atleast_1d(source.get(keyword) or []).tolist()
        for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod")
    )
    if len(ratios) != len(methods) or not all(methods):
        return []
    return [(str(ratio), str(method)) for ratio, method in zip(ratios, methods, strict=True)]
