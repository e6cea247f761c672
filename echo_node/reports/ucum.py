"""Units of UCUM in which carts write lengths, volumes, masses and fractions, turned into the node's."""

from __future__ import annotations

import re
from collections.abc import Mapping

from echo_node.codes import Unit

_ANNOTATION = re.compile(r"\{[^{}]*\}")  # means nothing (UCUM section 2.1, 6); alone it is the unity
UCUM: Mapping[Unit, Mapping[str, float]] = {
    Unit.MILLIMETRE: {"mm": 1.0, "cm": 10.0, "dm": 100.0, "m": 1000.0, "um": 0.001},
    Unit.MILLILITRE: {
        **dict.fromkeys(("ml", "mL", "cm3"), 1.0),
        **dict.fromkeys(("cl", "cL"), 10.0),
        **dict.fromkeys(("dl", "dL"), 100.0),
        **dict.fromkeys(("l", "L", "dm3"), 1000.0),
        "mm3": 0.001,
    },
    Unit.PERCENT: {"%": 1.0, "10*-2": 1.0, "1": 100.0},
    Unit.GRAM: {"g": 1.0, "kg": 1000.0, "mg": 0.001},
    Unit.GRAM_PER_SQUARE_METRE: {"g/m2": 1.0, "kg/m2": 1000.0},
}


def converted(value: float, unit: str, to: Unit) -> float | None:
    """A value in another unit; None where it is of another dimension, or in a unit that is not known.

    Parameters
    ----------
    value : float
        In ``unit``.
    unit : str
        UCUM's case-sensitive code; annotations count for nothing.
    to : Unit
        One of the keys above.
    """
    factor = UCUM[to].get(_ANNOTATION.sub("", unit.strip()) or ("1" if unit.strip() else ""))
    return None if factor is None else value * factor
