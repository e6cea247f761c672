"""Labelled clips of one's own, learned from beside phantoms."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from echo_node.cli import main
from echo_node.codes import Structure, View, WallPoint
from echo_node.errors import EngineError, LabelError
from echo_node.evaluation.cases import Part
from echo_node.evaluation.folders import open_folder
from echo_node.training import data, labelled
from echo_node.training import train as training
from echo_node.training.batches import batches, draw_batch, view_weights
from echo_node.training.place import Place
from echo_node.training.recipe import Recipe
from tests.unit.evaluation import builders

FRAMES = 6
LV, LA = (data.STRUCTURES.index(s) for s in (Structure.LV_CAVITY, Structure.LA))
TINY = replace(Recipe(), train_clips=len(data.CYCLE), validation_clips=len(data.CYCLE), frames=FRAMES, steps=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A cine whose cavity is outlined at ED and ES and whose atrium at ED, a still with a view, one to judge by."""
    path = tmp_path_factory.mktemp("own")
    clip = builders.heart(View.A4C, size=160)
    builders.write_video(path / "apical.avi", clip.frames)
    cv2.imwrite(str(path / "still.png"), clip.frames[0])
    row = {"file": "apical.avi", "split": "train", "ed_frame": clip.ed_frame + 1, "es_frame": clip.es_frame + 1}
    for phase, structure in (("ed", Structure.LV_CAVITY), ("es", Structure.LV_CAVITY), ("ed", Structure.LA)):
        name = f"{phase}_mask_{structure.name.lower()}"
        frame = clip.ed_frame if phase == "ed" else clip.es_frame
        cv2.imwrite(str(path / f"{name}.png"), clip.masks[structure][frame].astype(np.uint8) * 255)
        row[name] = f"{name}.png"
    cv2.imwrite(str(path / "other.png"), clip.frames[1])
    still = {"file": "still.png", "split": "train", "view": "A4C"}
    builders.write_csv(path / "labels.csv", [row, still, {"file": "other.png", "view": "A2C"}])
    return path, clip


@pytest.fixture(scope="module")
def own(folder):
    return labelled.load(folder[0], frames=FRAMES)


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    return data.load(tmp_path_factory.mktemp("shards"), seed=1, clips=TINY.train_clips, frames=FRAMES, workers=1)


def test_what_is_there_to_learn_from_is_not_there_to_judge_by(folder):
    assert [c.labels.view for c in open_folder(folder[0], Part.TRAIN).cases] == [None, View.A4C]
    assert [c.labels.view for c in open_folder(folder[0]).cases] == [View.A2C]


def test_echonets_training_split_is_learned_from(tmp_path):
    builders.echonet_folder(tmp_path)
    video = tmp_path / "Videos" / "0X1A.avi"
    video.with_name("0X1B.avi").write_bytes(video.read_bytes())
    (case,) = open_folder(tmp_path, Part.TRAIN).cases
    assert case.clip.SOPInstanceUID == "0X1B"


@pytest.mark.parametrize("other", [{"patient": "a", "file": "black.png"}, {"patient": "b", "file": "still.png"}])
def test_nobody_is_judged_by_who_was_learned_from(folder, other):
    cv2.imwrite(str(folder[0] / "black.png"), np.zeros((80, 80), np.uint8))
    rows = [{"file": "still.png", "patient": "a", "split": "train"}, other]
    with pytest.raises(LabelError, match=r"line 3, column split: .* is for test here, and for train in line 2"):
        open_folder(builders.write_csv(folder[0] / "both.csv", rows))


def test_a_table_without_a_row_to_learn_from_says_so(folder):
    path = builders.write_csv(folder[0] / "other.csv", [{"file": "still.png", "view": "A4C"}])
    with pytest.raises(LabelError, match="no row's split is train"):
        labelled.load(path, frames=FRAMES)


