"""The OHIF viewer, in a browser, on what the node sent: what a person sees."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from echo_node.codes import Quantity, Structure, View, WallPoint
from echo_node.dicom import scu
from echo_node.evaluation.scores import dice
from echo_node.reports.regions import contour
from echo_node.services.simulate import send_exam
from echo_node.store import Outcome
from tests.acceptance.conftest import wait_for
from tests.acceptance.test_corrections import House
from tests.acceptance.test_node import _destination, peer_of
from tests.ohif import Viewer, browser, served
from tests.peers import orthanc

pytestmark = [pytest.mark.viewer, pytest.mark.peer("Orthanc", "chromium", "chromedriver", "ohif")]

SHOTS = os.environ.get("ECHO_NODE_SHOTS")  # a folder for the pictures of docs/viewers.md
_PANEL = {  # how viewers/ohif-app-config.js names what the report holds
    Quantity.IVSD: "IVSd ({:.2f} mm)",
    Quantity.LVIDD: "LVIDd ({:.2f} mm)",
    Quantity.LVPWD: "LVPWd ({:.2f} mm)",
    Quantity.LVIDS: "LVIDs ({:.2f} mm)",
    Quantity.LVEF: "EF {:.2f} %",
    Quantity.LV_EDV: "EDV {:.2f} ml",
    Quantity.LV_ESV: "ESV {:.2f} ml",
    Quantity.LV_MASS: "LV mass {:.2f} g",
    Quantity.LV_MASS_INDEX: "LV mass index {:.2f} g/m2",
    Quantity.LV_RWT: "RWT {:.2f}",
}


@pytest.fixture
def house(make_node, two_views, tmp_path) -> Iterator[House]:
    """A study that cart, node and archive have."""
    with orthanc(tmp_path) as archive:
        node = make_node(destinations=[_destination(archive)])
        peer = scu.Peer(ae_title=archive.ae_title, host="127.0.0.1", port=archive.dicom_port)
        for to in (peer_of(node), peer):
            assert not any(send_exam(two_views, to=to, calling_ae="CART"))
        house = House(node, archive, two_views, tmp_path)
        wait_for(house.readings, seconds=300)
        yield house


@pytest.fixture
def viewer(house, tmp_path) -> Iterator[Viewer]:
    """The study, opened."""
    with served(house.archive.url) as url, browser(tmp_path / "profile") as driver:
        viewer = Viewer(driver, url)
        viewer.open(house.study, objects=4)
        yield viewer


def keep(viewer: Viewer, name: str) -> None:
    if SHOTS:
        viewer.driver.save_screenshot(str(Path(SHOTS) / f"{name}.png"))


def masks_of(house: House, structure: Structure) -> dict[int, np.ndarray]:
    """The masks of a structure on the apical clip, by frame, as the node keeps them."""
    found = next(s for s in house.analysis(View.A4C).segmentations if s.structure is structure)
    return {n: mask for n, mask in zip(found.frame_numbers, found.masks, strict=True) if mask.any()}


_LABELMAPS = """
const map = services.segmentationService.getSegmentations()[0].representationData.Labelmap;
const found = [];
for (const imageId of map.imageIds) {
  const image = cornerstone.cache.getImage(imageId);
  const values = image.voxelManager.getScalarData();
  const sums = {};
  for (let i = 0; i < values.length; i++) {
    if (values[i]) {
      const sum = (sums[values[i]] ||= [0, 0, 0]);
      sum[0]++; sum[1] += Math.floor(i / image.columns); sum[2] += i % image.columns;
    }
  }
  const frame = Number(image.referencedImageId.split('/').pop());
  for (const [segment, [n, y, x]] of Object.entries(sums)) found.push([frame, Number(segment), n, y / n, x / n]);
}
return found;
"""


def test_a_person_sees_the_results_where_they_belong(house, viewer):
    """One sitting: a page with the viewer takes long to open."""
    masks_lie_on_their_frames(house, viewer)
    measurements_lead_to_their_frames(house, viewer)


def masks_lie_on_their_frames(house, viewer) -> None:
    _load_segmentation(viewer)
    apical = house.source(View.A4C).SOPInstanceUID
    viewer.wait(lambda: viewer.place()[0] == apical)
    segments = house.analysis(View.A4C).segmentations
    expected = {
        (frame, number): (int(mask.sum()), *np.argwhere(mask).mean(axis=0))
        for number, segment in enumerate((s for s in segments if s.masks.any()), start=1)
        for frame, mask in zip(segment.frame_numbers, segment.masks, strict=True)
        if mask.any()
    }
    held = _held_masks(viewer)
    assert held.keys() == expected.keys()
    for place, (count, *centre) in expected.items():
        assert held[place][0] == count
        np.testing.assert_allclose(held[place][1:], centre, atol=1e-6)
    _check_pixels(house, viewer)


def _load_segmentation(viewer) -> None:
    viewer.show("AI Echo segmentations")
    viewer.press("Yes")
    viewer.wait(lambda: viewer.ask("return services.segmentationService.getSegmentations().length"))


def _held_masks(viewer) -> dict:
    """Pixels and centre (row, column) of each mask in the viewer's memory, by frame and segment."""
    return {(frame, segment): tuple(rest) for frame, segment, *rest in viewer.ask(_LABELMAPS)}


