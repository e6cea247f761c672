"""Carts' numbers, in the shapes in which vendors write them."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO

import pydicom
import pytest
from pydicom import Dataset

from echo_node.carts import CartValue
from echo_node.codes import Method, ObjectKind, Quantity, Reason, Unit, View
from echo_node.errors import CorrectionError
from echo_node.records import Analysis
from echo_node.reports import build_reports, is_cart_report, read_cart_report
from echo_node.reports.carts import UNITS
from echo_node.reports.ucum import converted
from tests.unit.reports.builders import STUDY, analysis, clip, long_axis, source, with_mass
from tests.unit.reports.cart_reports import (
    A2C,
    A4C,
    BIPLANE,
    CHOSEN,
    DERIVATION,
    EDV,
    EF,
    ESV,
    IVSD,
    LV,
    LVIDD,
    LVIDS,
    LVPWD,
    M_MODE,
    MASS,
    MAXIMUM,
    MEAN,
    METHOD,
    MODE,
    PHASE,
    PROPERTY,
    SELECTION,
    SIMPSON,
    SINGLE,
    SITE,
    STAGE,
    TEICHHOLZ,
    TWO_D,
    VIEW,
    box,
    cart_report,
    findings,
    group,
    mod,
    num,
)
from tests.unit.reports.drawn import code


def values(*items: Dataset, **changes) -> tuple[CartValue, ...]:
    ds = cart_report(*items, **changes)
    assert is_cart_report(ds)
    return read_cart_report(ds).values


def one(*items: Dataset) -> CartValue:
    (value,) = values(findings(*items))
    return value


def test_a_report_with_modifiers_on_every_number_in_snomed_rt() -> None:
    found = values(
        findings(
            group(
                mod(MODE, TWO_D),
                num(IVSD, 1.1, "cm"),
                num(LVIDD, 4.75, "cm", mod(PHASE, ("F-32020", "SRT", "End diastole"))),
                num(LVPWD, 0.95, "cm"),
                num(LVIDS, 0.031, "m"),
            ),
            group(num(EF, 62, "%", mod(METHOD, BIPLANE)), num(EDV, 0.110, "l", mod(METHOD, BIPLANE))),
            num(ESV, 42.0, "mL", mod(METHOD, SINGLE), mod(VIEW, A4C)),
        )
    )
    stated = {(v.quantity, v.method, v.view): v.value for v in found}
    assert stated == pytest.approx(
        {
            (Quantity.IVSD, None, None): 11.0,
            (Quantity.LVIDD, None, None): 47.5,
            (Quantity.LVPWD, None, None): 9.5,
            (Quantity.LVIDS, None, None): 31.0,
            (Quantity.LVEF, Method.DISKS_BIPLANE, None): 62.0,
            (Quantity.LV_EDV, Method.DISKS_BIPLANE, None): 110.0,
            (Quantity.LV_ESV, Method.DISKS_SINGLE_PLANE, View.A4C): 42.0,
        }
    )
    assert not any(v.otherwise for v in found)
    assert {v.unit for v in found} == {Unit.PERCENT, Unit.MILLILITRE, Unit.MILLIMETRE}


def test_what_containers_say_holds_for_all_below_until_it_is_said_otherwise() -> None:
    found = values(
        findings(
            box(
                ("121122", "DCM", "Summary"),
                mod(METHOD, SINGLE),
                mod(VIEW, A4C, "HAS ACQ CONTEXT"),
                group(num(EF, 60, "%"), num(EDV, 100, "ml", mod(VIEW, A2C))),
            ),
            num(ESV, 40, "ml"),
        )
    )
    assert [(v.quantity, v.method, v.view) for v in found] == [
        (Quantity.LVEF, Method.DISKS_SINGLE_PLANE, View.A4C),
        (Quantity.LV_EDV, Method.DISKS_SINGLE_PLANE, View.A2C),
        (Quantity.LV_ESV, None, None),
    ]


def test_of_several_values_the_mean_stands_which_the_cart_gives() -> None:
    assert one(num(IVSD, 10, "mm"), num(IVSD, 12, "mm"), num(IVSD, 11.4, "mm", mod(DERIVATION, MEAN))).value == 11.4


def test_single_values_may_stand_below_their_mean() -> None:
    below = [num(IVSD, v, "mm", relation="INFERRED FROM") for v in (10, 12)]
    assert one(num(IVSD, 11.4, "mm", mod(DERIVATION, MEAN), *below)).value == 11.4


def test_a_chosen_value_goes_before_the_mean() -> None:
    chosen = num(IVSD, 12, "mm", mod(SELECTION, CHOSEN))
    assert one(num(IVSD, 10, "mm"), chosen, num(IVSD, 11, "mm", mod(DERIVATION, MEAN))).value == 12


def test_without_a_mean_it_is_computed_and_extremes_do_not_count() -> None:
    largest = num(IVSD, 15, "mm", mod(DERIVATION, MAXIMUM))
    assert one(num(IVSD, 10, "mm"), num(IVSD, 12, "mm"), largest).value == 11


@pytest.mark.parametrize(
    ("value", "quantity", "method", "view"),
    [
        ("79991-6", Quantity.LVEF, Method.DISKS_BIPLANE, None),
        ("79993-2", Quantity.LVEF, Method.DISKS_SINGLE_PLANE, View.A4C),
        ("79998-1", Quantity.LV_EDV, Method.DISKS_SINGLE_PLANE, View.A2C),
        ("80001-1", Quantity.LV_ESV, Method.DISKS_BIPLANE, None),
        ("79969-2", Quantity.IVSD, Method.DIRECT, View.PLAX),
        ("80007-8", Quantity.LVIDD, Method.DIRECT, View.PLAX),
        ("80032-6", Quantity.LVPWD, Method.DIRECT, View.PLAX),
        ("80011-0", Quantity.LVIDS, Method.DIRECT, View.PLAX),
        ("80019-3", Quantity.LV_MASS, Method.CUBE, View.PLAX),
        ("80020-1", Quantity.LV_MASS_INDEX, Method.CUBE, View.PLAX),
    ],
)
def test_pre_coordinated_codes_say_all(value: str, quantity: Quantity, method: Method, view: View | None) -> None:
    unit = UNITS[quantity].code.value
    heading = ("125301", "DCM", "Pre-coordinated Measurements")
    (found,) = values(box(heading, num((value, "LN", "?"), 50, unit)))
    assert (found.quantity, found.method, found.view, found.otherwise) == (quantity, method, view, "")


@pytest.mark.parametrize(
    ("value", "unit", "why"),
    [
        ("80031-8", "cm", "M-mode"),
        ("80008-6", "cm", "M-mode"),
        ("79990-8", "%", "3D"),
        ("18049-7", "%", "Teichholz"),
    ],
)
def test_codes_of_what_the_node_does_not_do_are_kept_apart(value: str, unit: str, why: str) -> None:
    assert one(num((value, "LN", "?"), 5, unit)).otherwise == why


def test_post_coordinated_numbers_are_known_by_property_site_and_point() -> None:
    own = ("LVEDV_MOD", "99ACME", "LV volume")
    volume, thickness = ("118565006", "SCT", "Volume"), ("59089-3", "LN", "Thickness")
    diastole, systole = ("416190007", "SCT", "End diastole"), ("416430001", "SCT", "End systole")
    septum = ("589001", "SCT", "Interventricular septum")
    site, phase = ("363698007", "SCT", "Finding Site"), ("272518008", "SCT", "Cardiac Cycle Point")
    found = values(
        box(
            ("125302", "DCM", "Post-coordinated Measurements"),
            num(own, 110, "ml", mod(PROPERTY, volume), mod(site, LV), mod(phase, diastole), mod(METHOD, BIPLANE)),
            num(own, 42, "ml", mod(PROPERTY, volume), mod(site, LV), mod(phase, systole), mod(METHOD, BIPLANE)),
            num(own, 1.0, "cm", mod(PROPERTY, thickness), mod(site, septum), mod(phase, diastole)),
            num(own, 7.0, "cm", mod(PROPERTY, ("410668003", "SCT", "Length")), mod(site, LV), mod(phase, diastole)),
            num(own, 61, "%", mod(PROPERTY, ("F-32070", "SRT", "Ejection fraction")), mod(SITE, LV)),
        )
    )
    assert [(v.quantity, v.value) for v in found] == [
        (Quantity.LV_EDV, 110.0),
        (Quantity.LV_ESV, 42.0),
        (Quantity.IVSD, 10.0),
        (Quantity.LVEF, 61.0),
    ]


@pytest.mark.parametrize(
    ("below", "why"),
    [
        (mod(METHOD, TEICHHOLZ), "Teichholz"),
        (mod(MODE, M_MODE), "M mode"),
        (mod(STAGE, ("109091", "DCM", "Cardiac Stress State")), "Cardiac Stress State"),
        (mod(VIEW, ("G-A19X", "99ACME", "House view")), "House view"),
    ],
)
def test_another_method_mode_stage_or_view_keeps_a_number_apart(below: Dataset, why: str) -> None:
    assert one(num(EF, 60, "%", below)).otherwise == why
    assert one(num(EF, 60, "%", mod(STAGE, ("128974000", "SCT", "Baseline")))).otherwise == ""


def test_modified_simpson_is_of_one_plane_where_a_view_is_named() -> None:
    assert one(num(EF, 60, "%", mod(VIEW, A4C), mod(METHOD, SIMPSON))).method is Method.DISKS_SINGLE_PLANE
    assert one(num(EF, 60, "%", mod(METHOD, SIMPSON))).method is None


def test_a_mass_per_area_is_the_index_under_whatever_code() -> None:
    assert one(num(MASS, 98, "g/m2")).quantity is Quantity.LV_MASS_INDEX
    assert one(num(MASS, 0.18, "kg")).value == 180.0


@pytest.mark.parametrize(
    "number",
    [
        num(EF, None, "%"),
        num(EF, 160, "%"),
        num(EF, 62, "1"),
        num(EF, 62, ""),
        num(EF, -3, "%"),
        num(IVSD, 1.1, "cm2"),
        num(IVSD, 0.4, "[in_i]"),
        num(EDV, 60, "ml/m2"),
        num(("20352-1", "LN", "Mean velocity"), 1.1, "m/s"),
    ],
)
def test_a_number_that_is_none_of_the_node_s_is_passed_over(number: Dataset) -> None:
    assert values(findings(number)) == ()


def test_fractions_and_annotations_of_ucum() -> None:
    assert converted(0.62, "1", Unit.PERCENT) == pytest.approx(62.0)
    assert converted(0.62, "{ratio}", Unit.PERCENT) == pytest.approx(62.0)
    assert converted(110, "ml{biplane}", Unit.MILLILITRE) == 110
    assert converted(1.1, "CM", Unit.MILLIMETRE) is None  # case-sensitive: UCUM's CM is none of its units


def test_the_report_says_who_when_and_what_it_replaces() -> None:
    ds = cart_report(findings(num(EF, 60, "%")), replaces=("1.2.3", "1.2.4"))
    found = read_cart_report(ds)
    assert (found.Manufacturer, found.ManufacturerModelName) == ("Acme Ultrasound", "Echo 9")
    assert found.made_at == datetime(2026, 11, 23, 10, 20, tzinfo=UTC)
    assert found.predecessors == ("1.2.3", "1.2.4")


def test_a_template_alone_tells_a_cart_s_report_too() -> None:
    ds = cart_report(ConceptNameCodeSequence=[code("18745-0", "LN", "Cardiac Catheterization Report")])
    assert not is_cart_report(ds)
    item = Dataset()
    item.TemplateIdentifier, item.MappingResource = "5200", "DCMR"
    ds.ContentTemplateSequence = [item]
    assert is_cart_report(ds)


def own_study() -> tuple[Analysis, dict[str, Dataset]]:
    of = [source(uid=f"{STUDY}.2.{n}", PatientSize="1.75", PatientWeight="71.5") for n in (1, 2, 3)]
    plax = long_axis(of[2])
    study = analysis(clip(of[0]), clip(of[1], view=View.A2C), plax, biplane=True)
    return with_mass(study, plax), {ds.SOPInstanceUID: ds for ds in of}


@pytest.mark.parametrize("kind", [ObjectKind.SR_TID5200, ObjectKind.SR_TID5200_SRT, ObjectKind.SR_TID5300])
def test_the_node_s_own_reports_are_read_like_a_cart_s_but_refused_as_its_own(kind: ObjectKind) -> None:
    study, sources = own_study()
    (report,) = build_reports(study, sources, kinds=(kind,))
    ds = pydicom.dcmread(BytesIO(report.content))
    assert is_cart_report(ds)
    with pytest.raises(CorrectionError) as refusal:
        read_cart_report(ds)
    assert refusal.value.reason is Reason.OWN_REPORT
    ds.Manufacturer = "Acme Ultrasound"
    found = {(v.quantity, v.method, v.view): v.value for v in read_cart_report(ds).values if not v.otherwise}
    expected = {(m.quantity, m.method, m.view): m.value for m in study.measurements if m.quantity in UNITS}
    assert len(expected) > 10
    assert found == pytest.approx(expected, rel=1e-6)


def test_a_value_that_is_no_number_costs_no_other() -> None:
    ds = cart_report(findings(num(EF, 60, "%"), num(IVSD, 1.1, "cm")))
    del ds.ContentSequence[0].ContentSequence[1].MeasuredValueSequence[0].NumericValue
    assert [v.quantity for v in read_cart_report(ds).values] == [Quantity.IVSD]


def test_a_report_that_cannot_be_read_is_refused_without_its_words() -> None:
    ds = cart_report(findings(num(EF, 60, "%")))
    del ds.SOPInstanceUID
    with pytest.raises(CorrectionError) as refusal:
        read_cart_report(ds)
    assert "Paula" not in str(refusal.value)
