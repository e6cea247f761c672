"""The nouns of the node: frozen, slotted, keyword-only records.

Only :class:`Clip` and :class:`Segmentation` carry pixels; everything else refers by UID. DICOM
attributes keep their keyword as name. Frame numbers count from 1, as ReferencedFrameNumber does
(PS3.3 10.3); array indices count from 0.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from echo_node.codes import (
    Geometry,
    ImageMode,
    Method,
    ObjectKind,
    Quantity,
    Reason,
    Structure,
    Unit,
    View,
    WallPoint,
)
from echo_node.decisions import Decision
from echo_node.edits import DrawnLine, Edit


class StudyState(enum.Enum):
    """Where a study stands."""

    RECEIVING = "receiving"
    CLOSED = "closed"  # a report job is queued
    REPORTED = "reported"
    QUARANTINED = "quarantined"  # a person must look: two patients, say


class CloseReason(enum.Enum):
    """Why a study was closed."""

    QUIET = "quiet time over"
    ASSOCIATION_END = "association ended"
    HARD_CAP = "hard cap reached"


class DeliveryState(enum.Enum):
    """Where an outbox row stands."""

    QUEUED = "queued"
    FAILED = "failed"  # waits for its next try; no row holds it: a queued one with an error has failed
    SENT = "sent"  # the end, unless the destination is to confirm it
    COMMITTED = "committed"  # the destination has confirmed that it keeps it
    DEAD = "dead"  # refused, or out of attempts; a person must look


class JobKind(enum.Enum):
    """What an analyser does."""

    CLIP = "clip"  # target: SOPInstanceUID
    CORRECTION = "correction"  # target: SOPInstanceUID of a structured report
    STUDY = "study"  # target: StudyInstanceUID


DRAWN_HERE = ""  # in place of a sender's AE title: what a person drew on the node itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """An object as it was received, byte for byte on disk."""

    SOPClassUID: str
    SOPInstanceUID: str
    SeriesInstanceUID: str
    StudyInstanceUID: str
    PatientID: str
    TransferSyntaxUID: str
    path: Path
    sha256: str
    size: int  # bytes, the whole file
    source_ae: str  # or DRAWN_HERE
    received_at: datetime  # UTC
    reason: Reason | None = None  # why it is kept but not analysed, or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A study and what has arrived of it."""

    StudyInstanceUID: str
    PatientID: str
    source_ae: str
    state: StudyState
    closed_because: CloseReason | None
    revision: int  # 0 until first closed; counts up with every close
    closed_at: datetime | None  # UTC, of the latest close
    instances: tuple[Instance, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """Grey frames of one object, or those of its frames that were asked for."""

    SOPInstanceUID: str
    frames: npt.NDArray[np.uint8]  # [T,H,W], outside the sector 0
    frame_numbers: tuple[int, ...]  # [T], of the source object
    times_ms: npt.NDArray[np.float64] | None  # [T], from the clip's first frame; None without timing
    spacing_mm: tuple[float, float] | None  # (row, column) of a pixel; None without calibration
    sector: npt.NDArray[np.bool_]  # [H,W], True where there is ultrasound
    mode: ImageMode
    NumberOfFrames: int  # of the source object


class Sex(enum.Enum):
    """PatientSex, where normal values are known for it (PS3.3 C.7.1.1)."""

    FEMALE = "F"
    MALE = "M"


HEIGHT_M, WEIGHT_KG = (1.2, 2.4), (25.0, 350.0)  # adults: the normal values hold for them alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What normal values go by. None where the header does not say."""

    sex: Sex | None = None
    height_m: float | None = None
    weight_kg: float | None = None

    @property
    def surface_m2(self) -> float | None:
        """Surface area by Du Bois and Du Bois (122241 DCM, PS3.16 CID 3663); None but for an adult's size.

        Du Bois D, Du Bois EF. A formula to estimate the approximate surface area if height and weight be
        known. Arch Intern Med 1916;17:863-71.
        """
        if self.height_m is None or not HEIGHT_M[0] <= self.height_m <= HEIGHT_M[1]:
            return None
        if self.weight_kg is None or not WEIGHT_KG[0] <= self.weight_kg <= WEIGHT_KG[1]:
            return None
        return float(0.007184 * self.weight_kg**0.425 * (100 * self.height_m) ** 0.725)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineIdentity:
    """Which engine made a result (PS3.16 TID 4019)."""

    name: str
    version: str
    digest: str  # sha256 of the manifest, which holds the sha256 of every file
    backend: str  # "onnxruntime-cpu 1.32.0", "tensorrt 11.0 plan <digest>"


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewPrediction:
    """The view of a clip."""

    SOPInstanceUID: str
    view: View
    probability: float
    runner_up: View
    runner_up_probability: float
    mode: ImageMode


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmentation:
    """Masks of one structure on frames of one clip."""

    SOPInstanceUID: str
    structure: Structure
    masks: npt.NDArray[np.bool_]  # [T,H,W], H and W of the source image
    frame_numbers: tuple[int, ...]  # [T]
    edits: tuple[Edit, ...] = ()
    drawn_frames: tuple[int, ...] = ()  # whose masks a person drew


@dataclass(frozen=True, slots=True, kw_only=True)
class Landmarks:
    """Named points on one frame, as (row, column) in pixels of the source image."""

    SOPInstanceUID: str
    frame_number: int
    points: tuple[tuple[WallPoint, float, float], ...]
    probability: float  # of the least certain point, 0 to 1


@dataclass(frozen=True, slots=True, kw_only=True)
class EjectionEstimate:
    """What the ejection fraction head says of a clip, without any outline."""

    SOPInstanceUID: str
    ef: float  # percent
    uncertainty: float  # one standard deviation, points
    ed_frame: int  # frame number
    es_frame: int  # frame number


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a result was read off: an object and its frames."""

    SOPInstanceUID: str
    frame_numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A number with its meaning."""

    quantity: Quantity
    value: float
    unit: Unit
    method: Method
    view: View | None  # None for a biplane result
    sources: tuple[Source, ...]
    uncertainty: float | None  # one standard deviation, in the unit
    edits: tuple[Edit, ...] = ()  # by persons, of what the number was read off


@dataclass(frozen=True, slots=True, kw_only=True)
class NotMeasured:
    """Why a number is not there: a value, never None."""

    quantity: Quantity
    reason: Reason
    detail: str  # for people; no patient data
    view: View | None = None
    method: Method | None = None  # by which it was tried; None where no method could
    edits: tuple[Edit, ...] = ()  # by persons, of what it was to be read off


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A class that a structure falls into."""

    quantity: Quantity
    value: Geometry
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeCurve:
    """LV volume over a clip by the single-plane method of disks."""

    volumes_ml: npt.NDArray[np.float64]  # [T]; arbitrary scale where the clip has no calibration
    times_ms: npt.NDArray[np.float64]  # [T]
    ed_frame: int  # frame number
    es_frame: int  # frame number


@dataclass(frozen=True, slots=True, kw_only=True)
class DiameterCurve:
    """LV internal diameter over a parasternal long-axis clip."""

    diameters_mm: npt.NDArray[np.float64]  # [T], smoothed
    times_ms: npt.NDArray[np.float64]  # [T]
    ed_frame: int  # frame number
    es_frame: int  # frame number


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipAnalysis:
    """All that is known of one clip once it has been through the pipeline.

    Fields with a default came later than the first stored analyses: the store fills them in.
    """

    SOPInstanceUID: str
    StudyInstanceUID: str
    prediction: ViewPrediction | None  # None where the object could not be read as a clip
    outcome: Reason | None  # why no head measured it, or None where one did
    detail: str  # for people; no patient data
    spacing_mm: tuple[float, float] | None
    segmentations: tuple[Segmentation, ...]
    curve: VolumeCurve | None
    measurements: tuple[Measurement, ...]
    not_measured: tuple[NotMeasured, ...]
    engine: EngineIdentity
    body: Body | None = None  # None where the object could not be read as a clip
    diameters: DiameterCurve | None = None
    landmarks: tuple[Landmarks, ...] = ()  # of the frames that walls were measured on
    estimate: EjectionEstimate | None = None
    lines: tuple[DrawnLine, ...] = ()
    stated_mode: ImageMode | None = None  # by the header; None where it does not say

    @property
    def mode(self) -> ImageMode | None:
        """As it was seen, else as the header states it. Rules find it, no model: it has no probability."""
        return self.stated_mode if self.prediction is None else self.prediction.mode

    @property
    def edits(self) -> tuple[Edit, ...]:
        """Every edit that a result of the clip rests on, once."""
        of_results = (
            *(measurement.edits for measurement in self.measurements),
            *(segmentation.edits for segmentation in self.segmentations),
            *(missing.edits for missing in self.not_measured),
        )
        return tuple(dict.fromkeys(edit for edits in of_results for edit in edits))

    @property
    def cycle(self) -> tuple[int, int] | None:
        """Frame numbers of end diastole and end systole, where a head found them."""
        curve = self.curve or self.diameters
        return None if curve is None else (curve.ed_frame, curve.es_frame)


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """All results of a study, and the engines that made them."""

    StudyInstanceUID: str
    revision: int
    clips: tuple[ClipAnalysis, ...]
    measurements: tuple[Measurement, ...]
    not_measured: tuple[NotMeasured, ...]
    engine: EngineIdentity
    made_at: datetime  # UTC
    findings: tuple[Finding, ...] = ()
    withheld: tuple[str, ...] = ()  # clips without objects of their own, for the study's would be too many
    acceptance: Decision | None = None  # the latest, of an earlier revision
    rejections: int = 0  # how often a person rejected earlier ones


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A DICOM object ready to be sent."""

    kind: ObjectKind
    SOPClassUID: str
    SOPInstanceUID: str
    content: bytes  # the whole Part 10 file


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A leased piece of work."""

    id: int
    kind: JobKind
    target: str  # SOPInstanceUID or StudyInstanceUID
    attempts: int
    lease: str  # token; a worker that lost it cannot complete the job


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An outbox row: one object for one destination."""

    id: int
    destination: str
    SOPClassUID: str
    SOPInstanceUID: str
    StudyInstanceUID: str
    path: Path
    state: DeliveryState
    attempts: int
    next_attempt_at: datetime  # UTC
    sent_at: datetime | None  # UTC, of the latest success
    asks: int  # how often the destination was asked whether it has it, since then
    confirm_at: datetime | None  # UTC, when to ask next; None: nobody asks
    TransactionUID: str | None  # of the latest time it was asked
    last_error: str