def _check_pixels(house, viewer) -> None:
    """Red is to be seen where the cavity is, the atrium's colour where it is, none on the other clip."""
    cavity, atrium = masks_of(house, Structure.LV_CAVITY), masks_of(house, Structure.RA)
    most = max(atrium, key=lambda n: atrium[n].sum())
    for frame in (min(cavity), most, max(cavity)):
        viewer.go_to(frame)
        viewer.wait(lambda f=frame: _distance(viewer, cavity[f]) < 4)
    viewer.go_to(most)
    viewer.wait(lambda: _coloured(viewer, atrium[most]) > 0.8)
    keep(viewer, "ohif-segmentation")
    viewer.show_clip(house.source(View.PLAX).SOPInstanceUID)
    viewer.wait(lambda: not len(_red(viewer)))


def _red(viewer) -> np.ndarray:
    """Where the viewport is of the cavity's colour, as rows and columns of the window."""
    left, top, right, bottom = viewer.box()
    red, green, blue = np.moveaxis(viewer.picture()[top:bottom, left:right], 2, 0)
    return np.argwhere((red - green > 50) & (red - blue > 50)) + np.array((top, left))


def _distance(viewer, mask) -> float:
    """From the middle of what is red to the middle of a mask, in pixels of the window."""
    found = _red(viewer)
    if not len(found):
        return np.inf
    y, x = np.argwhere(mask).mean(axis=0)
    ((column, row),) = viewer.on_screen([(x, y)])
    return float(np.hypot(*(found.mean(axis=0) - (row, column))))


def _coloured(viewer, mask) -> float:
    """How much of a mask is coloured on the screen."""
    places = viewer.on_screen([(x, y) for y, x in np.argwhere(mask)[::7].tolist()])
    picture = viewer.picture()
    colours = np.array([picture[y, x] for x, y in places])
    return float((np.ptp(colours, axis=1) > 25).mean())


def measurements_lead_to_their_frames(house, viewer) -> None:
    (reading,) = house.readings()
    viewer.show("AI Echo measurements")
    viewer.press("Yes")
    viewer.wait(viewer.rows)
    listed = viewer.measurements()
    assert len(listed) == len(viewer.rows()) >= 9
    text = "\n".join(m["label"] for m in listed)
    for m in reading.measurements:
        assert _PANEL[m.quantity].format(m.value) in text
    for seen in reading.views:
        assert f"certainty {100 * seen.probability:.2f} %: {seen.view.code.meaning}, series" in text
    plax, apical = house.analysis(View.PLAX), house.analysis(View.A4C)
    for label, clip, frame in (
        ("LVIDs", plax, plax.diameters.es_frame),
        ("EDV", apical, apical.curve.ed_frame),
        ("ESV", apical, apical.curve.es_frame),
        ("IVSd", plax, plax.diameters.ed_frame),
    ):
        viewer.row(label).click()
        viewer.wait(lambda c=clip, f=frame: viewer.place() == (c.SOPInstanceUID, f))
    keep(viewer, "ohif-measurements")


