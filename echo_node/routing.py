"""View to heads: one literal table, narrowed by config.yaml."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from echo_node.codes import ImageMode, Reason, Structure, View
from echo_node.config import Head, Routing
from echo_node.records import ViewPrediction

HEADS: Mapping[View, tuple[Head, ...]] = {
    View.PLAX: (Head.HYPERTROPHY,),
    View.A4C: (Head.SEGMENTATION, Head.EJECTION_FRACTION),
    View.A2C: (Head.SEGMENTATION, Head.EJECTION_FRACTION),
}

STRUCTURES: Mapping[View, tuple[Structure, ...]] = {
    View.A4C: (
        Structure.LV_CAVITY,
        Structure.LV_MYOCARDIUM,
        Structure.LA,
        Structure.RV,
        Structure.RA,
    ),
    View.A2C: (Structure.LV_CAVITY, Structure.LV_MYOCARDIUM, Structure.LA),
}

RESTS_ON: Mapping[Head, Head] = {Head.EJECTION_FRACTION: Head.SEGMENTATION}  # volumes and EF need the outlines


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where a clip goes: its heads, or the reason why it goes nowhere."""

    heads: tuple[Head, ...]
    structures: tuple[Structure, ...] = ()
    reason: Reason | None = None
    detail: str = ""


def route(
    prediction: ViewPrediction, *, frames: int, threshold: float, rules: Routing, available: Collection[Head]
) -> Route:
    """Decide what measures a clip.

    Parameters
    ----------
    prediction : ViewPrediction
        The view head's answer.
    frames : int
        NumberOfFrames of the object.
    threshold : float
        The least probability of a view that is routed.
    rules : Routing
        What config.yaml switches off.
    available : collection of Head
        What the engine has.

    Notes
    -----
    A still is sent nowhere: it does not say whether it shows end diastole.
    """
    view = prediction.view
    if prediction.mode is not ImageMode.TWO_D:
        return _nowhere(Reason.NOT_TWO_D, prediction.mode.code.meaning)
    if prediction.probability < threshold:
        return _nowhere(
            Reason.LOW_CONFIDENCE,
            f"{view.name} at {prediction.probability:.2f}, then {prediction.runner_up.name} at "
            f"{prediction.runner_up_probability:.2f}; the threshold is {threshold:.2f}",
        )
    if view is View.OTHER:
        return _nowhere(Reason.NOT_A_STANDARD_VIEW, f"probability {prediction.probability:.2f}")
    off = rules.disabled.get(view, ())
    heads = tuple(h for h in HEADS.get(view, ()) if h not in off and RESTS_ON.get(h) not in off)
    if not heads:
        return _nowhere(Reason.NO_HEAD_FOR_VIEW, view.name)
    heads = tuple(h for h in heads if h in available)
    if not heads:
        return _nowhere(Reason.NO_HEAD_IN_ENGINE, view.name)
    if frames == 1:
        return _nowhere(Reason.SINGLE_FRAME, f"{view.name} still")
    return Route(heads=heads, structures=STRUCTURES[view] if Head.SEGMENTATION in heads else ())


def _nowhere(reason: Reason, detail: str) -> Route:
    return Route(heads=(), reason=reason, detail=detail)
