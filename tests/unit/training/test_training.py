"""Losses against references, and a run that is broken off and resumed."""

import json
import math
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributed.run import parse_args

from echo_node.cli import _parser
from echo_node.codes import Structure, View
from echo_node.errors import EngineError
from echo_node.evaluation.scores import balanced_accuracy, dice
from echo_node.export.package import Calibration
from echo_node.inference.prompts import PointKind
from echo_node.models.assemble import SHAPES
from echo_node.models.starting_point import keep_encoder
from echo_node.models.vit import VisionTransformer
from echo_node.training import data
from echo_node.training import train as training
from echo_node.training.augment import Around, augment, draw_warp, moved, randomise_greys, warped
from echo_node.training.batches import draw_batch, draw_clips, view_weights
from echo_node.training.losses import area_loss, dice_loss, ejection_loss, mask_loss, point_loss
from echo_node.training.prompts import sample_prompt
from echo_node.training.recipe import UNSEEN, Recipe
from echo_node.training.ship import _card, _start

TINY = Recipe(
    train_clips=len(data.CYCLE),
    validation_clips=len(data.CYCLE),
    frames=2,
    steps=4,
    clips_per_step=2,
    validate_every=2,
)
UNKNOWN = np.full((2, 4, 2), np.nan, np.float32)


def test_dice_loss_is_what_it_is_by_hand():
    logits = torch.tensor([[[[8.0, -8.0], [8.0, -8.0]]]])
    target = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    p = torch.sigmoid(torch.tensor(8.0)).item()
    q = 1 - p
    expected = 1 - (2 * p + 1) / (2 * p + 2 * q + 1 + 1)
    assert dice_loss(logits, target).item() == pytest.approx(expected, abs=1e-6)


def test_area_loss_is_what_it_is_by_hand():
    logits = torch.full((3, 1, 8, 8), -30.0)
    logits[0, 0, :4] = 30  # 32 pixels where 16 are
    logits[1, 0, 0] = 30  # 8 where 16 are
    target = torch.zeros(3, 1, 8, 8)
    target[:2, 0, :2] = 1
    assert area_loss(logits, target).tolist() == pytest.approx([math.log(42 / 26), math.log(26 / 18), 0], abs=1e-5)


def test_an_absent_structure_costs_nothing_when_nothing_is_drawn():
    nothing = torch.full((1, 1, 8, 8), -30.0)
    assert mask_loss(nothing, torch.zeros(1, 1, 8, 8)).item() == pytest.approx(0, abs=1e-6)


def test_metrics_by_hand():
    assert balanced_accuracy(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1])) == pytest.approx((2 / 3 + 1) / 2)
    assert dice(np.array([True, True, False]), np.array([True, False, False])) == pytest.approx(2 / 3)
    assert dice(np.zeros(3, bool), np.zeros(3, bool)) == 1.0


def test_augmentation_moves_picture_and_mask_alike():
    image = np.zeros((1, 128, 128), np.uint8)
    image[0, 50:80, 40:90] = 200
    mask = (image > 0).astype(np.uint8)[:, None]
    for seed in range(5):
        frames, labels, _ = augment(image, mask, UNKNOWN, size=112, rng=np.random.default_rng(seed))
        inside = labels[0, 0] > 0
        bright = frames[0] > 0.5 * frames[0][inside].mean()
        assert dice(bright, inside) > 0.8


def test_going_close_shows_the_whole_structure_large_and_keeps_its_shape():
    image = np.zeros((2, 208, 208), np.uint8)
    image[0, 50:80, 60:75] = 200
    image[1, 52:78, 62:73] = 200
    masks = np.stack([np.zeros_like(image), (image > 0).astype(np.uint8)], axis=1)
    for seed in range(8):
        rng, around = np.random.default_rng(seed), Around.mask(masks[:, 1])
        _, labels, _ = augment(image, masks, UNKNOWN, size=112, rng=rng, around=around)
        assert not labels[:, 0].any()
        rows, cols = np.flatnonzero(labels[0, 1].any(axis=1)), np.flatnonzero(labels[0, 1].any(axis=0))
        assert 112 / 2.1 < rows[-1] - rows[0] < 112 / 1.1
        assert rows[0] > 0
        assert rows[-1] < 111
        assert (rows[-1] - rows[0]) / (cols[-1] - cols[0]) == pytest.approx(2, rel=0.35)  # turned a little