@pytest.mark.peer("storescu")
def test_a_line_that_a_person_draws_comes_back_as_the_measurement(house, viewer):
    """By STOW-RS into the archive, from there to the node, and its answer back to the archive."""
    (first,) = house.readings()
    plax = house.analysis(View.PLAX)
    frame = plax.diameters.ed_frame
    (found,) = (landmarks for landmarks in plax.landmarks if landmarks.frame_number == frame)
    at = {point: (column, row) for point, row, column in found.points}
    line = at[WallPoint.SEPTUM_INNER], at[WallPoint.POSTERIOR_INNER]
    viewer.log_in("Reader", "Rosa")
    viewer.show_clip(plax.SOPInstanceUID)
    viewer.go_to(frame)
    viewer.measure(line, "LVIDd")
    keep(viewer, "ohif-drawn")
    viewer.save_report("Walls")
    saved = wait_for(lambda: _saved(house, "Walls"), seconds=300)
    house.send(saved)  # as an archive's routing does

    last = wait_for(lambda: next((r for r in house.readings() if _edited(r)), None), seconds=300)
    assert last.SOPInstanceUID != first.SOPInstanceUID
    measured = _edited(last)[Quantity.LVIDD]
    assert [(e.SOPInstanceUID, e.observer) for e in measured.edits] == [(saved.SOPInstanceUID, "Reader^Rosa")]
    length = np.hypot(*np.subtract(*line)) * plax.spacing_mm[0]
    assert measured.value == pytest.approx(length, abs=1.5)  # a pixel of the window is 0.5 mm at either end
    assert measured.value != _value(first, Quantity.LVIDD)
    assert house.ended(saved)[saved.SOPInstanceUID].outcome is Outcome.APPLIED


@pytest.mark.peer("storescu")
def test_an_outline_that_a_person_draws_comes_back_as_the_mask(house, viewer):
    """A superseding SEG whose mask of that frame is what was drawn, and an SR whose volumes rest on it."""
    apical = house.analysis(View.A4C)
    cavity = masks_of(house, Structure.LV_CAVITY)
    frame = apical.curve.ed_frame
    drawn = np.roll(cavity[frame], 8, axis=1)
    corners = contour(drawn)[:-1:3] - 0.5  # (column, row); a person's hand has fewer
    viewer.log_in("Reader", "Rosa")
    viewer.show_clip(apical.SOPInstanceUID)
    viewer.go_to(frame)
    viewer.outline([(x, y) for x, y in corners.tolist()], "LV")
    keep(viewer, "ohif-outline")
    viewer.save_report("Outline")
    saved = wait_for(lambda: _saved(house, "Outline"), seconds=300)
    house.send(saved)

    last = wait_for(lambda: next((r for r in house.readings() if _edited(r)), None), seconds=300)
    edits = {e.SOPInstanceUID: e.observer for m in last.measurements for e in m.edits}
    assert edits == {saved.SOPInstanceUID: "Reader^Rosa"}
    assert {Quantity.LV_EDV, Quantity.LVEF} <= _edited(last).keys()
    now = masks_of(house, Structure.LV_CAVITY)[frame]
    overlap = dice(now, drawn)
    assert overlap > 0.97  # corners on whole pixels of the window
    assert dice(now, cavity[frame]) < overlap
    assert house.ended(saved)[saved.SOPInstanceUID].outcome is Outcome.APPLIED
    _shows_the_corrected_masks(house, viewer, frame, now)


def _shows_the_corrected_masks(house, viewer, frame, mask) -> None:
    """Opened again, the viewer lists the corrected segmentation, the latest of its series, and holds it whole."""
    (corrected,) = (ds for ds in house.segmentations() if ds.ContentLabel == "AI_ECHO_EDITED")
    viewer.open_again(house.study, objects=5)
    listed = [d["SOPInstanceUID"] for d in viewer.display_sets() if d["Modality"] == "SEG"]
    assert listed == [corrected.SOPInstanceUID]
    _load_segmentation(viewer)
    held = _held_masks(viewer)
    keep(viewer, "ohif-corrected")
    assert held[frame, 1][0] == mask.sum()
    np.testing.assert_allclose(held[frame, 1][1:], np.argwhere(mask).mean(axis=0), atol=1e-6)


def _saved(house, description):
    return next((ds for ds in house.objects() if ds.get("SeriesDescription") == description), None)


def _edited(reading):
    return {m.quantity: m for m in reading.measurements if m.edits}


def _value(reading, quantity):
    (value,) = (m.value for m in reading.measurements if m.quantity is quantity)
    return value
