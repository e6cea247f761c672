"""Stage 3: cines, stretches of them, and a head that learns from a beat what its volume does."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from echo_node.codes import Structure, View
from echo_node.evaluation.cases import Part
from echo_node.models.assemble import EchoModel
from echo_node.models.vit import Stem, ViTShape
from echo_node.training import cines, own_cines
from echo_node.training.ejection import (
    EjectionRecipe,
    Encoded,
    Sets,
    _draw,
    _step,
    draw_stretches,
    scale_uncertainty,
    train_ejection,
    validate,
)
from tests.unit.evaluation import builders

SHAPE = ViTShape(width=16, depth=1, heads=2, image_size=32, patch_size=8, stem=Stem.CONVOLUTION)
TINY = EjectionRecipe(beats=2, frames=12, looks=1, unseen=1, steps=3, batch=2, validate_every=2)
TINY16 = replace(TINY, batch=16)


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
    sets = Sets(known=[beat(0.5)], own=known, unseen=(), own_unseen=())
    steps = [_draw(sets, TINY16, np.random.default_rng(seed))[1:] for seed in range(30)]
    drawn = [cine for step in steps for cine in step]
    assert {batch.times.shape[1] for batch in drawn} <= {14, *range(20, 33)}, "ten a second, or all that there are"
    assert any({14, 32} <= {c.times.shape[1] for c in step} for step in steps), "a short one makes no other short"
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


@pytest.fixture
def folder(tmp_path):
    """Two patients' cines with an EF to learn from, one to set the uncertainty by, and what teaches nothing."""
    path = tmp_path / "own"
    path.mkdir()
    clip = builders.heart(View.A4C, size=160)
    builders.write_video(path / "apical.avi", np.concatenate([clip.frames] * 2))
    builders.write_video(path / "short.avi", clip.frames[:12])
    mask = clip.masks[Structure.LV_CAVITY][clip.ed_frame].astype(np.uint8) * 255
    cv2.imwrite(str(path / "cavity.png"), mask)
    row = {"view": "A4C", "ef": 40, "ed_frame": clip.ed_frame + 1, "ed_mask_lv_cavity": "cavity.png"}
    parts = {"a": "train", "b": "train", "c": "val", "d": "test"}
    for name in parts:
        (path / f"{name}.avi").write_bytes((path / "apical.avi").read_bytes())
    rows = [row | {"file": f"{name}.avi", "split": part} for name, part in parts.items()]
    none = [{"file": "short.avi"}, {"view": "PLAX"}, {"ef": ""}, {"ed_mask_lv_cavity": ""}]
    rows += [row | {"file": "apical.avi", "patient": "e", "split": "train"} | other for other in none]
    builders.write_csv(path / "labels.csv", rows)
    (path / "gone.avi").symlink_to(path / "nowhere.avi")
    return path, clip


def test_own_cines_are_seen_in_the_frames_that_an_engine_looks_at(folder, capsys):
    path, clip = folder
    found, kept = (list(own_cines.load(path, part, most=100, seed=0)) for part in (Part.TRAIN, Part.VAL))
    assert (len(found), len(kept)) == (2, 1)
    said = capsys.readouterr().err
    for why in ("1 that may show less than a beat", "2 that are no A4C or A2C with an EF", "1 without an outline"):
        assert why in said
    cine = found[0]
    assert 12 <= len(cine.images) == len(cine.times) <= 32
    assert len(cine.beside) == 8
    assert cine.ef == pytest.approx(0.4)
    *_, true_width, true_height = cv2.boundingRect(clip.masks[Structure.LV_CAVITY][clip.ed_frame].astype(np.uint8))
    assert cine.around.width / cine.around.height == pytest.approx(true_width / true_height, rel=0.05)
    assert len(list(own_cines.load(path, Part.TRAIN, most=1, seed=3))) < 2, "of more than the most some are drawn"


@pytest.mark.parametrize(("es", "taken"), [(6, True), (18, True), (19, False), (1, False), (None, False)])
def test_what_may_be_less_than_a_beat_teaches_no_ef(tmp_path, capsys, es, taken):
    """Of 44 frame intervals in less than a second a systole of up to two fifths leaves room to recover."""
    clip = builders.heart(View.A4C, size=160)
    builders.write_video(tmp_path / "clip.avi", np.concatenate([clip.frames] * 4)[:45])
    cv2.imwrite(str(tmp_path / "c.png"), clip.masks[Structure.LV_CAVITY][0].astype(np.uint8) * 255)
    row = {"file": "clip.avi", "view": "A4C", "ef": 40, "split": "train", "ed_mask_lv_cavity": "c.png"}
    builders.write_csv(tmp_path / "labels.csv", [row | {"ed_frame": 1, "es_frame": es or ""}])
    found = list(own_cines.load(tmp_path, Part.TRAIN, most=100, seed=0))
    assert len(found) == taken
    assert ("1 that may show less than a beat" in capsys.readouterr().err) != taken


def test_half_a_beat_teaches_no_ef(tmp_path, monkeypatch, capsys):
    builders.camus_folder(tmp_path)
    monkeypatch.setattr(own_cines, "FEWEST_FRAMES", 2)
    assert list(own_cines.load(tmp_path, Part.TRAIN, most=100, seed=0)) == []
    assert "2 that may show less than a beat" in capsys.readouterr().err


def test_few_own_cines_are_a_small_part_of_a_step():
    many, few, none = [beat(0.4)] * 30, [replace(beat(0.6), beat=None)] * 2, []
    for own, expected in ((many, [8, *[1] * 8]), (few, [15, 1]), (none, [16])):
        drawn = _draw(Sets(known=many, own=own, unseen=many, own_unseen=()), TINY16, np.random.default_rng(0))
        assert [len(batch.ef) for batch in drawn] == expected


def test_the_uncertainty_covers_the_wider_errors():
    torch.manual_seed(0)
    heads = [EchoModel(SHAPE, views=2, structures=2).ejection for _ in range(2)]
    heads[1].load_state_dict(heads[0].state_dict())
    near, far = [beat(0.35)], [beat(0.05, seconds=1.1), beat(0.75, seconds=1.1)] * 10
    assert scale_uncertainty(heads[0], near, far) == scale_uncertainty(heads[1], far, ())
    heads = [EchoModel(SHAPE, views=2, structures=2).ejection for _ in range(2)]
    heads[1].load_state_dict(heads[0].state_dict())
    few = far[:19]
    assert scale_uncertainty(heads[0], near, few) == scale_uncertainty(heads[1], near, ()), "too few to tell"


def test_own_cines_are_learned_beside_phantoms_and_other_labels_or_videos_are_another_head(folder, tmp_path):
    torch.manual_seed(1)
    model, (path, clip) = EchoModel(SHAPE, views=2, structures=2), folder
    before = {name: value.clone() for name, value in model.state_dict().items()}
    recipe, learned = replace(TINY, own=path), []
    labels = (path / "labels.csv").read_text()
    changes = (
        lambda: None,
        lambda: None,
        lambda: (path / "labels.csv").write_text(labels.replace(",40,", ",41,")),
        lambda: builders.write_video(path / "a.avi", np.concatenate([clip.frames] * 3)),
    )
    for change in changes:
        change()
        model.load_state_dict(before)
        figures = train_ejection(model, tmp_path, recipe)
        learned.append((tmp_path / "ejection.jsonl").read_text().count("own_ef_mae"))
    assert {"ef_mae", "own_ef_mae", "own_ef_bias"} <= set(figures)
    assert learned == [2, 2, 4, 6]


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