def test_no_clip_that_can_be_read_is_an_error(folder, capsys):
    cv2.imwrite(str(folder[0] / "black.png"), np.zeros((80, 80), np.uint8))
    path = builders.write_csv(folder[0] / "black.csv", [{"file": "black.png", "split": "train", "view": "A4C"}])
    with pytest.raises(LabelError, match=r"black\.csv: none of 1 clips can be learned from"):
        labelled.load(path, frames=FRAMES)
    assert "passed over: no sector was found in black.png" in capsys.readouterr().err


def test_masks_lie_where_they_were_drawn_and_what_is_unknown_is_said(folder, own):
    clip = folder[1]
    assert own.images.shape == (2, FRAMES, data.STORED_SIZE, data.STORED_SIZE)
    assert own.views.tolist() == [-1, data.LABELS.index(View.A4C)]
    assert own.known.sum(axis=1)[0].tolist() == [2 if i == LV else int(i == LA) for i in range(6)]
    assert not own.known[1].any()
    masks = np.unpackbits(own.masks[0], axis=-1).astype(bool)
    assert not masks[~own.known[0]].any()
    ed, es = sorted(np.flatnonzero(own.known[0, :, LV]), key=lambda t: -masks[t, LV].sum())
    assert own.known[0, ed, LA]
    areas = []
    for t, true in ((ed, clip.ed_frame), (es, clip.es_frame)):
        bright = own.images[0, t][masks[t, LV]].mean()
        assert bright == pytest.approx(clip.frames[true][clip.masks[Structure.LV_CAVITY][true]].mean(), rel=0.15)
        areas.append(masks[t, LV].sum() / clip.masks[Structure.LV_CAVITY][true].sum())
    assert areas[0] == pytest.approx(areas[1], rel=0.02), "both frames are scaled alike"
    assert areas[0] > 1.5, "the sector fills the square"


def test_nothing_unknown_is_asked_for(own):
    recipe = replace(TINY.of_measuring(), clips_per_step=8)
    weights = view_weights(own, recipe)
    asked = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        batch = draw_batch(own, recipe, shape=training._model(TINY).shape, rng=rng, view_weights=weights)
        rows = torch.nonzero(batch.asked)[:, 0]
        asked += len(rows)
        assert batch.known[rows, batch.structures[rows]].all()
        assert not batch.view_weights[batch.views < 0].any()
    assert asked > 0


def test_a_batch_is_half_phantoms_half_ones_own(own, phantoms):
    recipe = replace(TINY, steps=1, clips_per_step=8)
    shape = training._model(TINY).shape
    (alone,) = batches([phantoms], recipe, Place.find(), shape=shape, first_step=0)
    (both,) = batches([phantoms, own], recipe, Place.find(), shape=shape, first_step=0)
    assert alone.known.all()
    assert alone.asked.all()
    assert len(both.frames) == len(alone.frames) == 8
    assert both.known[:4].all()
    assert not both.known[4:].all()


def test_masks_of_what_is_unknown_change_no_loss(own, phantoms):
    recipe = replace(TINY.of_measuring(), steps=1, clips_per_step=4)
    (batch,) = batches([phantoms, own], recipe, Place.find(), shape=training._model(TINY).shape, first_step=0)
    other = replace(batch, all_masks=torch.where(batch.known[..., None, None], batch.all_masks, 1.0))
    other = replace(other, targets=torch.where(batch.asked[:, None, None, None], batch.targets, 1.0))
    losses = []
    for given in (batch, other):
        run = training.Run.start(recipe, training._model(TINY), torch.device("cpu"))
        losses.append(training._step(run, recipe, given, 0))
    assert losses[0] == losses[1]
    assert not torch.equal(batch.all_masks, other.all_masks)


def test_outlines_are_learned_from_any_clip_and_views_from_folders_of_several(own):
    assert labelled.with_drawings(own).views.tolist() == [-1]
    assert len(labelled.with_views(own)) == 0
    several = replace(own.taken(np.array([1] * 5)), views=np.array([0, 1, 2, 3, -1]))
    assert labelled.with_views(several).views.tolist() == [0, 1, 2, 3]


