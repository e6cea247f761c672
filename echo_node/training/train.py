"""``echo-node train``: phantoms to weights. Seeded, resumable, its metrics in a file."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import trange

from echo_node.codes import Structure, View
from echo_node.inference.preprocess import normalise
from echo_node.models.assemble import EchoModel, build
from echo_node.models.checkpoints import load_state, save_state
from echo_node.training import data
from echo_node.training.augment import Around, augment
from echo_node.training.data import MEAN, STD
from echo_node.training.dense_head import DenseHead
from echo_node.training.losses import mask_loss, point_loss
from echo_node.training.prompts import sample_prompt
from echo_node.training.validate import validate

_APICAL = [data.LABELS.index(view) for view in (View.A4C, View.A2C)]
_WALL_WEIGHT = 0.25  # of the wall loss: it starts at some 5 nats, the others at 1
_WALLS_WINDOW = 0.7  # of windows in clips with wall points: around these
_LEAST_PIXELS = 400  # of all frames together: what is smaller is nothing to go close to
_LV = data.STRUCTURES.index(Structure.LV_CAVITY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides a run's result."""

    size: str = "tiny"
    seed: int = 1
    train_clips: int = 4200
    validation_clips: int = 70
    frames: int = 6  # per clip, as rendered
    steps: int = 3000
    clips_per_step: int = 12
    frames_per_clip: int = 2
    close_share: float = 0.5  # of clips looked at in a window around one structure
    apical_share: float = 0.5  # of a batch at least: the views that are measured need the finest masks
    wall_share: float = 0.1  # of a batch at least: clips whose wall points are known
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warm_up: int = 100
    averaging: float = 0.99  # of the weights that are kept
    validate_every: int = 250


@dataclass(slots=True)
class Run:
    """A run's state: all that a checkpoint holds."""

    model: EchoModel
    dense: DenseHead  # of training only: it teaches the encoder every structure on every frame
    average: EchoModel
    optimiser: torch.optim.Optimizer
    step: int = 0

    @classmethod
    def start(cls, recipe: Recipe) -> Run:
        """A fresh run."""
        torch.manual_seed(recipe.seed)
        model = build(recipe.size, views=len(data.LABELS), structures=len(data.STRUCTURES))
        dense = DenseHead(model.shape, structures=len(data.STRUCTURES))
        optimiser = torch.optim.AdamW(
            [*model.parameters(), *dense.parameters()],
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            betas=(0.9, 0.98),
        )
        run = cls(model, dense, copy.deepcopy(model), optimiser)
        # Convolutions are a fifth faster so; the stubs do not know the argument.
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return run

    def save(self, path: Path) -> None:
        """Write the checkpoint."""
        state = {
            "model": self.model.state_dict(),
            "dense": self.dense.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
        }
        save_state(state, path)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint."""
        state = load_state(path)
        self.model.load_state_dict(state["model"])
        self.dense.load_state_dict(state["dense"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = state["step"]


def train(out: Path, recipe: Recipe | None = None) -> EchoModel:
    """Train, or go on where the folder's checkpoint stands.

    Every step draws from a random stream of its own (seed and step), so that a run that was broken off
    and resumed ends with the weights of one that was not.

    Parameters
    ----------
    out : Path
        Folder of the run: ``phantoms/``, ``checkpoint.pt``, ``metrics.jsonl``.
    recipe : Recipe, optional
        The default engine's, where left out.

    Returns
    -------
    EchoModel
        The averaged weights.
    """
    recipe = recipe or Recipe()
    out.mkdir(parents=True, exist_ok=True)
    shards = out / "phantoms"
    known = data.load(shards, seed=1, clips=recipe.train_clips, frames=recipe.frames)
    unseen = data.load(shards, seed=2, clips=recipe.validation_clips, frames=recipe.frames)
    run, checkpoint = Run.start(recipe), out / "checkpoint.pt"
    if checkpoint.exists():
        run.resume(checkpoint)
    bar = trange(run.step, recipe.steps, initial=run.step, total=recipe.steps, desc="train", unit="step")
    for step in bar:
        losses = _step(run, recipe, known, step)
        run.step = step + 1
        bar.set_postfix(losses)
        if run.step % recipe.validate_every == 0 or run.step == recipe.steps:
            run.save(checkpoint)
            row = {"step": run.step, **losses, **validate(run.average, unseen)}
            with (out / "metrics.jsonl").open("a", encoding="utf-8") as metrics:
                metrics.write(json.dumps(row) + "\n")
    return run.average


@dataclass(slots=True)
class Batch:
    """One step's input: sequences for the view head, pairs of frame and structure for the decoder."""

    frames: Tensor  # [B*T,1,S,S]
    views: Tensor  # [B]
    is_whole: Tensor  # [B], shows the whole sector: only then is its view asked
    structures: Tensor  # [B*T]
    points: Tensor  # [B*T,8,2]
    kinds: Tensor  # [B*T,8]
    previous: Tensor  # [B*T,1,32,32]
    targets: Tensor  # [B*T,1,S,S]
    all_masks: Tensor  # [B*T,C,S,S]
    walls: Tensor  # [B*T,4,2], row and column as shares of the square; NaN where unknown


