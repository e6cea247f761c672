"""The judgement of an engine that knows every answer, and of one that knows none."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from echo_node.codes import ImageMode, Reason, Structure, View, WallPoint
from echo_node.errors import EchoNodeError
from echo_node.evaluation.answers import Answer, _estimated
from echo_node.evaluation.cases import Axis, Case, Figure, Labels, Source, ef_band
from echo_node.evaluation.confidence import share
from echo_node.evaluation.distances import distance_mm, walls_at
from echo_node.evaluation.folders import open_folder
from echo_node.evaluation.phantoms import CAVEAT, as_clip, phantoms
from echo_node.evaluation.quality import cavity_contrast, quality
from echo_node.evaluation.readings import Reading, Way
from echo_node.evaluation.refusal import refusal
from echo_node.evaluation.report import as_csv, as_json, as_mapping, as_markdown, as_text, for_card
from echo_node.evaluation.results import evaluate, judge
from echo_node.evaluation.subgroups import subgroups
from echo_node.evaluation.subtasks import EF_WAYS, NO_HEAD, NO_LABEL, NOT_MEASURED, VIEWS, Row, row_of_errors
from echo_node.records import Landmarks, Segmentation, ViewPrediction
from tests.unit.evaluation import builders

SHOWN = (View.PLAX, View.A4C, View.A2C, View.OTHER)


@pytest.fixture(scope="module")
def cases():
    """One phantom patient's three clips of the heart and what the node meets beside them."""
    return list(phantoms(SHOWN, patients=1, seed=7).cases)


@pytest.fixture(scope="module")
def perfect(cases):
    """An engine that answers with the labels, judged."""
    source = Source(name="phantoms", caveat=CAVEAT, patients=1, cases=iter(cases))
    done = []
    return evaluate(builders.Oracle(cases), source, progress=done.append), done


def test_phantoms_show_every_view_and_pictures_without_a_heart(cases):
    assert [c.labels.view for c in cases[:3]] == list(SHOWN[:3])
    assert [c.labels.view for c in cases[3:]] == [View.OTHER] * 4
    plax = cases[0]
    assert {Figure.IVSD, Figure.LVIDD, Figure.LVPWD, Figure.LVIDS, Figure.EF} <= set(plax.labels.values)
    assert plax.labels.values[Figure.LVIDS] < plax.labels.values[Figure.LVIDD]
    assert len(plax.landmarks) == len(plax.clip.frames)
    assert plax.labels.ed_frame in plax.masks[0].frame_numbers
    assert all(c.labels.group(Axis.SCREEN) for c in cases)


def test_the_same_seed_is_the_same_set(cases):
    again = next(iter(phantoms(SHOWN, patients=1, seed=7).cases))
    assert (again.clip.frames == cases[0].clip.frames).all()
    assert again.labels == cases[0].labels


def test_there_are_28_subtasks(perfect):
    results, _ = perfect
    assert len(VIEWS) == 18
    assert [row.task for row in results.subtasks] == (
        ["view"] * 18 + ["segmentation"] * 6 + ["wall measure"] * 3 + ["ejection fraction"]
    )


def test_who_knows_everything_errs_nowhere(perfect):
    results, done = perfect
    rows = {(row.task, row.name.split(",")[0]): row for row in results.subtasks}
    assert done == ["phantom 0"]
    assert rows["view", "A4C"].estimate.value == 1
    assert rows["segmentation", "LV_CAVITY"].estimate.value == 1
    assert rows["segmentation", "LA"].estimate.value == 1
    assert rows["wall measure", "LVIDd"].estimate.value == pytest.approx(0, abs=1e-9)
    assert [row.dice[0].value for row in results.clicks] == [1, 1]
    reasons = {r.reason for r in results.readings if r.way is Way.HEAD}
    assert reasons == {Reason.NO_FULL_CYCLE.code.meaning}, "masks of two frames are no beat: the node would not ask"


def test_the_head_is_asked_where_there_is_a_beat(cases):
    four = next(case for case in cases if case.labels.view is View.A4C)
    oracle = builders.Oracle(cases)
    (cavity,) = oracle.segment(four.clip, [Structure.LV_CAVITY])
    reading, *_ = _estimated(oracle, four.clip, cavity, four.labels, has_beat=True)
    assert reading.error == 0


def test_what_cannot_be_judged_says_why(perfect):
    results, _ = perfect
    rows = {(row.task, row.name): row for row in results.subtasks}
    assert rows["view", "A3C"].missing == rows["segmentation", "RV"].missing == NO_HEAD
    assert all((row.estimate is None) == bool(row.missing) for row in results.subtasks)


