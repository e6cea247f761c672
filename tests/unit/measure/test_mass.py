"""LV mass, relative wall thickness and geometry against numbers worked out by hand."""

from dataclasses import replace

import pytest

from echo_node.codes import Geometry, ImageMode, Method, Quantity, Reason, Unit, View
from echo_node.measure.mass import cube_mass_g, geometry, measure_mass
from echo_node.measure.results import MASS
from echo_node.records import (
    Body,
    ClipAnalysis,
    EngineIdentity,
    Measurement,
    Sex,
    Source,
    ViewPrediction,
)

MAN = Body(sex=Sex.MALE, height_m=1.80, weight_kg=80.0)


def clip(ivsd=10.0, lvidd=50.0, lvpwd=10.0, *, body=MAN, uid="1.2.3", probability=0.9, spread=0.5):
    source = Source(SOPInstanceUID=uid, frame_numbers=(4,))
    lengths = {Quantity.IVSD: ivsd, Quantity.LVIDD: lvidd, Quantity.LVPWD: lvpwd}
    return ClipAnalysis(
        SOPInstanceUID=uid,
        StudyInstanceUID="1.2",
        prediction=ViewPrediction(
            SOPInstanceUID=uid,
            view=View.PLAX,
            probability=probability,
            runner_up=View.OTHER,
            runner_up_probability=1 - probability,
            mode=ImageMode.TWO_D,
        ),
        outcome=None,
        detail="",
        spacing_mm=(0.5, 0.5),
        segmentations=(),
        curve=None,
        measurements=tuple(
            Measurement(
                quantity=quantity,
                value=value,
                unit=Unit.MILLIMETRE,
                method=Method.DIRECT,
                view=View.PLAX,
                sources=(source,),
                uncertainty=spread,
            )
            for quantity, value in lengths.items()
        ),
        not_measured=(),
        engine=EngineIdentity(name="e", version="1", digest="0" * 64, backend="b"),
        body=body,
    )


def values(result) -> dict:
    return {m.quantity: m.value for m in result.measurements}


def reasons(result) -> dict:
    return {n.quantity: n.reason for n in result.not_measured}


def test_the_cube_formula_by_hand():
    # walls of 1 cm about 5 cm: 7^3 - 5^3 = 218 cm3; 0.8 x 1.04 x 218 + 0.6 = 181.976 g
    assert cube_mass_g(10, 50, 10) == pytest.approx(181.976)
    # 1.4, 4.4 and 1.2 cm: 7^3 - 4.4^3 = 257.816; 0.832 x 257.816 + 0.6 = 215.103 g
    assert cube_mass_g(14, 44, 12) == pytest.approx(215.103, abs=0.001)


def test_the_surface_of_a_man_of_du_bois():
    # 80 kg, 180 cm: 0.007184 x 80^0.425 x 180^0.725 = 1.996 m2
    assert MAN.surface_m2 == pytest.approx(1.996, abs=0.001)


def test_a_study_has_mass_thickness_index_and_geometry():
    result = measure_mass([clip()])
    found = values(result)
    assert found[Quantity.LV_MASS] == pytest.approx(181.976)
    assert found[Quantity.LV_RWT] == pytest.approx(0.4)
    assert found[Quantity.LV_MASS_INDEX] == pytest.approx(181.976 / 1.996, rel=1e-3)
    assert [f.value for f in result.findings] == [Geometry.NORMAL]
    assert result.not_measured == ()
    assert {m.quantity: m.unit for m in result.measurements} == {
        Quantity.LV_MASS: Unit.GRAM,
        Quantity.LV_RWT: Unit.RATIO,
        Quantity.LV_MASS_INDEX: Unit.GRAM_PER_SQUARE_METRE,
    }


