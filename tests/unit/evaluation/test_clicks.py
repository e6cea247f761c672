"""Where a simulated person clicks, and what it does."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from echo_node.codes import Structure
from echo_node.evaluation.clicks import CLICKS, dice_by_clicks, next_click
from echo_node.evaluation.frames import whole_clip
from echo_node.inference.prompts import Point, PointKind
from echo_node.records import Segmentation


def square(top: int, left: int, side: int) -> np.ndarray:
    mask = np.zeros((40, 40), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_what_is_missed_is_clicked_in_its_middle():
    truth = square(10, 10, 9) | square(30, 30, 3)
    assert next_click(np.zeros_like(truth), truth) == Point(14, 14, PointKind.FOREGROUND)


def test_what_is_too_much_is_clicked_as_background():
    truth = square(5, 5, 5)
    mask = truth | square(20, 20, 11)
    assert next_click(mask, truth) == Point(25, 25, PointKind.BACKGROUND)


def test_a_click_lies_inside_a_bent_error_not_in_its_centroid():
    ring = square(5, 5, 21) & ~square(8, 8, 15)
    point = next_click(np.zeros_like(ring), ring)
    assert ring[int(point.row), int(point.col)]


def test_the_middle_is_found_at_the_edge_of_the_picture():
    point = next_click(np.zeros((40, 40), bool), square(0, 0, 7))
    assert (point.row, point.col) == (3, 3)


def test_a_mask_that_is_right_is_not_clicked():
    assert next_click(square(5, 5, 5), square(5, 5, 5)) is None


@dataclass
class Obedient:
    """Outlines a small square about every foreground point."""

    asked: list = field(default_factory=list)

    def segment(self, clip, structures, prompts):
        self.asked.append(prompts.points)
        mask = np.zeros(clip.frames.shape, bool)
        for point in prompts.points:
            mask[0] |= square(int(point.row) - 2, int(point.col) - 2, 5)
        return (
            Segmentation(
                SOPInstanceUID=clip.SOPInstanceUID, structure=structures[0], masks=mask, frame_numbers=(1,)
            ),
        )


def test_dice_after_each_click():
    truth = square(10, 10, 5) | square(25, 25, 5)
    frame = whole_clip(
        np.zeros((1, 40, 40), np.uint8), np.ones((40, 40), bool), uid="1.2", times_ms=None, spacing_mm=None
    )
    engine = Obedient()
    reached = dice_by_clicks(engine, frame, Structure.LA, truth, frame_number=frame.frame_numbers[0])
    assert reached == pytest.approx((0, 2 * 25 / 75, *[1.0] * (CLICKS - 1)))
    assert len(engine.asked) == 3, "a mask that is right is not asked for again"
