"""Age, sex and size in the procedure reports (PS3.16 TID 5201)."""

from typing import Any

import pytest

from echo_node.records import Body
from echo_node.reports.patient import patient_characteristics
from tests.unit.reports.builders import clip, source


def characteristics(body: Body | None = None, **header: Any) -> dict[str, object]:
    """Values by code; a code's value is its code."""
    of = source(**header)
    found = {}
    for container in patient_characteristics(of, [clip(of, body=body)]):
        for item in container.ContentSequence:
            value = item.value if item.ValueType == "NUM" else item.value.value
            found[item.ConceptNameCodeSequence[0].CodeValue] = value
    return found


def test_all_that_is_known() -> None:
    # 0.007184 x 58.5^0.425 x 162^0.725 = 1.619 m2
    found = characteristics(Body(height_m=1.62, weight_kg=58.5), PatientBirthDate="19500102", StudyDate="20261123")
    assert found == {
        "121033": 76,
        "121032": "F",
        "8302-2": 1.62,
        "29463-7": 58.5,
        "8277-6": pytest.approx(1.619, abs=0.001),
    }


@pytest.mark.parametrize(
    ("born", "examined", "age"),
    [
        ("19500102", "20260101", 75),  # the day before the birthday
        ("19500102", "20260102", 76),
        ("20000229", "20260228", 25),
        ("20261123", "20261123", 0),
        ("20261124", "20261123", None),  # born after the examination
        ("19500230", "20261123", None),  # no such day
        (None, "20261123", None),
        ("19500102", None, None),
    ],
)
def test_age_is_in_full_years(born: str | None, examined: str | None, age: int | None) -> None:
    assert characteristics(PatientBirthDate=born, StudyDate=examined).get("121033") == age


@pytest.mark.parametrize(("sent", "code"), [("MALE", "M"), ("F", "F"), ("O", "121102"), ("UNKNOWN", None)])
def test_sex_is_coded(sent: str, code: str | None) -> None:
    assert characteristics(PatientSex=sent).get("121032") == code


@pytest.mark.parametrize("body", [Body(height_m=1.7), Body(weight_kg=70), Body(height_m=170, weight_kg=70)])
def test_no_surface_but_of_an_adult_of_known_size(body: Body) -> None:
    assert "8277-6" not in characteristics(body)


def test_nothing_known_is_no_heading() -> None:
    of = source(PatientBirthDate=None, PatientSex="UNKNOWN")
    assert patient_characteristics(of, [clip(of)]) == []


def test_the_clip_that_knows_most_counts() -> None:
    of = source()
    clips = [clip(of, body=Body(height_m=1.5)), clip(of, body=Body(height_m=1.62, weight_kg=58.5))]
    heights = [i.value for i in patient_characteristics(of, clips)[0].ContentSequence if i.ValueType == "NUM"]
    assert 1.62 in heights
    assert 1.5 not in heights
