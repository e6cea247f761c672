"""LV volume by the method of disks (Lang 2015, section 2.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DISKS = 20
_AXIS_STEPS = 4  # the axis settles within a tenth of a pixel in three
_BASE_SHARE = 0.1  # of the length: what counts as the basal edge
_MIN_PIXELS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Disks:
    """A cavity cut into disks of equal height across its long axis.

    ``diameters`` [20] from base to apex and ``length`` are in mm, or in pixels without calibration.
    """

    diameters: npt.NDArray[np.float64]
    length: float

    @property
    def volume_ml(self) -> float:
        """Single-plane volume; ml where the lengths are mm."""
        return _volume_ml(self.diameters, self.diameters, self.length)


def disks(mask: npt.NDArray[np.bool_], spacing_mm: tuple[float, float]) -> Disks | None:
    """Cut an apical view's LV cavity into disks.

    The long axis runs from the middle of the basal edge to the point of the cavity that is farthest
    from it. The apex is the end nearer to the probe, which is at the top of an apical view.

    Parameters
    ----------
    mask : bool [H,W]
        The cavity, closed at the mitral annulus.
    spacing_mm : (float, float)
        Height and width of a pixel. (1, 1) where there is no calibration.

    Returns
    -------
    Disks or None
        None where the mask is too small to have an axis.
    """
    rows, cols = np.nonzero(mask)
    if rows.size < _MIN_PIXELS:
        return None
    points = np.stack([rows * spacing_mm[0], cols * spacing_mm[1]], axis=1)  # [N,2], mm
    base, apex = _long_axis(points)
    length = float(np.hypot(*(apex - base)))
    along = (points - base) @ ((apex - base) / length)  # [N], 0 at the base
    index = np.clip((along / length * DISKS).astype(int), 0, DISKS - 1)
    areas = np.bincount(index, minlength=DISKS) * (spacing_mm[0] * spacing_mm[1])
    return Disks(diameters=np.asarray(areas / (length / DISKS), np.float64), length=length)


def biplane_volume_ml(first: Disks, second: Disks) -> float:
    """Volume from two views at right angles, over the longer of their axes."""
    return _volume_ml(first.diameters, second.diameters, max(first.length, second.length))


def _volume_ml(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64], length: float) -> float:
    return float(np.pi / 4 * np.sum(a * b) * (length / DISKS) / 1000)


def _long_axis(
    points: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Middle of the basal edge and apex of a cloud of points [N,2] given as (down, right)."""
    centred = points - points.mean(axis=0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    direction = vectors[:, -1]
    if direction[0] > 0:  # towards the probe: up
        direction = -direction
    base = apex = points[0]
    for _ in range(_AXIS_STEPS):
        along = points @ direction
        low, high = np.quantile(along, (0.002, 1.0))  # a stray pixel is no base
        centre = points[along <= low + _BASE_SHARE * (high - low)].mean(axis=0)
        base = centre + direction * (low - centre @ direction)
        apex = points[np.argmax(((points - base) ** 2).sum(axis=1))]
        direction = (apex - base) / np.hypot(*(apex - base))
    return base, apex