def draw_batch(clips: data.Clips, recipe: Recipe, *, size: int, rng: np.random.Generator) -> Batch:
    """Random clips, random frames of each, one structure and prompt per frame."""
    chosen = _draw_clips(clips, recipe, rng)
    images, prompts, structures, targets, everything, walls, is_whole = [], [], [], [], [], [], []
    for index in chosen:
        picked = np.sort(rng.permutation(recipe.frames)[: recipe.frames_per_clip])
        masks = np.unpackbits(clips.masks[index][picked], axis=-1)
        points = clips.points[index][picked]
        window, around = _draw_window(masks, points, recipe, rng)
        frames, labels, points = augment(
            clips.images[index][picked], masks, points, size=size, rng=rng, around=window
        )
        images.append(frames)
        everything.append(labels)
        walls.append((points + 0.5) / size)
        is_whole.append(window is None)
        present = np.flatnonzero(labels.any(axis=(0, 2, 3)))
        for t in range(len(picked)):
            structure = _draw_structure(present, rng, around=around)
            neighbour = labels[(t + 1) % len(picked), structure]
            structures.append(structure)
            targets.append(labels[t, structure])
            prompts.append(sample_prompt(labels[t, structure], neighbour, rng))
    return Batch(
        frames=torch.from_numpy(normalise(np.concatenate(images), mean=MEAN, std=STD)),
        views=torch.from_numpy(clips.views[chosen]),
        is_whole=torch.tensor(is_whole),
        structures=torch.tensor(structures),
        points=torch.from_numpy(np.stack([p.points for p in prompts])),
        kinds=torch.from_numpy(np.stack([p.kinds for p in prompts])),
        previous=torch.from_numpy(np.stack([p.previous for p in prompts])),
        targets=torch.from_numpy(np.stack(targets)[:, None].astype(np.float32)),
        all_masks=torch.from_numpy(np.concatenate(everything).astype(np.float32)),
        walls=torch.from_numpy(np.concatenate(walls)),
    )