def test_what_has_no_label_says_so(cases):
    unlabelled = [Case(labels=Labels(patient="a", view=View.A4C), clip=cases[1].clip)]
    source = Source(name="own", caveat="own", patients=1, cases=iter(unlabelled))
    results = evaluate(builders.Oracle(unlabelled), source, progress=print)
    rows = {(row.task, row.name): row for row in results.subtasks}
    assert rows["view", "A4C"].estimate.n == 1
    assert rows["view", "PLAX"].missing == rows["segmentation", "LA"].missing == NO_LABEL
    assert rows["wall measure", "IVSd"].missing == rows["ejection fraction", "EF"].missing == NO_LABEL
    assert results.refusal is None
    assert "no label" in as_text(results)


def test_walls_are_judged_as_the_node_takes_them_and_on_the_labelled_frames(perfect):
    results, _ = perfect
    errors = {(r.way, r.figure): r.error for r in results.readings if r.way in (Way.OWN, Way.LABELLED_ED)}
    for wall in (Figure.IVSD, Figure.LVIDD, Figure.LVPWD):
        assert errors[Way.LABELLED_ED, wall] == pytest.approx(0, abs=1e-9)
        assert errors[Way.OWN, wall] == pytest.approx(0, abs=1), "smoothed, and on the frame of the widest cavity"
    assert errors[Way.OWN, Figure.LVIDS] == pytest.approx(0, abs=1.5)


def test_walls_without_a_pixels_size_are_not_measured(cases):
    plax = replace(cases[0], clip=replace(cases[0].clip, spacing_mm=None))
    source = Source(name="own", caveat="own", patients=1, cases=iter([plax]))
    results = evaluate(builders.Oracle([plax]), source, progress=print)
    rows = {row.name: row for row in results.subtasks}
    assert rows["IVSd"].missing == NOT_MEASURED
    assert {r.reason for r in results.readings} == {Reason.NO_CALIBRATION.code.meaning}


def test_a_source_without_a_case_is_an_error():
    with pytest.raises(EchoNodeError, match="empty: holds no case"):
        evaluate(builders.Oracle([]), Source(name="empty", caveat="", patients=0, cases=iter(())), progress=print)


def test_every_table_says_that_phantoms_are_no_patients(perfect):
    results, _ = perfect
    assert CAVEAT in as_text(results).splitlines()[0]
    headings, on_the_card = (
        [line for line in text.splitlines() if line.startswith("#")]
        for text in (as_markdown(results), for_card(results))
    )
    assert len(headings) - 2 == len(on_the_card) > 4, "neither title nor details"
    assert all(CAVEAT in line for line in headings + on_the_card)
    assert all(CAVEAT in line for line in as_csv(results).splitlines()[1:])
    assert CAVEAT in json.loads(as_json(results))["title"]


def test_the_mapping_for_a_manifest_holds_finite_numbers_by_unique_names(perfect):
    figures = as_mapping(perfect[0])
    assert figures["view_all_labelled_views_balanced_accuracy"] == 1
    assert figures["segmentation_lv_cavity_dice"] == 1
    assert figures["no_heart_measured_share"] == 0
    assert all(math.isfinite(value) for value in figures.values())


def landmarks(number: int, outer: float, inner: float, behind: float, far: float) -> Landmarks:
    rows = zip(WallPoint, (outer, inner, behind, far), strict=True)
    return Landmarks(
        SOPInstanceUID="1.2", frame_number=number, points=tuple((p, r, r) for p, r in rows), probability=1.0
    )


def test_distances_by_hand():
    frame = landmarks(1, 10, 20, 60, 70)
    # ten pixels down at 0.3 mm and across at 0.4 mm: 3, 4, 5
    assert distance_mm(frame, (WallPoint.SEPTUM_OUTER, WallPoint.SEPTUM_INNER), (0.3, 0.4)) == pytest.approx(5)
    found = walls_at([frame], 1, (0.3, 0.4))
    assert found == pytest.approx({Figure.IVSD: 5, Figure.LVIDD: 20, Figure.LVPWD: 5})
    assert walls_at([frame], 2, (0.3, 0.4)) == {}


