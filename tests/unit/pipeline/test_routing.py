"""The routing table and what narrows it."""

import pytest

from echo_node.codes import ImageMode, Reason, View
from echo_node.config import Head, Routing
from echo_node.records import ViewPrediction
from echo_node.routing import HEADS, STRUCTURES, route


def prediction(view: View, probability: float = 0.99, mode: ImageMode = ImageMode.TWO_D) -> ViewPrediction:
    return ViewPrediction(
        SOPInstanceUID="1.2",
        view=view,
        probability=probability,
        runner_up=View.A3C,
        runner_up_probability=1 - probability,
        mode=mode,
    )


def routed(view, *, frames=30, rules=None, available=tuple(Head), **kwargs):
    said = prediction(view, **kwargs)
    return route(said, frames=frames, threshold=0.8, rules=rules or Routing(), available=available)


def test_every_segmented_view_has_structures():
    assert {view for view, heads in HEADS.items() if Head.SEGMENTATION in heads} == set(STRUCTURES)


def test_a_long_axis_goes_to_the_hypertrophy_head_and_is_not_outlined():
    decision = routed(View.PLAX)
    assert decision.reason is None
    assert decision.heads == (Head.HYPERTROPHY,)
    assert decision.structures == ()


def test_a_head_that_the_engine_lacks_is_not_routed_to():
    without = (Head.SEGMENTATION, Head.EJECTION_FRACTION)
    assert routed(View.PLAX, available=without).reason is Reason.NO_HEAD_IN_ENGINE
    assert routed(View.A4C, available=without).heads == without
    assert routed(View.A4C, available=(Head.SEGMENTATION,)).heads == (Head.SEGMENTATION,)


@pytest.mark.parametrize("view", [View.A4C, View.A2C])
def test_apical_views_go_to_both_heads(view):
    decision = routed(view)
    assert decision.reason is None
    assert decision.heads == (Head.SEGMENTATION, Head.EJECTION_FRACTION)


@pytest.mark.parametrize(
    ("kwargs", "reason"),
    [
        ({"view": View.A4C, "probability": 0.79}, Reason.LOW_CONFIDENCE),
        ({"view": View.A4C, "mode": ImageMode.COLOUR_FLOW}, Reason.NOT_TWO_D),
        ({"view": View.A4C, "frames": 1}, Reason.SINGLE_FRAME),
        ({"view": View.OTHER}, Reason.NOT_A_STANDARD_VIEW),
        ({"view": View.PLAX, "frames": 1}, Reason.SINGLE_FRAME),
        ({"view": View.PSAX_PM}, Reason.NO_HEAD_FOR_VIEW),
        ({"view": View.SUBCOSTAL_4C}, Reason.NO_HEAD_FOR_VIEW),
    ],
)
def test_what_is_not_routed_says_why(kwargs, reason):
    decision = routed(kwargs.pop("view"), **kwargs)
    assert decision.heads == ()
    assert decision.reason is reason
    assert decision.detail


def test_config_switches_heads_off():
    one = Routing(disabled={View.A2C: (Head.EJECTION_FRACTION,)})
    assert routed(View.A2C, rules=one).heads == (Head.SEGMENTATION,)
    both = Routing(disabled={View.A2C: tuple(Head)})
    assert routed(View.A2C, rules=both).reason is Reason.NO_HEAD_FOR_VIEW
    assert routed(View.A4C, rules=both).heads == (Head.SEGMENTATION, Head.EJECTION_FRACTION)


def test_without_segmentation_there_is_no_ejection_fraction():
    rules = Routing(disabled={View.A4C: (Head.SEGMENTATION,)})
    assert routed(View.A4C, rules=rules).reason is Reason.NO_HEAD_FOR_VIEW
    assert routed(View.A4C, rules=rules).structures == ()
    assert routed(View.A2C, rules=rules).structures == STRUCTURES[View.A2C]
