"""What a person's corrections do to a clip's analysis, and what they leave alone."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import cv2
import numpy as np
import pytest

from echo_node.codes import ImageMode, Method, Quantity, Reason, Structure, View, WallPoint
from echo_node.correct import correct, frames_needed
from echo_node.edits import Correction, Edit, Shape
from echo_node.errors import CorrectionError
from echo_node.inference.prompts import PointKind
from echo_node.measure.drawn import fill
from echo_node.measure.mass import measure_mass
from echo_node.measure.results import MASS
from echo_node.measure.volumes import disks
from echo_node.pipeline import with_ejection
from echo_node.records import (
    Clip,
    ClipAnalysis,
    EjectionEstimate,
    EngineIdentity,
    Landmarks,
    Segmentation,
    ViewPrediction,
)
from echo_node.reports.regions import contour

UID = "1.2.3"
ROWS, COLUMNS, FRAMES = 120, 100, 40
MS = 33.0
SPACING = (0.8, 0.9)
EDIT = Edit(
    SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33",
    SOPInstanceUID="1.9.1",
    SeriesInstanceUID="1.9",
    observer="Reader^Rosa",
    made_at=datetime(2026, 11, 24, tzinfo=UTC),
)
LATER = replace(EDIT, SOPInstanceUID="1.9.2")


@dataclass
class Asked:
    frame_numbers: tuple
    prompts: object


@dataclass
class Engine:
    """Outlines beating ellipses; follows a previous mask half way, and paints every point."""

    structures = (Structure.LV_CAVITY, Structure.LA)
    estimates_ejection = True
    identity = EngineIdentity(name="half", version="1", digest="0" * 64, backend="none")
    asked: list = field(default_factory=list)

    def segment(self, clip, structures, prompts):
        self.asked.append(Asked(clip.frame_numbers, prompts))
        masks = np.stack([ellipse(number) for number in clip.frame_numbers])
        if prompts.previous is not None:
            masks |= prompts.previous & ellipse(1, grown=3)
        for point in prompts.points:
            masks[:, int(point.row), int(point.col)] = point.kind is not PointKind.BACKGROUND
        return (outlined(clip.frame_numbers, masks, structures[0]),)

    def estimate_ejection(self, clip, cavity):
        return EjectionEstimate(SOPInstanceUID=UID, ef=60.0, uncertainty=4.0, ed_frame=1, es_frame=13)


def ellipse(number: int, *, grown: float = 0.0) -> np.ndarray:
    """The cavity on a frame: a beat lasts 24 frames."""
    width = 16 + 3 * np.cos((number - 1) * 2 * np.pi / 24) + grown
    y, x = np.mgrid[:ROWS, :COLUMNS]
    return ((y - 60) / (1.8 * width)) ** 2 + ((x - 50) / width) ** 2 < 1


def outlined(numbers, masks, structure=Structure.LV_CAVITY) -> Segmentation:
    return Segmentation(SOPInstanceUID=UID, structure=structure, masks=masks, frame_numbers=tuple(numbers))


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture(scope="module")
def clip() -> Clip:
    return Clip(
        SOPInstanceUID=UID,
        frames=np.zeros((FRAMES, ROWS, COLUMNS), np.uint8),
        frame_numbers=tuple(range(1, FRAMES + 1)),
        times_ms=np.arange(FRAMES, dtype=np.float64) * MS,
        spacing_mm=SPACING,
        sector=np.ones((ROWS, COLUMNS), bool),
        mode=ImageMode.TWO_D,
        NumberOfFrames=FRAMES,
    )


def unmeasured(view=View.A4C, **changes) -> ClipAnalysis:
    prediction = ViewPrediction(
        SOPInstanceUID=UID,
        view=view,
        probability=0.9,
        runner_up=View.OTHER,
        runner_up_probability=0.1,
        mode=ImageMode.TWO_D,
    )
    made = ClipAnalysis(
        SOPInstanceUID=UID,
        StudyInstanceUID="1.2",
        prediction=prediction,
        outcome=None,
        detail="",
        spacing_mm=SPACING,
        segmentations=(),
        curve=None,
        measurements=(),
        not_measured=(),
        engine=Engine.identity,
    )
    return replace(made, **changes)


@pytest.fixture
def analysis(clip):
    numbers = clip.frame_numbers
    found = (
        outlined(numbers, np.stack([ellipse(n) for n in numbers])),
        outlined(numbers, np.zeros((FRAMES, ROWS, COLUMNS), bool), Structure.LA),
    )
    return with_ejection(unmeasured(segmentations=found), View.A4C, clip=clip, engine=Engine())


def drawn(shape, points, *, frame=1, subject=Structure.LV_CAVITY, edit=EDIT) -> Correction:
    at = tuple((float(row), float(col)) for row, col in points)
    return Correction(SOPInstanceUID=UID, frame_number=frame, shape=shape, points=at, subject=subject, edit=edit)


def outline(mask, **changes) -> Correction:
    return drawn(Shape.CONTOUR, contour(mask)[:-1, ::-1] - 0.5, **changes)


def line(quantity, length_px, *, frame=1, **changes) -> Correction:
    return drawn(Shape.LINE, [(20, 30), (20 + length_px, 30)], frame=frame, subject=quantity, **changes)


def of(analysis, quantity, method=Method.DISKS_SINGLE_PLANE):
    return next(m for m in analysis.measurements if m.quantity is quantity and m.method is method)


def cavity(analysis) -> Segmentation:
    return next(s for s in analysis.segmentations if s.structure is Structure.LV_CAVITY)


def test_an_outline_is_the_mask_of_its_frame_and_its_volume_is_edv(analysis, clip, engine):
    larger = ellipse(1, grown=3)
    result = correct(analysis, clip, [outline(larger, frame=25)], engine)
    mask = cavity(result).masks[24]
    assert (mask == fill(outline(larger).points, mask.shape)).all()
    assert (mask ^ larger).sum() < 0.02 * larger.sum()
    edv = of(result, Quantity.LV_EDV)
    assert edv.value == pytest.approx(disks(mask, SPACING).volume_ml, rel=1e-9)
    assert edv.value > 1.2 * of(analysis, Quantity.LV_EDV).value
    assert result.curve.ed_frame == 25
    assert of(result, Quantity.LVEF).value > of(analysis, Quantity.LVEF).value


def test_what_rests_on_an_outline_says_whose_it_is(analysis, clip, engine):
    result = correct(analysis, clip, [outline(ellipse(1, grown=2))], engine)
    assert cavity(result).edits == (EDIT,)
    assert {m.quantity for m in result.measurements if m.edits == (EDIT,)} == {
        Quantity.LVEF,
        Quantity.LV_EDV,
        Quantity.LV_ESV,
    }
    learned = of(analysis, Quantity.LVEF, Method.LEARNED)
    assert of(result, Quantity.LVEF, Method.LEARNED) == learned
    assert learned.edits == ()


def test_frames_beside_an_outline_get_it_as_their_previous_mask_and_others_stay(analysis, clip, engine):
    result = correct(analysis, clip, [outline(ellipse(1, grown=3), frame=20)], engine)
    assert [(a.frame_numbers, a.prompts.points) for a in engine.asked] == [((19, 21), ())]
    before, after = cavity(analysis).masks, cavity(result).masks
    changed = [n for n in clip.frame_numbers if (before[n - 1] != after[n - 1]).any()]
    assert changed == [19, 20, 21]


def test_two_outlines_share_the_frames_between_them(analysis, clip, engine):
    outlines = [outline(ellipse(1), frame=10), outline(ellipse(13), frame=12)]
    correct(analysis, clip, outlines, engine)
    assert [a.frame_numbers for a in engine.asked] == [(9, 11), (13,)]


def test_a_structure_that_the_engine_does_not_know_changes_on_the_outlined_frame_alone(analysis, clip, engine):
    result = correct(analysis, clip, [outline(ellipse(1), frame=9, subject=Structure.RA)], engine)
    assert engine.asked == []
    added = result.segmentations[-1]
    assert (added.structure, added.frame_numbers, added.drawn_frames) == (Structure.RA, (9,), (9,))
    assert result.measurements == analysis.measurements
    again = correct(result, clip, [outline(ellipse(1), frame=12, subject=Structure.RA, edit=LATER)], engine)
    assert again.segmentations[-1].frame_numbers == (9, 12)
    assert again.segmentations[-1].edits == (EDIT, LATER)
    assert frames_needed(again, FRAMES, 10) == tuple(range(FRAMES))


def test_points_and_boxes_prompt_the_engine_on_every_frame(analysis, clip, engine):
    given = [
        drawn(Shape.FOREGROUND, [(5, 6)]),
        drawn(Shape.BACKGROUND, [(60, 50)], frame=7),
        drawn(Shape.BOX, [(20, 20), (90, 80)], frame=2),
        drawn(Shape.BOX, [(25, 15), (95, 70)], frame=3),
    ]
    result = correct(analysis, clip, given, engine)
    (asked,) = engine.asked
    assert asked.frame_numbers == clip.frame_numbers
    assert [(p.row, p.col, p.kind) for p in asked.prompts.points] == [
        (20, 15, PointKind.BOX_TOP_LEFT),
        (95, 80, PointKind.BOX_BOTTOM_RIGHT),
        (5, 6, PointKind.FOREGROUND),
        (60, 50, PointKind.BACKGROUND),
    ]
    assert cavity(result).masks[:, 5, 6].all()
    assert not cavity(result).masks[:, 60, 50].any()
    assert cavity(result).edits == (EDIT,)
    assert of(result, Quantity.LVEF).edits == (EDIT,)


def test_what_was_outlined_by_hand_outlasts_later_points(analysis, clip, engine):
    first = correct(analysis, clip, [outline(ellipse(1, grown=3), frame=20)], engine)
    later = correct(first, clip, [drawn(Shape.FOREGROUND, [(5, 6)], edit=LATER)], engine)
    np.testing.assert_array_equal(cavity(later).masks[19], cavity(first).masks[19])
    assert cavity(later).masks[0, 5, 6]
    assert cavity(later).edits == (EDIT, LATER)


def test_what_is_drawn_already_changes_nothing(analysis, clip, engine):
    given = [outline(ellipse(1, grown=3), frame=20), line(Quantity.IVSD, 12)]
    once = correct(analysis, clip, given, engine)
    assert correct(once, clip, [replace(c, edit=LATER) for c in given], engine) is once


def test_the_node_s_own_results_saved_by_a_viewer_are_no_person_s(analysis, clip, engine):
    """A viewer that shows them may save them again beside what is new."""
    points = tuple((point, 20.0 + 12 * i, 30.0) for i, point in enumerate(WallPoint))
    found = Landmarks(SOPInstanceUID=UID, frame_number=3, points=points, probability=0.9)
    analysis = replace(analysis, landmarks=(found,))
    own = [
        outline(cavity(analysis).masks[0]),
        drawn(Shape.LINE, [(20.2, 30.2), (31.8, 30)], frame=3, subject=Quantity.IVSD),
        drawn(Shape.LINE, [(44, 30), (32, 30)], frame=3, subject=Quantity.LVIDD),
    ]
    assert correct(analysis, clip, own, engine) is analysis
    new = drawn(Shape.LINE, [(56, 30), (68, 33)], frame=3, subject=Quantity.LVPWD)
    result = correct(analysis, clip, [*own, new], engine)
    assert {m.quantity for m in result.measurements if m.edits} == {Quantity.LVPWD}
    assert cavity(result).edits == ()
    moved = outline(np.roll(cavity(analysis).masks[0], 1, axis=1))
    assert cavity(correct(analysis, clip, [moved], engine)).drawn_frames == (1,)


def test_an_outline_of_the_atrium_leaves_the_ventricle_alone(analysis, clip, engine):
    result = correct(analysis, clip, [outline(ellipse(1), subject=Structure.LA)], engine)
    assert result.measurements == analysis.measurements
    assert [s.structure for s in result.segmentations] == [Structure.LV_CAVITY, Structure.LA]
    assert result.segmentations[1].masks[0].any()


def test_a_line_is_the_length_of_its_quantity(analysis, clip, engine):
    result = correct(analysis, clip, [line(Quantity.IVSD, 12, frame=3)], engine)
    ivsd = of(result, Quantity.IVSD, Method.DIRECT)
    assert ivsd.value == pytest.approx(12 * SPACING[0])
    assert (ivsd.edits, ivsd.sources[0].frame_numbers, ivsd.uncertainty) == ((EDIT,), (3,), None)
    assert result.lines[0].ends == ((20.0, 30.0), (32.0, 30.0))
    assert result.measurements[:-1] == analysis.measurements
    assert engine.asked == []


def test_lines_of_several_beats_are_averaged_and_later_ones_take_their_place(analysis, clip, engine):
    result = correct(analysis, clip, [line(Quantity.IVSD, 12), line(Quantity.IVSD, 14, frame=25)], engine)
    ivsd = of(result, Quantity.IVSD, Method.DIRECT)
    assert ivsd.value == pytest.approx(13 * SPACING[0])
    assert ivsd.uncertainty == pytest.approx(SPACING[0])
    both = [line(Quantity.IVSD, 12, edit=LATER), line(Quantity.IVSD, 14, frame=25, edit=LATER)]
    assert correct(result, clip, both, engine) is result
    assert len(correct(result, clip, [*both, line(Quantity.IVSD, 13, frame=26)], engine).lines) == 3
    later = correct(result, clip, [line(Quantity.IVSD, 11, edit=LATER)], engine)
    assert of(later, Quantity.IVSD, Method.DIRECT).edits == (LATER,)
    assert [drawn_line.frame_number for drawn_line in later.lines] == [1]


@pytest.mark.parametrize(
    ("spacing", "length", "reason"), [(None, 12, Reason.NO_CALIBRATION), (SPACING, 90, Reason.IMPLAUSIBLE)]
)
def test_a_line_without_a_length_says_why(analysis, clip, engine, spacing, length, reason):
    before = correct(analysis, clip, [line(Quantity.IVSD, 10)], engine)
    result = correct(replace(before, spacing_mm=spacing), clip, [line(Quantity.IVSD, length)], engine)
    assert not [m for m in result.measurements if m.quantity is Quantity.IVSD]
    (missing,) = (n for n in result.not_measured if n.quantity is Quantity.IVSD)
    assert (missing.reason, missing.edits) == (reason, (EDIT,))


def test_an_outline_without_a_number_says_why_and_whose_it_is(analysis, clip, engine):
    """As large at the end of systole as at the end of diastole."""
    wide = [outline(ellipse(13, grown=6), frame=number) for number in clip.frame_numbers]
    result = correct(analysis, clip, wide, engine)
    missing = {n.quantity: n for n in result.not_measured if n.method is Method.DISKS_SINGLE_PLANE}
    assert set(missing) == {Quantity.LVEF, Quantity.LV_EDV, Quantity.LV_ESV}
    assert {n.edits for n in missing.values()} == {(EDIT,)}


def test_mass_that_a_refused_line_takes_away_says_whose_it_was(clip, engine):
    walls = [line(Quantity.IVSD, 12), line(Quantity.LVIDD, 60), line(Quantity.LVPWD, 90, edit=LATER)]
    missing = measure_mass([correct(unmeasured(View.PLAX), clip, walls, engine)]).not_measured
    assert {n.quantity: n.edits for n in missing} == dict.fromkeys(MASS, (LATER,))


def test_a_still_on_which_a_person_measured_is_measured(clip, engine):
    still = unmeasured(View.PLAX, outcome=Reason.SINGLE_FRAME, detail="one frame")
    result = correct(still, clip, [line(Quantity.LVIDD, 60)], engine)
    assert (result.outcome, result.detail) == (None, "")
    missing = measure_mass([result]).not_measured
    assert {n.quantity for n in missing} == set(MASS)
    walls = [line(Quantity.IVSD, 12), line(Quantity.LVPWD, 11, edit=LATER)]
    mass = measure_mass([correct(result, clip, walls, engine)])
    assert {m.quantity: m.edits for m in mass.measurements} == {
        Quantity.LV_MASS: (EDIT, LATER),
        Quantity.LV_RWT: (EDIT, LATER),
    }


def test_a_view_that_was_not_certain_enough_stays_unmeasured(clip, engine):
    unsure = unmeasured(outcome=Reason.LOW_CONFIDENCE, detail="0.4")
    result = correct(unsure, clip, [drawn(Shape.FOREGROUND, [(60, 50)])], engine)
    assert result.segmentations[0].frame_numbers == clip.frame_numbers
    assert (result.measurements, result.outcome) == ((), Reason.LOW_CONFIDENCE)


@pytest.mark.parametrize(
    ("corrections", "reason"),
    [
        ([outline(ellipse(1), frame=41)], Reason.OUTSIDE_IMAGE),
        ([drawn(Shape.CONTOUR, [(5.2, 5.2), (5.2, 5.8), (5.8, 5.8)])], Reason.NO_CORRECTION),
        ([drawn(Shape.FOREGROUND, [(n, n) for n in range(9)])], Reason.NO_CORRECTION),
        ([drawn(Shape.FOREGROUND, [(9, 9)], subject=Structure.RV)], Reason.NO_HEAD_IN_ENGINE),
    ],
)
def test_what_cannot_be_applied_is_refused_with_its_reason(analysis, clip, engine, corrections, reason):
    with pytest.raises(CorrectionError) as caught:
        correct(analysis, clip, corrections, engine)
    assert caught.value.reason is reason


def test_an_object_that_was_not_read_cannot_be_corrected(clip, engine):
    with pytest.raises(CorrectionError):
        correct(unmeasured(prediction=None), clip, [line(Quantity.IVSD, 12)], engine)


def test_the_middle_is_needed_of_a_clip_that_was_not_outlined():
    assert frames_needed(unmeasured(), 100, 10) == tuple(range(45, 55))


def test_a_filled_line_holds_the_pixels_whose_centres_it_holds():
    inside = fill([(1.5, 2.5), (1.5, 6.5), (4.5, 6.5), (4.5, 2.5)], (8, 9))
    expected = np.zeros((8, 9), bool)
    expected[2:5, 3:7] = True
    np.testing.assert_array_equal(inside, expected)


def test_an_outline_through_the_centres_of_pixels_gives_its_mask_back():
    mask = cv2.dilate(ellipse(5).astype(np.uint8), np.ones((3, 3))).astype(bool)
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = [(row, col) for col, row in outlines[0].reshape(-1, 2).tolist()]
    np.testing.assert_array_equal(fill(points, mask.shape), mask)
