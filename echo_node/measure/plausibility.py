"""Bounds beyond which a number is not sent, with their reasons.

They are wide on purpose: they catch masks that went wrong, not patients who are ill.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from echo_node.codes import Quantity, Reason
from echo_node.measure.beats import Beat
from echo_node.records import HEIGHT_M, WEIGHT_KG, Body, EjectionEstimate, Segmentation

EF_PERCENT = (5.0, 85.0)  # severe failure to hyperdynamic; a healthy heart stays under 75
EDV_ML = (20.0, 500.0)  # an adult's smallest to a giant dilated ventricle
LARGEST_NOISE = 0.12  # scatter of the curve over EDV: more and the masks jump
LEAST_STROKE = 4.0  # of EDV to ESV over what the curve jumps by from frame to frame: less, and nothing beats there
LEAST_FRAMES = 0.9  # share of frames on which the cavity must be found
LARGEST_LENGTH_DIFFERENCE = 0.2  # between two apical views; Lang 2015 wants 0.1 of a reader
LARGEST_EF_DIFFERENCE = 20.0  # points between two apical views
LARGEST_CUT = 0.1  # share of the cavity's outline along the sector's edge: what lies beyond is not known
SMALLEST_AREA = 0.004  # of the picture
FEWEST_FRAMES = 5
LARGEST_EF_UNCERTAINTY = 15.0  # points; a learned estimate that says so of itself says nothing
WALL_MM = (3.0, 35.0)  # a thin scar to the thickest septum of a hypertrophic cardiomyopathy
LVIDD_MM = (20.0, 95.0)  # a small, dry ventricle to a giant dilated one
MASS_G = (30.0, 900.0)
LEAST_POINT_PROBABILITY = 0.5  # of a frame's least certain wall point
LARGEST_LVID_NOISE = 0.08  # scatter over LVIDd: volumes go by its square, so less than of them
_LENGTHS_MM = {Quantity.IVSD: WALL_MM, Quantity.LVPWD: WALL_MM, Quantity.LVIDD: LVIDD_MM}

_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)


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


def check_cut(cavity: Segmentation, sector: npt.NDArray[np.bool_]) -> Fault | None:
    """Does the cavity lie inside the sector [H,W], where it is largest?"""
    largest = cavity.masks[int(cavity.masks.sum(axis=(1, 2)).argmax())].astype(np.uint8)
    outline = largest - cv2.erode(largest, _CROSS)
    inside = cv2.erode(sector.astype(np.uint8), _CROSS, iterations=2, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    cut = float(outline[inside == 0].sum() / max(1, outline.sum()))
    if cut > LARGEST_CUT:
        return Fault(Reason.CUT_OFF, f"{cut:.0%} of the LV cavity's outline is the edge of the picture")
    return None


def check_beat(beat: Beat, *, jumps: float) -> Fault | None:
    """Is it a beat, and not what the curve jumps by from frame to frame?"""
    stroke = beat.edv - beat.esv
    if stroke >= LEAST_STROKE * jumps:
        return None
    times = f"{stroke / jumps:.1f} times what it jumps by from frame to frame"
    return Fault(Reason.LOW_QUALITY, f"volume curve falls by {times}: no beat is told from that")


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


def check_estimate(estimate: EjectionEstimate) -> Fault | None:
    """Is a learned estimate of EF one a heart can have, and does it trust itself?"""
    if not 0 <= estimate.uncertainty <= LARGEST_EF_UNCERTAINTY:
        return Fault(Reason.LOW_QUALITY, f"the estimate is uncertain by {estimate.uncertainty:.0f} points")
    return _check_values(0.0, estimate.ef, calibrated=False)


def check_points(certain: npt.NDArray[np.bool_], ordered: npt.NDArray[np.bool_]) -> Fault | None:
    """Are the wall points seen, and in their order along the line, on enough frames [T]?"""
    if certain.size < FEWEST_FRAMES:
        return Fault(Reason.NO_FULL_CYCLE, f"{certain.size} frames hold no cycle")
    if certain.mean() < LEAST_FRAMES:
        return Fault(Reason.LOW_QUALITY, f"wall points are certain on {certain.mean():.0%} of the frames")
    if (certain & ordered).mean() < LEAST_FRAMES:
        return Fault(Reason.IMPLAUSIBLE, f"wall points are in order on {ordered.mean():.0%} of the frames")
    return None


def check_walls(values_mm: Mapping[Quantity, float], *, noise: float) -> Fault | None:
    """Are the walls and the diameter some that a heart can have?

    Parameters
    ----------
    values_mm : mapping
        IVSd, LVIDd and LVPWd.
    noise : float
        Scatter of the internal diameter from frame to frame, mm.
    """
    lvidd = values_mm[Quantity.LVIDD]
    if noise > LARGEST_LVID_NOISE * lvidd:
        return Fault(Reason.LOW_QUALITY, f"the internal diameter scatters by {noise / lvidd:.0%}")
    faults = (check_length(quantity, values_mm[quantity]) for quantity in _LENGTHS_MM)
    return next((fault for fault in faults if fault is not None), None)


def check_length(quantity: Quantity, value_mm: float) -> Fault | None:
    """Is a wall or the diameter at end diastole one that a heart can have? Of end systole no bounds are set."""
    low, high = _LENGTHS_MM.get(quantity, (0.0, np.inf))
    if low <= value_mm <= high:
        return None
    said = f"{quantity.name} of {value_mm:.0f} mm is outside {low:.0f} to {high:.0f} mm"
    return Fault(Reason.IMPLAUSIBLE, said)


def check_mass(grams: float) -> Fault | None:
    """Is it a heart's mass?"""
    if not MASS_G[0] <= grams <= MASS_G[1]:
        return Fault(
            Reason.IMPLAUSIBLE, f"LV mass of {grams:.0f} g is outside {MASS_G[0]:.0f} to {MASS_G[1]:.0f} g"
        )
    return None


def check_body(body: Body) -> Fault | None:
    """Are height and weight known, and an adult's? The detail keeps them to itself."""
    for name, value, (low, high), unit in (
        ("PatientSize", body.height_m, HEIGHT_M, "m"),
        ("PatientWeight", body.weight_kg, WEIGHT_KG, "kg"),
    ):
        if value is None:
            return Fault(Reason.NO_BODY_SIZE, f"{name} is missing")
        if not low <= value <= high:
            return Fault(Reason.NO_BODY_SIZE, f"{name} is outside an adult's {low:g} to {high:g} {unit}")
    return None
