"""Apical cines of one's own whose EF is labelled, as training data of the ejection fraction head.

Each is seen in the frames that an engine would look at. A window needs the cavity's outline on any frame. A clip of
less than a second may not hold a beat, and no engine would estimate its EF.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from echo_node.codes import Structure
from echo_node.evaluation.cases import Case, Figure, Part
from echo_node.evaluation.folders import open_folder
from echo_node.inference import ejection
from echo_node.inference.preprocess import Letterbox
from echo_node.training.cines import VIEWS, Cine
from echo_node.training.data import STORED_SIZE

FEWEST_FRAMES = 12  # that are looked at
_SHORTEST_MS = 1000.0
_KEPT_APART = 10  # of so many patients one
_LABELS = (".csv", ".cfg")


def load(path: Path) -> Iterator[tuple[bool, Cine]]:
    """Cines to learn from (True), and those of every tenth patient, which are kept apart (False).

    Parameters
    ----------
    path : Path
        As ``echo-node evaluate --on`` takes it; of what is there to learn from.
    """
    source = open_folder(path, Part.TRAIN)
    patients: dict[str, int] = {}
    for case in tqdm(source.cases, desc=f"{source.name}, EF", unit="clip"):
        cine = _cine(case)
        if cine is not None:
            number = patients.setdefault(case.labels.patient, len(patients))
            yield number % _KEPT_APART != _KEPT_APART - 1, cine


def digest(path: Path) -> str:
    """By which the labels of a folder or table are known again."""
    files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.suffix.lower() in _LABELS)
    found = hashlib.sha256()
    for file in files:
        found.update(file.read_bytes())
    return found.hexdigest()


def _cine(case: Case) -> Cine | None:
    """What can be learned from a case, or nothing."""
    clip, ef, view = case.clip, case.labels.values.get(Figure.EF), case.labels.view
    cavity = next((truth for truth in case.masks if truth.structure is Structure.LV_CAVITY), None)
    if clip is None or clip.times_ms is None or ef is None or view not in VIEWS or cavity is None:
        return None
    picked = list(ejection.looked_at(clip.times_ms))
    if clip.times_ms[-1] - clip.times_ms[0] < _SHORTEST_MS or len(picked) < FEWEST_FRAMES:
        return None
    box, times = Letterbox.around(clip.sector, STORED_SIZE), clip.times_ms[picked]
    shown = np.asarray(cavity.masks.any(axis=0), np.uint8) * np.uint8(255)
    left, top, width, height = cv2.boundingRect((box.apply(shown[None])[0] > 127).astype(np.uint8))
    if not (width and height):
        return None
    return Cine(
        images=box.apply(clip.frames[picked]),
        cavity=np.array([left, top, width, height]),
        times=((times - times[0]) / 1000).astype(np.float32),
        volumes=np.full(len(picked), np.nan, np.float32),
        ef=np.array(ef / 100, np.float32),
        beat=np.array(np.nan, np.float32),
    )
