"""Phantom clips as training data: rendered once into shards, then read from memory."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import array_api_compat.numpy as numpy_namespace
import numpy as np
import numpy.typing as npt
import simplejpeg
from tqdm import tqdm

from echo_node.codes import Structure, View, WallPoint
from echo_node.inference.preprocess import Letterbox
from echo_node.phantom import FORM, Patient, SimulatedClip, sample_patient, simulate_clip
from echo_node.phantom.planes import VIEWS

LABELS: tuple[View, ...] = (*VIEWS, View.OTHER)
STRUCTURES: tuple[Structure, ...] = tuple(Structure)
MEAN, STD = 0.2, 0.2  # of grey levels inside a square, as the encoder takes them
STORED_SIZE = 208  # pixels; more than the encoder's, for it also looks at parts closely
# The labels in the order in which clips are rendered: those that are measured, and OTHER, more often.
CYCLE: tuple[View, ...] = (*LABELS, *(View.A4C, View.A2C, View.PLAX) * 2, View.OTHER, View.OTHER)
_CLIPS_PER_SHARD = 10 * len(CYCLE)
_JPEG_SHARE, _JPEG_QUALITY = 0.7, (30, 96)  # of clips that were compressed on their way
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # per process that renders
Row = Mapping[str, npt.NDArray[Any]]  # of one clip, a value for each field of Clips but ``known``
_FORM = f"{len(LABELS)}-{FORM}"  # of a shard: other labels or other phantoms are not read


@dataclass(frozen=True, slots=True)
class Clips:
    """A set of labelled clips in memory."""

    images: npt.NDArray[np.uint8]  # [N,T,208,208]
    masks: npt.NDArray[np.uint8]  # [N,T,C,208,26], bits packed along the columns
    views: npt.NDArray[np.int64]  # [N], index into LABELS; -1 where unknown
    points: npt.NDArray[np.float32]  # [N,T,4,2], (row, column) of each WallPoint; NaN where there is none
    known: npt.NDArray[np.bool_]  # [N,T,C]: of other structures and frames the masks say nothing

    def __len__(self) -> int:
        return len(self.views)

    def taken(self, rows: npt.NDArray[Any]) -> Clips:
        """Some of them, by index or by yes and no."""
        return Clips(**{field.name: getattr(self, field.name)[rows] for field in fields(Clips)})

    def first(self, count: int) -> Clips:
        """The first of them, by themselves."""
        return self.taken(np.arange(min(count, len(self))))


_COLUMNS = tuple(field.name for field in fields(Clips) if field.name != "known")  # of phantoms all is known


def load(folder: Path, *, seed: int, clips: int, frames: int, workers: int = 2) -> Clips:
    """Clips of unseen patients, rendered where the folder lacks them.

    Parameters
    ----------
    folder : Path
        Where the shards are kept.
    seed : int
        Of the set; every clip has its own stream below it.
    clips : int
        How many, over the labels as :data:`CYCLE` has them.
    frames : int
        Per clip, evenly over one beat.
    workers : int
        Processes that render.
    """
    folder.mkdir(parents=True, exist_ok=True)
    starts = range(0, clips, _CLIPS_PER_SHARD)
    tasks = [(folder, seed, start, min(clips, start + _CLIPS_PER_SHARD), frames) for start in starts]
    os.environ.update(ONE_THREAD)  # read by the processes below as they start; this one has started
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        shards = list(tqdm(pool.imap(_shard, tasks), total=len(tasks), desc="phantoms", unit="shard"))
    return read_shards(shards)


def read_shards(paths: Sequence[Path]) -> Clips:
    """The clips of shards, in their order."""
    parts = [np.load(path) for path in paths]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in _COLUMNS}
    return Clips(**columns, known=np.ones(columns["masks"].shape[:3], np.bool_))


def write_shard(path: Path, clips: Sequence[Row]) -> None:
    """Write clips to a shard, whole or not at all."""
    half = path.with_suffix(f".{os.getpid()}.npz")  # several processes of a run may render the same
    columns = {name: np.stack([row[name] for row in clips]) for name in _COLUMNS}
    np.savez(half, allow_pickle=False, **columns)
    half.rename(path)


def _shard(task: tuple[Path, int, int, int, int]) -> Path:
    """Render one shard unless it is there; whole or not at all."""
    folder, seed, start, stop, frames = task
    path = folder / f"{seed}-{frames}-{start}-{stop}-{_FORM}.npz"
    if not path.exists():
        write_shard(path, [_clip(seed, number, frames) for number in range(start, stop)])
    return path


def _clip(seed: int, number: int, frames: int) -> Row:
    rng = np.random.default_rng([seed, number])
    return rendered(sample_patient(rng), CYCLE[number % len(CYCLE)], rng=rng, frames=frames)


def rendered(
    patient: Patient, view: View, *, rng: np.random.Generator, frames: int, xp: Any = numpy_namespace
) -> Row:
    """One row of :class:`Clips`: a clip of a patient, as it comes after its way through a network."""
    clip = simulate_clip(patient, view, rng=rng, frames=frames, size=STORED_SIZE, xp=xp)
    box = Letterbox.around(clip.sector, STORED_SIZE)
    images = box.apply(_compressed(clip.frames, clip.sector, rng))
    masks = np.zeros((frames, len(STRUCTURES), STORED_SIZE, STORED_SIZE), np.bool_)
    for index, structure in enumerate(STRUCTURES):
        if structure in clip.masks:
            masks[:, index] = box.apply(clip.masks[structure].astype(np.uint8) * 255) > 127
    return {
        "images": images,
        "masks": np.packbits(masks, axis=-1),
        "views": np.array(LABELS.index(view), np.int64),
        "points": _points(clip, box),
    }


def _compressed(
    frames: npt.NDArray[np.uint8], sector: npt.NDArray[np.bool_], rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Frames [T,H,W] as JPEG leaves them, mostly."""
    if rng.uniform() >= _JPEG_SHARE:
        return frames
    quality = int(rng.integers(*_JPEG_QUALITY))
    coded = [
        simplejpeg.encode_jpeg(np.ascontiguousarray(f[..., None]), quality=quality, colorspace="GRAY")
        for f in frames
    ]
    decoded = np.stack([simplejpeg.decode_jpeg(c, colorspace="GRAY")[..., 0] for c in coded])
    return np.where(sector, decoded, np.uint8(0))


def _points(clip: SimulatedClip, box: Letterbox) -> npt.NDArray[np.float32]:
    """Wall points [T,4,2] in pixels of the square; a whole number is the middle of a pixel."""
    points = np.full((len(clip.frames), len(WallPoint), 2), np.nan, np.float32)
    for index, point in enumerate(WallPoint):
        for frame, (row, col) in enumerate(clip.landmarks.get(point, ())):
            x, y = box.to_square(row, col)
            points[frame, index] = y * box.size - 0.5, x * box.size - 0.5
    return points
