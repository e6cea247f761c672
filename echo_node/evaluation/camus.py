"""CAMUS's published layouts: patientXXXX/ with 2CH and 4CH sequences, their labels and an Info file.

From end diastole to end systole: half a beat, so EF is told on the labelled frames (Leclerc et al., IEEE
TMI 2019;38:2198). NIfTI as published since 2023, or the earlier MetaImage with its two labelled frames.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import nibabel
import numpy as np
import numpy.typing as npt

from echo_node.codes import Structure, View
from echo_node.errors import LabelError
from echo_node.evaluation.cases import (
    QUALITIES,
    Axis,
    Case,
    Figure,
    Labels,
    Part,
    Source,
    attempted,
    title_of_folder,
)
from echo_node.evaluation.frames import seen_clip
from echo_node.evaluation.metaimage import Volume, read_metaimage
from echo_node.evaluation.videos import frame_times
from echo_node.records import Segmentation

VIEWS = {"2CH": View.A2C, "4CH": View.A4C}
LABELS = {1: Structure.LV_CAVITY, 2: Structure.LV_MYOCARDIUM, 3: Structure.LA}
_QUALITY = dict(zip(("good", "medium", "poor"), QUALITIES, strict=True))
_FIGURES = {"EF": Figure.EF, "LVedv": Figure.EDV, "LVesv": Figure.ESV}
_NOW = {"LVef": "EF"}  # as the key was named at first, and is now
_SQUARE = 0.02  # relative difference of a pixel's sides that does not matter


@dataclass(frozen=True, slots=True)
class _Info:
    """``Key: value`` lines of one view."""

    path: Path
    values: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> _Info:
        lines = (line.partition(":") for line in path.read_text(encoding="utf-8").splitlines())
        values = {key.strip(): value.strip() for key, colon, value in lines if colon}
        return cls(path, {_NOW.get(key, key): value for key, value in values.items()})

    def number(self, key: str) -> float | None:
        """None where the key is not there."""
        text = self.values.get(key)
        try:
            return None if text is None else float(text)
        except ValueError:
            raise LabelError(f"{self.path}: {key} is {text!r}, no number") from None

    def frame(self, key: str) -> int:
        """A frame number."""
        text = self.values.get(key, "")
        if not text.isdigit():
            raise LabelError(f"{self.path}: {key} is {text!r}, no frame number")
        return int(text)


def is_camus(folder: Path) -> bool:
    """Does it hold a patient's folder with an Info file?"""
    return any(folder.glob("patient*/Info_?CH.cfg"))


def camus(folder: Path, part: Part) -> Source:
    """Both views of every patient, whether to learn from or to judge by: there are no parts.

    Raises
    ------
    LabelError
        While reading: a file is missing or does not fit its patient.
    """
    patients = [] if part is Part.VAL else sorted(path for path in folder.glob("patient*") if path.is_dir())
    return Source(name=folder.name, caveat=title_of_folder(folder), patients=len(patients), cases=_cases(patients))


def _cases(patients: list[Path]) -> Iterator[Case]:
    for patient in patients:
        for chamber, view in VIEWS.items():
            if (patient / f"Info_{chamber}.cfg").is_file():
                labels = Labels(patient=patient.name, view=view)
                yield attempted(labels, partial(_case, patient, chamber, view))


