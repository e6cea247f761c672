"""The method of disks against solids of known volume."""

import numpy as np
import pytest

from echo_node.measure.volumes import biplane_volume_ml, disks


def half_ellipse(*, length: float, width: float, tilt: float, spacing: tuple[float, float]) -> np.ndarray:
    """An apical cavity: half an ellipse, apex up, its flat base down, tilted (radians)."""
    rows, cols = np.mgrid[0:400, 0:400]
    down, right = (rows - 250) * spacing[0], (cols - 200) * spacing[1]
    along = -down * np.cos(tilt) + right * np.sin(tilt)
    across = down * np.sin(tilt) + right * np.cos(tilt)
    return (along >= 0) & ((along / length) ** 2 + (across / (width / 2)) ** 2 <= 1)


@pytest.mark.parametrize("tilt", [0.0, 0.3, -0.5])
@pytest.mark.parametrize("spacing", [(0.5, 0.5), (0.4, 0.6)])
def test_a_half_ellipsoid_has_its_volume(tilt, spacing):
    cut = disks(half_ellipse(length=85, width=48, tilt=tilt, spacing=spacing), spacing)
    truth = 2 / 3 * np.pi * 24 * 24 * 85 / 1000
    assert cut is not None
    assert cut.volume_ml == pytest.approx(truth, rel=0.02)
    assert cut.length == pytest.approx(85, rel=0.02)


def test_two_planes_of_an_elliptic_ventricle_give_its_volume():
    spacing = (0.5, 0.5)
    wide = disks(half_ellipse(length=90, width=56, tilt=0.1, spacing=spacing), spacing)
    narrow = disks(half_ellipse(length=90, width=40, tilt=-0.1, spacing=spacing), spacing)
    assert wide is not None
    assert narrow is not None
    truth = 2 / 3 * np.pi * 28 * 20 * 90 / 1000
    assert biplane_volume_ml(wide, narrow) == pytest.approx(truth, rel=0.02)


def test_a_stray_pixel_below_the_base_moves_the_axis_by_little():
    mask = half_ellipse(length=85, width=48, tilt=0.0, spacing=(0.5, 0.5))
    mask[380, 200] = True
    cut = disks(mask, (0.5, 0.5))
    assert cut is not None
    assert cut.length == pytest.approx(85, rel=0.05)


def test_a_mask_without_an_axis_has_no_disks():
    assert disks(np.zeros((50, 50), bool), (1.0, 1.0)) is None
