"""Objects, analyses and a clock for the store's tests."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from echo_node.codes import ImageMode, Method, ObjectKind, Quantity, Reason, Structure, Unit, View, WallPoint
from echo_node.edits import DrawnLine, Edit
from echo_node.records import (
    Body,
    ClipAnalysis,
    DiameterCurve,
    EjectionEstimate,
    EngineIdentity,
    JobKind,
    Landmarks,
    Measurement,
    NotMeasured,
    Report,
    Segmentation,
    Sex,
    Source,
    ViewPrediction,
    VolumeCurve,
)
from echo_node.store import ClosePolicy, Received, Store

STUDY = "1.2.826.1"
SR_CLASS = "1.2.840.10008.5.1.4.1.1.88.33"
POLICY = ClosePolicy(quiet_seconds=120, hard_cap_seconds=3600)
EDIT = Edit(
    SOPClassUID=SR_CLASS,
    SOPInstanceUID="1.2.826.1.8.1",
    SeriesInstanceUID="1.2.826.1.8",
    observer="Öztürk^Ümit",
    made_at=datetime(2026, 11, 24, 8, 30, 0, 5, tzinfo=UTC),
    reason="früher",
)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def pass_(self, seconds: float) -> datetime:
        self.time += timedelta(seconds=seconds)
        return self.time


@contextmanager
def sqlite_store(folder: Path, *, now: Callable[[], datetime]) -> Iterator[Store]:
    """A migrated store on SQLite in a folder."""
    store = Store(f"sqlite:///{folder / 'node.db'}", folder, now=now)
    store.migrate()
    yield store
    store.dispose()


def received(
    store: Store,
    SOPInstanceUID: str = "1.2.826.1.1",
    *,
    content: bytes = b"pixels",
    StudyInstanceUID: str = STUDY,
    PatientID: str = "P1",
    PatientBirthDate: str = "19500102",
    source_ae: str = "CART",
    reason: Reason | None = None,
    job: JobKind | None = JobKind.CLIP,
) -> Received:
    """An object as the SCP hands it over: in a temporary file."""
    path = store.incoming / secrets.token_hex(8)
    path.write_bytes(content)
    return Received(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.3.1",
        SOPInstanceUID=SOPInstanceUID,
        SeriesInstanceUID="1.2.826.1.9",
        StudyInstanceUID=StudyInstanceUID,
        PatientID=PatientID,
        PatientBirthDate=PatientBirthDate,
        TransferSyntaxUID="1.2.840.10008.1.2.4.50",
        path=path,
        sha256=hashlib.sha256(content + SOPInstanceUID.encode()).hexdigest(),
        size=len(content),
        source_ae=source_ae,
        source_host="127.0.0.1",
        reason=reason,
        job=job,
    )


def engine(digest: str = "0" * 64) -> EngineIdentity:
    return EngineIdentity(name="tiny", version="1", digest=digest, backend="onnxruntime-cpu 1.32.0")


def failed(SOPInstanceUID: str = "1.2.826.1.1", *, StudyInstanceUID: str = STUDY) -> ClipAnalysis:
    """The smallest analysis: an object that could not be read."""
    return ClipAnalysis(
        SOPInstanceUID=SOPInstanceUID,
        StudyInstanceUID=StudyInstanceUID,
        prediction=None,
        outcome=Reason.UNREADABLE,
        detail="frame 3",
        spacing_mm=None,
        segmentations=(),
        curve=None,
        measurements=(),
        not_measured=(),
        engine=engine(),
    )


def measured(SOPInstanceUID: str = "1.2.826.1.1", *, seed: int = 0) -> ClipAnalysis:
    """An analysis with everything in it."""
    rng = np.random.default_rng(seed)
    frames = (1, 2, 5)
    return replace(
        failed(SOPInstanceUID),
        prediction=ViewPrediction(
            SOPInstanceUID=SOPInstanceUID,
            view=View.A4C,
            probability=float(rng.random()),
            runner_up=View.A5C,
            runner_up_probability=0.1,
            mode=ImageMode.TWO_D,
        ),
        outcome=None,
        detail="",
        spacing_mm=(0.1 + 0.2, 1 / 3),
        segmentations=(
            Segmentation(
                SOPInstanceUID=SOPInstanceUID,
                structure=Structure.LV_CAVITY,
                masks=rng.random((3, 7, 5)) > 0.5,  # 105 bits: no whole number of bytes
                frame_numbers=frames,
                edits=(EDIT, replace(EDIT, made_at=None)),
                drawn_frames=(2,),
            ),
        ),
        curve=VolumeCurve(volumes_ml=rng.random(3), times_ms=rng.random(3), ed_frame=1, es_frame=5),
        measurements=(
            Measurement(
                quantity=Quantity.LVEF,
                value=float(rng.random()),
                unit=Unit.PERCENT,
                method=Method.DISKS_SINGLE_PLANE,
                view=View.A4C,
                sources=(Source(SOPInstanceUID=SOPInstanceUID, frame_numbers=frames),),
                uncertainty=float("inf"),
            ),
        ),
        not_measured=(
            NotMeasured(quantity=Quantity.LV_EDV, reason=Reason.NO_CALIBRATION, detail="ä", view=None),
            NotMeasured(
                quantity=Quantity.LVEF,
                reason=Reason.IMPLAUSIBLE,
                detail="EF of 3 %",
                view=View.A4C,
                method=Method.LEARNED,
                edits=(EDIT,),
            ),
        ),
        body=Body(sex=Sex.FEMALE, height_m=1.7, weight_kg=None),
        diameters=DiameterCurve(diameters_mm=rng.random(3), times_ms=rng.random(3), ed_frame=2, es_frame=5),
        landmarks=(
            Landmarks(
                SOPInstanceUID=SOPInstanceUID,
                frame_number=2,
                points=tuple((point, float(rng.random()), float(rng.random())) for point in WallPoint),
                probability=float(rng.random()),
            ),
        ),
        lines=(DrawnLine(quantity=Quantity.IVSD, frame_number=2, ends=((0.1, 1 / 3), (2.0, 3.0))),),
        estimate=EjectionEstimate(
            SOPInstanceUID=SOPInstanceUID, ef=float(rng.random()), uncertainty=1 / 3, ed_frame=1, es_frame=5
        ),
    )


def report(SOPInstanceUID: str = "2.25.1", content: bytes = b"report") -> Report:
    return Report(kind=ObjectKind.SR, SOPClassUID=SR_CLASS, SOPInstanceUID=SOPInstanceUID, content=content)
