"""Labelled studies, what experiments learn from: whole phantom patients, each with one clip of every view.

An experiment takes nothing but :class:`Studies`, so that a folder of labelled clips can stand in their place.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from echo_node.codes import View
from echo_node.phantom import FORM, sample_patient
from echo_node.phantom.planes import VIEWS
from echo_node.training import data


@dataclass(frozen=True, slots=True)
class Studies:
    """Clips, and whose they are."""

    clips: data.Clips
    owners: npt.NDArray[np.int64]  # [N], number of each clip's study

    def showing(self, views: Sequence[View]) -> Studies:
        """The clips of some views alone."""
        chosen = np.isin(self.clips.views, [data.LABELS.index(view) for view in views])
        return Studies(self.clips.taken(chosen), self.owners[chosen])


def load(folder: Path, *, seed: int, studies: int, frames: int, workers: int = 2) -> Studies:
    """Studies of unseen patients, rendered where the folder lacks them; a study does not depend on how many follow.

    Parameters
    ----------
    folder : Path
        Where they are kept, a file each.
    seed : int
        Of the set.
    studies : int
        How many.
    frames : int
        Of a clip, evenly over one beat.
    workers : int
        Processes that render.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tasks = [(folder, seed, number, frames) for number in range(studies)]
    os.environ.update(data.ONE_THREAD)
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        paths = list(tqdm(pool.imap(_study, tasks), total=studies, desc="studies", unit="study"))
    return Studies(data.read_shards(paths), np.repeat(np.arange(studies), len(VIEWS)))


def _study(task: tuple[Path, int, int, int]) -> Path:
    folder, seed, number, frames = task
    path = folder / f"study-{seed}-{frames}-{number}-{len(VIEWS)}-{FORM}.npz"
    if not path.exists():
        data.write_shard(path, _clips(seed, number, frames))
    return path


def _clips(seed: int, number: int, frames: int) -> list[data.Row]:
    """A patient's clips; each has a random stream of its own."""
    patient = sample_patient(np.random.default_rng([seed, number]))
    return [
        data.rendered(patient, view, rng=np.random.default_rng([seed, number, place]), frames=frames)
        for place, view in enumerate(VIEWS)
    ]
