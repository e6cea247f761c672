"""Sources and analyses of known content."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import simplejpeg
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ComprehensiveSRStorage, JPEGBaseline8Bit, UltrasoundMultiFrameImageStorage

from echo_node.codes import Geometry, ImageMode, Method, Quantity, Reason, Structure, Unit, View, WallPoint
from echo_node.edits import DrawnLine, Edit
from echo_node.measure.results import EJECTION, WALLS
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
    Segmentation,
    Source,
    ViewPrediction,
    VolumeCurve,
)
from echo_node.reports import normalise
from echo_node.reports.frames import Masks

MADE_AT = datetime(2026, 11, 23, 12, 30, 15, 250000, tzinfo=UTC)
ENGINE = EngineIdentity(
    name="echo-phantom", version="1.0.0", digest="0123456789abcdef" * 4, backend="onnxruntime-cpu 1.32.0"
)
STUDY = "1.2.826.0.1.3680043.10.1.1"
ROWS, COLUMNS, FRAMES = 61, 83, 10  # 61 x 83 is no multiple of eight
ED, ES = 2, 7  # frame numbers
LENGTHS_MM = {Quantity.IVSD: 11.0, Quantity.LVIDD: 47.5, Quantity.LVPWD: 9.5, Quantity.LVIDS: 31.25}


def header(uid: str = "1.2.826.0.1.3680043.10.1.1.2.1", **changes: Any) -> Dataset:
    """A clip's header as a tidy cart sends it."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID = UltrasoundMultiFrameImageStorage
    ds.SOPInstanceUID = uid
    ds.SeriesInstanceUID = f"{STUDY}.2"
    ds.StudyInstanceUID = STUDY
    ds.PatientName = "Phantom^Paula"
    ds.PatientID = "P-0001"
    ds.PatientBirthDate = "19500102"
    ds.PatientSex = "F"
    ds.StudyDate = "20261123"
    ds.StudyTime = "101500"
    ds.AccessionNumber = "A-77"
    ds.StudyID = "S1"
    ds.ReferringPhysicianName = "Refer^Rita"
    ds.Modality = "US"
    ds.InstanceNumber = 3
    ds.Rows, ds.Columns, ds.NumberOfFrames = ROWS, COLUMNS, FRAMES
    for keyword, value in changes.items():
        if value is None:
            ds.pop(keyword, None)
        else:
            setattr(ds, keyword, value)
    return ds


def referred(sequence: Iterable[Dataset]) -> list[str]:
    """The SOPInstanceUIDs in a sequence of evidence or of predecessors (PS3.3 C.17.2.1), in their order."""
    return [
        str(item.ReferencedSOPInstanceUID)
        for study in sequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    ]


def source(uid: str = "1.2.826.0.1.3680043.10.1.1.2.1", **changes: Any) -> Dataset:
    return normalise(header(uid, **changes))


def masks(*, frames: int = FRAMES, rows: int = ROWS, columns: int = COLUMNS, at: float = 0.5) -> Masks:
    """A beating disk [T,H,W] about a column."""
    y, x = np.mgrid[:rows, :columns]
    radius = 8 + 3 * np.cos(np.arange(frames) / 2)
    return np.stack([(y - rows / 2) ** 2 + (x - columns * at) ** 2 < r**2 for r in radius])


@dataclass(frozen=True, kw_only=True)
class FakeCine:
    """A clip's frames in colour, made up; it counts what is decoded."""

    frames: Picture  # [T,H,W,3]
    sector: npt.NDArray[np.bool_]
    times_ms: npt.NDArray[np.float64] | None
    decoded: list[int] = field(default_factory=list)

    @property
    def NumberOfFrames(self) -> int:  # noqa: N802
        return len(self.frames)

    def colours(self, indices: Sequence[int]) -> Iterator[Picture]:
        for index in indices:
            self.decoded.append(index)
            yield self.frames[index]


