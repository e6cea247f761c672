"""Sex, height and weight from a header: carts take them from the worklist, or leave them out."""

from __future__ import annotations

import math

from echo_node.dicom.elements import Elements
from echo_node.records import Body, Sex

_SEXES = {"F": Sex.FEMALE, "FEMALE": Sex.FEMALE, "M": Sex.MALE, "MALE": Sex.MALE}


def read_body(elements: Elements) -> Body:
    """What normal values go by (PS3.3 C.7.1.1 and C.7.2.2).

    PatientSize is in metres and PatientWeight in kilograms. What is missing, no number, or not over 0
    (carts fill gaps with it) is None; what no adult can have is for the measurement to refuse.

    Parameters
    ----------
    elements : Elements
        An object's header.
    """
    return Body(
        sex=_SEXES.get(elements.text("PatientSex").upper()),
        height_m=_positive(elements.numbers("PatientSize")),
        weight_kg=_positive(elements.numbers("PatientWeight")),
    )


def _positive(values: list[float]) -> float | None:
    return values[0] if values and math.isfinite(values[0]) and values[0] > 0 else None
