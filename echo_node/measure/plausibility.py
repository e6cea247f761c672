"""Bounds beyond which a number is not sent, with their reasons.

They are wide on purpose: they catch masks that went wrong, not patients who are ill.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from echo_node.codes import Reason
from echo_node.measure.beats import Beat
from echo_node.records import Segmentation

EF_PERCENT = (5.0, 85.0)  # severe failure to hyperdynamic; a healthy heart stays under 75
EDV_ML = (20.0, 500.0)  # an adult's smallest to a giant dilated ventricle
LARGEST_NOISE = 0.12  # scatter of the curve over EDV: more and the masks jump
LEAST_FRAMES = 0.9  # share of frames on which the cavity must be found
LARGEST_LENGTH_DIFFERENCE = 0.2  # between two apical views; Lang 2015 wants 0.1 of a reader
LARGEST_EF_DIFFERENCE = 20.0  # points between two apical views
SMALLEST_AREA = 0.004  # of the picture
FEWEST_FRAMES = 5


@dataclass(frozen=True, slots=True)
class Fault:
    """A coded reason with its detail."""

    reason: Reason
    detail: str


def check_curve(volumes: npt.NDArray[np.float64], cavity: Segmentation) -> Fault | None:
    """Is there a cavity on enough frames, and is it large enough to be one?"""
    if volumes.size < FEWEST_FRAMES:
        return Fault(Reason.NO_FULL_CYCLE, f"{volumes.size} frames hold no cycle")
    found = float(np.mean(np.isfinite(volumes)))
    if found < LEAST_FRAMES:
        return Fault(Reason.LOW_QUALITY, f"LV cavity found on {found:.0%} of the frames")
    area = float(np.median(cavity.masks.mean(axis=(1, 2))))
    if area < SMALLEST_AREA:
        return Fault(Reason.LOW_QUALITY, f"LV cavity fills {area:.2%} of the picture")
    return None


def check_single_plane(beat: Beat, *, noise: float, calibrated: bool) -> Fault | None:
    """Is the clip's result one a heart can have?"""
    if noise > LARGEST_NOISE * beat.edv:
        return Fault(Reason.LOW_QUALITY, f"volume curve scatters by {noise / beat.edv:.0%} of EDV")
    return _check_values(beat.edv, beat.ejection_fraction, calibrated=calibrated)


def check_biplane(
    edv: float, ef: float, *, lengths: tuple[float, float], single_ef: Sequence[float], calibrated: bool
) -> Fault | None:
    """Do two views belong to one ventricle?"""
    difference = abs(lengths[0] - lengths[1]) / max(lengths)
    if calibrated and difference > LARGEST_LENGTH_DIFFERENCE:
        return Fault(Reason.FORESHORTENED, f"the two views' long axes differ by {difference:.0%}")
    apart = abs(single_ef[0] - single_ef[1])
    if apart > LARGEST_EF_DIFFERENCE:
        return Fault(Reason.DISAGREEMENT, f"the two views' EF differ by {apart:.0f} points")
    return _check_values(edv, ef, calibrated=calibrated)


def _check_values(edv: float, ef: float, *, calibrated: bool) -> Fault | None:
    if not EF_PERCENT[0] <= ef <= EF_PERCENT[1]:
        return Fault(
            Reason.IMPLAUSIBLE, f"EF of {ef:.0f} % is outside {EF_PERCENT[0]:.0f} to {EF_PERCENT[1]:.0f} %"
        )
    if calibrated and not EDV_ML[0] <= edv <= EDV_ML[1]:
        return Fault(Reason.IMPLAUSIBLE, f"EDV of {edv:.0f} ml is outside {EDV_ML[0]:.0f} to {EDV_ML[1]:.0f} ml")
    return None
