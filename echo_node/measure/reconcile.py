"""The learned estimate of EF beside the method of disks: reported each by itself, never averaged.

References
----------
Thavendiranathan P et al. Reproducibility of echocardiographic techniques for sequential assessment of
left ventricular ejection fraction and volumes. J Am Coll Cardiol 2013;61:77-84.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from echo_node.codes import Method, Quantity, Reason, View
from echo_node.measure.plausibility import Fault, check_estimate
from echo_node.measure.results import EjectionResult, Recipe, refused
from echo_node.records import EjectionEstimate, Measurement, NotMeasured, Source

# Points of EF that two good readings of one heart may lie apart. Repeatability over frames and beats does
# not hold what an outline is wrong by throughout, and in hearts that had not changed 2D EF varied by over 0.10.
METHODS_APART = 10.0


def report_estimate(estimate: EjectionEstimate, disks: EjectionResult, view: View) -> EjectionResult:
    """The clip's result by disks with the learned estimate added, and their disagreement if so.

    Parameters
    ----------
    estimate : EjectionEstimate
        What the ejection fraction head said.
    disks : EjectionResult
        What the method of disks gave on the same clip.
    view : View
        A4C or A2C.
    """
    fault = check_estimate(estimate)
    if fault is not None:
        return _with(disks, not_measured=refused((Quantity.LVEF,), fault, view=view, method=Method.LEARNED))
    frames = (estimate.ed_frame, estimate.es_frame)
    source = Source(SOPInstanceUID=estimate.SOPInstanceUID, frame_numbers=frames)
    recipe = Recipe(method=Method.LEARNED, view=view, sources=(source,))
    learned = recipe.measurement(Quantity.LVEF, estimate.ef, uncertainty=estimate.uncertainty)
    outlined = next((m for m in disks.measurements if m.quantity is Quantity.LVEF), None)
    fault = None if outlined is None else _disagreement(outlined, learned)
    if outlined is None or fault is None:
        return _with(disks, measurements=(learned,))
    said = refused((Quantity.LVEF_COMBINED,), fault, view=view, method=None, edits=outlined.edits)
    return _with(disks, measurements=(learned,), not_measured=said)


def refuse_estimate(disks: EjectionResult, view: View) -> EjectionResult:
    """No estimate where the method of disks found no beat to estimate on: for the same reason."""
    first = disks.not_measured[0]
    fault = Fault(first.reason, first.detail)
    missing = refused((Quantity.LVEF,), fault, view=view, method=Method.LEARNED, edits=first.edits)
    return _with(disks, not_measured=missing)


def explained(first: float | None, second: float | None) -> float:
    """Points that two methods' EF may lie apart, given one standard deviation of each (None: not known).

    Twice the deviations cover 19 of 20 readings, as ``METHODS_APART`` does; independent, they add as squares.
    """
    return float(np.hypot(METHODS_APART, 2 * np.hypot(first or 0.0, second or 0.0)))


def _disagreement(outlined: Measurement, learned: Measurement) -> Fault | None:
    apart, allowed = abs(outlined.value - learned.value), explained(outlined.uncertainty, learned.uncertainty)
    if apart <= allowed:
        return None
    return Fault(
        Reason.DISAGREEMENT,
        f"method of disks {outlined.value:.0f} %, learned estimate {learned.value:.0f} %: "
        f"{apart:.0f} points apart, {allowed:.0f} can be explained",
    )


def _with(
    result: EjectionResult,
    *,
    measurements: Sequence[Measurement] = (),
    not_measured: Sequence[NotMeasured] = (),
) -> EjectionResult:
    return EjectionResult(
        curve=result.curve,
        measurements=(*result.measurements, *measurements),
        not_measured=(*result.not_measured, *not_measured),
    )