def test_quality_is_one_less_the_overlap_of_grey_levels(cases):
    clip, (rows, cols) = cases[1].clip, cases[1].clip.frames.shape[1:]
    frames = np.zeros((1, rows, cols), np.uint8)
    cavity, wall = np.zeros((1, rows, cols), bool), np.zeros((1, rows, cols), bool)
    cavity[0, :20, :20], wall[0, 20:40, :20] = True, True
    frames[0, 20:40, :20] = 200
    frames[0, 20:40, :5] = 0  # a quarter of the wall is as dark as the cavity
    masks = [
        Segmentation(SOPInstanceUID="1", structure=s, masks=m, frame_numbers=(1,))
        for s, m in ((Structure.LV_CAVITY, cavity), (Structure.LV_MYOCARDIUM, wall))
    ]
    dark = replace(clip, frames=frames, frame_numbers=(1,))
    assert cavity_contrast(dark, masks) == pytest.approx(0.75)
    assert quality(dark, masks) == "good"
    assert quality(dark, masks[:1]) is None


def test_ef_bands():
    assert [ef_band(v) for v in (None, 40.0, 40.1, 50.0)] == [
        None, "reduced (to 40 %)", "mildly reduced (41 to 49 %)", "preserved (from 50 %)"
    ]  # fmt: skip


def prediction(view, probability, runner_up, second):
    return ViewPrediction(
        SOPInstanceUID="1.2", view=view, probability=probability, runner_up=runner_up,
        runner_up_probability=second, mode=ImageMode.TWO_D,
    )  # fmt: skip


def test_refusal_is_judged_by_the_best_view_of_a_heart():
    heart, other = Labels(patient="a", view=View.A4C), Labels(patient="b", view=View.OTHER, kind="liver")
    answers = [
        Answer(labels=heart, prediction=prediction(View.A4C, 0.9, View.A2C, 0.1)),
        Answer(labels=heart, prediction=prediction(View.OTHER, 0.7, View.A4C, 0.3)),
        Answer(labels=other, prediction=prediction(View.OTHER, 0.6, View.A4C, 0.4), refusal="no view"),
        Answer(labels=other, prediction=prediction(View.A4C, 0.8, View.OTHER, 0.2), is_measured=True),
        Answer(labels=other, prediction=None, refusal="no sector"),
    ]
    found = refusal(answers, threshold=0.5)
    assert found.hearts == (0.9, 0.3)
    assert found.others == (0.4, 0.8)  # what never reached the view head has no certainty
    assert found.auroc.value == pytest.approx(0.5)  # 0.9 beats both, 0.3 neither
    assert (found.measured.value, found.measured.n) == (pytest.approx(1 / 3), 3)
    (row,) = found.kinds
    assert (row.kind, row.pictures, row.reached_view_head, row.measured) == ("liver", 3, 2, 1)
    assert row.refusals == (("no sector", 1), ("no view", 1))


def test_subgroups_hold_their_own_clips_only():
    def answer(patient, grade, view, overlap, error):
        labels = Labels(patient=patient, view=View.A4C, values={Figure.EF: 55.0}, groups={Axis.QUALITY: grade})
        reading = Reading(labels=labels, figure=Figure.EF, way=Way.A4C, true=55.0, found=55.0 + error)
        return Answer(
            labels=labels,
            prediction=prediction(view, 0.9, View.OTHER, 0.1),
            overlaps={Structure.LV_CAVITY: overlap},
            readings=(reading,),
        )

    answers = [
        answer("a", "poor", View.A2C, 0.5, 8.0),
        answer("b", "poor", View.A4C, 0.7, -4.0),
        answer("c", "good", View.A4C, 0.9, 1.0),
        Answer(
            labels=Labels(patient="d", view=View.A4C, groups={Axis.QUALITY: "good"}),
            prediction=None,
            overlaps={Structure.LV_CAVITY: 0.0},
            refusal="no sector",
        ),
    ]
    rows = subgroups(answers, [r for a in answers for r in a.readings])
    found = {(r.axis, r.group, r.measure): r.estimate.value for r in rows}
    assert found["quality", "poor", "view accuracy"] == pytest.approx(0.5)
    assert found["quality", "poor", "Dice of LV CAVITY"] == pytest.approx(0.6)
    assert found["quality", "good", "view accuracy"] == pytest.approx(0.5), "a heart without a sector is missed"
    assert found["quality", "good", "Dice of LV CAVITY"] == pytest.approx(0.45)
    assert found["quality", "poor", "MAE of EF, points (disks, one plane)"] == pytest.approx(6)
    assert found["EF band", "preserved (from 50 %)", "view accuracy"] == pytest.approx(2 / 3)
    assert next(r.group for r in rows if r.axis == "quality") == "good"


