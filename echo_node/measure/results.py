"""What measuring gives: numbers, and reasons where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from echo_node.codes import UNIT_OF, Method, Quantity, Reason, View
from echo_node.edits import Edit
from echo_node.measure.plausibility import Fault
from echo_node.records import (
    ClipAnalysis,
    DiameterCurve,
    Finding,
    Landmarks,
    Measurement,
    NotMeasured,
    Source,
    VolumeCurve,
)

EJECTION = (Quantity.LVEF, Quantity.LV_EDV, Quantity.LV_ESV)
WALLS = (Quantity.IVSD, Quantity.LVIDD, Quantity.LVPWD, Quantity.LVIDS)
MASS = (Quantity.LV_MASS, Quantity.LV_RWT, Quantity.LV_MASS_INDEX, Quantity.LV_GEOMETRY)
PIXELS = (1.0, 1.0)  # without calibration lengths are pixels: a ratio of volumes survives that


@dataclass(frozen=True, slots=True, kw_only=True)
class EjectionResult:
    """What one apical clip, or a pair of views, gave."""

    curve: VolumeCurve | None = None
    measurements: tuple[Measurement, ...] = ()
    not_measured: tuple[NotMeasured, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WallResult:
    """What one parasternal long-axis clip gave."""

    diameters: DiameterCurve | None = None
    landmarks: tuple[Landmarks, ...] = ()  # of the frames that were measured on
    measurements: tuple[Measurement, ...] = ()
    not_measured: tuple[NotMeasured, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MassResult:
    """What a study's walls say of the whole ventricle."""

    measurements: tuple[Measurement, ...] = ()
    not_measured: tuple[NotMeasured, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What all measurements of one result share."""

    method: Method
    view: View | None
    sources: tuple[Source, ...]
    edits: tuple[Edit, ...] = ()

    def measurement(self, quantity: Quantity, value: float, *, uncertainty: float | None) -> Measurement:
        """One number by this recipe."""
        return Measurement(
            quantity=quantity,
            value=value,
            unit=UNIT_OF[quantity],
            method=self.method,
            view=self.view,
            sources=self.sources,
            uncertainty=uncertainty,
            edits=self.edits,
        )


def refused(
    quantities: Sequence[Quantity],
    fault: Fault,
    *,
    view: View | None,
    method: Method | None,
    edits: tuple[Edit, ...] = (),
) -> tuple[NotMeasured, ...]:
    """Quantities that one fault keeps from being measured; ``edits`` are of what they were to be read off."""
    return tuple(
        NotMeasured(
            quantity=quantity, reason=fault.reason, detail=fault.detail, view=view, method=method, edits=edits
        )
        for quantity in quantities
    )


def nothing(
    fault: Fault, view: View | None, *, curve: VolumeCurve | None = None, edits: tuple[Edit, ...] = ()
) -> EjectionResult:
    """EF and volumes of a view (None: of two), not measured for one reason."""
    missing = refused(EJECTION, fault, view=view, method=_disks(view), edits=edits)
    return EjectionResult(curve=curve, not_measured=missing)


def uncalibrated(view: View | None, *, edits: tuple[Edit, ...]) -> tuple[NotMeasured, ...]:
    """The volumes, not measured for want of a pixel spacing."""
    fault = Fault(Reason.NO_CALIBRATION, "volumes need a pixel spacing")
    return refused((Quantity.LV_EDV, Quantity.LV_ESV), fault, view=view, method=_disks(view), edits=edits)


def value_of(clip: ClipAnalysis, quantity: Quantity, method: Method) -> Measurement | None:
    """A clip's measurement of a quantity by a method."""
    return next((m for m in clip.measurements if m.quantity is quantity and m.method is method), None)


def surest(clips: Sequence[ClipAnalysis], view: View, quantity: Quantity, method: Method) -> ClipAnalysis | None:
    """Of the clips that a method measured in a view the one whose view is most certain; ties: the lower UID."""
    measured = [
        (-clip.prediction.probability, clip.SOPInstanceUID, clip)
        for clip in clips
        if clip.prediction is not None
        and clip.prediction.view is view
        and value_of(clip, quantity, method) is not None
    ]
    return min(measured, key=lambda m: m[:2])[2] if measured else None


def _disks(view: View | None) -> Method:
    return Method.DISKS_BIPLANE if view is None else Method.DISKS_SINGLE_PLANE
