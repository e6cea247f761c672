"""Walls, mass, geometry and the learned EF in the structured report."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import highdicom
import numpy as np
import pytest
from pydicom import Dataset

from echo_node.codes import Geometry, Method, Quantity, Reason, Structure, View, WallPoint
from echo_node.records import Analysis, NotMeasured
from echo_node.reports import Reading, build_reports, read_report
from echo_node.reports.regions import line
from echo_node.reports.uids import tracking_uid
from tests.unit.reports.builders import (
    COLUMNS,
    ED,
    ES,
    ROWS,
    analysis,
    clip,
    long_axis,
    source,
    with_estimate,
    with_mass,
)

Case = tuple[Analysis, dict[str, Dataset]]


def study_of_walls() -> Case:
    of = source(PatientSize="1.75", PatientWeight="71")
    plax = long_axis(of)
    return with_mass(analysis(plax, not_measured=()), plax), {of.SOPInstanceUID: of}


def sr_of(study: Analysis, sources: dict[str, Dataset]) -> tuple[Any, Reading]:
    """The report as highdicom reads it, and as the node reads it."""
    content = build_reports(study, sources)[-1].content
    reading = read_report(content)
    assert reading is not None
    return highdicom.sr.srread(BytesIO(content)), reading


@pytest.fixture(scope="module")
def walls() -> tuple[Any, Reading]:
    return sr_of(*study_of_walls())


def groups_of(ds: Any) -> dict[str, Any]:
    """Groups by the code of their first number, views aside."""
    groups = ds.content.get_planar_roi_measurement_groups()
    numbers = {g.get_measurements()[0].name.value: g for g in groups if g.get_measurements()}
    return {code: group for code, group in numbers.items() if code != "111012"}


def region_of(group: Any) -> Dataset:
    (region,) = (item for item in group[0].ContentSequence if item.ValueType == "SCOORD")
    assert isinstance(region, Dataset)
    return region


def test_numbers_and_geometry_read_back(walls: tuple[Any, Reading]) -> None:
    study, _ = study_of_walls()
    _, reading = walls
    assert set(reading.measurements) == set(study.measurements)
    assert reading.findings == study.findings
    assert reading.findings[0].value is Geometry.ECCENTRIC_HYPERTROPHY
    assert reading.not_measured == ()


def test_each_line_is_a_group_with_its_line_on_its_frame(walls: tuple[Any, Reading]) -> None:
    groups = groups_of(walls[0])
    drawn = {
        Quantity.IVSD: (ED, 10.0, 14.5),
        Quantity.LVIDD: (ED, 14.5, 34.0),
        Quantity.LVPWD: (ED, 34.0, 38.0),
        Quantity.LVIDS: (ES, 16.0, 29.0),
        Quantity.LV_MASS: (ED, 10.0, 38.0),
    }
    assert list(groups) == [quantity.code.value for quantity in drawn]
    for quantity, (frame, top, bottom) in drawn.items():
        region = region_of(groups[quantity.code.value])
        assert region.GraphicType == "POLYLINE"
        assert list(region.GraphicData) == [40.5, top + 0.5, 40.5, bottom + 0.5]
        assert region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedFrameNumber == frame


def test_each_line_has_its_site_and_its_own_tracking(walls: tuple[Any, Reading]) -> None:
    groups = groups_of(walls[0])
    sites = {code: group.finding_sites[0].value.value for code, group in groups.items()}
    assert sites.pop(Quantity.IVSD.code.value) == "589001"
    assert set(sites.values()) == {Structure.LV_CAVITY.code.value}
    assert len({group.tracking_uid for group in groups.values()}) == len(groups)
    uid = source().SOPInstanceUID
    assert groups[Quantity.LVIDS.code.value].tracking_uid == tracking_uid(uid, "LVIDS")
    assert groups[Quantity.IVSD.code.value].tracking_identifier.endswith("instance 3")


def test_cycle_points_are_coded(walls: tuple[Any, Reading]) -> None:
    ed, es = "416190007", "416430001"
    phases = {}
    for code, group in groups_of(walls[0]).items():
        for item in group.get_measurements()[0][0].ContentSequence:
            if item.ConceptNameCodeSequence[0].CodeValue == "272518008":
                phases[code] = item.ConceptCodeSequence[0].CodeValue
    assert phases == {"18154-5": ed, "29436-3": ed, "18152-9": ed, "29438-9": es}


def test_mass_thickness_index_and_geometry_stand_together(walls: tuple[Any, Reading]) -> None:
    group = groups_of(walls[0])[Quantity.LV_MASS.code.value]
    assert [m.name.value for m in group.get_measurements()] == [
        q.code.value for q in (Quantity.LV_MASS, Quantity.LV_RWT, Quantity.LV_MASS_INDEX)
    ]
    said = {evaluation.name.value: evaluation.value.value for evaluation in group.get_qualitative_evaluations()}
    assert said["LV_GEOMETRY"] == "ECC_HYPERTROPHY"
    assert (walls[0].PatientSize, walls[0].PatientWeight) == (1.75, 71)


def test_a_line_that_leaves_the_image_is_kept_inside() -> None:
    of = source()
    found = long_axis(of).landmarks[0]
    points = {point: (row, col) for point, row, col in found.points}
    points[WallPoint.POSTERIOR_OUTER] = (ROWS + 3.0, -2.0)
    outside = found.__class__(
        SOPInstanceUID=found.SOPInstanceUID,
        frame_number=ED,
        points=tuple((p, *at) for p, at in points.items()),
        probability=0.9,
    )
    drawn = line(outside, (WallPoint.SEPTUM_OUTER, WallPoint.POSTERIOR_OUTER), of)
    np.testing.assert_array_equal(drawn, [[40.5, 10.5], [0, ROWS]])
    assert drawn[:, 0].max() <= COLUMNS


def test_the_learned_ef_stands_beside_the_disks_on_its_own_frame() -> None:
    of = source()
    plain = clip(of)
    study = analysis(with_estimate(plain), not_measured=())
    ds, reading = sr_of(study, {of.SOPInstanceUID: of})
    by_method = {m.method: m for m in reading.measurements if m.quantity is Quantity.LVEF}
    assert by_method[Method.LEARNED].value == 58.5
    assert by_method[Method.LEARNED].uncertainty == 2.5
    assert by_method[Method.LEARNED].sources[0].frame_numbers == (3, 8)
    assert by_method[Method.DISKS_SINGLE_PLANE].value == plain.measurements[0].value
    groups = [g for g in ds.content.get_planar_roi_measurement_groups() if g.get_measurements()]
    frames = [region_of(g).ContentSequence[0].ReferencedSOPSequence[0].ReferencedFrameNumber for g in groups]
    assert frames == [ED, ED, ES, 3]  # view, disks with the volume of each phase, estimate
    assert len({g.tracking_uid for g in groups}) == 4
    assert region_of(groups[3]).GraphicType == "POLYLINE"


def test_a_reason_keeps_its_method_and_a_disagreement_its_view() -> None:
    of = source()
    said = (
        NotMeasured(
            quantity=Quantity.LVEF_COMBINED, reason=Reason.DISAGREEMENT, detail="31 points apart", view=View.A4C
        ),
        NotMeasured(
            quantity=Quantity.LVEF,
            reason=Reason.LOW_QUALITY,
            detail="uncertain by 20 points",
            view=View.A4C,
            method=Method.LEARNED,
        ),
        NotMeasured(quantity=Quantity.LV_GEOMETRY, reason=Reason.NO_SEX, detail="limits differ", view=View.PLAX),
    )
    study = analysis(clip(of, not_measured=said), not_measured=said)
    ds, reading = sr_of(study, {of.SOPInstanceUID: of})
    assert reading.not_measured == said
    assert ds.CompletionFlag == "PARTIAL"
    assert reading.findings == ()
