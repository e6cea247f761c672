"""A phantom's picture has the name of what it shows, and can be read."""

from __future__ import annotations

import numpy as np
import pytest

from echo_node.codes import Structure, View
from echo_node.phantom import SimulatedClip, sample_patient, simulate_clip
from echo_node.phantom.naming import LEAST_VISIBLE, visible_border

_SEEDS = range(12)


def _clips(view: View) -> list[SimulatedClip]:
    clips = []
    for seed in _SEEDS:
        rng = np.random.default_rng([7, seed])
        clips.append(simulate_clip(sample_patient(rng), view, rng=rng, frames=4, size=120))
    return clips


def _shares(view: View, structure: Structure) -> list[float]:
    """Of each clip, the structure's largest area over the left ventricle's largest."""
    none = np.zeros((1, 1, 1), np.bool_)
    clips = _clips(view)
    areas = [[c.masks.get(s, none).sum(axis=(1, 2)).max() for s in (structure, Structure.LV_CAVITY)] for c in clips]
    return [float(area / whole) for area, whole in areas]


def test_a_four_chamber_view_shows_no_aortic_root_and_a_five_chamber_view_does() -> None:
    # Arrange, Act, Assert: a breath moves the heart by a few millimetres after the plane was chosen
    assert max(_shares(View.A4C, Structure.AORTIC_ROOT)) < 0.15
    assert min(_shares(View.A5C, Structure.AORTIC_ROOT)) > 0.1
    assert min(_shares(View.A4C, Structure.RV)) > 0.15


def test_a_two_chamber_view_shows_two() -> None:
    # Arrange, Act, Assert
    assert max(_shares(View.A2C, Structure.RV)) < 0.15
    assert max(_shares(View.A2C, Structure.RA)) < 0.1


def test_clips_let_one_see() -> None:
    # Arrange, Act
    seen = [clip.visible for view in (View.PLAX, View.A4C, View.PSAX_AV) for clip in _clips(view)]

    # Assert: the best of a few windows is taken where none will do
    assert np.mean([v is not None and v >= LEAST_VISIBLE for v in seen]) > 0.9


@pytest.mark.parametrize(
    ("tissue", "blood", "expected"),
    [(120, 20, 1.0), (60, 60, 0.0), (4, 0, 0.0), (40, 140, 1.0)],
    ids=["plain", "all alike", "in the dark", "contrast agent"],
)
def test_the_visible_share_of_a_border(tissue: int, blood: int, expected: float) -> None:
    # Arrange: a round cavity in tissue
    y, x = np.mgrid[:100, :100]
    is_blood = np.hypot(y - 50, x - 50) < 25
    picture = np.where(is_blood, blood, tissue).astype(np.uint8)

    # Act
    share = visible_border(picture, is_blood, np.ones_like(is_blood), spacing_mm=1.0)

    # Assert
    assert share == expected


def test_half_a_border_in_shadow_is_half_seen() -> None:
    # Arrange
    y, x = np.mgrid[:100, :100]
    is_blood = np.hypot(y - 50, x - 50) < 25
    picture = np.where(is_blood | (x < 50), 0, 120).astype(np.uint8)

    # Act
    share = visible_border(picture, is_blood, np.ones_like(is_blood), spacing_mm=1.0)

    # Assert
    assert share == pytest.approx(0.5, abs=0.06)
