"""Which one code says all of a measurement in the Simplified Echo report (PS3.16 TID 5300).

What CID 12300 holds is said by its code alone (TID 5301). What it lacks gets a code of the node's and
the modifiers that say what it means (TID 5302).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import echo_node.reports.coded as coded
from echo_node.codes import LOCAL_SCHEME, CardiacPhase, Code, ImageMode, Method, Quantity, Structure, View

Key = tuple[Quantity, Method, View | None]
Modifiers = tuple[tuple[Code, Code], ...]


@dataclass(frozen=True, slots=True)
class Name:
    """What a measurement is called."""

    code: Code
    label: str  # for screens (125309 DCM)
    modifiers: Modifiers = ()  # empty: the code is pre-coordinated

    @property
    def heading(self) -> Code:
        """The container that it stands in."""
        return coded.POST_COORDINATED if self.modifiers else coded.PRE_COORDINATED


def name_of(quantity: Quantity, method: Method, view: View | None) -> Name | None:
    """The name of a number; None where it has no place in the template."""
    return NAMES.get((quantity, method, view))


def name_of_missing(quantity: Quantity, method: Method | None, view: View | None) -> Name | None:
    """The name of what was not measured; None where it would not have been one number.

    Where no method could be tried it is the first that the view allows: disks before the learned EF.
    """
    if method is not None:
        return NAMES.get((quantity, method, view))
    fits = (name for (q, _, v), name in NAMES.items() if (q, v) == (quantity, view))
    return next(fits, None)


def _ln(value: str, meaning: str, label: str) -> Name:
    return Name(Code(value, "LN", meaning), label)


def _disks(quantity: Quantity, meaning: str, label: str, *values: str) -> dict[Key, Name]:
    """A quantity by the method of disks: biplane, A4C and A2C."""
    biplane, four, two = values
    single = f"Left ventricular {meaning} single plane"
    return {
        (quantity, Method.DISKS_BIPLANE, None): _ln(
            biplane, f"Left ventricular {meaning} biplane (MOD)", f"{label} (MOD)"
        ),
        (quantity, Method.DISKS_SINGLE_PLANE, View.A4C): _ln(four, f"{single} 4C (MOD)", f"{label} 4C (MOD)"),
        (quantity, Method.DISKS_SINGLE_PLANE, View.A2C): _ln(two, f"{single} 2C (MOD)", f"{label} 2C (MOD)"),
    }


def _learned(view: View) -> Name:
    """EF by a learned model: what it sees is the beat, not an outline."""
    return Name(
        Code(f"LVEF_LEARNED_{view.name}", LOCAL_SCHEME, f"{Quantity.LVEF.code.meaning}, learned, {view.name}"),
        f"LV EF {view.name} (AI)",
        (
            (coded.MEASUREMENT_TYPE, Code("125315", "DCM", "Calculated")),
            (coded.FINDING_SITE, Structure.LV_CAVITY.code),
            (coded.FINDING_OBSERVATION_TYPE, Code("125312", "DCM", "Behavior of the Finding Site")),
            (coded.MEASURED_PROPERTY, Code("70822001", "SCT", "Cardiac ejection fraction")),
            (coded.MEASUREMENT_METHOD, Method.LEARNED.code),
            (coded.IMAGE_MODE, ImageMode.TWO_D.code),
            (coded.IMAGE_VIEW, view.code),
        ),
    )


_LVIDD = Code("80007-8", "LN", "Left ventricular internal diastolic dimension - 2D")
_RWT = Name(
    Quantity.LV_RWT.code,
    "RWT (2D)",
    (
        (coded.MEASUREMENT_TYPE, Code("118586006", "SCT", "Ratio")),
        (coded.FINDING_SITE, Structure.LV_CAVITY.code),
        (coded.FINDING_OBSERVATION_TYPE, Code("125311", "DCM", "Structure of the Finding Site")),
        (coded.MEASURED_PROPERTY, Code("59089-3", "LN", "Thickness")),
        (coded.MEASUREMENT_METHOD, Method.TWICE_POSTERIOR_WALL.code),
        (coded.IMAGE_MODE, ImageMode.TWO_D.code),
        (coded.CARDIAC_CYCLE_POINT, CardiacPhase.END_DIASTOLE.code),
        (coded.MEASUREMENT_DIVISOR, _LVIDD),
    ),
)

NAMES: Mapping[Key, Name] = {
    **_disks(Quantity.LVEF, "ejection fraction", "LV EF", "79991-6", "79993-2", "79992-4"),
    **_disks(Quantity.LV_EDV, "end diastolic volume", "LV EDV", "79996-5", "79999-9", "79998-1"),
    **_disks(Quantity.LV_ESV, "end systolic volume", "LV ESV", "80001-1", "80004-5", "80003-7"),
    (Quantity.IVSD, Method.DIRECT, View.PLAX): _ln(
        "79969-2", "Interventricular septum diastolic dimension 2D", "IVSd (2D)"
    ),
    (Quantity.LVIDD, Method.DIRECT, View.PLAX): Name(_LVIDD, "LVIDd (2D)"),
    # 80031-8, of the same meaning, is M-mode's: each pair of CID 12300 has 2D first
    (Quantity.LVPWD, Method.DIRECT, View.PLAX): _ln(
        "80032-6", "Left ventricular posterior wall diastolic thickness", "LVPWd (2D)"
    ),
    (Quantity.LVIDS, Method.DIRECT, View.PLAX): _ln(
        "80011-0", "Left ventricular internal systolic dimension - 2D", "LVIDs (2D)"
    ),
    (Quantity.LV_MASS, Method.CUBE, View.PLAX): _ln(
        "80019-3", "Left ventricular mass (dimension method) 2D", "LV Mass (2D)"
    ),
    (Quantity.LV_MASS_INDEX, Method.CUBE, View.PLAX): Name(Quantity.LV_MASS_INDEX.code, "LV Mass/BSA (2D)"),
    (Quantity.LVEF, Method.LEARNED, View.A4C): _learned(View.A4C),
    (Quantity.LVEF, Method.LEARNED, View.A2C): _learned(View.A2C),
    (Quantity.LV_RWT, Method.TWICE_POSTERIOR_WALL, View.PLAX): _RWT,
}
