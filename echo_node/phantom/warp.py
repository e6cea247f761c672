"""Nobody's heart is a body of revolution: a smooth warp that keeps every volume.

A shear moves points along one axis by an amount that depends on the other two only, so it keeps volume
exactly; three of them and a squash that is undone along another axis bend and flatten the heart, while
its cavity and its muscle stay what they were. Base and apex of the long axis stay where they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = Any  # of whichever array API namespace
Host = npt.NDArray[np.float64]

_WAVES = 3  # per shear
_AMPLITUDE_MM = 1.6  # standard deviation of each wave
_WAVELENGTH_MM = (60.0, 180.0)
_SQUASH = 0.035  # standard deviation of the logarithm
_SEED = 41


@dataclass(frozen=True, slots=True)
class Warp:
    """Waves of the three shears, in the order of the axes that they move."""

    amplitude: Host  # [3,K] mm
    wave: Host  # [3,K,2] radians per mm, over the two other axes
    phase: Host  # [3,K]
    squash: float  # of x; y is stretched by as much
    length: float  # mm, of the long axis that stays

    def to_solid(self, xp: Any, points: Array) -> Array:
        """Points [3,...] of the body as places in the straight solids."""
        axes = [points[0, ...], points[1, ...], points[2, ...]]
        for axis in range(3):
            axes[axis] = axes[axis] + self._shift(xp, axis, axes)
        return xp.stack([axes[0] / self.squash, axes[1] * self.squash, axes[2]])

    def to_body(self, point: Host) -> Host:
        """A place [3] in the straight solids as a point of the body."""
        axes = [point[0] * self.squash, point[1] / self.squash, point[2]]
        for axis in (2, 1, 0):
            axes[axis] = axes[axis] - self._shift(np, axis, axes)
        return np.array(axes, np.float64)

    def _shift(self, xp: Any, axis: int, axes: list[Array]) -> Array:
        first, second = (axes[i] for i in range(3) if i != axis)
        total = 0.0 * first
        for size, wave, phase in zip(self.amplitude[axis], self.wave[axis], self.phase[axis], strict=True):
            at_base, at_apex = np.sin(phase), np.sin(float(wave[1]) * self.length + phase)
            total = total + float(size) * (
                xp.sin(float(wave[0]) * first + float(wave[1]) * second + float(phase)) - float(at_base)
            )
            if axis < 2:  # the second of the others is the long axis
                total = total - float(size * (at_apex - at_base) / self.length) * second
        return total


def warp_of(speckle: int, length: float) -> Warp:
    """The warp of a body.

    Parameters
    ----------
    speckle : int
        Which body: ``Patient.speckle``.
    length : float
        Of the left ventricle at end diastole, mm.
    """
    rng = np.random.default_rng([_SEED, speckle])
    turn = rng.uniform(0, 2 * np.pi, (3, _WAVES))
    number = 2 * np.pi / rng.uniform(*_WAVELENGTH_MM, (3, _WAVES))
    return Warp(
        amplitude=rng.normal(0, _AMPLITUDE_MM, (3, _WAVES)),
        wave=np.stack([number * np.cos(turn), number * np.sin(turn)], axis=-1),
        phase=rng.uniform(0, 2 * np.pi, (3, _WAVES)),
        squash=float(np.exp(rng.normal(0, _SQUASH))),
        length=length,
    )
