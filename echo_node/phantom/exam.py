"""A phantom patient's exam as a cart would send it: valid DICOM, clips and stills."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import simplejpeg
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, UltrasoundImageStorage, UltrasoundMultiFrameImageStorage

from echo_node.codes import ImageMode, View
from echo_node.phantom.clips import SimulatedClip, simulate_clip
from echo_node.phantom.heart import Patient
from echo_node.phantom.planes import VIEWS
from echo_node.phantom.screen import sample_screen
from echo_node.phantom.stills import simulate_still

JPEG_QUALITY = 90
_STILLS = (ImageMode.COLOUR_FLOW, ImageMode.PW_DOPPLER)
_CENTIMETRES = 3  # PhysicalUnitsXDirection, PS3.3 C.8.5.5.1.15
_SECONDS, _CM_PER_SECOND = 4, 7
_TWO_D, _SPECTRAL = 1, 3  # RegionSpatialFormat, PS3.3 C.8.5.5.1.1
_DATA_TYPE = {  # RegionDataType, PS3.3 C.8.5.5.1.2
    ImageMode.TWO_D: 1,
    ImageMode.COLOUR_FLOW: 2,
    ImageMode.PW_DOPPLER: 3,
    ImageMode.CW_DOPPLER: 4,
}
_IMAGE_TYPE = {  # value 4 of ImageType, PS3.3 C.8.5.6.1.1
    ImageMode.TWO_D: "0001",
    ImageMode.COLOUR_FLOW: "0011",
    ImageMode.PW_DOPPLER: "0009",
    ImageMode.CW_DOPPLER: "0005",
}
_SWEEP_S, _SCALE_CM_PER_S = 4.0, 240.0  # of a spectrum: its width and its height
_ORDER = (
    View.PLAX,
    View.PSAX_AV,
    View.PSAX_PM,
    View.A4C,
    View.A2C,
    View.A3C,
    View.SUBCOSTAL_4C,
    View.IVC,
)
_BODY_SEED = 47
_STRAYING = 0.5  # a practised hand


@dataclass(frozen=True, slots=True)
class SimulatedObject:
    """A dataset with its file meta information, and the truth of its clip."""

    ds: Dataset
    clip: SimulatedClip


def simulate_exam(
    patient: Patient,
    *,
    rng: np.random.Generator,
    start: datetime,
    views: Sequence[View] = _ORDER,
) -> list[SimulatedObject]:
    """One clip per view, a colour flow and a spectral Doppler still.

    Parameters
    ----------
    patient : Patient
        The heart.
    rng : numpy Generator
        The same state gives the same pictures.
    start : datetime
        When the exam began; with ``rng`` it decides the UIDs.
    views : sequence of View
        Among ``planes.VIEWS``.
    """
    assert set(views) <= set(VIEWS)
    identity = np.random.default_rng([int(rng.integers(2**32)), int(start.timestamp() * 1000)])
    study, series = _uid(identity), _uid(identity)
    screen = sample_screen(rng)
    clips = [simulate_clip(patient, view, rng=rng, screen=screen, straying=_STRAYING) for view in views]
    clips += [simulate_still(patient, mode, rng=rng, screen=screen) for mode in _STILLS]
    objects = []
    for number, clip in enumerate(clips, start=1):
        ds = _dataset(clip, patient, at=start + timedelta(seconds=40 * number))
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = study, series, _uid(identity)
        ds.InstanceNumber = number
        _study_module(ds, patient, start)
        _add_pixels(ds, clip.frames)
        ds.SequenceOfUltrasoundRegions = [_region(clip)]
        _add_file_meta(ds)
        objects.append(SimulatedObject(ds=ds, clip=clip))
    return objects


def _uid(rng: np.random.Generator) -> str:
    """A UID derived from a UUID (PS3.5 B.2)."""
    return f"2.25.{uuid.UUID(bytes=rng.bytes(16), version=4).int}"


def _study_module(ds: Dataset, patient: Patient, start: datetime) -> None:
    ds.PatientName = f"Phantom^EF{patient.ef:.0f}"
    ds.PatientID = f"PHANTOM-{patient.speckle:06d}"
    ds.PatientBirthDate = "19700101"
    rng = np.random.default_rng([_BODY_SEED, patient.speckle])
    ds.PatientSex = str(rng.choice(["F", "M"]))
    ds.PatientSize = f"{rng.normal(1.66 if ds.PatientSex == 'F' else 1.78, 0.07):.2f}"
    ds.PatientWeight = f"{np.clip(rng.normal(74, 13), 48, 130):.0f}"
    ds.StudyDate, ds.StudyTime = f"{start:%Y%m%d}", f"{start:%H%M%S}"
    ds.SeriesDate, ds.SeriesTime = ds.StudyDate, ds.StudyTime
    ds.AccessionNumber = f"P{patient.speckle:06d}"
    ds.ReferringPhysicianName = ""
    ds.StudyID = "1"
    ds.StudyDescription = "Simulated transthoracic echocardiogram"
    ds.SeriesNumber = 1
    ds.Laterality = ""  # the heart is unpaired, yet the condition of type 2C cannot see that


def _dataset(clip: SimulatedClip, patient: Patient, *, at: datetime) -> Dataset:
    """Image level attributes: US Image and US Multi-frame Image IODs (PS3.3 A.6 and A.7)."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    is_cine = len(clip.frames) > 1
    ds.SOPClassUID = UltrasoundMultiFrameImageStorage if is_cine else UltrasoundImageStorage
    ds.Modality = "US"
    ds.Manufacturer = "echo-node phantom"
    ds.ManufacturerModelName = "Phantom cart"
    ds.DeviceSerialNumber = "1"
    ds.SoftwareVersions = "1"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "", _IMAGE_TYPE[clip.mode]]
    ds.AcquisitionDateTime = f"{at:%Y%m%d%H%M%S}"
    ds.ContentDate, ds.ContentTime = f"{at:%Y%m%d}", f"{at:%H%M%S}"
    ds.PatientOrientation = ""
    ds.LossyImageCompression = "01"
    ds.LossyImageCompressionMethod = "ISO_10918_1"
    if is_cine:
        ds.NumberOfFrames = len(clip.frames)
        ds.FrameTime = f"{clip.times_ms[1] - clip.times_ms[0]:.4f}"
        ds.FrameIncrementPointer = 0x00181063
        ds.HeartRate = round(patient.heart_rate)
    return ds