def test_points_move_with_the_picture_exactly():
    """A blob's middle is where its point went, in the whole square and close to."""
    true = np.array([[[60.0, 80.0], [90.0, 84.0], [120.0, 90.0], [140.0, 95.0]]], np.float32)
    r, c = np.mgrid[0:208, 0:208]
    for seed in range(6):
        rng = np.random.default_rng(seed)
        around = Around.points(true) if seed % 2 else None
        warp = draw_warp(208, 112, rng, around=around)
        for row, col in true[0]:
            blob = 255 * np.exp(-((r - row) ** 2 + (c - col) ** 2) / 18)
            picture = warped(blob[None].round().astype(np.uint8), warp, 112)[0].astype(float)
            rows, cols = np.mgrid[0:112, 0:112]
            found = (rows * picture).sum() / picture.sum(), (cols * picture).sum() / picture.sum()
            assert found == pytest.approx(tuple(moved(np.array([row, col], np.float32), warp)), abs=0.06)


def test_greys_change_inside_the_sector_alone():
    frames = np.zeros((2, 64, 64), np.uint8)
    frames[:, 8:56, 8:56] = np.random.default_rng(1).integers(1, 255, (2, 48, 48))
    frames[:, 30:34, 30:34] = 0  # a black cavity, which haze may fill
    filled = 0
    for seed in range(40):
        changed = randomise_greys(frames.copy(), np.random.default_rng(seed))
        assert changed.shape == frames.shape
        outside = np.ones((64, 64), bool)
        outside[8:56, 8:56] = False
        assert not changed[:, outside].any()
        filled += bool(changed[:, 31:33, 31:33].any())
    assert 5 < filled < 40


def test_the_warp_squeezes_and_shears_about_the_middle():
    squeezes = []
    for seed in range(200):
        linear = draw_warp(128, 112, np.random.default_rng(seed), around=None)[:, :2]
        long, short = np.linalg.svd(linear, compute_uv=False)
        squeezes.append(long / short)
    assert 1.05 < np.median(squeezes) < 1.2
    assert max(squeezes) < 1.7


def test_augment_moves_points_by_the_warp_that_it_draws():
    image, masks = np.full((2, 208, 208), 90, np.uint8), np.zeros((2, 1, 208, 208), np.uint8)
    points = np.random.default_rng(0).uniform(50, 150, (2, 4, 2)).astype(np.float32)
    points[1, 2] = np.nan
    for around in (None, Around.points(points[:1])):
        _, _, found = augment(image, masks, points, size=112, rng=np.random.default_rng(3), around=around)
        warp = draw_warp(208, 112, np.random.default_rng(3), around=around)
        assert np.array_equal(found, moved(points, warp), equal_nan=True)
        assert np.isnan(found[1, 2]).all()
        assert np.isfinite(found).sum() == 14


def test_a_window_around_points_holds_them_as_large_as_the_engine_s():
    points = np.array([[[60, 80], [90, 84], [120, 90], [140, 95]]], np.float32)
    for seed in range(8):
        warp = draw_warp(208, 112, np.random.default_rng(seed), around=Around.points(points))
        inside = moved(points, warp)
        assert inside.min() >= 0
        assert inside.max() <= 111
        assert 1.3 < 112 / np.ptp(inside[0, :, 0]) < 2.1


def test_point_loss_is_least_at_the_truth_and_ignores_what_is_unknown():
    r, c = torch.meshgrid(torch.arange(56.0), torch.arange(56.0), indexing="ij")

    def maps(row: float, col: float) -> torch.Tensor:
        return (-0.5 * ((r - row) ** 2 + (c - col) ** 2))[None, None].expand(1, 4, 56, 56)

    point = (torch.tensor([20.3, 33.6]) + 0.5) / 56
    points = point.expand(1, 4, 2).clone()
    assert point_loss(maps(20.3, 33.6), points).item() == pytest.approx(0, abs=1e-4)
    # A Gaussian of one cell that is half a cell off: a divergence of 0.125, and half a cell in one of two axes.
    assert point_loss(maps(20.8, 33.6), points).item() == pytest.approx(0.125 + 0.1 * 0.25, abs=1e-3)
    points[0, 1], points[0, 2] = float("nan"), torch.tensor([1.2, 0.5])
    wrong = maps(20.3, 33.6).clone()
    wrong[0, 1:3] = 0
    assert point_loss(wrong, points).item() == pytest.approx(0, abs=1e-4)
    nothing = torch.zeros(1, 4, 8, 8, requires_grad=True)
    loss = point_loss(nothing, torch.full((1, 4, 2), torch.nan))
    loss.backward()
    assert loss.item() == 0
    assert not nothing.grad.any()


def test_ejection_loss_by_hand():
    found = torch.tensor([[0.5, 0.0, 1.0, 0.6]])
    loss = ejection_loss(found, torch.tensor([0.6]), torch.tensor([[1.0, 0.5]]))
    assert loss.item() == pytest.approx(10 * (0.1 + 0.05) + 0.5 * 0.01, abs=1e-5)


