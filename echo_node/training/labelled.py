"""Labelled clips of one's own as training data: the layouts that an engine is evaluated on."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from echo_node.codes import WallPoint
from echo_node.errors import LabelError
from echo_node.evaluation.cases import Case, Part
from echo_node.evaluation.folders import open_folder
from echo_node.inference.preprocess import Letterbox
from echo_node.inference.sampling import spread
from echo_node.records import Clip
from echo_node.training.data import LABELS, STORED_SIZE, STRUCTURES, Clips

FEWEST_VIEWS = 4


def load(path: Path, *, frames: int) -> Clips:
    """The clips of a folder or table that are there to learn from.

    Parameters
    ----------
    path : Path
        As ``echo-node evaluate --on`` takes it (docs/evaluation.md).
    frames : int
        T, of each clip: those with an outline or wall points, and others spread over the clip.

    Raises
    ------
    LabelError
        No layout is known, or no clip could be read. One that cannot be is named and passed over.
    """
    source = open_folder(path, Part.TRAIN)
    read, passed = [], 0
    for case in tqdm(source.cases, desc=source.name, unit="clip"):
        if case.fault or case.clip is None:
            passed += 1
            tqdm.write(f"passed over: {case.fault or _without_sector(case)}", sys.stderr)
        else:
            read.append(_row(case, case.clip, frames))
    if not read:
        raise LabelError(f"{path}: none of {passed} clips can be learned from")
    columns = list(zip(*read, strict=True))
    del read  # and each column once it is stacked: an archive's clips are not held twice
    images, masks, views, points, known = (np.stack(columns.pop(0)) for _ in range(5))
    return Clips(images=images, masks=masks, views=views, points=points, known=known)


def with_views(own: Clips) -> Clips:
    """Those that views are learned from: none where few views are labelled.

    Else a picture that is no phantom would be one of these few, and certainly so.
    """
    has = own.views >= 0
    enough = len(np.unique(own.views[has])) >= FEWEST_VIEWS
    return _only(own, np.flatnonzero(has & enough))


def with_drawings(own: Clips) -> Clips:
    """Those that outlines and walls are learned from: with a known mask, or wall points, on any frame."""
    return _only(own, np.flatnonzero(own.known.any(axis=(1, 2)) | np.isfinite(own.points).any(axis=(1, 2, 3))))


def _only(own: Clips, rows: npt.NDArray[np.int64]) -> Clips:
    """Some clips; where they are all, these themselves, for an archive's are not held twice."""
    return own if len(rows) == len(own) else own.taken(rows)


def digest(own: Clips) -> str:
    """By which a set is known again."""
    found = hashlib.sha256()
    for column in (own.images, own.masks, own.views, own.points, own.known):
        found.update(np.ascontiguousarray(column).data)
    return found.hexdigest()


def _without_sector(case: Case) -> str:
    view = case.labels.view
    return f"no sector was found in {case.labels.patient}{'' if view is None else ', ' + view.name}"


_Row = tuple[
    npt.NDArray[np.uint8],
    npt.NDArray[np.uint8],
    npt.NDArray[np.int64],
    npt.NDArray[np.float32],
    npt.NDArray[np.bool_],
]


def _row(case: Case, clip: Clip, frames: int) -> _Row:
    """Images, packed masks, view, wall points, and which masks are known."""
    box, chosen = Letterbox.around(clip.sector, STORED_SIZE), _frames(case, clip, frames)
    masks = np.zeros((frames, len(STRUCTURES), STORED_SIZE, STORED_SIZE), np.bool_)
    points = np.full((frames, len(WallPoint), 2), np.nan, np.float32)
    known = np.zeros((frames, len(STRUCTURES)), np.bool_)
    for place, index in enumerate(chosen):
        number = clip.frame_numbers[index]
        for truth in case.masks:
            if number in truth.frame_numbers:
                mask, which = truth.masks[truth.frame_numbers.index(number)], STRUCTURES.index(truth.structure)
                masks[place, which] = box.apply(mask[None] * np.uint8(255))[0] > 127
                known[place, which] = True
        for drawn in case.landmarks:
            if number == drawn.frame_number:
                at = {point: box.to_square(row, col) for point, row, col in drawn.points}
                points[place] = [(y * box.size - 0.5, x * box.size - 0.5) for x, y in (at[p] for p in WallPoint)]
    view = case.labels.view
    label = np.array(LABELS.index(view) if view in LABELS else -1, np.int64)
    return box.apply(clip.frames[chosen]), np.packbits(masks, axis=-1), label, points, known


def _frames(case: Case, clip: Clip, wanted: int) -> list[int]:
    """Indices of frames in time order, as many as wanted: a short clip's more than once."""
    numbers = {number for truth in case.masks for number in truth.frame_numbers}
    numbers |= {drawn.frame_number for drawn in case.landmarks}
    drawn = [index for index, number in enumerate(clip.frame_numbers) if number in numbers]
    chosen = [drawn[i] for i in spread(len(drawn), wanted)] if drawn else []
    others = [index for index in range(len(clip.frames)) if index not in chosen]
    if others and len(chosen) < wanted:
        chosen += [others[i] for i in spread(len(others), wanted - len(chosen))]
    return sorted(np.resize(chosen, wanted).tolist())
