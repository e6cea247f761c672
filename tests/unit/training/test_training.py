"""Losses against references, and a run that is broken off and resumed."""

import json

import numpy as np
import pytest
import torch

from echo_node.evaluation.scores import balanced_accuracy, dice
from echo_node.inference.prompts import PointKind
from echo_node.training import train as training
from echo_node.training.augment import augment
from echo_node.training.losses import dice_loss, mask_loss
from echo_node.training.prompts import sample_prompt

TINY = training.Recipe(
    train_clips=7, validation_clips=7, frames=2, steps=4, clips_per_step=2, frames_per_clip=2, validate_every=2
)


def test_dice_loss_is_what_it_is_by_hand():
    logits = torch.tensor([[[[8.0, -8.0], [8.0, -8.0]]]])
    target = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    p = torch.sigmoid(torch.tensor(8.0)).item()
    q = 1 - p
    expected = 1 - (2 * p + 1) / (2 * p + 2 * q + 1 + 1)
    assert dice_loss(logits, target).item() == pytest.approx(expected, abs=1e-6)


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
        moved, moved_mask = augment(image, mask, size=112, rng=np.random.default_rng(seed))
        inside = moved_mask[0, 0] > 0
        bright = moved[0] > 0.5 * moved[0][inside].mean()
        assert dice(bright, inside) > 0.8


def test_going_close_shows_the_whole_structure_large_and_keeps_its_shape():
    image = np.zeros((2, 208, 208), np.uint8)
    image[0, 50:80, 60:75] = 200
    image[1, 52:78, 62:73] = 200
    masks = np.stack([np.zeros_like(image), (image > 0).astype(np.uint8)], axis=1)
    for seed in range(8):
        _, moved = augment(image, masks, size=112, rng=np.random.default_rng(seed), around=1)
        assert not moved[:, 0].any()
        rows, cols = np.flatnonzero(moved[0, 1].any(axis=1)), np.flatnonzero(moved[0, 1].any(axis=0))
        assert 112 / 2.1 < rows[-1] - rows[0] < 112 / 1.1
        assert rows[0] > 0
        assert rows[-1] < 111
        assert (rows[-1] - rows[0]) / (cols[-1] - cols[0]) == pytest.approx(2, rel=0.35)  # turned a little


def test_prompts_tell_the_truth():
    rng = np.random.default_rng(4)
    truth = np.zeros((112, 112), np.uint8)
    truth[30:60, 40:90] = 1
    for _ in range(200):
        prompt = sample_prompt(truth, truth, rng)
        for (x, y), kind in zip(prompt.points, prompt.kinds, strict=True):
            if kind in (PointKind.FOREGROUND, PointKind.BACKGROUND):
                assert truth[int(y * 112), int(x * 112)] == (kind == PointKind.FOREGROUND)


def test_a_resumed_run_ends_with_the_same_weights(tmp_path):
    whole = training.train(tmp_path / "whole", TINY)
    from dataclasses import replace

    part = tmp_path / "part"
    part.mkdir()
    (part / "phantoms").symlink_to(tmp_path / "whole" / "phantoms")
    broken = training.Recipe(**{f: getattr(TINY, f) for f in TINY.__dataclass_fields__})
    original = training.learning_rate
    calls = []

    def breaking(recipe, step):
        calls.append(step)
        if step == 3 and len(calls) <= 4:
            raise KeyboardInterrupt
        return original(recipe, step)

    training.learning_rate = breaking
    try:
        with pytest.raises(KeyboardInterrupt):
            training.train(part, broken)
        resumed = training.train(part, replace(TINY))
    finally:
        training.learning_rate = original
    for (name, a), b in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    rows = [json.loads(line) for line in (part / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 4]