def test_wall_points_of_a_shard_lie_between_cavity_and_muscle(tmp_path):
    clips = data.load(tmp_path, seed=3, clips=len(data.LABELS) + 1, frames=2, workers=1)
    has_points = np.isfinite(clips.points).all(axis=(1, 2, 3))
    assert (has_points == (clips.views == data.LABELS.index(View.PLAX))).all()
    for images, packed, points in zip(clips.images, clips.masks, clips.points, strict=True):
        if np.isfinite(points).all():
            masks = np.unpackbits(packed, axis=-1)
            cavity = masks[:, data.STRUCTURES.index(Structure.LV_CAVITY)]
            for t in range(len(images)):
                row, col = points[t, 1:3].mean(axis=0).round().astype(int)
                assert cavity[t, row, col], "the middle of the inner points"
                assert np.isfinite(points[t]).all()
                assert (np.diff(points[t, :, 0]) > 0).all(), "the septum is above"


def test_prompts_tell_the_truth():
    rng = np.random.default_rng(4)
    truth = np.zeros((112, 112), np.uint8)
    truth[30:60, 40:90] = 1
    for _ in range(200):
        prompt = sample_prompt(truth, truth, rng)
        for (x, y), kind in zip(prompt.points, prompt.kinds, strict=True):
            if kind in (PointKind.FOREGROUND, PointKind.BACKGROUND):
                assert truth[int(y * 112), int(x * 112)] == (kind == PointKind.FOREGROUND)


def test_what_is_to_be_corrected_is_any_structure_and_has_no_other_prompt():
    masks = np.zeros((4, 3, 6, 208, 208), np.uint8)
    for structure in range(6):
        masks[:, :, structure, 30 + 25 * structure : 50 + 25 * structure, 60:150] = 1
    clips = data.Clips(
        images=np.full((4, 3, 208, 208), 90, np.uint8),
        masks=np.packbits(masks, axis=-1),
        views=np.full(4, data.LABELS.index(View.A4C)),
        points=np.full((4, 3, 4, 2), np.nan, np.float32),
        known=np.ones((4, 3, 6), bool),
    )
    recipe = replace(Recipe().of_measuring(), clips_per_step=120, frames=3)
    rng, weights = np.random.default_rng(5), np.ones(len(data.LABELS), np.float32)
    batch = draw_batch(clips, recipe, shape=SHAPES["tiny"], rng=rng, view_weights=weights)
    corrected = batch.clicks > 0
    assert 0.1 < corrected.float().mean() < 0.3
    assert batch.clicks.max() == 6
    assert not batch.kinds[corrected].any(), "there is room for the clicks"
    assert not batch.previous[corrected].any()
    asked = torch.bincount(batch.structures[corrected], minlength=6) / corrected.sum()
    assert asked.max() < 0.4, "any that is there"
    usual = torch.bincount(batch.structures[~corrected], minlength=6) / (~corrected).sum()
    assert usual[data.STRUCTURES.index(Structure.LV_CAVITY)] > 0.4


@pytest.mark.parametrize("broken_at", [4, 8], ids=["in the first stage", "in the second"])
def test_a_resumed_run_ends_with_the_same_weights(tmp_path, monkeypatch, broken_at):
    whole = training.train(tmp_path / "whole", replace(TINY, measuring_steps=4))
    part = tmp_path / "part"
    part.mkdir()
    (part / "phantoms").symlink_to(tmp_path / "whole" / "phantoms")
    original = training.learning_rate
    calls = []

    def breaking(recipe, step):
        calls.append(step)
        if len(calls) == broken_at:
            raise KeyboardInterrupt
        return original(recipe, step)

    monkeypatch.setattr(training, "learning_rate", breaking)
    with pytest.raises(KeyboardInterrupt):
        training.train(part, replace(TINY, measuring_steps=4))
    resumed = training.train(part, replace(TINY, measuring_steps=4))
    for (name, a), b in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    rows = [json.loads(line) for line in (part / "metrics.jsonl").read_text().splitlines()]
    assert [(row["stage"], row["step"]) for row in rows] == [(s, n) for s in ("views", "measuring") for n in (2, 4)]


def changed(before, after):
    """The parts of a model that two states differ in."""
    return {name.split(".")[0] for name, value in after.items() if not torch.equal(value, before[name])}


def test_each_stage_changes_its_own_part_alone(tmp_path, monkeypatch):
    start = {name: value.clone() for name, value in training._model(TINY).state_dict().items()}
    first = training.train(tmp_path, replace(TINY, measuring_steps=0)).state_dict()
    first = {name: value.clone() for name, value in first.items()}
    assert changed(start, first) == {"encoder", "view"}
    second = training.train(tmp_path, replace(TINY, measuring_steps=2)).state_dict()
    assert {"measuring", "segment"} <= changed(first, second) <= {"measuring", "segment", "walls"}
    with pytest.raises(EngineError, match=r"measuring\.pt: goes on from other weights"):
        training.train(tmp_path, replace(TINY, steps=6, measuring_steps=2))


