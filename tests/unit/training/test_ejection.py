"""Stage 3: cines, stretches of them, and a head that learns from a beat what its volume does."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from echo_node.codes import Structure, View
from echo_node.models.assemble import EchoModel
from echo_node.models.vit import Stem, ViTShape
from echo_node.training import cines, own_cines
from echo_node.training.ejection import (
    EjectionRecipe,
    Encoded,
    _step,
    draw_stretches,
    scale_uncertainty,
    train_ejection,
    validate,
)
from tests.unit.evaluation import builders

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
        batch = draw_stretches(known, np.random.default_rng(seed), batch=6)
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
    losses = []
    for k in range(100):
        optimiser.param_groups[0]["lr"] = 2e-3 * (1 - k / 100)
        losses.append(_step(model.ejection, optimiser, [draw_stretches(known, np.random.default_rng(k), batch=4)]))
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


def test_a_cine_that_does_not_close_is_seen_whole_at_its_own_times():
    known = [replace(beat(0.5, frames=n, seconds=2.0), beat=None) for n in (14, 32)]
    drawn = [draw_stretches(known, np.random.default_rng(seed), batch=4) for seed in range(30)]
    assert {batch.times.shape[1] for batch in drawn} <= set(range(12, 33))
    for batch in drawn:
        assert (batch.times.diff(dim=1) > 0).all()
        for last in batch.times[:, -1]:
            assert min(abs(float(last) - 2 * (n - 1) / n) for n in (14, 32)) < 1e-5


def test_what_is_not_known_of_a_volume_costs_nothing():
    head = EchoModel(SHAPE, views=2, structures=2).ejection
    optimiser = torch.optim.SGD(head.parameters(), lr=1e-3)
    batch = draw_stretches([beat(0.4)], np.random.default_rng(0), batch=2)
    batch.volumes[:] = torch.nan
    assert np.isfinite(_step(head, optimiser, [batch]))
    assert all(p.isfinite().all() for p in head.parameters())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Eleven patients' cines with an EF, of whom the tenth is kept apart; and what nothing can be learned from."""
    path = tmp_path_factory.mktemp("own")
    clip = builders.heart(View.A4C, size=160)
    builders.write_video(path / "apical.avi", np.concatenate([clip.frames] * 2))
    builders.write_video(path / "short.avi", clip.frames[:12])
    for number in range(11):
        (path / f"{number}.avi").write_bytes((path / "apical.avi").read_bytes())
    mask = clip.masks[Structure.LV_CAVITY][clip.ed_frame].astype(np.uint8) * 255
    cv2.imwrite(str(path / "cavity.png"), mask)
    row = {
        "split": "train",
        "view": "A4C",
        "ef": 40,
        "ed_frame": clip.ed_frame + 1,
        "ed_mask_lv_cavity": "cavity.png",
    }
    none = [{"file": "short.avi"}, {"view": "PLAX"}, {"ef": ""}, {"ed_mask_lv_cavity": ""}]
    rows = [row | {"file": f"{n}.avi", "patient": f"p{n:02}"} for n in range(11)]
    rows += [row | {"file": "apical.avi", "patient": "p99"} | other for other in none]
    builders.write_csv(path / "labels.csv", rows)
    return path, clip


def test_own_cines_are_seen_in_the_frames_that_an_engine_looks_at(folder):
    path, clip = folder
    found = list(own_cines.load(path))
    assert [is_known for is_known, _ in found] == [True] * 9 + [False, True]
    cine = found[0][1]
    assert 12 <= len(cine.images) == len(cine.times) == len(cine.volumes) <= 32
    assert float(cine.ef) == pytest.approx(0.4)
    assert np.isnan(cine.volumes).all()
    width, height = cine.cavity[2:]
    *_, true_width, true_height = cv2.boundingRect(clip.masks[Structure.LV_CAVITY][clip.ed_frame].astype(np.uint8))
    assert width / height == pytest.approx(true_width / true_height, rel=0.05)


def test_own_cines_are_learned_beside_phantoms_and_other_labels_are_another_head(folder, tmp_path):
    torch.manual_seed(1)
    model = EchoModel(SHAPE, views=2, structures=2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    recipe = replace(TINY, own=folder[0])
    figures = train_ejection(model, tmp_path, recipe)
    assert {"ef_mae", "own_ef_mae", "own_ef_bias"} <= set(figures)
    learned = [(tmp_path / "ejection.jsonl").read_text().count("own_ef_mae")]
    model.load_state_dict(before)
    train_ejection(model, tmp_path, recipe)
    learned.append((tmp_path / "ejection.jsonl").read_text().count("own_ef_mae"))
    table = folder[0] / "labels.csv"
    table.write_text(table.read_text().replace(",40,", ",41,"))
    model.load_state_dict(before)
    train_ejection(model, tmp_path, recipe)
    learned.append((tmp_path / "ejection.jsonl").read_text().count("own_ef_mae"))
    assert learned == [2, 2, 4]


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