def _draw_clips(clips: data.Clips, recipe: Recipe, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Indices of a batch's clips: some of the apical views, some with wall points, the others any."""
    count = recipe.clips_per_step
    anyone = rng.integers(0, len(clips), count)
    apical = rng.choice(np.flatnonzero(np.isin(clips.views, _APICAL)), count)
    with_walls = rng.choice(np.flatnonzero(np.isfinite(clips.points).all(axis=(1, 2, 3))), count)
    chance = rng.uniform(size=count)
    some = np.where(chance < recipe.apical_share + recipe.wall_share, with_walls, anyone)
    return np.where(chance < recipe.apical_share, apical, some)


def _draw_window(
    masks: npt.NDArray[np.uint8], points: npt.NDArray[np.float32], recipe: Recipe, rng: np.random.Generator
) -> tuple[Around | None, int | None]:
    """What to go close to: the wall points, or a structure, mostly the LV cavity, and which; None for nothing."""
    present = np.flatnonzero(masks.sum(axis=(0, 2, 3)) > _LEAST_PIXELS)
    if rng.uniform() >= recipe.close_share or not present.size:
        return None, None
    if np.isfinite(points).all() and rng.uniform() < _WALLS_WINDOW:
        return Around.points(points), None
    structure = _LV if _LV in present and rng.uniform() < 0.7 else int(rng.choice(present))
    return Around.mask(masks[:, structure]), structure


def _draw_structure(present: npt.NDArray[np.int64], rng: np.random.Generator, *, around: int | None) -> int:
    """What the window is around or the LV cavity, mostly something there, sometimes what is not."""
    chance = rng.uniform()
    if chance < 0.6:
        return _LV if around is None else around
    if chance < 0.9 and present.size:
        return int(rng.choice(present))
    return int(rng.integers(len(data.STRUCTURES)))


def _step(run: Run, recipe: Recipe, clips: data.Clips, step: int) -> dict[str, float]:
    for group in run.optimiser.param_groups:
        group["lr"] = learning_rate(recipe, step)
    size = run.model.shape.image_size
    batch = draw_batch(clips, recipe, size=size, rng=np.random.default_rng([recipe.seed, step]))
    tokens = run.model.encoder(batch.frames)  # [B*T,1+P,D]
    logits = run.model.view(tokens.unflatten(0, (-1, recipe.frames_per_clip)))
    views = F.cross_entropy(logits, batch.views, label_smoothing=0.02, reduction="none")
    views = (views * batch.is_whole).sum() / batch.is_whole.sum().clamp(min=1)
    masks = run.model.segment(tokens, batch.frames, batch.structures, batch.points, batch.kinds, batch.previous)
    shapes = mask_loss(masks, batch.targets)
    walls = _wall_loss(run.model, tokens, batch)
    dense = mask_loss(run.dense(tokens).flatten(0, 1)[:, None], batch.all_masks.flatten(0, 1)[:, None])
    run.optimiser.zero_grad(set_to_none=True)
    (views + shapes + dense + _WALL_WEIGHT * walls).backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_([*run.model.parameters(), *run.dense.parameters()], 1.0)
    run.optimiser.step()
    _average(run, recipe, step)
    losses = {"view_loss": views, "mask_loss": shapes, "dense_loss": dense, "wall_loss": walls}
    return {name: round(loss.item(), 4) for name, loss in losses.items()}


def _wall_loss(model: EchoModel, tokens: Tensor, batch: Batch) -> Tensor:
    """Of the frames whose points are known, and of them alone: the others cost no time."""
    rows = torch.nonzero(batch.walls.isfinite().all(dim=(1, 2)))[:, 0]  # [K]
    if not len(rows):
        return tokens.new_zeros(())
    return point_loss(model.walls(tokens[rows], batch.frames[rows]), batch.walls[rows])


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up, then a cosine down to a hundredth."""
    if step < recipe.warm_up:
        return recipe.learning_rate * (step + 1) / recipe.warm_up
    share = (step - recipe.warm_up) / max(1, recipe.steps - recipe.warm_up)
    return recipe.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))


@torch.no_grad()
def _average(run: Run, recipe: Recipe, step: int) -> None:
    """Exponential average of the weights; short at first, so that it does not hold on to the start."""
    keep = min(recipe.averaging, (1 + step) / (10 + step))
    for kept, new in zip(run.average.parameters(), run.model.parameters(), strict=True):
        kept.lerp_(new, 1 - keep)
    for held, current in zip(run.average.buffers(), run.model.buffers(), strict=True):
        held.copy_(current)