def test_ef_is_told_by_the_first_way_that_measured_any(cases):
    labels = Labels(patient="a", view=View.A4C, values={Figure.EF: 50.0})

    def reading(way, found):
        return Reading(labels=labels, figure=Figure.EF, way=way, true=50.0, found=found, reason="no beat")

    readings = [reading(Way.BIPLANE, None), reading(Way.A4C, 53.0), reading(Way.HEAD, 51.0)]
    answers = [Answer(labels=labels, prediction=prediction(View.A4C, 0.9, View.A2C, 0.1))]
    results = judge(
        builders.Oracle(cases), Source(name="x", caveat="x", patients=1, cases=iter(())), answers, readings
    )
    assert EF_WAYS[0] is Way.BIPLANE
    assert results.subtasks[-1].name == "EF, disks, A4C"
    assert results.subtasks[-1].estimate.value == pytest.approx(3)
    shares = {row.name: row.estimate.value for row in results.details if row.measure == "measured share"}
    assert shares == {"EF, disks, biplane": 0, "EF, disks, A4C": 1, "EF, EF head": 1}


def test_half_a_beat_gives_its_ef_on_the_labelled_frames(tmp_path):
    builders.camus_folder(tmp_path)
    cases = list(open_folder(tmp_path).cases)
    oracle = builders.Oracle(cases)
    oracle.estimates_ejection = False
    source = Source(name="camus", caveat="x", patients=1, cases=iter(cases))
    results = evaluate(oracle, source, progress=print)
    row = results.subtasks[-1]
    assert row.name == "EF, disks, biplane, on the labelled frames"
    assert row.estimate.value < 15  # two planes of a solid, cut into disks
    assert {r.found for r in results.readings if r.way is Way.A4C} == {None}


def test_a_phantoms_sector_is_a_clip_as_the_reader_hands_it_on():
    simulated = builders.heart(View.A4C, frames=3)
    clip = as_clip(simulated, uid="1.2.3")
    assert clip.frame_numbers == (1, 2, 3)
    assert clip.spacing_mm == simulated.spacing_mm


def test_one_bad_clip_does_not_lose_the_others(cases):
    bad = Case(labels=Labels(patient="b", view=View.A2C), clip=None, fault="b.avi: cannot be decoded as a video")
    source = Source(name="own", caveat="own", patients=2, cases=iter([cases[1], bad]))
    results = evaluate(builders.Oracle(cases), source, progress=print)
    assert results.faults == (bad.fault,)
    assert results.clips == 1
    assert f"Not read: {bad.fault}" in as_text(results)
    with pytest.raises(EchoNodeError, match="cannot be decoded"):
        evaluate(builders.Oracle(cases), replace(source, cases=iter([bad])), progress=print)


def test_a_heart_without_a_sector_is_missed(cases):
    unseen = replace(cases[1], clip=None)
    source = Source(name="own", caveat="own", patients=1, cases=iter([unseen]))
    results = evaluate(builders.Oracle(cases), source, progress=print)
    rows = {(row.task, row.name): row for row in results.subtasks}
    assert rows["view", "A4C"].estimate.value == 0
    assert rows["segmentation", "LV_CAVITY"].estimate.value == 0


def test_a_stray_number_is_not_the_row_of_many():
    def reading(way: Way, patient: int, found: float | None) -> Reading:
        labels = Labels(patient=str(patient), values={Figure.EF: 60.0})
        return Reading(labels=labels, figure=Figure.EF, way=way, true=60.0, found=found, reason="")

    many = [reading(Way.LABELLED, n, 55.0) for n in range(20)]
    beats = [reading(Way.A4C, n, 20.0 if n == 3 else None) for n in range(20)]
    row = row_of_errors(Row(task="t", name="EF", measure="MAE"), [*beats, *many], Figure.EF, EF_WAYS)
    assert row.name == f"EF, {Way.LABELLED.value}"
    assert row.estimate.n == 20


def test_shares_of_clips_of_the_same_patients_have_wider_intervals():
    """Held against simulation: 95 % intervals hold the truth about as often where patients differ."""
    rng, inside = np.random.default_rng(4), 0
    for _ in range(200):
        rates = rng.beta(4.5, 0.5, 20)
        hits = rng.random((20, 6)) < rates[:, None]
        estimate = share(hits.ravel().tolist(), np.repeat(np.arange(20), 6).astype(str).tolist())
        inside += estimate.low <= 0.9 <= estimate.high
    assert inside / 200 > 0.86
