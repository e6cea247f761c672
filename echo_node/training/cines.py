"""Apical cines as training data of the ejection fraction head: rendered once, one file each."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from echo_node.codes import Structure, View
from echo_node.inference.preprocess import Letterbox
from echo_node.phantom import FORM, sample_patient, simulate_clip
from echo_node.training.augment import MARGINS, Around
from echo_node.training.data import STORED_SIZE

VIEWS = (View.A4C, View.A2C)
_RENDERED_SIZE = 200  # pixels: as sharp as the phantom is without its fine grid
_EF_RANGE = (15.0, 75.0)  # percent; every other heart is drawn evenly over it, so that the rare ends are learnt


@dataclass(frozen=True, slots=True)
class Cine:
    """One apical cine and what is true of it."""

    images: npt.NDArray[np.uint8]  # [T,208,208]
    cavity: npt.NDArray[np.int64]  # [4]: left, top, width, height of the LV cavity over all frames
    times: npt.NDArray[np.float32]  # [T], seconds from the first frame
    volumes: npt.NDArray[np.float32]  # [T], over the end-diastolic one
    ef: npt.NDArray[np.float32]  # [], share
    beat: npt.NDArray[np.float32]  # [], seconds

    @property
    def around(self) -> Around:
        """Windows around the cavity, as wide as those of masks."""
        left, top, width, height = self.cavity.tolist()
        return Around(left, top, width, height, MARGINS)


def load(folder: Path, *, seed: int, cines: int, frames: int | None, workers: int = 2) -> Iterator[Cine]:
    """Cines of patients of a set, in order, rendered where the folder lacks them.

    Parameters
    ----------
    folder : Path
        Where they are kept.
    seed : int
        Of the set; every cine has its own stream below it.
    cines : int
        How many, the views in turn.
    frames : int or None
        Of a cine, evenly over one beat; None for a cine as carts make them, of one to two beats.
    workers : int
        Processes that render.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tasks = [(folder, seed, number, frames) for number in range(cines)]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        paths = list(tqdm(pool.imap(_rendered, tasks), total=cines, desc="cines", unit="cine"))
    for path in paths:
        with np.load(path) as kept:
            yield Cine(**{field.name: kept[field.name] for field in fields(Cine)})


def _rendered(task: tuple[Path, int, int, int | None]) -> Path:
    """Render one cine unless it is there; whole or not at all."""
    folder, seed, number, frames = task
    path = folder / f"{seed}-{frames or 'cine'}-{number}-{FORM}.npz"
    if not path.exists():
        cine = _cine(seed, number, frames)
        half = path.with_suffix(".half.npz")
        np.savez(half, allow_pickle=False, **{field.name: getattr(cine, field.name) for field in fields(Cine)})
        half.rename(path)
    return path


def _cine(seed: int, number: int, frames: int | None) -> Cine:
    rng = np.random.default_rng([seed, number])
    patient = sample_patient(rng)
    if number % 4 < 2:
        patient = replace(patient, ef=float(rng.uniform(*_EF_RANGE)))
    clip = simulate_clip(patient, VIEWS[number % 2], rng=rng, frames=frames, size=_RENDERED_SIZE)
    box = Letterbox.around(clip.sector, STORED_SIZE)
    cavity = np.asarray(clip.masks[Structure.LV_CAVITY].any(axis=0), np.uint8) * np.uint8(255)
    left, top, width, height = cv2.boundingRect((box.apply(cavity[None])[0] > 127).astype(np.uint8))
    return Cine(
        images=box.apply(clip.frames),
        cavity=np.array([left, top, width, height]),
        times=(clip.times_ms / 1000).astype(np.float32),
        volumes=(clip.volumes_ml / patient.edv_ml).astype(np.float32),
        ef=np.array(patient.ef / 100, np.float32),
        beat=np.array(patient.beat_ms / 1000, np.float32),
    )