def _case(patient: Path, chamber: str, view: View) -> Case:
    info = _Info.read(patient / f"Info_{chamber}.cfg")
    stem, uid = patient / f"{patient.name}_{chamber}", f"{patient.name}.{chamber}"
    ed, es = info.frame("ED"), info.frame("ES")
    sequence, labelled = _sequence(stem, ed=ed, es=es)
    frames, spacing = _square(sequence.frames, sequence.spacing_mm, cv2.INTER_AREA)
    fitting = {n: _square(m[None], sequence.spacing_mm, cv2.INTER_NEAREST)[0][0] for n, m in labelled.items()}
    if not {ed, es} <= set(range(1, len(frames) + 1)):
        raise LabelError(f"{info.path}: ED {ed} or ES {es} is not among the {len(frames)} frames")
    rate = info.number("FrameRate")
    grade = _QUALITY.get(info.values.get("ImageQuality", "").lower())
    values = {figure: info.number(key) for key, figure in _FIGURES.items()}
    labels = Labels(
        patient=patient.name,
        view=view,
        values={figure: value for figure, value in values.items() if value is not None},
        ed_frame=ed,
        es_frame=es,
        groups={} if grade is None else {Axis.QUALITY: grade},
    )
    times = None if rate is None else frame_times(len(frames), rate)
    clip = seen_clip(frames, uid=uid, times_ms=times, spacing_mm=spacing)
    return Case(labels=labels, clip=clip, masks=_masks(fitting, uid))


def _sequence(stem: Path, *, ed: int, es: int) -> tuple[Volume, Mapping[int, npt.NDArray[np.uint8]]]:
    """The frames, and the label maps [H,W] by frame number."""
    nifti = stem.with_name(f"{stem.name}_half_sequence.nii.gz")
    if nifti.is_file():
        truth = _nifti(stem.with_name(f"{stem.name}_half_sequence_gt.nii.gz")).frames
        volume = _nifti(nifti)
        labelled = dict(enumerate(truth, start=1))
    else:
        volume = _metaimage(stem.with_name(f"{stem.name}_sequence.mhd"))
        labelled = {
            number: _metaimage(stem.with_name(f"{stem.name}_{phase}_gt.mhd")).frames[0]
            for number, phase in ((ed, "ED"), (es, "ES"))
        }
    sizes = {labels.shape for labels in labelled.values()}
    if sizes != {volume.frames.shape[1:]} or max(labelled) > len(volume.frames):
        raise LabelError(f"{stem}: labels of {sizes} do not fit frames of {volume.frames.shape}")
    return volume, labelled


def _nifti(path: Path) -> Volume:
    """Frames stored as [W,H,T], in mm."""
    if not path.is_file():
        raise LabelError(f"{path}: there is no such file")
    try:
        image = nibabel.Nifti1Image.from_filename(path)
        values = np.asarray(image.dataobj)
    except (nibabel.filebasedimages.ImageFileError, OSError, EOFError, ValueError, zlib.error) as error:
        raise LabelError(f"{path}: cannot be read as NIfTI: {error}") from error
    stored = values.astype(np.uint8)
    if (stored != values).any():
        raise LabelError(f"{path}: holds other values than whole numbers of 0 to 255; save grey levels or labels")
    if stored.ndim != 3:
        raise LabelError(f"{path}: has {stored.ndim} axes, not width, height and frames")
    across, down = (float(size) for size in image.header["pixdim"][1:3])
    return Volume(stored.T, (down, across))


def _metaimage(path: Path) -> Volume:
    if not path.is_file():
        raise LabelError(f"{path}: there is no such file, nor a half_sequence.nii.gz")
    return read_metaimage(path)


def _square(
    frames: npt.NDArray[np.uint8], spacing_mm: tuple[float, float], how: int
) -> tuple[npt.NDArray[np.uint8], tuple[float, float]]:
    """Frames [T,H,W] with square pixels of the longer side, as a cart would show them."""
    down, across = spacing_mm
    if abs(down - across) <= _SQUARE * max(down, across):
        return frames, spacing_mm
    side = max(down, across)
    size = round(frames.shape[2] * across / side), round(frames.shape[1] * down / side)
    return np.stack([np.asarray(cv2.resize(f, size, interpolation=how), np.uint8) for f in frames]), (side, side)


def _masks(labelled: Mapping[int, npt.NDArray[np.uint8]], uid: str) -> tuple[Segmentation, ...]:
    maps = np.stack(list(labelled.values()))
    return tuple(
        Segmentation(SOPInstanceUID=uid, structure=structure, masks=maps == label, frame_numbers=tuple(labelled))
        for label, structure in LABELS.items()
        if (maps == label).any()
    )