def test_what_is_measured_starts_from_the_encoder_of_views(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "learning_rate", lambda recipe, step: 1e-3 if recipe.views else 0.0)
    model = training.train(tmp_path, replace(TINY, measuring_steps=2))
    for (name, value), tuned in zip(model.encoder.named_parameters(), model.measuring.parameters(), strict=True):
        assert torch.equal(value, tuned), name


def test_the_card_says_what_was_learned_from(tmp_path):
    calibration = Calibration(temperature=1.0, threshold=0.5)
    keep_encoder(VisionTransformer(SHAPES["tiny"]), tmp_path, origin="pretrained on some clips")
    alone, given, own, both = (
        _card(("mine", "1.2.0"), SHAPES["tiny"], _start(recipe), calibration, "")
        for recipe in (
            Recipe(),
            Recipe(encoder=Path("start")),
            Recipe(own=Path("clips")),
            Recipe(own=Path("clips"), encoder=tmp_path),
        )
    )
    assert "of its maker's own beside them; the encoder was pretrained on some clips before." in both
    assert "`echo_node.phantom` only; no patient, no public archive, no pretrained weights." in alone
    assert "only; no patient" not in given + own
    assert "labelled clips of its maker's own beside them." in own
    assert "simulated hearts alone" not in own
    assert "the encoder started from weights that were given" in given


def test_views_count_by_the_root_of_how_often_they_are_drawn():
    recipe = replace(Recipe(), apical_share=0.3, wall_share=0.1)
    views = np.array([data.LABELS.index(view) for view in data.CYCLE] * 3)
    points = np.full((len(views), 1, 4, 2), np.nan, np.float32)
    points[views == data.LABELS.index(View.PLAX)] = 1.0
    clips = data.Clips(
        images=np.zeros((len(views), 1, 8, 8), np.uint8),
        masks=np.zeros((len(views), 1, 6, 8, 1), np.uint8),
        views=views,
        points=points,
        known=np.ones((len(views), 1, 6), bool),
    )
    weights = view_weights(clips, recipe)
    rng = np.random.default_rng(0)
    drawn = np.concatenate([draw_clips(clips, recipe, rng) for _ in range(3000)])
    counted = np.bincount(views[drawn], weights=weights[views[drawn]], minlength=len(data.LABELS))
    expected = np.sqrt(np.bincount(views[drawn], minlength=len(data.LABELS)))
    assert counted / counted.sum() == pytest.approx(expected / expected.sum(), rel=0.06)
    assert weights[views[drawn]].mean() == pytest.approx(1, abs=0.01)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    recipe = replace(TINY.of_measuring(), measuring_steps=1)
    run = training.Run.start(recipe, training._model(recipe), torch.device("cpu"))
    run.save(tmp_path / "measuring.pt")
    state = torch.load(tmp_path / "measuring.pt", weights_only=True)
    name = "segment.refine.detail.0.weight"
    state["model"][name] = state["model"][name][:, :3]  # as before clicks were maps
    torch.save(state, tmp_path / "measuring.pt")
    with pytest.raises(EngineError, match=r"measuring.pt: is of another model; move it away"):
        run.resume(tmp_path / "measuring.pt")


def test_the_unseen_phantoms_are_not_learned_from():
    with pytest.raises(EngineError, match="kept unseen"):
        Recipe(seed=UNSEEN)


def test_commands_in_the_docs_are_taken_by_torchrun_and_by_ours():
    text = (Path(__file__).parents[3] / "docs" / "training.md").read_text().replace("\\\n", " ")
    commands = re.findall(r"^(?:torchrun|echo-node) [^#\n]+", text, re.MULTILINE)
    assert len(commands) > 5
    for command in commands:
        program, *options = shlex.split(command)
        if program == "torchrun":
            ours = parse_args(options)
            assert (ours.module, ours.training_script) == (True, "echo_node")
            options = ours.training_script_args
        _parser().parse_args(options)


def test_views_keep_a_high_rate_to_the_end_and_what_is_measured_does_not():
    recipe = Recipe()
    for stage, last in ((recipe, 3.5e-4), (recipe.of_measuring(), 6e-6)):
        rates = [training.learning_rate(stage, step) for step in range(stage.steps)]
        assert rates[99] == pytest.approx(max(rates)) == stage.learning_rate
        assert rates[-1] == pytest.approx(last, rel=1e-3)
