"""What a cart says was measured on it, read out of its structured report (PS3.16 TID 5200, TID 5300).

Read with tolerance: numbers stand at any depth, what they mean stands beside them or above, in codes of SNOMED CT
or RT, pre-coordinated or not. What the node does not measure is passed over, and so is a number whose unit does not
fit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from pydicom import Dataset

import echo_node.reports.coded as coded
from echo_node.carts import CartReport, CartValue
from echo_node.codes import UNIT_OF, CardiacPhase, Code, ImageMode, Method, Quantity, Structure, View
from echo_node.reports.corrections import readable, refuse_own
from echo_node.reports.observers import made_at
from echo_node.reports.precoordinated import NAMES
from echo_node.reports.srt import to_sct
from echo_node.reports.ucum import UCUM, converted

_TEMPLATES = {"5200", "5300"}
_DERIVATION = Code("121401", "DCM", "Derivation")
_SELECTION = Code("121404", "DCM", "Selection Status")
_STAGE = Code("18139-6", "LN", "Stage")
_CHOSEN = frozenset(("121410", "121411", "121412"))  # by a user, as the most recent, as the mean (CID 12301)
_BEST, _MEAN, _MEDIAN = "371912002", "373098007", "373099004"  # SCT, CID 3627
_BOTH_PLANES = frozenset((Method.DISKS_BIPLANE,))
_PLANE = frozenset((ImageMode.TWO_D.code.value, "399009009"))  # 2D mode, B-mode
_SIMPSON = "125227"  # modified Simpson: disks, in one plane or in two
_AT_REST = frozenset(("baseline", "rest", "resting", "pre-stress"))

UNITS = {quantity: unit for quantity, unit in UNIT_OF.items() if unit in UCUM}  # of what is compared


@dataclass(frozen=True, slots=True, kw_only=True)
class _Meaning:
    """What a number is of, as far as is known; context is handed down from containers."""

    quantity: Quantity | None = None
    method: Method | None = None
    view: View | None = None
    otherwise: tuple[str, ...] = ()
    site: str = ""  # code value, SCT
    prop: str = ""  # code value of the measured property
    phase: CardiacPhase | None = None


@dataclass(frozen=True, slots=True)
class _Stated:
    """A value and how it came about: SCT code of the derivation, and whether it was chosen among several."""

    value: float
    derivation: str
    is_chosen: bool


def _m_mode(quantity: Quantity, *values: str) -> dict[str, _Meaning]:
    return {value: _Meaning(quantity=quantity, otherwise=("M-mode",)) for value in values}


def _by(method: str, **values: Quantity) -> dict[str, _Meaning]:
    return {key[1:].replace("_", "-"): _Meaning(quantity=q, otherwise=(method,)) for key, q in values.items()}


_BY_CODE: Mapping[tuple[str, str], _Meaning] = {
    **{(q.code.value, q.code.scheme): _Meaning(quantity=q) for q in UNITS},
    ("10230-1", "LN"): _Meaning(quantity=Quantity.LVEF),
    ("8806-2", "LN"): _Meaning(quantity=Quantity.LVEF),  # by 2D ultrasound
    ("250908004", "SCT"): _Meaning(quantity=Quantity.LVEF),
    **{
        (name.code.value, name.code.scheme): _Meaning(quantity=quantity, method=method, view=view)
        for (quantity, method, view), name in NAMES.items()
        if quantity in UNITS and not name.modifiers
    },
    **{
        (value, "LN"): meaning  # the others of CID 12300
        for value, meaning in {
            **_m_mode(Quantity.IVSD, "79968-4"),
            **_m_mode(Quantity.LVIDD, "80008-6"),
            **_m_mode(Quantity.LVPWD, "80031-8"),
            **_m_mode(Quantity.LVIDS, "80012-8"),
            **_m_mode(Quantity.LV_MASS, "80022-7"),
            **_m_mode(Quantity.LV_MASS_INDEX, "80023-5"),
            **_by("3D", _79990_8=Quantity.LVEF, _79995_7=Quantity.LV_EDV, _80000_3=Quantity.LV_ESV),
            **_by("Teichholz", _77891_0=Quantity.LVEF, _18049_7=Quantity.LVEF),
            **_by("area-length", _80016_9=Quantity.LV_MASS, _80017_7=Quantity.LV_MASS_INDEX),
            **_by("truncated ellipse", _80025_0=Quantity.LV_MASS, _80026_8=Quantity.LV_MASS_INDEX),
        }.items()
    },
}
_LV, _SEPTUM = Structure.LV_CAVITY.code.value, coded.INTERVENTRICULAR_SEPTUM.value
_ED, _ES = CardiacPhase.END_DIASTOLE, CardiacPhase.END_SYSTOLE
# By measured property, finding site and cycle point (CID 12304, 12305, 12233); None: whatever the point
_BY_MODIFIERS: Mapping[tuple[str, str, CardiacPhase | None], Quantity] = {
    ("70822001", _LV, None): Quantity.LVEF,
    ("118565006", _LV, _ED): Quantity.LV_EDV,
    ("118565006", _LV, _ES): Quantity.LV_ESV,
    **{(prop, _LV, _ED): Quantity.LVIDD for prop in ("59090-1", "81827009", "131188004")},
    **{(prop, _LV, _ES): Quantity.LVIDS for prop in ("59090-1", "81827009", "131188004")},
    ("59089-3", _SEPTUM, _ED): Quantity.IVSD,
    ("118538004", _LV, None): Quantity.LV_MASS,
}
_METHODS = {method.code.value: method for method in Method if method.code.scheme == "DCM"}
_VIEWS = {view.code.value: view for view in View}
_PHASES = {phase.code.value: phase for phase in CardiacPhase}


def is_cart_report(ds: Dataset) -> bool:
    """Is this an echocardiography report with numbers, as carts write them?

    Raises
    ------
    CorrectionError
        It cannot be read.
    """
    with readable():
        names = ds.get("ConceptNameCodeSequence") or []
        templates = {str(item.get("TemplateIdentifier")) for item in ds.get("ContentTemplateSequence") or []}
        return bool(names) and (coded.is_code(names[0], coded.ECHO_REPORT) or bool(templates & _TEMPLATES))


def read_cart_report(ds: Dataset) -> CartReport:
    """Everything that a cart's report says of what the node measures too.

    Parameters
    ----------
    ds : Dataset
        One of which :func:`is_cart_report` is true; its codes of SNOMED RT are replaced in place.

    Returns
    -------
    CartReport
        One number for each quantity, method and view: that which is marked as chosen, else the best value, the
        mean or the median where one is given, else the mean of what is there.

    Raises
    ------
    CorrectionError
        It cannot be read, or the node made it.
    """
    with readable():
        refuse_own(ds)
        to_sct(ds)
        stated: dict[CartValue, list[_Stated]] = defaultdict(list)
        for key, value in _numbers(ds, _Meaning()):
            stated[key].append(value)
        return CartReport(
            SOPInstanceUID=str(ds.SOPInstanceUID),
            Manufacturer=str(ds.get("Manufacturer") or ""),
            ManufacturerModelName=str(ds.get("ManufacturerModelName") or ""),
            made_at=made_at(ds),
            predecessors=tuple(_predecessors(ds)),
            values=tuple(replace(key, value=_one(values)) for key, values in stated.items()),
        )


def _predecessors(ds: Dataset) -> Iterator[str]:
    for study in ds.get("PredecessorDocumentsSequence") or []:
        for series in study.get("ReferencedSeriesSequence") or []:
            for item in series.get("ReferencedSOPSequence") or []:
                yield str(item.ReferencedSOPInstanceUID)


def _one(values: list[_Stated]) -> float:
    """The number that stands for several of one kind."""
    chosen = [v.value for v in values if v.is_chosen]
    if chosen:
        return float(np.mean(chosen))
    for derivation in (_BEST, _MEAN, _MEDIAN, ""):
        found = [v.value for v in values if v.derivation == derivation]
        if found:
            return float(np.mean(found))
    return float(np.mean([v.value for v in values]))


def _numbers(item: Dataset, above: _Meaning) -> Iterator[tuple[CartValue, _Stated]]:
    """The numbers below an item, each with what it is of (its value 0) and its value."""
    for child in item.get("ContentSequence") or []:
        kind = child.get("ValueType")
        if kind == "CONTAINER":
            yield from _numbers(child, _narrowed(above, child))
        elif kind == "NUM":
            meaning = _of_number(child, above)
            found = _stated(child, meaning)
            if found is not None:
                yield found
            yield from _numbers(child, meaning)  # single values stand below their mean


def _stated(number: Dataset, meaning: _Meaning) -> tuple[CartValue, _Stated] | None:
    """A number that the node knows, in the node's unit; None of any other."""
    quantity = meaning.quantity
    measured = number.get("MeasuredValueSequence") or []
    if quantity is None or not measured:
        return None
    units = measured[0].get("MeasurementUnitsCodeSequence") or []
    unit = str(units[0].get("CodeValue") or "") if units else ""
    raw = _float(measured[0])
    value = converted(raw, unit, UNITS[quantity])
    if value is None and quantity is Quantity.LV_MASS:  # indexed, under the code of the mass
        quantity = Quantity.LV_MASS_INDEX
        value = converted(raw, unit, UNITS[quantity])
    is_possible = value is not None and np.isfinite(value) and value > 0
    if value is None or not is_possible or (quantity is Quantity.LVEF and value > 100):
        return None
    key = CartValue(
        quantity=quantity,
        method=meaning.method,
        view=None if meaning.method in _BOTH_PLANES else meaning.view,
        otherwise=", ".join(dict.fromkeys(meaning.otherwise)),
        value=0.0,
        unit=UNITS[quantity],
    )
    how = next((_value(c) for c in _codes(number, _DERIVATION)), "")
    is_chosen = any(_value(c) in _CHOSEN for c in _codes(number, _SELECTION))
    return key, _Stated(value, how, is_chosen)