def test_wall_points_of_ones_own_are_learned_in_windows_around_them(tmp_path):
    clip = builders.heart(View.PLAX, size=160)
    builders.write_video(tmp_path / "long.avi", clip.frames)
    at = {"ed": clip.ed_frame, "es": clip.es_frame}
    cells = {
        f"{phase}_walls": "; ".join(
            f"{col:.2f} {row:.2f}" for row, col in (clip.landmarks[p][t] for p in WallPoint)
        )
        for phase, t in at.items()
    }
    row = {"file": "long.avi", "split": "train", "ed_frame": at["ed"] + 1, "es_frame": at["es"] + 1} | cells
    builders.write_csv(tmp_path / "labels.csv", [row])
    own = labelled.load(tmp_path, frames=FRAMES)
    assert len(labelled.with_drawings(own)) == 1
    assert np.isfinite(own.points).all(axis=(2, 3)).sum() == 2
    inner = WallPoint.SEPTUM_INNER, WallPoint.POSTERIOR_INNER
    true = [
        np.linalg.norm(np.subtract(*(clip.landmarks[point][t] for point in inner))) for t in sorted(at.values())
    ]
    found = np.linalg.norm(own.points[0, :, 1] - own.points[0, :, 2], axis=-1)
    scales = found[np.isfinite(found)] / true
    assert scales[0] == pytest.approx(scales[1], rel=0.001), "both frames are scaled alike"
    assert 1 < scales[0] * 160 / 208 < 1.15, "the sector that was found fills the square"
    recipe = replace(TINY.of_measuring(), clips_per_step=8)
    batch = draw_batch(
        own,
        recipe,
        shape=training._model(TINY).shape,
        rng=np.random.default_rng(0),
        view_weights=view_weights(own, recipe),
    )
    assert batch.walls.isfinite().all(), "both frames of each clip have theirs"
    assert not batch.asked.any()
    extents = batch.walls.amax(dim=1) - batch.walls.amin(dim=1)
    assert (extents.amax(dim=1) > 0.35).sum() > 8, "most are looked at closely"


def test_ones_own_serve_the_stages_that_they_can_and_no_run_goes_on_with_others(
    folder, own, phantoms, tmp_path, monkeypatch
):
    monkeypatch.setattr(data, "load", lambda *_, **__: phantoms.first(3))
    several = replace(own.taken(np.array([0] * 4)), views=np.arange(4))
    monkeypatch.setattr(labelled, "load", lambda *_, **__: several)
    original, sets = training.batches, []

    def batches_of(given, *args, **kwargs):
        sets.append([len(clips) for clips in given])
        return original(given, *args, **kwargs)

    monkeypatch.setattr(training, "batches", batches_of)
    recipe = replace(TINY, own=folder[0], steps=1, measuring_steps=1, clips_per_step=4)
    training.train(tmp_path, recipe)
    assert sets == [[3, 4], [3, 4]]
    with pytest.raises(EngineError, match=r"views\.pt: learned from other labelled clips"):
        training.train(tmp_path, replace(recipe, own=None))
    monkeypatch.setattr(labelled, "load", lambda *_, **__: own)
    with pytest.raises(LabelError, match=r"no stage that is to run learns from it"):
        training.train(tmp_path / "other", replace(recipe, measuring_steps=0))


def test_the_command_hands_on_the_folder(folder, tmp_path, monkeypatch):
    taken = []
    monkeypatch.setattr("echo_node.training.ship.train_and_ship", lambda *_, recipe, **__: taken.append(recipe.own))
    out = ["--run", str(tmp_path / "run"), "--engine", str(tmp_path / "mine")]
    assert main(["train", "--data", str(folder[0]), *out]) == 0
    assert taken == [folder[0]]
