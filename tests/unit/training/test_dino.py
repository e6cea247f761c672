"""The DINOv2 recipe: its losses against references written out, and a run broken off and resumed."""

import tarfile
from dataclasses import replace
from io import BytesIO

import cv2
import numpy as np
import pytest
import torch
import torch.distributed
import torch.multiprocessing
import torch.nn.functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from echo_node.errors import EchoNodeError
from echo_node.models.assemble import SHAPES
from echo_node.models.starting_point import read_encoder, read_origin
from echo_node.models.vit import VisionTransformer, ViTShape
from echo_node.training import data
from echo_node.training.dino import sources
from echo_node.training.dino.crops import CropRules, sample_crops
from echo_node.training.dino.head import ProjectionHead
from echo_node.training.dino.learner import Learner, follow, teacher_of
from echo_node.training.dino.losses import contrast_loss, dino_loss, ibot_loss, koleo_loss, sinkhorn_knopp
from echo_node.training.dino.masking import has_echo, sample_masks
from echo_node.training.dino.pretrain import DinoRecipe, Pretraining, pretrain
from echo_node.training.dino.probe import linear, nearest
from echo_node.training.dino.sources import ClipSource, FreshPhantoms, PhantomSource, TarSource, open_source
from echo_node.training.dino.stage import pretrain_on
from echo_node.training.place import share_buffers
from echo_node.training.recipe import Recipe
from echo_node.training.schedule import cosine, ramp, warmed_up
from echo_node.training.train import _model
from tests.unit.evaluation.builders import write_video


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def balanced(logits: np.ndarray, temperature: float, rounds: int) -> np.ndarray:
    """Sinkhorn-Knopp as its paper has it: columns, then rows, of one matrix."""
    q = np.exp(logits.astype(np.float64) / temperature)
    for _ in range(rounds):
        q /= q.sum(axis=0)
        q /= q.sum(axis=1)[:, None]
    return q


def test_sinkhorn_knopp_against_its_definition():
    logits = np.random.default_rng(0).uniform(-1, 1, (12, 5)).astype(np.float32)
    found = sinkhorn_knopp(torch.from_numpy(logits), temperature=0.2, rounds=3).numpy()
    assert np.abs(found - balanced(logits, 0.2, 3)).max() < 1e-6
    even = sinkhorn_knopp(torch.from_numpy(logits), temperature=0.2, rounds=200).numpy()
    assert np.abs(even.sum(axis=0) - 12 / 5).max() < 1e-4  # every prototype has its share
    assert sinkhorn_knopp(torch.from_numpy(logits), temperature=0.005).isfinite().all()  # as sharp as cosines get


def test_dino_loss_pairs_every_crop_with_every_teacher_s_but_its_own():
    rng = np.random.default_rng(1)
    students, teachers = rng.normal(size=(5, 3, 7)), softmax(rng.normal(size=(2, 3, 7)))
    terms = [
        -(teachers[g] * np.log(softmax(students[c] / 0.1))).sum(axis=-1).mean()
        for c in range(5)
        for g in range(2)
        if c != g
    ]
    found = dino_loss(torch.from_numpy(students), torch.from_numpy(teachers).float(), temperature=0.1)
    assert found.item() == pytest.approx(np.mean(terms), rel=1e-5)


def test_contrast_asks_which_picture_a_crop_is_of():
    rng = np.random.default_rng(11)
    students, teachers = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in rng.normal(size=(2, 4, 5, 6)))
    teachers, clips = teachers[:2], [7, 3, 7, 1, 2]
    others = [[n for n in range(5) if n == b or clips[n] != clips[b]] for b in range(5)]
    terms = [
        -np.log(softmax(students[c, b] @ teachers[g, others[b]].T / 0.2)[others[b].index(b)])
        for c in range(4)
        for g in range(2)
        for b in range(5)
        if c != g
    ]
    given = torch.from_numpy(students), torch.from_numpy(teachers), torch.tensor(clips)
    assert contrast_loss(*given, temperature=0.2).item() == pytest.approx(np.mean(terms), rel=1e-5)