def _add_pixels(ds: Dataset, frames: npt.NDArray[np.uint8]) -> None:
    """Frames u8 [T,H,W,3] as JPEG baseline, colour sampled half as wide."""
    coded = [
        simplejpeg.encode_jpeg(np.ascontiguousarray(f), quality=JPEG_QUALITY, colorsubsampling="422")
        for f in frames
    ]
    ds.SamplesPerPixel = 3
    ds.PhotometricInterpretation = "YBR_FULL_422"
    ds.PlanarConfiguration = 0
    ds.Rows, ds.Columns = frames.shape[1:3]
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit = 7
    ds.PixelRepresentation = 0
    ds.LossyImageCompressionRatio = f"{frames.nbytes / sum(map(len, coded)):.4f}"
    ds.PixelData = encapsulate(coded)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True


def _region(clip: SimulatedClip) -> Dataset:
    """Where the echoes are, and their scale (US Region Calibration, PS3.3 C.8.5.5)."""
    rows, cols = np.flatnonzero(clip.sector.any(axis=1)), np.flatnonzero(clip.sector.any(axis=0))
    middle = int(cols[0] + cols[-1]) // 2
    region = Dataset()
    region.RegionSpatialFormat = _SPECTRAL if clip.spacing_mm is None else _TWO_D
    region.RegionDataType, region.RegionFlags = _DATA_TYPE[clip.mode], 0
    region.RegionLocationMinX0, region.RegionLocationMinY0 = int(cols[0]), int(rows[0])
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = int(cols[-1]), int(rows[-1])
    region.ReferencePixelX0 = middle - int(cols[0])  # where the central beam leaves the probe's face
    region.ReferencePixelY0 = int(np.flatnonzero(clip.sector[:, middle])[0] - rows[0])
    region.ReferencePixelPhysicalValueX = region.ReferencePixelPhysicalValueY = 0.0
    if clip.spacing_mm is None:
        region.PhysicalUnitsXDirection, region.PhysicalUnitsYDirection = _SECONDS, _CM_PER_SECOND
        region.PhysicalDeltaX, region.PhysicalDeltaY = _SWEEP_S / len(cols), -_SCALE_CM_PER_S / len(rows)
    else:
        region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = _CENTIMETRES
        region.PhysicalDeltaX, region.PhysicalDeltaY = clip.spacing_mm[1] / 10, clip.spacing_mm[0] / 10
    region.TransducerFrequency = 2500  # kHz
    return region


def _add_file_meta(ds: Dataset) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = JPEGBaseline8Bit
    ds.file_meta = meta
