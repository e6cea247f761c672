"""Stage 2: cines, stretches of them, and a head that learns from a beat what its volume does."""

import json

import numpy as np
import pytest
import torch

from echo_node.models.assemble import EchoModel
from echo_node.models.vit import Stem, ViTShape
from echo_node.training import cines
from echo_node.training.ejection import (
    EjectionRecipe,
    Encoded,
    _step,
    draw_stretches,
    scale_uncertainty,
    train_ejection,
    validate,
)

SHAPE = ViTShape(width=16, depth=1, heads=2, image_size=32, patch_size=8, stem=Stem.CONVOLUTION)
TINY = EjectionRecipe(beats=2, frames=12, looks=1, unseen=1, steps=3, batch=2, validate_every=2)


def beat(ef: float, *, frames: int = 24, seconds: float = 0.8) -> Encoded:
    """Tokens whose first number is the volume."""
    times = torch.arange(frames) * seconds / frames
    volumes = 1 - ef * (0.5 - 0.5 * torch.cos(2 * torch.pi * times / seconds))
    tokens = torch.zeros(frames, 17, 16)
    tokens[:, :, 0] = volumes[:, None]
    tokens[:, :, 1] = 1 - volumes[:, None]
    return Encoded(tokens=tokens.half(), times=times, volumes=volumes, ef=ef, beat=seconds)


def test_stretches_hold_a_beat_at_true_times_and_no_frame_twice():
    known = [beat(0.3, seconds=0.5), beat(0.6, seconds=1.3)]
    for seed in range(30):
        batch = draw_stretches(known, EjectionRecipe(batch=6), np.random.default_rng(seed))
        assert batch.tokens.shape[:2] == batch.times.shape == batch.volumes.shape
        assert (batch.times[:, 0] == 0).all()
        assert (batch.times.diff(dim=1) > 0).all()
        assert torch.allclose(batch.tokens[:, :, 0, 0], batch.volumes, atol=1e-3)
        for times, ef in zip(batch.times, batch.ef, strict=True):
            seconds = 0.5 if ef < 0.5 else 1.3
            assert 0.95 * seconds < times[-1] < 2.3 * seconds


def test_the_head_learns_what_volumes_do():
    torch.manual_seed(0)
    model = EchoModel(SHAPE, views=2, structures=2)
    known = [beat(0.2 + 0.05 * k, seconds=0.5 + 0.07 * (k % 5)) for k in range(11)]
    optimiser = torch.optim.AdamW(model.ejection.parameters(), lr=2e-3)
    recipe = EjectionRecipe(batch=4)
    losses = []
    for k in range(100):
        optimiser.param_groups[0]["lr"] = 2e-3 * (1 - k / 100)
        losses.append(_step(model.ejection, optimiser, draw_stretches(known, recipe, np.random.default_rng(k))))
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 4
    figures = validate(model.ejection, known)
    assert figures["ef_mae"] < 3
    assert figures["end_error"] < 1
    factor = scale_uncertainty(model.ejection, known)
    assert scale_uncertainty(model.ejection, known) == pytest.approx(1, abs=1e-3), f"after a factor of {factor}"


def test_a_tiny_run_writes_its_figures_and_changes_the_head_alone(tmp_path):
    torch.manual_seed(1)
    model = EchoModel(SHAPE, views=2, structures=2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    figures = train_ejection(model, tmp_path, TINY)
    rows = [json.loads(line) for line in (tmp_path / "ejection.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 3]
    assert rows[-1]["ef_mae"] == figures["ef_mae"]
    changed = {
        name.split(".")[0] for name, value in model.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed == {"ejection"}
    again = EchoModel(SHAPE, views=2, structures=2)
    again.load_state_dict(before)
    assert train_ejection(again, tmp_path, TINY) == figures


def test_cines_hold_the_solid_s_truth(tmp_path):
    beats = list(cines.load(tmp_path, seed=5, cines=2, frames=12, workers=1))
    (whole,) = cines.load(tmp_path, seed=5, cines=1, frames=None, workers=1)
    assert [len(cine.times) for cine in beats] == [12, 12]
    assert float(whole.times[-1]) > float(whole.beat)
    for cine in (*beats, whole):
        assert 1 - cine.volumes.min() == pytest.approx(float(cine.ef), abs=0.02)
        left, top, width, height = cine.cavity
        assert 0 <= left < left + width <= 208
        assert 0 <= top < top + height <= 208