def test_uncertainty_is_carried_through_the_formulas():
    by = {m.quantity: m.uncertainty for m in measure_mass([clip()]).measurements}
    step = 1e-4
    slopes = [
        (cube_mass_g(*(v + step * (i == k) for k, v in enumerate((10, 50, 10)))) - cube_mass_g(10, 50, 10)) / step
        for i in range(3)
    ]
    assert by[Quantity.LV_MASS] == pytest.approx(0.5 * sum(s**2 for s in slopes) ** 0.5, rel=1e-3)
    assert by[Quantity.LV_RWT] == pytest.approx(0.5 * ((2 / 50) ** 2 + (20 / 2500) ** 2) ** 0.5, rel=1e-6)


@pytest.mark.parametrize(
    ("index", "rwt", "sex", "expected"),
    [
        (115.0, 0.42, Sex.MALE, Geometry.NORMAL),  # the limits themselves are normal
        (95.0, 0.42, Sex.FEMALE, Geometry.NORMAL),
        (100.0, 0.43, Sex.MALE, Geometry.CONCENTRIC_REMODELLING),
        (80.0, 0.43, Sex.FEMALE, Geometry.CONCENTRIC_REMODELLING),
        (116.0, 0.43, Sex.MALE, Geometry.CONCENTRIC_HYPERTROPHY),
        (100.0, 0.43, Sex.FEMALE, Geometry.CONCENTRIC_HYPERTROPHY),
        (116.0, 0.40, Sex.MALE, Geometry.ECCENTRIC_HYPERTROPHY),
        (100.0, 0.40, Sex.FEMALE, Geometry.ECCENTRIC_HYPERTROPHY),
    ],
)
def test_the_four_classes_of_geometry(index, rwt, sex, expected):
    assert geometry(index, rwt, sex) is expected


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ((10, 50, 10), Geometry.NORMAL),
        ((11, 44, 11), Geometry.CONCENTRIC_REMODELLING),
        ((15, 48, 15), Geometry.CONCENTRIC_HYPERTROPHY),
        ((11, 62, 11), Geometry.ECCENTRIC_HYPERTROPHY),
    ],
)
def test_walls_to_geometry(lengths, expected):
    assert [f.value for f in measure_mass([clip(*lengths)]).findings] == [expected]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (None, Reason.NO_BODY_SIZE),
        (replace(MAN, height_m=None), Reason.NO_BODY_SIZE),
        (replace(MAN, weight_kg=None), Reason.NO_BODY_SIZE),
        (replace(MAN, height_m=180.0), Reason.NO_BODY_SIZE),  # a cart that sends centimetres
        (replace(MAN, height_m=0.9, weight_kg=13.0), Reason.NO_BODY_SIZE),  # a child
    ],
)
def test_without_body_size_mass_stands_and_geometry_says_why(body, reason):
    result = measure_mass([clip(body=body)])
    assert set(values(result)) == {Quantity.LV_MASS, Quantity.LV_RWT}
    assert reasons(result) == {Quantity.LV_MASS_INDEX: reason, Quantity.LV_GEOMETRY: reason}
    assert "180" not in result.not_measured[0].detail
    assert result.findings == ()


def test_without_a_sex_the_index_stands():
    result = measure_mass([clip(body=replace(MAN, sex=None))])
    assert Quantity.LV_MASS_INDEX in values(result)
    assert reasons(result) == {Quantity.LV_GEOMETRY: Reason.NO_SEX}


def test_an_impossible_mass_is_implausible():
    result = measure_mass([clip(35, 95, 35)])
    assert set(values(result)) == {Quantity.LV_RWT}
    assert set(reasons(result).values()) == {Reason.IMPLAUSIBLE}


def test_no_measured_long_axis_is_a_missing_view():
    result = measure_mass([replace(clip(), measurements=())])
    assert reasons(result) == dict.fromkeys(MASS, Reason.VIEW_MISSING)


def test_the_surest_long_axis_is_taken():
    unsure, sure = clip(20, 50, 20, uid="1.1", probability=0.8), clip(uid="1.9")
    assert values(measure_mass([unsure, sure])) == values(measure_mass([sure]))
