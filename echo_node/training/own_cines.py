"""Apical cines of one's own whose EF is labelled, as training data of the ejection fraction head.

Each is seen as an engine would see it: the frames that it would look at, and those that tell what moves in it. A
window needs the outline of the cavity on any frame.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from echo_node.codes import Structure
from echo_node.evaluation.cases import Case, Figure, Labels, Part
from echo_node.evaluation.folders import open_folder
from echo_node.inference import ejection
from echo_node.inference.preprocess import Letterbox
from echo_node.inference.sampling import BESIDE, spread
from echo_node.measure.beats import SHORTEST_BEAT_MS
from echo_node.training.augment import MARGINS, Around
from echo_node.training.cines import VIEWS
from echo_node.training.data import STORED_SIZE

FEWEST_FRAMES = 12  # that are looked at
_BEAT_MS = 1000.0  # a clip of which less is known is as long as this at least
_OVER_SYSTOLE = 2.5  # a beat, at least


@dataclass(frozen=True, slots=True)
class OwnCine:
    """One cine, and its EF."""

    images: npt.NDArray[np.uint8]  # [T,208,208], those that are looked at
    beside: npt.NDArray[np.uint8]  # [K,208,208], spread over the clip
    around: Around  # the LV cavity, where it is outlined
    times: npt.NDArray[np.float32]  # [T], seconds from the first frame
    ef: float  # share


def load(path: Path, part: Part, *, most: int, seed: int) -> Iterator[OwnCine]:
    """The cines of a part of a folder or table; why others are not taken is counted on the screen.

    Parameters
    ----------
    path : Path
        As ``echo-node evaluate --on`` takes it.
    part : Part
        Those to learn from, or those that set what is not learned.
    most : int
        About so many patients, drawn from all: a head needs no more.
    seed : int
        Of the draw.
    """
    source, rng = open_folder(path, part), np.random.default_rng([seed, len(part.value)])
    share, reasons = most / max(most, source.patients), Counter[str]()
    is_drawn: dict[str, bool] = {}
    for case in tqdm(source.cases, desc=f"{source.name}, EF", total=None, unit="clip"):
        patient = case.labels.patient
        if patient not in is_drawn:
            is_drawn[patient] = rng.uniform() < share
        if is_drawn[patient]:
            found = _cine(case)
            if isinstance(found, str):
                reasons[found] += 1
                if case.fault:
                    tqdm.write(f"{path}: {case.fault}", sys.stderr)
            else:
                yield found
    if reasons:
        said = ", ".join(f"{count} {why}" for why, count in reasons.most_common())
        tqdm.write(f"{path} ({part.value}): EF is not learned from {said}", sys.stderr)


def digest(path: Path) -> str:
    """By which a folder, or a table and the folder around it, is known again: names, sizes and times of files."""
    root, found = path if path.is_dir() else path.parent, hashlib.sha256()
    for file in sorted(root.rglob("*")):
        if file.is_file():  # no folder, and no link to nowhere
            stamp = file.stat()
            found.update(f"{file.relative_to(root)} {stamp.st_size} {stamp.st_mtime_ns}\n".encode())
    return found.hexdigest()


def _cine(case: Case) -> OwnCine | str:
    """What can be learned from a case, or why nothing can."""
    clip, ef = case.clip, case.labels.values.get(Figure.EF)
    cavity = next((truth for truth in case.masks if truth.structure is Structure.LV_CAVITY), None)
    if clip is None or clip.times_ms is None:
        return "that could not be read, or have no frame times"
    if ef is None or case.labels.view not in VIEWS:
        return "that are no A4C or A2C with an EF"
    if cavity is None or not cavity.masks.any():
        return "without an outline of the LV cavity"
    picked = list(ejection.looked_at(clip.times_ms))
    if len(picked) < FEWEST_FRAMES:
        return f"of less than {FEWEST_FRAMES} frames to look at"
    if clip.times_ms[-1] - clip.times_ms[0] < _least_ms(case.labels, clip.frame_numbers, clip.times_ms):
        return "that may show less than a beat"
    box = Letterbox.around(clip.sector, STORED_SIZE)
    shown = np.asarray(cavity.masks.any(axis=0), np.uint8) * np.uint8(255)
    left, top, width, height = cv2.boundingRect((box.apply(shown[None])[0] > 127).astype(np.uint8))
    if not (width and height):
        return "whose cavity lies outside the sector"
    times = clip.times_ms[picked]
    return OwnCine(
        images=box.apply(clip.frames[picked]),
        beside=box.apply(clip.frames[list(spread(len(clip.frames), BESIDE))]),
        around=Around(left, top, width, height, MARGINS),
        times=((times - times[0]) / 1000).astype(np.float32),
        ef=ef / 100,
    )


def _least_ms(labels: Labels, numbers: Sequence[int], times_ms: npt.NDArray[np.float64]) -> float:
    """How long a clip must be to hold a beat: by its systole, or a second where that is not labelled."""
    ends = [times_ms[numbers.index(n)] for n in (labels.ed_frame, labels.es_frame) if n in numbers]
    if len(ends) < 2:
        return _BEAT_MS
    ed, es = map(float, ends)
    return max(SHORTEST_BEAT_MS, _OVER_SYSTOLE * (es - ed)) if es > ed else _BEAT_MS
