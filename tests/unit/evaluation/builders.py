"""Labelled folders in the published layouts, made from phantoms; an engine that knows every answer."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import nibabel
import numpy as np

from echo_node.codes import Structure, View
from echo_node.evaluation.cases import Case, Figure
from echo_node.inference.engine import Engine
from echo_node.phantom import SimulatedClip, sample_patient, simulate_clip
from echo_node.phantom.heart import Rhythm
from echo_node.records import EjectionEstimate, EngineIdentity, Segmentation, ViewPrediction

RATE = 50
EF = 60.0


def heart(view: View, *, seed: int = 5, size: int = 112, frames: int | None = None) -> SimulatedClip:
    rng = np.random.default_rng(seed)
    patient = sample_patient(rng, ef=EF, edv_ml=120, heart_rate=75, wall_mm=9, rhythm=Rhythm.REGULAR)
    return simulate_clip(patient, view, rng=rng, size=size, frames=frames, straying=0.3)


def framed(stack: np.ndarray, rows: int, cols: int) -> np.ndarray:
    """A stack [T,h,w] in the upper left of a black one."""
    out = np.zeros((len(stack), rows, cols), stack.dtype)
    out[:, : stack.shape[1], : stack.shape[2]] = stack
    return out


def write_video(path, grey):
    """A grey stack [T,H,W] as a motion-JPEG video that loses little."""
    with av.open(str(path), mode="w") as container:
        stream = container.add_stream("mjpeg", rate=Fraction(RATE))
        stream.height, stream.width = grey.shape[1:]
        stream.pix_fmt = "yuvj444p"
        stream.codec_context.qmin = stream.codec_context.qmax = 2
        for frame in grey:
            rgb = np.repeat(frame[..., None], 3, axis=-1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode(None))


def write_csv(path: Path, rows: Sequence[dict]) -> Path:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def echonet_folder(folder: Path) -> SimulatedClip:
    """One TEST and one TRAIN clip; ED and ES traced, as 20 chords below the long axis."""
    (folder / "Videos").mkdir(parents=True)
    clip = heart(View.A4C)
    write_video(folder / "Videos" / "0X1A.avi", framed(clip.frames, 112, 112))
    numbers = {"ESV": clip.esv_ml, "EDV": clip.edv_ml, "FrameHeight": 112, "FrameWidth": 112}
    common = {"EF": clip.ef, **numbers, "FPS": 1000 / clip.times_ms[1], "NumberOfFrames": len(clip.frames)}
    write_csv(
        folder / "FileList.csv",
        [{"FileName": "0X1A", **common, "Split": "TEST"}, {"FileName": "0X1B", **common, "Split": "TRAIN"}],
    )
    lines = []
    for frame in (clip.ed_frame, clip.es_frame):
        for x1, y1, x2, y2 in chords(clip.masks[Structure.LV_CAVITY][frame]):
            lines.append({"FileName": "0X1A.avi", "X1": x1, "Y1": y1, "X2": x2, "Y2": y2, "Frame": frame})
    write_csv(folder / "VolumeTracings.csv", lines)
    return clip


def chords(mask: np.ndarray) -> list[tuple[float, float, float, float]]:
    rows = np.flatnonzero(mask.any(axis=1))
    across = []
    for row in np.linspace(rows[0], rows[-1], 20).round().astype(int):
        cols = np.flatnonzero(mask[row])
        across.append((float(cols[0]), float(row), float(cols[-1]), float(row)))
    top, bottom = across[0], across[-1]
    return [(top[0], top[1], bottom[0], bottom[1]), *across]


def label_map(clip: SimulatedClip) -> np.ndarray:
    """u8 [T,H,W]: 1 cavity, 2 myocardium, 3 left atrium."""
    out = np.zeros(clip.frames.shape, np.uint8)
    for label, structure in ((3, Structure.LA), (2, Structure.LV_MYOCARDIUM), (1, Structure.LV_CAVITY)):
        out[clip.masks[structure]] = label
    return out


def camus_half(view: View) -> tuple[SimulatedClip, slice]:
    """A cine, and its frames from ED to ES."""
    clip = heart(view, size=144)
    first = int(clip.ed_frame) if clip.ed_frame < clip.es_frame else 0
    return clip, slice(first, clip.es_frame + 1)


def camus_folder(folder):
    """A patient in the layout of today: half sequences as NIfTI [W,H,T], labelled on every frame."""
    patient = folder / "patient0001"
    patient.mkdir(parents=True)
    for chamber, view in (("2CH", View.A2C), ("4CH", View.A4C)):
        clip, part = camus_half(view)
        side = clip.spacing_mm[0]
        for name, stack in (("half_sequence", clip.frames), ("half_sequence_gt", label_map(clip))):
            image = nibabel.Nifti1Image(stack[part].T, np.diag([side, side, 1.0, 1.0]))
            nibabel.save(image, patient / f"patient0001_{chamber}_{name}.nii.gz")
        count = part.stop - part.start
        (patient / f"Info_{chamber}.cfg").write_text(
            f"ED: 1\nES: {count}\nNbFrame: {count}\nSex: F\nAge: 56\nImageQuality: Medium\n"
            f"EF: {clip.ef:.0f}\nFrameRate: 48.2\n"
        )


def earlier_camus_folder(folder):
    """The first layout: MetaImage, pixels twice as wide as high, labels on ED and ES only."""
    patient = folder / "patient0001"
    patient.mkdir(parents=True)
    clip, part = camus_half(View.A4C)
    frames, truth = (np.repeat(a[part], 2, axis=1) for a in (clip.frames, label_map(clip)))
    side = clip.spacing_mm[0]
    for name, stack in (("sequence", frames), ("ED_gt", truth[:1]), ("ES_gt", truth[-1:])):
        stem = f"patient0001_4CH_{name}"
        (patient / f"{stem}.raw").write_bytes(stack.tobytes())
        (patient / f"{stem}.mhd").write_text(
            f"ObjectType = Image\nNDims = 3\nDimSize = {stack.shape[2]} {stack.shape[1]} {stack.shape[0]}\n"
            f"ElementSpacing = {side} {side / 2} 1\nElementType = MET_UCHAR\nElementDataFile = {stem}.raw\n"
        )
    (patient / "Info_4CH.cfg").write_text(
        f"ED: 1\nES: {len(frames)}\nNbFrame: {len(frames)}\nImageQuality: Good\n"
        f"LVedv: {clip.edv_ml:.1f}\nLVesv: {clip.esv_ml:.1f}\nLVef: {clip.ef:.1f}\n"
    )


class Oracle(Engine):
    """Answers every case with its labels: what it scores less than perfect on is the evaluation's fault."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self.cases = {case.clip.SOPInstanceUID: case for case in cases if case.clip is not None}
        self.identity = EngineIdentity(name="oracle", version="1", digest="0" * 64, backend="labels")
        self.view_threshold = 0.5
        self.views = (View.PLAX, View.A4C, View.A2C, View.OTHER)
        self.structures = (Structure.LV_CAVITY, Structure.LA)
        self.finds_walls = self.estimates_ejection = True

    def classify(self, clip):
        view = self.cases[clip.SOPInstanceUID].labels.view
        return ViewPrediction(
            SOPInstanceUID=clip.SOPInstanceUID,
            view=view,
            probability=0.8,
            runner_up=View.PLAX if view is View.OTHER else View.OTHER,
            runner_up_probability=0.2,
            mode=clip.mode,
        )

    def segment(self, clip, structures, prompts=None):
        found = []
        for structure in structures:
            truth = next((m for m in self.cases[clip.SOPInstanceUID].masks if m.structure is structure), None)
            masks = np.zeros(clip.frames.shape, bool)
            for place, number in enumerate(clip.frame_numbers):
                if truth is not None and number in truth.frame_numbers:
                    masks[place] = truth.masks[truth.frame_numbers.index(number)]
            found.append(
                Segmentation(
                    SOPInstanceUID=clip.SOPInstanceUID,
                    structure=structure,
                    masks=masks,
                    frame_numbers=clip.frame_numbers,
                )
            )
        return tuple(found)

    def find_walls(self, clip):
        return self.cases[clip.SOPInstanceUID].landmarks

    def estimate_ejection(self, clip, cavity):
        labels = self.cases[clip.SOPInstanceUID].labels
        return EjectionEstimate(
            SOPInstanceUID=clip.SOPInstanceUID,
            ef=labels.values[Figure.EF],
            uncertainty=1.0,
            ed_frame=labels.ed_frame,
            es_frame=labels.es_frame,
        )
