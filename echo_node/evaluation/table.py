"""A plain CSV of one's own clips: which columns there are, and what may stand in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from echo_node.codes import Reason, Structure, View, WallPoint
from echo_node.dicom.clips import open_clip
from echo_node.errors import ClipError, LabelError
from echo_node.evaluation.cases import Axis, Case, Figure, Labels, Part, Source, attempted, title_of_folder
from echo_node.evaluation.cells import Cells, read_table
from echo_node.evaluation.distances import diameter_at, walls_at
from echo_node.evaluation.frames import seen_clip
from echo_node.evaluation.videos import VIDEO_SUFFIXES, read_still, read_video
from echo_node.records import Clip, Landmarks, Segmentation

TABLE, SPLIT = "labels.csv", "split"
FIGURES: Mapping[str, tuple[Figure, float, float]] = {  # column to figure, and what is believed of it
    "ef": (Figure.EF, 2, 100),  # percent: a fraction is none
    "edv_ml": (Figure.EDV, 1, 2000),
    "esv_ml": (Figure.ESV, 1, 2000),
    "ivsd_mm": (Figure.IVSD, 1, 60),
    "lvidd_mm": (Figure.LVIDD, 5, 150),
    "lvpwd_mm": (Figure.LVPWD, 1, 60),
    "lvids_mm": (Figure.LVIDS, 5, 150),
}
GROUPS: Mapping[str, Axis] = {"quality": Axis.QUALITY, "vendor": Axis.SCREEN}
PHASES = ("ed", "es")
WALLS = tuple(f"{phase}_walls" for phase in PHASES)
MASKS = tuple(f"{phase}_mask_{structure.name.lower()}" for phase in PHASES for structure in Structure)
COLUMNS = (
    "file", "patient", SPLIT, "view", "kind", *FIGURES, "ed_frame", "es_frame", "mm_per_pixel", *GROUPS, *WALLS,
    *MASKS,
)  # fmt: skip
_MOST_FRAMES = 100_000


def table(path: Path, part: Part) -> Source:
    """The clips of a table; every cell is checked before the first clip is read.

    To judge by are the rows that do not say otherwise.

    Raises
    ------
    LabelError
        A row cannot be used: file, line, column and what is allowed.
    """
    rows = read_table(path, needed=("file",), allowed=COLUMNS)
    if not rows:
        raise LabelError(f"{path}: holds no row below its header")
    parts = [Part(row.choice(SPLIT, [p.value for p in Part]) or Part.TEST) for row in rows]
    labels = [_labels(row) for row in rows]
    _keep_apart(rows, labels, parts)
    pairs = [(row, of) for row, of, its in zip(rows, labels, parts, strict=True) if its is part]
    if not pairs and part is not Part.VAL:
        raise LabelError(f"{path}: no row's {SPLIT} is {part.value}{' or empty' if part is Part.TEST else ''}")
    pairs.sort(key=lambda pair: pair[1].patient)  # a patient's clips follow each other
    patients = len({labels.patient for _, labels in pairs})
    caveat = title_of_folder(path.resolve().parent)
    return Source(name=path.name, caveat=caveat, patients=patients, cases=_cases(pairs))


def _keep_apart(rows: Sequence[Cells], labels: Sequence[Labels], parts: Sequence[Part]) -> None:
    """Nobody is judged by who was learned from."""
    first: dict[object, tuple[Part, int]] = {}
    for row, of, part in zip(rows, labels, parts, strict=True):
        for what, key in (("patient", of.patient), ("file", Path(row.wanted("file")))):
            its, line = first.setdefault((what, key), (part, row.line))
            if its is not part:
                raise row.fault(SPLIT, f"{what} {key} is for {part.value} here, and for {its.value} in line {line}")


def _cases(pairs: Sequence[tuple[Cells, Labels]]) -> Iterator[Case]:
    for row, labels in pairs:
        yield attempted(labels, partial(_case, row, labels))


def _case(row: Cells, labels: Labels) -> Case:
    clip = _clip(row)
    if clip is None:
        return Case(labels=labels, clip=None)
    masks, points = _masks(row, labels, clip), _points(row, labels, clip)
    return Case(labels=_measured(row, labels, points, clip), clip=clip, masks=masks, landmarks=points)


def _labels(row: Cells) -> Labels:
    for column in ("file", *MASKS):
        _path(row, column)
    view = row.choice("view", View.__members__)
    found = {figure: row.number(column, low=low, high=high) for column, (figure, low, high) in FIGURES.items()}
    frames = [row.whole(f"{phase}_frame", low=1, high=_MOST_FRAMES) for phase in PHASES]
    for phase, frame in zip(PHASES, frames, strict=True):
        drawn = [c for c in (*WALLS, *MASKS) if c.startswith(phase) and row.text(c) is not None]
        if drawn and frame is None:
            raise row.fault(drawn[0], f"needs the number of its frame in {phase}_frame")
        if _places(row, f"{phase}_walls") and view not in (None, View.PLAX.name):
            raise row.fault(f"{phase}_walls", f"walls are measured on PLAX, and this is {view}")
    row.number("mm_per_pixel", low=0.01, high=10)
    return Labels(
        patient=row.text("patient") or row.wanted("file"),
        view=None if view is None else View[view],
        kind=row.text("kind"),
        values={figure: value for figure, value in found.items() if value is not None},
        ed_frame=frames[0],
        es_frame=frames[1],
        groups={axis: text for column, axis in GROUPS.items() if (text := row.text(column)) is not None},
    )


def _path(row: Cells, column: str) -> Path | None:
    """A file beside the table, or below."""
    text = row.wanted(column) if column == "file" else row.text(column)
    if text is None:
        return None
    path = row.path.parent / text
    if not path.is_file():
        raise row.fault(column, f"there is no file {path}")
    return path


def _clip(row: Cells) -> Clip | None:
    """DICOM unless the suffix says otherwise."""
    path = _path(row, "file")
    assert path is not None, "file is needed"
    side = row.number("mm_per_pixel", low=0.01, high=10)
    spacing = None if side is None else (side, side)
    uid = f"row {row.line}"
    if path.suffix.lower() in VIDEO_SUFFIXES:
        video = read_video(path)
        return seen_clip(video.frames, uid=uid, times_ms=video.times_ms, spacing_mm=spacing)
    if path.suffix.lower() == ".png":
        return seen_clip(read_still(path)[None], uid=uid, times_ms=None, spacing_mm=spacing)
    try:
        return open_clip(path).read()
    except ClipError as error:
        if error.reason is Reason.NO_SECTOR:
            return None
        raise row.fault("file", f"{path} is no DICOM, AVI, MP4 or PNG clip that can be read: {error}") from error


def _places(row: Cells, column: str) -> list[tuple[float, float]]:
    """The four points (x, y) of a cell, or none."""
    text = row.text(column)
    if text is None:
        return []
    try:
        places = [(float(x), float(y)) for x, y in (pair.split() for pair in text.split(";"))]
    except ValueError:
        places = []
    if len(places) != len(WallPoint) or not np.isfinite(places).all():
        raise row.fault(column, f"{text!r} is not x y; x y; x y; x y of {', '.join(p.name for p in WallPoint)}")
    if any(lower <= upper for (_, upper), (_, lower) in pairwise(places)):
        raise row.fault(
            column, f"{text!r}: each point lies below the one before, from the septum to behind the heart"
        )
    return places


def _points(row: Cells, labels: Labels, clip: Clip) -> tuple[Landmarks, ...]:
    """The wall points at ED, ES or both; a whole number is the middle of a pixel."""
    rows, cols = clip.sector.shape
    found = []
    for column, number in zip(WALLS, (labels.ed_frame, labels.es_frame), strict=True):
        places = _places(row, column)
        if places and number is not None:
            if not all(0 <= x < cols and 0 <= y < rows for x, y in places):
                raise row.fault(column, f"a point lies outside the picture of {cols} x {rows} pixels")
            points = tuple((point, y, x) for point, (x, y) in zip(WallPoint, places, strict=True))
            uid = clip.SOPInstanceUID
            found.append(Landmarks(SOPInstanceUID=uid, frame_number=number, points=points, probability=1.0))
    return tuple(found)


def _measured(row: Cells, labels: Labels, points: Sequence[Landmarks], clip: Clip) -> Labels:
    """What the points measure is true where no column says otherwise."""
    if not points or clip.spacing_mm is None:
        return labels
    values = dict(walls_at(points, labels.ed_frame, clip.spacing_mm)) if labels.ed_frame is not None else {}
    systolic = None if labels.es_frame is None else diameter_at(points, labels.es_frame, clip.spacing_mm)
    if systolic is not None:
        values[Figure.LVIDS] = systolic
    for figure, low, high in FIGURES.values():
        if figure in values and not low <= values[figure] <= high:
            column = WALLS[figure is Figure.LVIDS]
            raise row.fault(
                column, f"{figure.label} is {values[figure]:.1f} mm by its points: is mm_per_pixel right?"
            )
    return replace(labels, values=values | dict(labels.values))


def _masks(row: Cells, labels: Labels, clip: Clip) -> tuple[Segmentation, ...]:
    """Of each structure, on ED, ES or both; a pixel that is not black is inside."""
    numbers = dict(zip(PHASES, (labels.ed_frame, labels.es_frame), strict=True))
    for phase, number in numbers.items():
        if number is not None and number not in clip.frame_numbers:
            raise row.fault(f"{phase}_frame", f"{number} is beyond the {clip.NumberOfFrames} frames")
    found = []
    for structure in Structure:
        masks = {}
        for phase, number in numbers.items():
            column = f"{phase}_mask_{structure.name.lower()}"
            path = _path(row, column)
            if path is not None and number is not None:
                masks[number] = read_still(path).max(axis=-1) > 0
                if masks[number].shape != clip.sector.shape:
                    raise row.fault(column, f"is {masks[number].shape}, and the clip {clip.sector.shape} pixels")
        if masks:
            found.append(
                Segmentation(
                    SOPInstanceUID=clip.SOPInstanceUID,
                    structure=structure,
                    masks=np.stack(list(masks.values())),
                    frame_numbers=tuple(masks),
                )
            )
    return tuple(found)
