"""A person's corrections applied to a clip's analysis.

Pure, as the pipeline is: an analysis, the clip's frames and what was drawn on them go in, a new analysis comes out.
What a correction touches is measured anew and says by whose report; all else stays as it was.

- Points and boxes are prompts of the decoder, on every frame alike.
- An outline is its frame's mask, to the pixel. Frames so near in time that the volume curve is smoothed over both
  get it as their previous mask; where the engine does not know the structure, they stay.
- A line is the length of its quantity.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from echo_node.codes import Quantity, Reason, Structure
from echo_node.edits import Correction, Edit, Shape
from echo_node.errors import CorrectionError
from echo_node.inference.engine import Engine
from echo_node.inference.prompts import MAX_POINTS, Point, PointKind, Prompts
from echo_node.inference.sampling import middle, pick
from echo_node.measure.beats import SMOOTHING_MS
from echo_node.measure.drawn import fill, is_same, is_there, measure_lines
from echo_node.measure.results import EJECTION
from echo_node.pipeline import with_ejection, with_outcome
from echo_node.records import Clip, ClipAnalysis, Measurement, Segmentation

_OF_THE_CAVITY = (*EJECTION, Quantity.LVEF_COMBINED)
_KINDS = {Shape.FOREGROUND: PointKind.FOREGROUND, Shape.BACKGROUND: PointKind.BACKGROUND}

Mask = npt.NDArray[np.bool_]  # [H,W]


def correct(analysis: ClipAnalysis, clip: Clip, corrections: Sequence[Correction], engine: Engine) -> ClipAnalysis:
    """What is known of a clip once a person has corrected it.

    Parameters
    ----------
    analysis : ClipAnalysis
        Of the clip.
    clip : Clip
        The frames that its structures were outlined on; where none was, those that they are to be outlined on.
    corrections : sequence of Correction
        All of this clip.
    engine : Engine
        Takes the prompts.

    Returns
    -------
    ClipAnalysis
        The very same one where all is drawn already.

    Raises
    ------
    CorrectionError
        With the coded reason why none of them is taken.
    """
    if analysis.prediction is None:
        raise CorrectionError(Reason.NO_CORRECTION, f"image {analysis.SOPInstanceUID} was not read as a clip")
    by_subject: dict[Structure | Quantity, list[Correction]] = defaultdict(list)
    for correction in corrections:
        if not is_there(analysis, correction):
            by_subject[correction.subject].append(correction)
    corrected = analysis
    for subject, given in by_subject.items():
        if isinstance(subject, Structure):
            corrected = _with_structure(corrected, clip, subject, given, engine)
        else:
            corrected = _with_length(corrected, subject, given)
    return analysis if corrected is analysis else with_outcome(corrected)


def frames_needed(analysis: ClipAnalysis, NumberOfFrames: int, max_frames: int) -> tuple[int, ...]:
    """Indices of the frames to correct a clip on: those that it was outlined on, or else its middle."""
    for segmentation in analysis.segmentations:
        if not set(segmentation.drawn_frames) >= set(segmentation.frame_numbers):
            return tuple(number - 1 for number in segmentation.frame_numbers)
    return middle(NumberOfFrames, max_frames)


def _with_structure(
    analysis: ClipAnalysis, clip: Clip, structure: Structure, given: Sequence[Correction], engine: Engine
) -> ClipAnalysis:
    """A structure outlined as a person wants it. Volumes follow where they had been looked for."""
    former = next((s for s in analysis.segmentations if s.structure is structure), None)
    outlined = _outlined(former, clip, structure, given, engine)
    known = tuple(outlined if s is former else s for s in analysis.segmentations)
    corrected = replace(analysis, segmentations=known if former is not None else (*known, outlined))
    sought = {m.quantity for m in analysis.measurements} | {n.quantity for n in analysis.not_measured}
    if structure is not Structure.LV_CAVITY or Quantity.LVEF not in sought:
        return corrected
    assert analysis.prediction is not None
    stripped = _without(corrected, _OF_THE_CAVITY)
    return with_ejection(stripped, analysis.prediction.view, clip=clip, engine=engine)


def _outlined(
    former: Segmentation | None,
    clip: Clip,
    structure: Structure,
    given: Sequence[Correction],
    engine: Engine,
) -> Segmentation:
    """Masks after prompts and outlines; what a person has once outlined stays, unless outlined again."""
    drawn = {} if former is None else {n: former.masks[former.frame_numbers.index(n)] for n in former.drawn_frames}
    drawn |= {c.frame_number: _filled(c, clip) for c in given if c.shape is Shape.CONTOUR}
    prompts = _prompts(structure, [c for c in given if c.shape is not Shape.CONTOUR])
    if prompts is not None:
        _check_known(structure, engine)
        (base,) = engine.segment(clip, (structure,), prompts)
    elif former is not None and not drawn.keys() >= set(former.frame_numbers):
        base = former
    else:  # nothing but a person's outlines is known of it
        base = _only(drawn, clip, structure)
    masks = base.masks.copy()
    if structure in engine.structures:
        for index, mask in _beside(drawn, base.frame_numbers, clip, structure, engine).items():
            masks[index] = mask
    for number, mask in drawn.items():
        masks[base.frame_numbers.index(number)] = mask
    before = () if former is None else former.edits
    return replace(base, masks=masks, edits=_edits(before, given), drawn_frames=tuple(sorted(drawn)))


def _filled(correction: Correction, clip: Clip) -> Mask:
    number = correction.frame_number
    if number not in clip.frame_numbers:
        first, last = clip.frame_numbers[0], clip.frame_numbers[-1]
        raise CorrectionError(Reason.OUTSIDE_IMAGE, f"frame {number}; frames {first} to {last} are analysed")
    mask = fill(correction.points, clip.sector.shape)
    if not mask.any():
        raise CorrectionError(Reason.NO_CORRECTION, f"the outline on frame {number} holds no pixel")
    return mask


def _prompts(structure: Structure, given: Sequence[Correction]) -> Prompts | None:
    """All points and the box around all boxes; None where there are none."""
    if not given:
        return None
    points = [Point(r, c, _KINDS[g.shape]) for g in given if g.shape in _KINDS for r, c in g.points]
    corners = np.array([point for g in given if g.shape is Shape.BOX for point in g.points])
    if corners.size:
        (top, left), (bottom, right) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
        points = [*Prompts.box(top=top, left=left, bottom=bottom, right=right).points, *points]
    if len(points) > MAX_POINTS:
        said = f"{len(points)} points for {structure.name}, a box counting as two; at most {MAX_POINTS} are taken"
        raise CorrectionError(Reason.NO_CORRECTION, said)
    return Prompts(points=tuple(points))


def _check_known(structure: Structure, engine: Engine) -> None:
    if structure not in engine.structures:
        raise CorrectionError(
            Reason.NO_HEAD_IN_ENGINE, f"engine {engine.identity.name} outlines no {structure.name}"
        )


def _only(drawn: Mapping[int, Mask], clip: Clip, structure: Structure) -> Segmentation:
    numbers = tuple(sorted(drawn))
    return Segmentation(
        SOPInstanceUID=clip.SOPInstanceUID,
        structure=structure,
        masks=np.stack([drawn[number] for number in numbers]),
        frame_numbers=numbers,
    )


def _beside(
    drawn: Mapping[int, Mask],
    frame_numbers: tuple[int, ...],
    clip: Clip,
    structure: Structure,
    engine: Engine,
) -> dict[int, Mask]:
    """Masks of the frames beside the outlined ones, by index: each after the nearest outline in time."""
    if clip.times_ms is None or frame_numbers != clip.frame_numbers or not drawn:
        return {}
    keys = np.array([frame_numbers.index(number) for number in drawn])
    apart = np.abs(clip.times_ms[:, None] - clip.times_ms[keys])  # [T,K]
    nearest, is_near = apart.argmin(axis=1), apart.min(axis=1) <= SMOOTHING_MS
    is_near[keys] = False
    found: dict[int, Mask] = {}
    for k, mask in enumerate(drawn.values()):
        near = tuple(np.flatnonzero(is_near & (nearest == k)).tolist())
        if near:
            (dragged,) = engine.segment(pick(clip, near), (structure,), Prompts(previous=mask))
            found |= dict(zip(near, dragged.masks, strict=True))
    return found


def _with_length(analysis: ClipAnalysis, quantity: Quantity, given: Sequence[Correction]) -> ClipAnalysis:
    """A quantity measured along a person's lines, unless it was before along the same."""
    lines, result = measure_lines(analysis, quantity, given)
    former = [line for line in analysis.lines if line.quantity is quantity]
    if len(lines) == len(former) and all(map(is_same, lines, former)):
        return analysis
    stripped = _without(analysis, (quantity,))
    kept = tuple(line for line in analysis.lines if line.quantity is not quantity)
    if isinstance(result, Measurement):
        measured = (*stripped.measurements, result)
        return replace(stripped, lines=(*kept, *lines), measurements=measured)
    return replace(stripped, lines=(*kept, *lines), not_measured=(*stripped.not_measured, result))


def _without(analysis: ClipAnalysis, quantities: Sequence[Quantity]) -> ClipAnalysis:
    return replace(
        analysis,
        measurements=tuple(m for m in analysis.measurements if m.quantity not in quantities),
        not_measured=tuple(n for n in analysis.not_measured if n.quantity not in quantities),
    )


def _edits(before: Sequence[Edit], given: Sequence[Correction]) -> tuple[Edit, ...]:
    """In order, each once."""
    return tuple(dict.fromkeys((*before, *(c.edit for c in given))))
