"""Ejection fraction and volumes of one apical clip."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from echo_node.codes import Method, Quantity, Reason, View
from echo_node.measure.beats import Beat, Curve, find_beats, scatter, smooth
from echo_node.measure.plausibility import Fault, check_beat, check_curve, check_cut, check_single_plane
from echo_node.measure.results import PIXELS, EjectionResult, Recipe, nothing, uncalibrated
from echo_node.measure.volumes import disks
from echo_node.records import Clip, Measurement, Segmentation, Source, VolumeCurve


def measure_clip(clip: Clip, cavity: Segmentation, view: View) -> EjectionResult:
    """EF, EDV and ESV of an apical clip by the single-plane method of disks.

    Parameters
    ----------
    clip : Clip
        Its frame times and spacing.
    cavity : Segmentation
        The LV cavity on the same frames.
    view : View
        A4C or A2C.

    Notes
    -----
    Where a person outlined end diastole or end systole of a beat, that beat is measured, by those outlines.

    The uncertainty is repeatability: scatter of the raw curve about the smoothed one, and the spread
    over beats. It says nothing of a systematic error of the masks.
    """
    if clip.times_ms is None:
        return nothing(Fault(Reason.NO_TIMING, "frame times are missing"), view)
    raw = volumes(cavity, clip.spacing_mm)
    fault = check_curve(raw, cavity) or check_cut(cavity, clip.sector)
    if fault is not None:
        return nothing(fault, view, edits=cavity.edits)
    known = np.isfinite(raw)
    drawn = np.isin(cavity.frame_numbers, cavity.drawn_frames)
    smoothed = smooth(np.interp(clip.times_ms, clip.times_ms[known], raw[known]), clip.times_ms)
    smoothed = np.where(drawn & known, raw, smoothed)  # a person's outline does not waver
    beats = find_beats(smoothed, clip.times_ms)
    if not beats:
        fault = Fault(Reason.NO_FULL_CYCLE, "no systole lies wholly inside the clip")
        return nothing(fault, view, edits=cavity.edits)
    seen = [b for b in beats if drawn[b.ed] or drawn[b.es]] or beats
    beat = sorted(seen, key=lambda b: b.ejection_fraction)[(len(seen) - 1) // 2]
    is_seen = drawn[beat.ed] or drawn[beat.es]  # by a person, who has outlined it
    fault = None if is_seen else check_beat(beat, jumps=scatter(raw[known], clip.times_ms[known]))
    if fault is not None:
        return nothing(fault, view, edits=cavity.edits)
    curve = VolumeCurve(
        volumes_ml=smoothed,
        times_ms=clip.times_ms,
        ed_frame=clip.frame_numbers[beat.ed],
        es_frame=clip.frame_numbers[beat.es],
    )
    noise = float(np.std((raw - smoothed)[known]))
    fault = check_single_plane(beat, noise=noise, calibrated=clip.spacing_mm is not None)
    if fault is not None:
        return nothing(fault, view, curve=curve, edits=cavity.edits)
    source = Source(SOPInstanceUID=clip.SOPInstanceUID, frame_numbers=(curve.ed_frame, curve.es_frame))
    recipe = Recipe(method=Method.DISKS_SINGLE_PLANE, view=view, sources=(source,), edits=cavity.edits)
    measured = [_ejection_fraction(recipe, beats, beat=beat, noise=noise)]
    if clip.spacing_mm is None:
        missing = uncalibrated(view, edits=cavity.edits)
        return EjectionResult(curve=curve, measurements=tuple(measured), not_measured=missing)
    measured += _volume_pair(recipe, beats, beat=beat, noise=noise)
    return EjectionResult(curve=curve, measurements=tuple(measured))


def volumes(cavity: Segmentation, spacing_mm: tuple[float, float] | None) -> Curve:
    """Volume on every frame [T] in ml (in cubic pixels / 1000 without spacing); NaN without a cavity."""
    cut = (disks(mask, spacing_mm or PIXELS) for mask in cavity.masks)
    return np.array([np.nan if d is None else d.volume_ml for d in cut])


def _ejection_fraction(recipe: Recipe, beats: Sequence[Beat], *, beat: Beat, noise: float) -> Measurement:
    within = 100 * noise / beat.edv * float(np.hypot(1, beat.esv / beat.edv))
    between = float(np.std([b.ejection_fraction for b in beats]))
    return recipe.measurement(Quantity.LVEF, beat.ejection_fraction, uncertainty=float(np.hypot(within, between)))


def _volume_pair(recipe: Recipe, beats: Sequence[Beat], *, beat: Beat, noise: float) -> list[Measurement]:
    spread_ed = float(np.hypot(noise, np.std([b.edv for b in beats])))
    spread_es = float(np.hypot(noise, np.std([b.esv for b in beats])))
    return [
        recipe.measurement(Quantity.LV_EDV, beat.edv, uncertainty=spread_ed),
        recipe.measurement(Quantity.LV_ESV, beat.esv, uncertainty=spread_es),
    ]
