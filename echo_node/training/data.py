"""Phantom clips as training data: rendered once into shards, then read from memory."""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from echo_node.codes import Structure, View
from echo_node.inference.preprocess import Letterbox
from echo_node.phantom import sample_patient, simulate_clip
from echo_node.phantom.planes import VIEWS

LABELS: tuple[View, ...] = (*VIEWS, View.OTHER)
STRUCTURES: tuple[Structure, ...] = tuple(Structure)
MEAN, STD = 0.2, 0.2  # of grey levels inside a square, as the encoder takes them
STORED_SIZE = 208  # pixels; more than the encoder's, for it also looks at parts closely
_CLIPS_PER_SHARD = 70


@dataclass(frozen=True, slots=True)
class Clips:
    """A set of labelled clips in memory."""

    images: npt.NDArray[np.uint8]  # [N,T,208,208]
    masks: npt.NDArray[np.uint8]  # [N,T,C,208,26], bits packed along the columns
    views: npt.NDArray[np.int64]  # [N], index into LABELS

    def __len__(self) -> int:
        return len(self.views)


def load(folder: Path, *, seed: int, clips: int, frames: int, workers: int = 2) -> Clips:
    """Clips of unseen patients, rendered where the folder lacks them.

    Parameters
    ----------
    folder : Path
        Where the shards are kept.
    seed : int
        Of the set; every clip has its own stream below it.
    clips : int
        How many, spread evenly over the labels.
    frames : int
        Per clip, evenly over one beat.
    workers : int
        Processes that render.
    """
    folder.mkdir(parents=True, exist_ok=True)
    starts = range(0, clips, _CLIPS_PER_SHARD)
    tasks = [(folder, seed, start, min(clips, start + _CLIPS_PER_SHARD), frames) for start in starts]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        shards = list(tqdm(pool.imap(_shard, tasks), total=len(tasks), desc="phantoms", unit="shard"))
    parts = [np.load(path) for path in shards]
    return Clips(*(np.concatenate([part[name] for part in parts]) for name in ("images", "masks", "views")))


def _shard(task: tuple[Path, int, int, int, int]) -> Path:
    """Render one shard unless it is there; whole or not at all."""
    folder, seed, start, stop, frames = task
    path = folder / f"{seed}-{frames}-{start}-{stop}.npz"
    if path.exists():
        return path
    rendered = [_clip(seed, number, frames) for number in range(start, stop)]
    images, masks, views = (np.stack(column) for column in zip(*rendered, strict=True))
    half = path.with_suffix(".half.npz")
    np.savez(half, images=images, masks=masks, views=views)
    half.rename(path)
    return path


def _clip(
    seed: int, number: int, frames: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    rng = np.random.default_rng([seed, number])
    view = number % len(LABELS)
    clip = simulate_clip(sample_patient(rng), LABELS[view], rng=rng, frames=frames, size=STORED_SIZE)
    box = Letterbox.around(clip.sector, STORED_SIZE)
    images = box.apply(clip.frames)
    masks = np.zeros((frames, len(STRUCTURES), STORED_SIZE, STORED_SIZE), np.bool_)
    for index, structure in enumerate(STRUCTURES):
        if structure in clip.masks:
            masks[:, index] = box.apply(clip.masks[structure].astype(np.uint8) * 255) > 127
    return images, np.packbits(masks, axis=-1), np.array(view, np.int64)