def _float(measured: Dataset) -> float:
    """A measured value, or NaN where the text is no number: the others of the report are still good."""
    try:
        return float(measured.get("FloatingPointValue", measured.get("NumericValue")))
    except (TypeError, ValueError):
        return float("nan")


def _of_number(number: Dataset, above: _Meaning) -> _Meaning:
    """What a number is of: by its code, or else by its modifiers. A code of CID 12300 says all by itself."""
    name = (number.get("ConceptNameCodeSequence") or [Dataset()])[0]
    here = _narrowed(replace(above, quantity=None, prop=""), number)
    known = _BY_CODE.get((_value(name), str(name.get("CodingSchemeDesignator") or "")))
    if known is None:
        found = _BY_MODIFIERS.get((here.prop, here.site, here.phase)) or _BY_MODIFIERS.get(
            (here.prop, here.site, None)
        )
        return replace(here, quantity=found)
    return replace(
        here,
        quantity=known.quantity,
        method=known.method or here.method,
        view=known.view or here.view,
        otherwise=(*known.otherwise, *here.otherwise),
    )


def _narrowed(above: _Meaning, item: Dataset) -> _Meaning:
    """A meaning narrowed by the codes that stand directly below an item."""
    here = above
    for code in _codes(item, coded.FINDING_SITE):
        here = replace(here, site=_value(code))
    for code in _codes(item, coded.MEASURED_PROPERTY):
        here = replace(here, prop=_value(code))
    for code in _codes(item, coded.CARDIAC_CYCLE_POINT):
        here = replace(here, phase=_PHASES.get(_value(code)))
    for code in _codes(item, coded.IMAGE_VIEW):
        view = _VIEWS.get(_value(code))
        here = replace(here, view=view) if view else _otherwise(here, code)
    for code in _codes(item, coded.MEASUREMENT_METHOD):
        method = _METHODS.get(_value(code))
        if method is not None:
            here = replace(here, method=method)
        elif _value(code) == _SIMPSON:
            here = replace(here, method=Method.DISKS_SINGLE_PLANE if here.view else None)
        else:
            here = _otherwise(here, code)
    for code in _codes(item, coded.IMAGE_MODE):
        here = here if _value(code) in _PLANE else _otherwise(here, code)
    for code in _codes(item, _STAGE):
        is_at_rest = str(code.get("CodeMeaning") or "").strip().casefold() in _AT_REST
        here = here if is_at_rest else _otherwise(here, code)
    for code in _codes(item, coded.MEASUREMENT_DIVISOR):
        here = _otherwise(here, code)
    return here


def _otherwise(here: _Meaning, code: Dataset) -> _Meaning:
    said = str(code.get("CodeMeaning") or "").strip() or _value(code)
    return replace(here, otherwise=(*here.otherwise, said))


def _codes(item: Dataset, name: Code) -> Iterator[Dataset]:
    for found in coded.named(item, name):
        yield from found.get("ConceptCodeSequence") or []


def _value(code: Dataset) -> str:
    return str(code.get("CodeValue") or "")
