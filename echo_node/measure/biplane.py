"""Ejection fraction and volumes of a study from two apical views."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from echo_node.codes import Method, Quantity, Reason, Structure, View
from echo_node.measure.plausibility import Fault, check_biplane
from echo_node.measure.results import PIXELS, EjectionResult, Recipe, nothing, surest, uncalibrated, value_of
from echo_node.measure.volumes import Disks, biplane_volume_ml, disks
from echo_node.records import ClipAnalysis, Segmentation, Source


def measure_biplane(clips: Sequence[ClipAnalysis]) -> EjectionResult:
    """EF, EDV and ESV of a study by the biplane method of disks.

    Of several clips of a view the one whose view is most certain is taken.

    Parameters
    ----------
    clips : sequence of ClipAnalysis
        All clips of the study.
    """
    four, two = (surest(clips, view, Quantity.LVEF, Method.DISKS_SINGLE_PLANE) for view in (View.A4C, View.A2C))
    if four is None or two is None:
        missing = " and ".join(name for name, clip in (("A4C", four), ("A2C", two)) if clip is None)
        return nothing(Fault(Reason.VIEW_MISSING, f"no measured {missing} clip"), None)
    edits = tuple(dict.fromkeys(edit for clip in (four, two) for edit in _cavity(clip).edits))
    ed = _disks_at_ed(four), _disks_at_ed(two)
    es = _disks_at_es(four), _disks_at_es(two)
    if ed[0] is None or ed[1] is None or es[0] is None or es[1] is None:
        unseen = Fault(Reason.LOW_QUALITY, "no cavity at end diastole or end systole")
        return nothing(unseen, None, edits=edits)
    edv, esv = biplane_volume_ml(ed[0], ed[1]), biplane_volume_ml(es[0], es[1])
    ef = 100 * (edv - esv) / edv
    calibrated = four.spacing_mm is not None and two.spacing_mm is not None
    fault = check_biplane(
        edv,
        ef,
        lengths=(ed[0].length, ed[1].length),
        single_ef=[_value(clip) for clip in (four, two)],
        calibrated=calibrated,
    )
    if fault is not None:
        return nothing(fault, None, edits=edits)
    recipe = Recipe(method=Method.DISKS_BIPLANE, view=None, sources=(_source(four), _source(two)), edits=edits)
    values = {Quantity.LVEF: ef}
    if calibrated:
        values |= {Quantity.LV_EDV: edv, Quantity.LV_ESV: esv}
    measured = tuple(
        recipe.measurement(quantity, value, uncertainty=_uncertainty((four, two), quantity))
        for quantity, value in values.items()
    )
    not_measured = () if calibrated else uncalibrated(None, edits=edits)
    return EjectionResult(measurements=measured, not_measured=not_measured)


def _disks_at_ed(clip: ClipAnalysis) -> Disks | None:
    assert clip.curve is not None
    return _disks_on(clip, clip.curve.ed_frame)


def _disks_at_es(clip: ClipAnalysis) -> Disks | None:
    assert clip.curve is not None
    return _disks_on(clip, clip.curve.es_frame)


def _disks_on(clip: ClipAnalysis, frame: int) -> Disks | None:
    cavity = _cavity(clip)
    return disks(cavity.masks[cavity.frame_numbers.index(frame)], clip.spacing_mm or PIXELS)


def _cavity(clip: ClipAnalysis) -> Segmentation:
    return next(s for s in clip.segmentations if s.structure is Structure.LV_CAVITY)


def _source(clip: ClipAnalysis) -> Source:
    assert clip.curve is not None
    return Source(SOPInstanceUID=clip.SOPInstanceUID, frame_numbers=(clip.curve.ed_frame, clip.curve.es_frame))


def _value(clip: ClipAnalysis) -> float:
    measured = value_of(clip, Quantity.LVEF, Method.DISKS_SINGLE_PLANE)
    assert measured is not None
    return measured.value


def _uncertainty(clips: Sequence[ClipAnalysis], quantity: Quantity) -> float | None:
    """Root of the mean square of the planes' spreads, over the root of their number."""
    measured = [value_of(clip, quantity, Method.DISKS_SINGLE_PLANE) for clip in clips]
    known = [m.uncertainty for m in measured if m is not None and m.uncertainty is not None]
    if len(known) < len(clips):
        return None
    return float(np.sqrt(np.mean(np.square(known)) / len(known)))