def test_ibot_loss_counts_every_picture_alike():
    rng = np.random.default_rng(2)
    students, teachers = rng.normal(size=(6, 4)), softmax(rng.normal(size=(6, 4)))
    pictures = [range(5), range(5, 6)]  # five hidden patches of one picture, one of another
    weights = torch.tensor([1 / 5] * 5 + [1.0])
    entropy = -(teachers * np.log(softmax(students / 0.1))).sum(axis=-1)
    expected = np.mean([entropy[list(p)].mean() for p in pictures])
    found = ibot_loss(torch.from_numpy(students), torch.from_numpy(teachers).float(), weights, temperature=0.1)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_koleo_against_all_distances():
    x = np.random.default_rng(3).normal(size=(9, 4))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    clips = np.array([4, 1, 2, 4, 3, 5, 6, 1, 4])
    distances = np.linalg.norm(unit[:, None] - unit[None], axis=-1) + 10 * (clips[:, None] == clips)
    expected = -np.log(distances.min(axis=1)).mean()
    assert koleo_loss(torch.from_numpy(x), torch.from_numpy(clips)).item() == pytest.approx(expected, rel=1e-4)


def test_losses_are_exact_where_the_encoder_runs_in_half_precision():
    rng = np.random.default_rng(10)
    students = torch.from_numpy(rng.normal(size=(4, 3, 50))).float()
    teachers = torch.from_numpy(softmax(5 * rng.normal(size=(2, 3, 50)))).float()
    near = 1 + 0.03 * torch.from_numpy(rng.normal(size=(40, 8))).float()  # class tokens are alike at first
    exact = dino_loss(students, teachers, temperature=0.1), koleo_loss(near, torch.arange(40))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = dino_loss(students, teachers, temperature=0.1), koleo_loss(near, torch.arange(40))
    assert [loss.dtype for loss in half] == [torch.float32] * 2
    assert [loss.item() for loss in half] == [loss.item() for loss in exact]


def test_masks_hide_what_was_asked():
    masks = sample_masks(40, 14, rng=np.random.default_rng(4))
    shares = np.sort(masks.mean(axis=1))
    assert (shares[:20] == 0).all()
    assert 0.09 < shares[20] < 0.13
    assert 0.47 < shares[-1] < 0.51
    again = sample_masks(40, 14, rng=np.random.default_rng(4))
    assert (masks == again).all()


def test_patches_without_echo_are_no_riddle():
    frames = torch.full((2, 3, 16, 16), -1.0)
    frames[0, :, :8] = 0.5 + torch.rand(3, 8, 16)  # the upper half has echo
    frames[1, 0, 12:, :3] = 0.0  # less than a quarter of a patch
    assert has_echo(frames, 8).tolist() == [[True, True, False, False], [False] * 4]


def test_the_teacher_follows_within_a_share_of_the_run():
    assert DinoRecipe(steps=100_000).momentum(0.0) == pytest.approx(0.9975)
    assert DinoRecipe(steps=500).momentum(0.0) == pytest.approx(0.9), "ten steps at least"
    assert DinoRecipe(steps=500).momentum(1.0) == 1.0


def test_schedules_at_their_ends():
    assert cosine(0.9, 1.0, 0.0) == 0.9
    assert cosine(0.9, 1.0, 1.0) == 1.0
    assert warmed_up(2.0, 0.5, share=0.05, warm_up=0.1) == pytest.approx(1.0)
    assert warmed_up(2.0, 0.5, share=1.0, warm_up=0.1) == pytest.approx(0.5)
    assert ramp(0.04, 0.07, share=0.15, until=0.3) == pytest.approx(0.055)
    assert ramp(0.04, 0.07, share=0.9, until=0.3) == 0.07


def test_schedules_against_torch_s_own():
    steps, warm_up = 50, 10

    def rates(*schedulers):
        """The rate at every step, of a scheduler or of several in turn."""
        optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
        (one, *others), milestones = [make(optimiser) for make in schedulers], [warm_up]
        scheduler = SequentialLR(optimiser, [one, *others], milestones) if others else one
        found = []
        for _ in range(steps + 1):
            found.append(scheduler.get_last_lr()[0])
            optimiser.step()
            scheduler.step()
        return found

    falling = rates(lambda o: CosineAnnealingLR(o, steps, eta_min=0.5))
    assert [cosine(2.0, 0.5, k / steps) for k in range(steps + 1)] == pytest.approx(falling, abs=1e-6)
    warm = rates(
        lambda o: LinearLR(o, 1e-9, total_iters=warm_up),
        lambda o: CosineAnnealingLR(o, steps - warm_up, eta_min=0.5),
    )
    ours = [warmed_up(2.0, 0.5, share=k / steps, warm_up=warm_up / steps) for k in range(steps + 1)]
    assert ours == pytest.approx(warm, abs=1e-6)


