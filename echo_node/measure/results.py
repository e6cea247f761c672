"""What measuring gives: numbers, and reasons where there is none."""

from __future__ import annotations

from dataclasses import dataclass

from echo_node.codes import Method, Quantity, Reason, Unit, View
from echo_node.measure.plausibility import Fault
from echo_node.records import Measurement, NotMeasured, Source, VolumeCurve

QUANTITIES = (Quantity.LVEF, Quantity.LV_EDV, Quantity.LV_ESV)
PIXELS = (1.0, 1.0)  # without calibration lengths are pixels: a ratio of volumes survives that


@dataclass(frozen=True, slots=True, kw_only=True)
class EjectionResult:
    """What one clip, or a pair of views, gave."""

    curve: VolumeCurve | None = None
    measurements: tuple[Measurement, ...] = ()
    not_measured: tuple[NotMeasured, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What all measurements of one result share."""

    method: Method
    view: View | None
    sources: tuple[Source, ...]

    def measurement(self, quantity: Quantity, value: float, *, uncertainty: float | None) -> Measurement:
        """One number by this recipe."""
        return Measurement(
            quantity=quantity,
            value=value,
            unit=Unit.PERCENT if quantity is Quantity.LVEF else Unit.MILLILITRE,
            method=self.method,
            view=self.view,
            sources=self.sources,
            uncertainty=uncertainty,
        )


def nothing(fault: Fault, view: View | None, *, curve: VolumeCurve | None = None) -> EjectionResult:
    """Every quantity of a view, not measured for one reason."""
    missing = tuple(
        NotMeasured(quantity=quantity, reason=fault.reason, detail=fault.detail, view=view)
        for quantity in QUANTITIES
    )
    return EjectionResult(curve=curve, not_measured=missing)


def uncalibrated(view: View | None) -> tuple[NotMeasured, ...]:
    """The volumes, not measured for want of a pixel spacing."""
    return tuple(
        NotMeasured(
            quantity=quantity,
            reason=Reason.NO_CALIBRATION,
            detail="volumes need a pixel spacing",
            view=view,
        )
        for quantity in (Quantity.LV_EDV, Quantity.LV_ESV)
    )
