"""Adaptation and pretraining's worth: nested labels, exact counts, tables, and a run that goes on."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from echo_node.cli import main
from echo_node.codes import Structure, View
from echo_node.errors import EchoNodeError, EngineError
from echo_node.models.adapters import Tuning
from echo_node.models.starting_point import write_encoder
from echo_node.models.vit import Stem, VisionTransformer, ViTShape
from echo_node.phantom.planes import VIEWS
from echo_node.training import data, experiment, studies
from echo_node.training.adaptation import AdaptationRecipe, adapt
from echo_node.training.probes import MaskProbe, ViewProbe
from echo_node.training.tasks import TASKS, as_they_are, looks_at, taken
from echo_node.training.trial import Cell, TrialRecipe, drawn, run_trial, untouched
from echo_node.training.worth import WorthRecipe, worth

WIDTH, DEPTH, RANK = 16, 1, 2
SHAPE = ViTShape(width=WIDTH, depth=DEPTH, heads=2, image_size=32, patch_size=8, stem=Stem.CONVOLUTION)
TRIAL = TrialRecipe(unseen=2, looks=2, probe_steps=20, steps=2, batch=4, rank=RANK, half_precision=False)
APICAL = (View.A4C, View.A2C)
LEARNED = {
    Tuning.FROZEN: 0,
    Tuning.ADAPTER: DEPTH * (WIDTH * RANK + RANK + RANK * WIDTH + WIDTH),
    Tuning.LORA: DEPTH * 2 * (RANK * WIDTH + WIDTH * RANK),
    Tuning.FULL: sum(p.numel() for p in VisionTransformer(SHAPE).parameters()),
}


def simple_studies(folder, *, seed, studies: int, frames, workers=2):
    """A bright square is the cavity: high up in one apical view, low down in the other."""
    from echo_node.training.studies import Studies

    rng = np.random.default_rng(seed)
    count = 2 * studies
    images = rng.integers(20, 60, (count, frames, 208, 208), np.uint8)
    masks = np.zeros((count, frames, len(data.STRUCTURES), 208, 208), np.uint8)
    for clip in range(count):
        top, left = (30 if clip % 2 else 110) + rng.integers(10), 60 + rng.integers(20)
        images[clip, :, top : top + 70, left : left + 70] += 150
        masks[clip, :, data.STRUCTURES.index(Structure.LV_CAVITY), top : top + 70, left : left + 70] = 1
    views = np.array([data.LABELS.index(APICAL[clip % 2]) for clip in range(count)])
    points = np.full((count, frames, 4, 2), np.nan, np.float32)
    known = np.ones(masks.shape[:3], bool)
    return Studies(data.Clips(images, np.packbits(masks, axis=-1), views, points, known), np.arange(count) // 2)


@pytest.fixture
def simple(monkeypatch):
    """Experiments on squares."""
    monkeypatch.setattr(studies, "load", simple_studies)


@pytest.fixture
def encoder(tmp_path):
    torch.manual_seed(0)
    write_encoder(VisionTransformer(SHAPE), tmp_path / "start", origin="drawn")
    return tmp_path / "start"


def recipe(task: str, **changes) -> AdaptationRecipe:
    return replace(AdaptationRecipe(task=task, studies=(1, 3), repeats=2, trial=TRIAL), **changes)


def test_few_studies_are_among_many_and_seeded():
    def of(studies: int, repeat: int, seed: int = 1) -> list[int]:
        cell = Cell(start="", tuning=Tuning.FULL, studies=studies, repeat=repeat)
        return drawn(50, cell, seed).tolist()

    for repeat in range(3):
        draws = [set(of(n, repeat)) for n in (1, 5, 10, 50)]
        assert [len(draw) for draw in draws] == [1, 5, 10, 50]
        assert draws[0] < draws[1] < draws[2] < draws[3]
    assert of(10, 0) == of(10, 0)
    assert of(10, 0) != of(10, 1)
    assert of(10, 0) != of(10, 0, seed=2)


def test_looks_are_seeded_and_belong_to_their_clips():
    some, more = (simple_studies(None, seed=1, studies=n, frames=2) for n in (2, 3))
    first, again = (looks_at(some, size=32, looks=3, seed=1) for _ in range(2))
    assert first.frames.shape == (12, 2, 32, 32)
    assert (first.frames == again.frames).all()
    assert first.owners.tolist() == [0] * 6 + [1] * 6
    assert (first.classes == np.repeat(some.clips.views, 3)).all()
    assert (first.frames[0] != first.frames[1]).any()
    assert (taken(first, first.rows(np.array([1]))).owners == 1).all()
    assert len(looks_at(more.showing((View.A4C,)), size=32, looks=1, seed=1).owners) == 3
    judged = as_they_are(some, size=32)
    assert judged.frames.shape == judged.cavities.shape == (4, 2, 32, 32)
    assert judged.cavities.mean() == pytest.approx(70**2 / 208**2, abs=0.02)


@pytest.mark.parametrize("tuning", Tuning)
def test_a_trial_changes_what_it_may_alone_and_comes_out_the_same(tuning):
    torch.manual_seed(0)
    encoder, task = VisionTransformer(SHAPE), TASKS["lv"]
    known = looks_at(simple_studies(None, seed=1, studies=3, frames=2), size=32, looks=2, seed=1)
    unseen = as_they_are(simple_studies(None, seed=2, studies=2, frames=2), size=32)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    start = untouched(encoder, task, known, unseen, TRIAL)
    cell = Cell(start="e", tuning=tuning, studies=2, repeat=0)
    first, second = (run_trial(cell, start, task, known, unseen, TRIAL) for _ in range(2))
    assert first.score == second.score
    assert first.encoder == LEARNED[tuning]
    assert first.head == WIDTH * 64 + 64
    assert first.whole == LEARNED[Tuning.FULL]
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


@pytest.mark.parametrize(("task", "least"), [("view", 0.9), ("lv", 0.6)])
def test_simple_tasks_are_learned(task, least):
    torch.manual_seed(0)
    chosen, encoder = TASKS[task], VisionTransformer(SHAPE)
    known = looks_at(simple_studies(None, seed=1, studies=6, frames=2), size=32, looks=3, seed=1)
    unseen = as_they_are(simple_studies(None, seed=2, studies=3, frames=2), size=32)
    patient = replace(TRIAL, probe_steps=300, steps=80, full_rate=2e-3)
    start = untouched(encoder, chosen, known, unseen, patient)
    cell = Cell(start="e", tuning=Tuning.FULL, studies=6, repeat=0)
    assert run_trial(cell, start, chosen, known, unseen, patient).score > least


def test_a_mask_is_read_alike_from_tokens_that_are_nearly_alike():
    torch.manual_seed(0)
    tokens, head, other = torch.randn(6, 17, WIDTH), MaskProbe(SHAPE), MaskProbe(SHAPE)
    other.load_state_dict(head.state_dict())
    for probe, seen in ((head, tokens), (other, 5 + 0.1 * tokens)):
        probe.scale.fit(seen.flatten(0, 1))
        probe.eval()
    assert torch.allclose(head(tokens), other(5 + 0.1 * tokens), atol=5e-3)
    assert head(tokens).mean().item() == pytest.approx(-2, abs=0.2), "few pixels are a mask's"


def test_the_view_task_keeps_what_its_head_reads():
    torch.manual_seed(0)
    tokens, head = torch.randn(6, 17, WIDTH), ViewProbe(WIDTH, 5)
    kept = TASKS["view"].kept(tokens)
    assert kept.shape == (6, 2, WIDTH)
    head.scale.fit(head.features(tokens[:, None]))
    scaled = head.scale(head.features(tokens[:, None])[:1])
    assert torch.isfinite(scaled).all()
    head.eval()
    sequences = (x.unflatten(0, (2, 3)) for x in (tokens, kept))
    whole, brief = (head(x) for x in sequences)
    assert torch.allclose(whole, brief, atol=1e-5)
    every = head.scale(head.features(tokens[:, None]))
    assert every.mean(dim=0).abs().max() < 0.2


def test_adapt_writes_its_tables(tmp_path, simple, encoder):
    outcomes = adapt(tmp_path / "run", encoder, recipe("view"))
    assert len(outcomes) == 4 * 2 * 2
    table = json.loads((tmp_path / "run" / "table.json").read_text())
    assert len(table["rows"]) == 8
    assert {(row["tuning"], row["encoder"]) for row in table["rows"]} == {(t.value, n) for t, n in LEARNED.items()}
    of_full = next(row for row in table["rows"] if row["tuning"] == "full" and row["studies"] == 3)
    scores = [t["score"] for t in table["trials"] if t["cell"]["tuning"] == "full" and t["cell"]["studies"] == 3]
    assert of_full["mean"] == pytest.approx(np.mean(scores))
    assert of_full["deviation"] == pytest.approx(np.std(scores, ddof=1))
    assert of_full["share"] == 1
    with (tmp_path / "run" / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    assert all("no clinical figures" in row["data"] for row in rows)
    text = (tmp_path / "run" / "table.md").read_text()
    assert f"| start | adapter | {LEARNED[Tuning.ADAPTER]:,} |" in text
    assert "| 1 study | 3 studies |" in text
    assert (tmp_path / "run" / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_goes_on_and_does_nothing_twice(tmp_path, simple, encoder, monkeypatch):
    whole = adapt(tmp_path / "whole", encoder, recipe("lv"))
    original, calls = experiment.run_trial, []

    def breaking(*args):
        calls.append(args[0])
        if len(calls) == 4:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(experiment, "run_trial", breaking)
    with pytest.raises(KeyboardInterrupt):
        adapt(tmp_path / "part", encoder, recipe("lv"))
    resumed = adapt(tmp_path / "part", encoder, recipe("lv"))
    assert len(calls) == len(whole) + 1
    assert [o.score for o in resumed] == [o.score for o in whole]
    monkeypatch.setattr(studies, "load", lambda *_, **__: pytest.fail("nothing is missing"))
    assert adapt(tmp_path / "part", encoder, recipe("lv")) == resumed


def test_another_recipe_needs_another_folder(tmp_path, simple, encoder):
    few = recipe("view", tunings=(Tuning.FROZEN,), studies=(2,), repeats=1)
    adapt(tmp_path / "run", encoder, few)
    adapt(tmp_path / "run", encoder, replace(few, repeats=2, studies=(1, 2)))
    with pytest.raises(EchoNodeError, match=r"differ in recipe\.steps; choose another --run"):
        adapt(tmp_path / "run", encoder, replace(few, trial=replace(TRIAL, steps=3)))
    with pytest.raises(EchoNodeError, match="differ in task"):
        adapt(tmp_path / "run", encoder, replace(few, task="lv"))
    write_encoder(VisionTransformer(SHAPE), tmp_path / "other" / "start", origin="drawn")
    with pytest.raises(EchoNodeError, match=r"differ in weights\.start"):
        adapt(tmp_path / "run", tmp_path / "other" / "start", few)


def test_worth_compares_three_encoders_of_one_shape(tmp_path, simple, encoder):
    write_encoder(VisionTransformer(SHAPE), tmp_path / "engine", origin="drawn")
    chosen = WorthRecipe(task="view", studies=(1, 4), repeats=1, trial=TRIAL)
    outcomes = worth(tmp_path / "run", encoder, tmp_path / "engine", chosen)
    ways = dict.fromkeys((o.cell.start, o.cell.tuning) for o in outcomes)
    starts = ("random", "supervised", "pretrained")
    assert list(ways) == [(start, tuning) for start in starts for tuning in (Tuning.FROZEN, Tuning.FULL)]
    text = (tmp_path / "run" / "table.md").read_text()
    assert "25% (1 of 4 studies) | 100% (4 of 4 studies)" in text
    assert (tmp_path / "run" / "curves.png").exists()
    write_encoder(VisionTransformer(replace(SHAPE, width=32)), tmp_path / "wide", origin="drawn")
    with pytest.raises(EngineError, match=r"wide: is .*width=32"):
        worth(tmp_path / "else", encoder, tmp_path / "wide", chosen)
    without = worth(tmp_path / "two", encoder, None, chosen)
    assert {o.cell.start for o in without} == {"random", "pretrained"}


def test_the_commands_hand_on_what_is_asked(tmp_path, monkeypatch, encoder):
    asked = []
    monkeypatch.setattr("echo_node.training.adaptation.adapt", lambda *a: asked.append(a))
    monkeypatch.setattr("echo_node.training.worth.worth", lambda *a: asked.append(a))
    common = ["--task", "lv", "--run", "runs/x", "--studies", "2", "4", "--steps", "7", "--repeats", "3"]
    assert main(["adapt", str(encoder), *common]) == 0
    assert main(["worth", str(encoder), "--supervised", "e", *common]) == 0
    for *_, given in asked:
        assert (given.task, list(given.studies), given.repeats) == ("lv", [2, 4], 3)
        assert given.trial == TrialRecipe(steps=7)


def test_a_study_is_one_patient_s_clips_of_all_views(tmp_path):
    kept = studies.load(tmp_path, seed=3, studies=1, frames=1, workers=1)
    assert [data.LABELS[view] for view in kept.clips.views] == list(VIEWS)
    assert (kept.owners == 0).all()
    apical = kept.showing(APICAL)
    cavity = data.STRUCTURES.index(Structure.LV_CAVITY)
    assert np.unpackbits(apical.clips.masks[:, :, cavity], axis=-1).any(axis=(1, 2, 3)).all()
    (file,) = tmp_path.iterdir()
    written = file.stat().st_mtime_ns
    again = studies.load(tmp_path, seed=3, studies=1, frames=1, workers=1)
    assert file.stat().st_mtime_ns == written
    assert (again.clips.images == kept.clips.images).all()