def test_crops_are_parts_of_their_picture():
    picture = np.zeros((208, 208), np.uint8)
    picture[:, 104:] = 180  # a grey step that every shift and zoom keeps a step
    rules = CropRules()
    crops = sample_crops(np.stack([picture, picture // 2, picture]), rules, np.random.default_rng(5))
    assert crops.large.shape == (2, 3, 64, 64)
    assert crops.small.shape == (2, 3, 32, 32)
    again = sample_crops(np.stack([picture, picture // 2, picture]), rules, np.random.default_rng(5))
    assert (crops.large == again.large).all()
    greys = crops.large.mean(axis=(2, 3))  # of a crop: the same part of each frame, changed alike
    assert np.allclose(greys[:, 0], greys[:, 2], rtol=0.05)
    assert (greys[:, 1] < greys[:, 0]).all()


SHAPE = ViTShape(width=16, depth=1, heads=2, image_size=32, patch_size=8, channels=3)
RECIPE = DinoRecipe(
    size="test",
    steps=4,
    batch=3,
    accumulate=2,
    crops=CropRules(large=32, small=16, small_count=2),
    prototypes=11,
    hidden=8,
    bottleneck=4,
    probe_every=2,
)


@pytest.fixture
def small(monkeypatch):
    """The recipe's encoder, small enough for a test."""
    monkeypatch.setattr("echo_node.training.dino.pretrain.SHAPES", {**SHAPES, "test": SHAPE})


def phantoms(seed: int, count: int = 8) -> data.Clips:
    rng = np.random.default_rng(seed)
    return data.Clips(
        images=rng.integers(0, 255, (count, 2, 40, 40), np.uint8),
        masks=np.zeros((count, 2, 6, 40, 5), np.uint8),
        views=np.arange(count) % 2,
        points=np.full((count, 2, 4, 2), np.nan, np.float32),
        known=np.ones((count, 2, 6), bool),
    )


def test_the_teacher_follows_and_hidden_patches_are_not_seen():
    torch.manual_seed(0)
    student = Learner(SHAPE, prototypes=11, hidden=8, bottleneck=4)
    teacher = teacher_of(student)
    assert not any(p.requires_grad for p in teacher.parameters())
    with torch.no_grad():
        for p in student.parameters():
            p.add_(1.0)
    before = [p.clone() for p in teacher.parameters()]
    follow(teacher, student, momentum=0.75)
    for old, new in zip(before, teacher.parameters(), strict=True):
        assert torch.allclose(new - old, torch.full_like(old, 0.25), atol=1e-5)
    encoder = VisionTransformer(SHAPE).eval()
    frames, hidden = torch.randn(1, 3, 32, 32), torch.zeros(1, 16, dtype=torch.bool)
    hidden[0, 5] = True
    other = frames.clone()
    other[0, 0, 8:16, 8:16] = 9.0  # patch 5
    token = torch.ones(16)
    assert torch.allclose(encoder(frames, hidden, token), encoder(other, hidden, token))
    assert not torch.allclose(encoder(frames), encoder(other))


def test_a_resumed_pretraining_ends_with_the_same_weights(tmp_path, small):
    source = PhantomSource(phantoms(1))
    whole = pretrain(tmp_path / "whole", source, RECIPE, known=phantoms(2), unseen=phantoms(3))
    half = pretrain(tmp_path / "part", source, replace(RECIPE, steps=4, probe_every=1))
    for a, b in zip(whole.parameters(), half.parameters(), strict=True):
        assert torch.equal(a, b)  # probing changes nothing
    import echo_node.training.dino.pretrain as module

    calls, original = [], module._step

    def breaking(*args):
        calls.append(args[-1])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*args)

    module._step = breaking
    try:
        with pytest.raises(KeyboardInterrupt):
            pretrain(tmp_path / "broken", source, RECIPE)
    finally:
        module._step = original
    resumed = pretrain(tmp_path / "broken", source, RECIPE)
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


def test_workers_and_a_restart_with_workers_change_nothing(tmp_path, small, monkeypatch):
    source = PhantomSource(phantoms(1))
    alone = pretrain(tmp_path / "alone", source, RECIPE)
    helped = replace(RECIPE, workers=2, probe_every=1)
    import echo_node.training.dino.pretrain as module

    original = module._step

    def breaking(run, student, recipe, place, batches, step):
        if step == 2:
            raise KeyboardInterrupt
        return original(run, student, recipe, place, batches, step)

    monkeypatch.setattr(module, "_step", breaking)
    with pytest.raises(KeyboardInterrupt):
        pretrain(tmp_path / "helped", source, helped)
    monkeypatch.setattr(module, "_step", original)
    resumed = pretrain(tmp_path / "helped", source, helped)
    for a, b in zip(alone.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_run_s_folder_is_an_encoder_to_start_from(tmp_path, small):
    teacher = pretrain(tmp_path / "run", PhantomSource(phantoms(1)), RECIPE)
    kept = read_encoder(tmp_path / "run")
    assert kept.shape == SHAPE
    for name, value in teacher.encoder.state_dict().items():
        assert torch.equal(kept.state_dict()[name], value), name
    model = _model(Recipe(encoder=tmp_path / "run"))
    assert model.shape == SHAPE
    for encoder in (model.encoder, model.measuring):
        assert torch.equal(encoder.blocks[0].mlp[0].weight, kept.blocks[0].mlp[0].weight)
    per_step = RECIPE.batch * RECIPE.accumulate
    said = f"pretrained without labels in {RECIPE.steps} steps of {per_step} simulated hearts"
    assert read_origin(tmp_path / "run") == said
    again = replace(RECIPE, steps=1, encoder=tmp_path / "run")
    pretrain(tmp_path / "again", PhantomSource(phantoms(1)), again)
    assert read_origin(tmp_path / "again").endswith(f"in 1 steps of {per_step} simulated hearts, after {said}")


@pytest.mark.parametrize("black", [slice(0), slice(20), slice(32, 40), slice(40)])
def test_patches_are_hidden_where_there_is_echo(tmp_path, small, monkeypatch, black):
    """There are no riddles in the black, but where all is black."""
    import echo_node.training.dino.pretrain as module

    clips, seen, original = phantoms(1), [], module._losses
    clips.images[..., black] = 0

    def watching(run, student, recipe, batch, share):
        large, _, masked, _ = batch
        assert masked.sum() > 1
        seen.append((masked & has_echo(large.flatten(0, 1), 8)).sum() == masked.sum())
        return original(run, student, recipe, batch, share)

    monkeypatch.setattr(module, "_losses", watching)
    pretrain(tmp_path, PhantomSource(clips), replace(RECIPE, steps=2))
    assert all(seen) == bool(clips.images.any())


def test_what_the_recipe_weighs_reaches_the_weights(tmp_path, small):
    source, found = PhantomSource(phantoms(1)), []
    for name in ("contrast", "ibot", "koleo"):
        learned = pretrain(tmp_path / name, source, replace(RECIPE, steps=2, **{name: 0.0}))
        found.append(learned.whole.mlp[0].weight)
    whole = pretrain(tmp_path / "whole", source, replace(RECIPE, steps=2)).whole.mlp[0].weight
    assert all(not torch.equal(weight, whole) for weight in found)


def test_a_batch_in_which_little_is_told_apart_is_refused(tmp_path):
    with pytest.raises(EchoNodeError, match="--batch 4: its pictures are told apart; take 8 at least"):
        pretrain_on(None, tmp_path, size="tiny", steps=1, batch=4, accumulate=16, workers=0)


def test_a_loss_that_is_no_number_ends_the_run_before_it_is_kept(tmp_path, small, monkeypatch):
    losses = iter([1.0, 1.0, 1.0, 1.0, float("nan")])  # two crops, two parts: the second step's first
    monkeypatch.setattr(
        "echo_node.training.dino.pretrain.koleo_loss", lambda x, clips: x.sum() * 0 + next(losses, 1.0)
    )
    with pytest.raises(EchoNodeError, match="step 2: a loss is no number"):
        pretrain(tmp_path, PhantomSource(phantoms(1)), replace(RECIPE, probe_every=1))
    kept = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert kept["step"] == 1
    assert all(value.isfinite().all() for value in kept["teacher"].values())


def test_biases_norms_and_positions_do_not_decay(small):
    run = Pretraining.start(RECIPE, torch.device("cpu"))
    decaying = {id(p) for g in run.optimiser.param_groups if g["decays"] for p in g["params"]}
    for name, parameter in run.student.named_parameters():
        is_free = parameter.ndim < 2 or "positions" in name or "token" in name
        assert (id(parameter) in decaying) != is_free, name


def _one_of_two(rank: int, folder: str, logits: torch.Tensor) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    part = logits[:5] if rank == 0 else logits[5:]
    torch.save(sinkhorn_knopp(part, temperature=0.1), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def _contrast_of_two(rank: int, folder: str, points: torch.Tensor, clips: torch.Tensor) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    part = slice(4 * rank, 4 * rank + 4)
    loss = contrast_loss(points[:, part], points[:2, part], clips[part], temperature=0.2)
    torch.save(loss, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def _statistics_of_two(rank: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    module = torch.nn.BatchNorm1d(3)
    module(torch.randn(8, 3, generator=torch.Generator().manual_seed(rank)))
    share_buffers(module)
    torch.save(module.running_mean, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_keep_the_first_one_s_statistics(tmp_path):
    torch.multiprocessing.spawn(_statistics_of_two, args=(str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert first.any()
    assert torch.equal(first, second)


def test_heads_tell_tokens_apart_that_hardly_differ():
    """As a fresh encoder's: one common token, a little noise."""
    torch.manual_seed(3)
    head = ProjectionHead(32, prototypes=300, hidden=64, bottleneck=16)
    noise = torch.randn(64, 32)
    shares = [
        sinkhorn_knopp(head.eval()(5 + apart * noise)[1], temperature=0.04).max(dim=1).values.mean().item()
        for apart in (1.0, 0.1)
    ]
    assert shares[0] > 20 / 300
    assert shares[1] == pytest.approx(shares[0], rel=0.1)


def test_balancing_stays_finite_however_far_answers_are_from_some_prototypes():
    logits = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.9, 1.0], [-1.0, -1.0, -0.9]])
    shares = sinkhorn_knopp(logits, temperature=1e-3)  # the last is e^-1900 of the others everywhere
    assert torch.isfinite(shares).all()
    assert torch.allclose(shares.sum(dim=1), torch.ones(3), atol=1e-5)


def test_two_processes_balance_as_one(tmp_path):
    logits = torch.from_numpy(np.random.default_rng(6).uniform(-1, 1, (12, 5)).astype(np.float32))
    torch.multiprocessing.spawn(_one_of_two, args=(str(tmp_path), logits), nprocs=2)
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    assert torch.allclose(torch.cat(parts), sinkhorn_knopp(logits, temperature=0.1), atol=1e-6)


def test_two_processes_contrast_as_one(tmp_path):
    points = F.normalize(torch.from_numpy(np.random.default_rng(13).normal(size=(3, 8, 6))).float(), dim=-1)
    clips = torch.tensor([1, 2, 3, 4, 2, 5, 6, 6])
    torch.multiprocessing.spawn(_contrast_of_two, args=(str(tmp_path), points, clips), nprocs=2)
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    whole = contrast_loss(points, points[:2], clips, temperature=0.2)
    assert torch.stack(parts).mean() == pytest.approx(whole.item(), rel=1e-5)


def test_probes_tell_separable_classes_apart():
    known, unseen = phantoms(7, 40), phantoms(8, 20)
    draw = torch.Generator().manual_seed(0)

    def features(clips: data.Clips) -> torch.Tensor:
        x = torch.randn(len(clips), 6, generator=draw) * 0.3
        x[:, 0] += torch.from_numpy(clips.views) * 4 - 2
        return x

    train, test = features(known), features(unseen)
    for answer in (nearest, linear):
        assert (answer(train, known, test).numpy() == unseen.views).all()


def test_pictures_from_shards_and_from_dicom(tmp_path, data):
    rng = np.random.default_rng(9)
    picture = rng.integers(0, 255, (60, 90), np.uint8)
    (tmp_path / "shards").mkdir()
    with tarfile.open(tmp_path / "shards" / "a.tar", "w") as archive:
        for name, content in (("1.png", cv2.imencode(".png", picture)[1].tobytes()), ("1.json", b"{}")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, BytesIO(content))
    source = open_source(tmp_path / "shards", size=90, index=tmp_path / "index")
    assert isinstance(source, TarSource)
    assert (source.draw(rng).frames[0, 15:75] == picture).all()
    tree = open_source(data, size=128, index=tmp_path)
    assert isinstance(tree, ClipSource)
    first, again = (tree.draw(np.random.default_rng(3)).frames for _ in range(2))
    assert first.shape[1:] == (128, 128)
    assert len(first) <= 4
    assert first[0].any()
    assert (first == again).all()
    (tmp_path / "empty").mkdir()
    with pytest.raises(EchoNodeError, match="neither"):
        open_source(tmp_path / "empty", size=90, index=tmp_path)


def test_fresh_phantoms_are_the_same_from_either_renderer_and_never_twice():
    rendered, patient = FreshPhantoms().draw(np.random.default_rng(11))
    assert rendered.shape == (4, 208, 208)
    assert rendered[0].any()
    on_torch, same = FreshPhantoms(torch.device("cpu")).draw(np.random.default_rng(11))
    apart = np.abs(rendered.astype(int) - on_torch)
    assert (apart > 3).mean() < 0.01, "rounding alone"
    other, stranger = FreshPhantoms().draw(np.random.default_rng(12))
    assert (rendered != other).mean() > 0.1
    assert same == patient != stranger


def test_videos_are_pictures_too_and_what_is_none_is_passed_over(tmp_path):
    rng = np.random.default_rng(4)
    grey = np.zeros((12, 96, 128), np.uint8)
    grey[:, 10:90, 20:110] = rng.integers(40, 220, (12, 80, 90))
    write_video(tmp_path / "one.avi", grey)
    (tmp_path / "two.mp4").write_bytes(b"no video")
    source = open_source(tmp_path, size=96, index=tmp_path)
    for seed in range(6):
        frames, clip = source.draw(np.random.default_rng(seed))
        assert clip == 0
        assert frames.shape == (4, 96, 96)
        assert frames.any(axis=(1, 2)).all()
    (tmp_path / "one.avi").unlink()
    with pytest.raises(EchoNodeError, match="no readable clips"):
        open_source(tmp_path, size=96, index=tmp_path).draw(rng)


def _shard(path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, BytesIO(content))


def test_members_of_one_key_are_frames_of_one_clip_and_a_shard_is_walked_once(tmp_path, monkeypatch):
    pictures = {
        f"study/{clip}.{frame}.png": cv2.imencode(".png", np.full((40, 60), 40 * clip + frame, np.uint8))[
            1
        ].tobytes()
        for frame in range(6)
        for clip in range(1, 6)
    }
    _shard(tmp_path / "a.tar", pictures)
    source = open_source(tmp_path, size=60, index=tmp_path / "index")
    numbers = {}
    for seed in range(8):
        frames, number = source.draw(np.random.default_rng(seed))
        greys = frames[:, 30, 30]
        assert numbers.setdefault(int(greys[0]) // 40, number) == number
        assert frames.shape == (4, 60, 60)
        assert len(set(greys.tolist())) == 4
        assert len({int(grey) // 40 for grey in greys}) == 1, "of one clip"
    assert len(set(numbers.values())) == len(numbers) > 1
    sources._members.cache_clear()
    monkeypatch.setattr(tarfile, "open", lambda *_: pytest.fail("walked again"))
    assert (source.draw(np.random.default_rng(7)).frames == frames).all()


def test_bad_shards_and_files_that_vanish_are_passed_over(tmp_path, caplog):
    good = cv2.imencode(".png", np.full((40, 60), 90, np.uint8))[1].tobytes()
    _shard(tmp_path / "good.tar", {"1.png": good, "2.png": b"", "3.png": b"no picture"})
    (tmp_path / "cut.tar").write_bytes(b"no archive")
    source = open_source(tmp_path, size=60, index=tmp_path / "index")
    for seed in range(12):
        assert source.draw(np.random.default_rng(seed)).frames.any()
    assert "cut.tar" in caplog.text
    write_video(tmp_path / "one.avi", np.full((5, 48, 64), 120, np.uint8))
    vanished = ClipSource([tmp_path / "gone.avi", tmp_path / "gone.dcm"], size=60)
    with pytest.raises(EchoNodeError, match="no readable clips"):
        vanished.draw(np.random.default_rng(0))


def test_another_recipe_does_not_go_on(tmp_path, small):
    source = PhantomSource(phantoms(1))
    pretrain(tmp_path, source, replace(RECIPE, steps=2))
    pretrain(tmp_path, source, replace(RECIPE, steps=2, workers=1, probe_every=7))
    with pytest.raises(EchoNodeError, match=r"another steps \(2, now 4\); choose another --run"):
        pretrain(tmp_path, source, RECIPE)