def cine(of: Dataset, **changes: Any) -> FakeCine:
    """Frames for a header: a fan of smooth tissue whose brightness moves, and a name beside it."""
    frames, rows, columns = int(of.get("NumberOfFrames") or 1), of.Rows, of.Columns
    y, x = np.mgrid[:rows, :columns]
    sector = (np.hypot(y, x - columns / 2) < 0.85 * rows) & (np.abs(x - columns / 2) < y)
    tissue = 90 + 40 * np.sin(y / rows * 6 + np.arange(frames)[:, None, None] / 3) * np.cos(x / columns * 5)
    grey = np.where(sector, tissue, 0).astype(np.uint8)
    grey[:, rows // 12 : rows // 8, columns // 20 : columns // 5] = 200
    made = FakeCine(frames=np.repeat(grey[..., None], 3, axis=-1), sector=sector, times_ms=np.arange(float(frames)))
    return replace(made, **changes)


def jpeg_clip(path: Path, of: Dataset, *, cut: int | None = None, **changes: Any) -> Path:
    """A clip as JPEG; of one frame the second half may be lost."""
    coded = [simplejpeg.encode_jpeg(frame, colorsubsampling="422") for frame in cine(of).frames]
    if cut is not None:
        coded[cut - 1] = coded[cut - 1][: len(coded[cut - 1]) // 2]
    size = {keyword: of[keyword].value for keyword in ("Rows", "Columns", "NumberOfFrames")}
    ds = header(uid=of.SOPInstanceUID, **size, FrameTime="20", SamplesPerPixel=3, **changes)
    ds.PlanarConfiguration = 0
    ds.PhotometricInterpretation = "YBR_FULL_422"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PixelData = encapsulate(coded)
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    pydicom.dcmwrite(path, ds, enforce_file_format=True)
    return path


def segmentation(
    structure: Structure = Structure.LV_CAVITY,
    *,
    uid: str | None = None,
    mask: Masks | None = None,
    first: int = 1,
) -> Segmentation:
    mask = masks() if mask is None else mask
    return Segmentation(
        SOPInstanceUID=uid or source().SOPInstanceUID,
        structure=structure,
        masks=mask,
        frame_numbers=tuple(range(first, first + len(mask))),
    )


def clip(
    of: Dataset,
    *,
    view: View = View.A4C,
    structures: tuple[Structure, ...] = (Structure.LV_CAVITY, Structure.LA),
    **changes: Any,
) -> ClipAnalysis:
    """A measured clip of a header."""
    uid = of.SOPInstanceUID
    shape = {"frames": int(of.get("NumberOfFrames", 1)), "rows": of.Rows, "columns": of.Columns}
    both = Source(SOPInstanceUID=uid, frame_numbers=(2, 7))
    measured = ClipAnalysis(
        SOPInstanceUID=uid,
        StudyInstanceUID=of.StudyInstanceUID,
        prediction=ViewPrediction(
            SOPInstanceUID=uid,
            view=view,
            probability=0.9731,
            runner_up=View.A5C,
            runner_up_probability=0.02,
            mode=ImageMode.TWO_D,
        ),
        outcome=None,
        detail="",
        spacing_mm=(0.6, 0.6),
        segmentations=tuple(
            segmentation(s, uid=uid, mask=masks(at=0.3 + 0.2 * i, **shape)) for i, s in enumerate(structures)
        ),
        curve=VolumeCurve(volumes_ml=np.ones(10), times_ms=np.arange(10.0), ed_frame=2, es_frame=7),
        measurements=tuple(
            number(q, v, view=view, sources=(both,)) for q, v in zip(EJECTION, (61.25, 120.5, 46.7), strict=True)
        ),
        not_measured=(),
        engine=ENGINE,
    )
    return replace(measured, **changes)


def edit(uid: str = "2.25.901", *, observer: str = "Reader^Rosa", made_at: datetime | None = MADE_AT) -> Edit:
    return Edit(
        SOPClassUID=ComprehensiveSRStorage,
        SOPInstanceUID=uid,
        SeriesInstanceUID="2.25.900",
        observer=observer,
        made_at=made_at,
    )


def edited(of: Dataset, *edits: Edit) -> ClipAnalysis:
    """A clip whose ventricle and volumes rest on persons' reports."""
    made = clip(of)
    cavity, atrium = made.segmentations
    return replace(
        made,
        segmentations=(replace(cavity, edits=edits, drawn_frames=(ED,)), atrium),
        measurements=tuple(replace(m, edits=edits) for m in made.measurements),
    )


def edited_atrium(of: Dataset, *edits: Edit) -> ClipAnalysis:
    """A clip whose atrium persons outlined: no number rests on it."""
    made = clip(of)
    cavity, atrium = made.segmentations
    return replace(made, segmentations=(cavity, replace(atrium, edits=edits, drawn_frames=(ED,))))


def refused_line(of: Dataset, *edits: Edit) -> ClipAnalysis:
    """A clip on which a person drew a length that no heart has."""
    reason = NotMeasured(
        quantity=Quantity.IVSD,
        reason=Reason.IMPLAUSIBLE,
        detail="IVSD of 90 mm is outside 3 to 35 mm",
        view=View.PLAX,
        method=Method.DIRECT,
        edits=edits,
    )
    line = DrawnLine(quantity=Quantity.IVSD, frame_number=ED, ends=((1.0, 5.0), (59.0, 5.0)))
    return unmeasured(of, outcome=Reason.IMPLAUSIBLE, not_measured=(reason,), lines=(line,))


def with_estimate(of: ClipAnalysis, ef: float = 58.5) -> ClipAnalysis:
    """The same clip with a learned EF, on other frames than the disks'."""
    assert of.prediction is not None
    source = Source(SOPInstanceUID=of.SOPInstanceUID, frame_numbers=(3, 8))
    learned = number(Quantity.LVEF, ef, view=of.prediction.view, sources=(source,), method=Method.LEARNED)
    estimate = EjectionEstimate(SOPInstanceUID=of.SOPInstanceUID, ef=ef, uncertainty=2.5, ed_frame=3, es_frame=8)
    return replace(of, estimate=estimate, measurements=(*of.measurements, learned))


def long_axis(of: Dataset) -> ClipAnalysis:
    """A parasternal long axis whose walls were measured."""
    uid = of.SOPInstanceUID

    def landmarks(frame: int, rows: tuple[float, ...]) -> Landmarks:
        points = tuple((point, row, 40.0) for point, row in zip(WallPoint, rows, strict=True))
        return Landmarks(SOPInstanceUID=uid, frame_number=frame, points=points, probability=0.9)

    frames = {quantity: (ES,) if quantity is Quantity.LVIDS else (ED,) for quantity in WALLS}
    return replace(
        unmeasured(of),
        outcome=None,
        diameters=DiameterCurve(diameters_mm=np.ones(10), times_ms=np.arange(10.0), ed_frame=ED, es_frame=ES),
        landmarks=(landmarks(ED, (10, 14.5, 34, 38)), landmarks(ES, (11, 16, 29, 36))),
        measurements=tuple(
            number(
                quantity,
                LENGTHS_MM[quantity],
                view=View.PLAX,
                sources=(Source(SOPInstanceUID=uid, frame_numbers=frames[quantity]),),
                method=Method.DIRECT,
                unit=Unit.MILLIMETRE,
            )
            for quantity in WALLS
        ),
    )


def with_mass(study: Analysis, of: ClipAnalysis) -> Analysis:
    """The same study with what comes of a long axis' walls."""
    sources = of.measurements[0].sources
    rows = (
        (Quantity.LV_MASS, 182.5, Method.CUBE, Unit.GRAM),
        (Quantity.LV_RWT, 0.4, Method.TWICE_POSTERIOR_WALL, Unit.RATIO),
        (Quantity.LV_MASS_INDEX, 99.25, Method.CUBE, Unit.GRAM_PER_SQUARE_METRE),
    )
    mass = tuple(
        number(quantity, value, view=View.PLAX, sources=sources, method=method, unit=unit)
        for quantity, value, method, unit in rows
    )
    finding = Finding(quantity=Quantity.LV_GEOMETRY, value=Geometry.ECCENTRIC_HYPERTROPHY, sources=sources)
    return replace(study, measurements=(*study.measurements, *mass), findings=(finding,))


def unmeasured(
    of: Dataset, *, view: View = View.PLAX, outcome: Reason = Reason.NO_HEAD_FOR_VIEW, **changes: Any
) -> ClipAnalysis:
    """A clip whose view is known and on which nothing is measured."""
    return clip(of, view=view, structures=(), outcome=outcome, curve=None, measurements=(), **changes)


def number(
    quantity: Quantity,
    value: float,
    *,
    view: View | None = None,
    sources: tuple[Source, ...],
    method: Method = Method.DISKS_SINGLE_PLANE,
    unit: Unit | None = None,
) -> Measurement:
    return Measurement(
        quantity=quantity,
        value=value,
        unit=unit or (Unit.PERCENT if quantity is Quantity.LVEF else Unit.MILLILITRE),
        method=method,
        view=view,
        sources=sources,
        uncertainty=2.5,
    )


def analysis(*clips: ClipAnalysis, biplane: bool = False, revision: int = 1, **changes: Any) -> Analysis:
    """A study of these clips; ``biplane`` adds numbers from the first two."""
    measurements = tuple(m for c in clips for m in c.measurements)
    missing = tuple(n for c in clips for n in c.not_measured)
    if biplane:
        sources = tuple(c.measurements[0].sources[0] for c in clips[:2])
        measurements += tuple(
            number(q, v, sources=sources, method=Method.DISKS_BIPLANE)
            for q, v in zip(EJECTION, (60.0, 118.0, 47.2), strict=True)
        )
    else:
        missing += tuple(
            NotMeasured(quantity=q, reason=Reason.VIEW_MISSING, detail="no A2C clip", view=View.A2C)
            for q in EJECTION
        )
    made = Analysis(
        StudyInstanceUID=clips[0].StudyInstanceUID,
        revision=revision,
        clips=clips,
        measurements=measurements,
        not_measured=missing,
        engine=ENGINE,
        made_at=MADE_AT,
    )
    return replace(made, **changes)
