"""What a person draws on a page is read as what a viewer saves."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO

import numpy as np
import pydicom
import pytest

from echo_node.codes import Quantity, Structure
from echo_node.decisions import Person
from echo_node.edits import Drawn, Shape
from echo_node.reports import build_edit, read_corrections
from echo_node.reports.retired import every_item
from echo_node.reports.subjects import LENGTHS
from tests.unit.reports.builders import source

OF = source()
SOURCES = {str(OF.SOPInstanceUID): OF}
ROSA = Person(name="Reader^Rosa", organization="Heart Clinic")
AT = datetime(2026, 11, 29, 9, 30, tzinfo=UTC)
OUTLINE = ((10.0, 12.5), (30.0, 8.0), (40.0, 30.0), (22.0, 50.0), (8.0, 33.0))


def drawn(shape: Shape, points, subject: Structure | Quantity = Structure.LV_CAVITY) -> Drawn:
    return Drawn(SOPInstanceUID=OF.SOPInstanceUID, frame_number=4, shape=shape, points=points, subject=subject)


def read_back(*drawings: Drawn, **changes):
    made = build_edit(drawings, SOURCES, **{"by": ROSA, "reason": "septum left out", "at": AT, **changes})
    return read_corrections(pydicom.dcmread(BytesIO(made.content)), SOURCES)


@pytest.mark.parametrize(
    "drawing",
    [
        *(drawn(Shape.CONTOUR, OUTLINE, structure) for structure in Structure),
        *(drawn(Shape.LINE, ((5.0, 6.5), (20.0, 9.0)), quantity) for quantity in LENGTHS),
        drawn(Shape.BOX, ((5.0, 6.0), (30.0, 40.0)), Structure.LA),
        drawn(Shape.FOREGROUND, ((20.0, 21.0),)),
        drawn(Shape.FOREGROUND, ((20.0, 21.0), (25.0, 30.0)), Structure.AORTIC_ROOT),
        drawn(Shape.BACKGROUND, ((20.0, 21.0), (25.0, 30.0)), Structure.RV),
    ],
)
def test_every_drawing_comes_back_as_it_was(drawing):
    found = read_back(drawing)
    for part in found:  # points one by one
        assert (part.SOPInstanceUID, part.frame_number) == (drawing.SOPInstanceUID, 4)
        assert (part.shape, part.subject) == (drawing.shape, drawing.subject)
        assert (part.edit.observer, part.edit.made_at, part.edit.reason) == (ROSA.name, AT, "septum left out")
    np.testing.assert_allclose([p for part in found for p in part.points], drawing.points, atol=1e-4)


def test_several_drawings_stand_in_one_report_and_each_report_has_a_uid_of_its_own():
    first = read_back(drawn(Shape.CONTOUR, OUTLINE), drawn(Shape.CONTOUR, OUTLINE, Structure.LA), reason="")
    assert [c.subject for c in first] == [Structure.LV_CAVITY, Structure.LA]
    assert {c.edit.reason for c in first} == {""}
    (second,) = read_back(drawn(Shape.CONTOUR, OUTLINE))
    assert first[0].edit.SOPInstanceUID != second.edit.SOPInstanceUID


def test_a_clip_of_a_retired_class_is_drawn_on_and_named_as_what_it_is():
    retired = "1.2.840.10008.5.1.4.1.1.3"
    of = source(SOPClassUID=retired)
    made = build_edit([drawn(Shape.CONTOUR, OUTLINE)], {OF.SOPInstanceUID: of}, by=ROSA, reason="", at=AT)
    ds = pydicom.dcmread(BytesIO(made.content))
    references = [item for item in every_item(ds) if item.get("ReferencedSOPInstanceUID") == OF.SOPInstanceUID]
    assert {item.ReferencedSOPClassUID for item in references} == {retired}
    assert len(references) == 2  # the evidence, the region


def test_the_same_drawings_at_the_same_time_are_the_same_report():
    first, second = (
        build_edit([drawn(Shape.CONTOUR, OUTLINE)], SOURCES, by=ROSA, reason="", at=AT) for _ in range(2)
    )
    assert first == second
