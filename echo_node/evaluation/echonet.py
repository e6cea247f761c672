"""EchoNet-Dynamic's published layout: FileList.csv, VolumeTracings.csv, Videos/*.avi.

Apical four-chamber clips with EF and volumes, and the left ventricle traced on two frames (Ouyang et
al., Nature 2020;580:252). Pixels have no size there: EF can be compared, volumes cannot.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from echo_node.codes import Structure, View
from echo_node.errors import LabelError
from echo_node.evaluation.cases import Case, Figure, Labels, Part, Source, attempted, title_of_folder
from echo_node.evaluation.cells import Cells, read_table
from echo_node.evaluation.frames import seen_clip
from echo_node.evaluation.videos import frame_times, read_video
from echo_node.records import Segmentation

FILE_LIST, TRACINGS, VIDEOS = "FileList.csv", "VolumeTracings.csv", "Videos"
_FILE_COLUMNS = ("FileName", "EF", "ESV", "EDV", "FPS", "Split")
_TRACING_COLUMNS = ("FileName", "X1", "Y1", "X2", "Y2", "Frame")
_FEWEST_LINES = 3  # the axis and two across it; 21 are published

Lines = Mapping[int, npt.NDArray[np.float64]]  # frame index to [21,4]: the long axis, then across it


def echonet(folder: Path, part: Part) -> Source:
    """The clips of a split.

    Raises
    ------
    LabelError
        A table or a row cannot be used, or there is no row to learn from or to judge by.
    """
    rows = [
        row
        for row in read_table(folder / FILE_LIST, needed=_FILE_COLUMNS)
        if row.choice("Split", Part.__members__) == part.name
    ]
    if not rows and part is not Part.VAL:
        raise LabelError(f"{folder / FILE_LIST}: no row's Split is {part.name}")
    return Source(name=folder.name, caveat=title_of_folder(folder), patients=len(rows), cases=_cases(folder, rows))


def _cases(folder: Path, rows: Sequence[Cells]) -> Iterator[Case]:
    traced = _tracings(folder / TRACINGS)
    for row in rows:
        name = row.wanted("FileName").removesuffix(".avi")
        labels = Labels(patient=name, view=View.A4C)
        yield attempted(labels, partial(_case, folder / VIDEOS / f"{name}.avi", row, traced.get(name, {})))


def _case(path: Path, row: Cells, traced: Lines) -> Case:
    if not path.is_file():
        raise row.fault("FileName", f"there is no {path}")
    frames = read_video(path).frames
    rate = row.number("FPS", low=1, high=1000)
    uid = path.stem
    masks = {index + 1: _filled(lines, frames.shape[1:3]) for index, lines in sorted(traced.items())}
    if masks and max(masks) > len(frames):
        raise row.fault("FileName", f"frame {max(masks) - 1} is traced, and there are {len(frames)}")
    by_area = sorted(masks, key=lambda number: int(masks[number].sum()))
    values = {
        Figure.EF: row.number("EF", low=0, high=100),
        Figure.EDV: row.number("EDV", low=0, high=2000),
        Figure.ESV: row.number("ESV", low=0, high=2000),
    }
    labels = Labels(
        patient=uid,
        view=View.A4C,
        values={figure: value for figure, value in values.items() if value is not None},
        ed_frame=by_area[-1] if len(by_area) > 1 else None,
        es_frame=by_area[0] if len(by_area) > 1 else None,
    )
    times = None if rate is None else frame_times(len(frames), rate)
    clip = seen_clip(frames, uid=uid, times_ms=times, spacing_mm=None)
    if not masks:
        return Case(labels=labels, clip=clip)
    cavity = Segmentation(
        SOPInstanceUID=uid,
        structure=Structure.LV_CAVITY,
        masks=np.stack(list(masks.values())),
        frame_numbers=tuple(masks),
    )
    return Case(labels=labels, clip=clip, masks=(cavity,))


def _tracings(path: Path) -> dict[str, dict[int, npt.NDArray[np.float64]]]:
    """File name without its suffix, to frame index, to lines [21,4] as X1, Y1, X2, Y2."""
    found: dict[str, dict[int, list[list[float]]]] = defaultdict(lambda: defaultdict(list))
    for row in read_table(path, needed=_TRACING_COLUMNS):
        ends = [row.number(column, low=-1e4, high=1e4) for column in ("X1", "Y1", "X2", "Y2")]
        frame = row.whole("Frame", low=0, high=100_000)
        if frame is None or None in ends:
            raise row.fault("Frame", "an empty cell in a traced line")
        name = row.wanted("FileName").removesuffix(".avi")
        found[name][frame].append([end for end in ends if end is not None])
    for name, frames in found.items():
        for frame, lines in frames.items():
            if len(lines) < _FEWEST_LINES:
                raise LabelError(f"{path}: frame {frame} of {name} has {len(lines)} lines; they enclose nothing")
    return {name: {f: np.array(lines) for f, lines in frames.items()} for name, frames in found.items()}


def _filled(lines: npt.NDArray[np.float64], shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """The polygon through one side's ends and back through the other's; the first line is the axis."""
    across = lines[1:]
    outline = np.concatenate([across[:, :2], across[::-1, 2:]])  # [40,2] x, y
    return inside(outline.round(), shape)  # corners at whole pixels, as published code has them


def inside(outline: npt.NDArray[np.float64], shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Pixels [H,W] whose middles lie in a polygon [N,2] of x and y, by the crossings of its edges.

    Filling with the pixels of the edges too would make a ventricle of 112 pixels some 8 % too large.
    """
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    found = np.zeros(shape, np.bool_)
    for (x1, y1), (x2, y2) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        if y1 != y2:
            crossing = (rows >= min(y1, y2)) & (rows < max(y1, y2))
            found ^= crossing & (cols < x1 + (rows - y1) * (x2 - x1) / (y2 - y1))
    return found
