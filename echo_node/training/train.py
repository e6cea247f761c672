"""``echo-node train``: phantoms to weights. Seeded, resumable, its metrics in a file.

First one encoder learns views, with their head. Then a second is tuned from it to what is measured, with the heads
of outlines and wall points: a tiny one cannot do both as well. A stage without steps leaves its part as it is.

One process, or as many as ``torchrun`` starts: each draws its share of a batch.
"""

from __future__ import annotations

import copy
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm, trange

from echo_node.errors import EngineError, LabelError
from echo_node.models.assemble import SHAPES, EchoModel
from echo_node.models.checkpoints import load_state, save_state
from echo_node.models.starting_point import load_heads, read_encoder, widened
from echo_node.training import data, labelled
from echo_node.training.batches import Batch, batches
from echo_node.training.clicks import clicked
from echo_node.training.dense_head import DenseHead
from echo_node.training.inputs import CHANNELS
from echo_node.training.losses import mask_loss, point_loss
from echo_node.training.place import Place, half_precision, share_gradients
from echo_node.training.recipe import UNSEEN, Recipe
from echo_node.training.schedule import cosine
from echo_node.training.validate import validate

_WALL_WEIGHT = 0.25  # of the wall loss: it starts at some 5 nats, the others at 1


@dataclass(slots=True)
class Run:
    """A run's state: all that a checkpoint holds."""

    model: EchoModel
    dense: DenseHead  # of training only: it teaches either encoder every structure on every frame
    average: EchoModel
    optimiser: torch.optim.Optimizer
    step: int = 0
    own: str = ""  # what the labelled clips of one's own are known by

    @classmethod
    def start(cls, recipe: Recipe, model: EchoModel, device: torch.device) -> Run:
        """A fresh run, which trains the model in place."""
        torch.manual_seed(recipe.seed)
        dense = DenseHead(model.shape, structures=len(data.STRUCTURES)).to(device)
        model.to(device)
        learning = [model.encoder, model.view] if recipe.views else [model.measuring, model.segment, model.walls]
        model.requires_grad_(requires_grad=False)
        for part in learning:
            part.requires_grad_()
        optimiser = torch.optim.AdamW(
            [*(p for p in model.parameters() if p.requires_grad), *dense.parameters()],
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
            "own": self.own,
        }
        save_state(state, path)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises
        ------
        EngineError
            What this stage leaves as it is was another when the checkpoint was made, it learned from other
            labelled clips, or the model had another shape.
        """
        state = load_state(path)
        if state.get("own", "") != self.own:
            raise EngineError(
                f"{path}: learned from other labelled clips of one's own (--data); choose another --run"
            )
        frozen = {name: p for name, p in self.model.named_parameters() if not p.requires_grad}
        if any(not torch.equal(state["model"][name], p.cpu()) for name, p in frozen.items()):
            raise EngineError(f"{path}: goes on from other weights; move it away to begin this stage anew")
        try:
            self.model.load_state_dict(state["model"])
            self.dense.load_state_dict(state["dense"])
            self.average.load_state_dict(state["average"])
        except RuntimeError as error:
            raise EngineError(f"{path}: is of another model; move it away to begin this stage anew") from error
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = state["step"]


def train(out: Path, recipe: Recipe | None = None) -> EchoModel:
    """Train, or go on where the folder's checkpoints stand.

    Every step draws from a random stream of its own (seed and step), so that a run that was broken off
    and resumed ends with the weights of one that was not.

    Parameters
    ----------
    out : Path
        Folder of the run: ``phantoms/``, ``views.pt`` and ``measuring.pt``, ``metrics.jsonl``.
    recipe : Recipe, optional
        The default engine's, where left out.

    Returns
    -------
    EchoModel
        The averaged weights.

    Raises
    ------
    LabelError
        The labelled clips of one's own cannot be used.
    """
    recipe = recipe or Recipe()
    out.mkdir(parents=True, exist_ok=True)
    shards = out / "phantoms"
    model, place, seed, frames = _model(recipe), Place.find(), recipe.seed, recipe.frames
    with_views, with_drawings = _own(recipe)
    known = place.first_of_all(lambda: data.load(shards, seed=seed, clips=recipe.train_clips, frames=frames))
    unseen = place.first_of_all(
        lambda: data.load(shards, seed=UNSEEN, clips=recipe.validation_clips, frames=frames)
    )
    model = _train(out, recipe, model, _Sets(known, with_views, unseen))
    if recipe.steps and recipe.measuring_steps:
        model.measuring.load_state_dict(model.encoder.state_dict())
    return _train(out, recipe.of_measuring(), model, _Sets(known, with_drawings, unseen))


@dataclass(frozen=True, slots=True)
class _Sets:
    """What a stage learns from, and is watched by."""

    known: data.Clips
    own: data.Clips | None  # None, or at least one
    unseen: data.Clips


def _own(recipe: Recipe) -> tuple[data.Clips | None, data.Clips | None]:
    """Labelled clips of one's own for both stages."""
    if recipe.own is None:
        return None, None
    own = labelled.load(recipe.own, frames=recipe.frames)
    views, drawn = labelled.with_views(own), labelled.with_drawings(own)
    said = f"{len(own)} clips, {len(views)} for their view, {len(drawn)} for outlines and walls"
    tqdm.write(f"{recipe.own}: {said}", sys.stderr)
    if not ((len(views) and recipe.steps) or (len(drawn) and recipe.measuring_steps)):
        raise LabelError(
            f"{recipe.own}: no stage that is to run learns from it. Views are learned where "
            f"{labelled.FEWEST_VIEWS} of them are labelled (--steps), what is drawn from any (--measuring-steps)"
        )
    return views if len(views) else None, drawn if len(drawn) else None


def _model(recipe: Recipe) -> EchoModel:
    """What training starts from: nothing, an encoder, or all of an engine package."""
    torch.manual_seed(recipe.seed)
    start = None if recipe.encoder is None else read_encoder(recipe.encoder)
    shape = SHAPES[recipe.size] if start is None else start.shape
    shape = replace(shape, channels=CHANNELS)
    model = EchoModel(shape, views=len(data.LABELS), structures=len(data.STRUCTURES))
    if recipe.encoder is not None and start is not None:
        model.encoder.load_state_dict(widened(start.state_dict(), model.encoder.state_dict()))
        model.measuring.load_state_dict(model.encoder.state_dict())
        load_heads(model, recipe.encoder)
    return model


def _train(out: Path, recipe: Recipe, model: EchoModel, sets: _Sets) -> EchoModel:
    """One stage."""
    known = [sets.known] if sets.own is None else [sets.known, sets.own]
    place, stage = Place.find(), "views" if recipe.views else "measuring"
    run, checkpoint = Run.start(recipe, model, place.device), out / f"{stage}.pt"
    run.own = "" if sets.own is None else labelled.digest(sets.own)
    if checkpoint.exists():
        run.resume(checkpoint)
    bar = trange(run.step, recipe.steps, initial=run.step, total=recipe.steps, desc=stage, unit="step")
    for step, batch in zip(
        bar, batches(known, recipe, place, shape=run.model.shape, first_step=run.step), strict=True
    ):
        losses = _step(run, recipe, batch.to(place.device), step)
        run.step = step + 1
        bar.set_postfix(losses)
        if place.rank == 0 and (run.step % recipe.validate_every == 0 or run.step == recipe.steps):
            run.save(checkpoint)
            row = {"stage": stage, "step": run.step, **losses}
            row |= validate(run.average, sets.unseen, encoder=_encoder(run.average, recipe))
            with (out / "metrics.jsonl").open("a", encoding="utf-8") as metrics:
                metrics.write(json.dumps(row) + "\n")
    return run.average.requires_grad_().cpu()


def _step(run: Run, recipe: Recipe, batch: Batch, step: int) -> dict[str, float]:
    for group in run.optimiser.param_groups:
        group["lr"] = learning_rate(recipe, step)
    with half_precision(batch.frames.device, wanted=recipe.half_precision):
        tokens = _encoder(run.model, recipe)(batch.frames)  # [B*T,1+P,D]
    tokens = tokens.float()
    known = batch.known.flatten()  # [B*T*C]
    dense = mask_loss(
        run.dense(tokens).flatten(0, 1)[known][:, None], batch.all_masks.flatten(0, 1)[known][:, None]
    )
    losses = {"dense_loss": dense}
    if recipe.views:
        losses["view_loss"] = _view_loss(run.model, tokens.unflatten(0, (-1, recipe.frames_per_clip)), batch)
    else:
        losses["mask_loss"] = _outline_loss(run.model, tokens, batch)
        losses["wall_loss"] = _wall_loss(run.model, tokens, batch)
    run.optimiser.zero_grad(set_to_none=True)
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    share_gradients([*run.model.parameters(), *run.dense.parameters()])
    torch.nn.utils.clip_grad_norm_([*run.model.parameters(), *run.dense.parameters()], 1.0)
    run.optimiser.step()
    _average(run, recipe, step)
    return {name: round(loss.item(), 4) for name, loss in losses.items()}


def _encoder(model: EchoModel, recipe: Recipe) -> nn.Module:
    return model.encoder if recipe.views else model.measuring


def _view_loss(model: EchoModel, sequences: Tensor, batch: Batch) -> Tensor:
    """Of the clips that are seen whole [B,T,1+P,D]."""
    rows = torch.nonzero(batch.view_weights)[:, 0]  # [K]
    if not len(rows):
        return sequences.new_zeros(())
    each = F.cross_entropy(model.view(sequences[rows]), batch.views[rows], label_smoothing=0.02, reduction="none")
    return (each * batch.view_weights[rows]).mean()


def _outline_loss(model: EchoModel, tokens: Tensor, batch: Batch) -> Tensor:
    asked = batch.asked
    points, kinds = clicked(model.segment, tokens, batch)
    given = tokens, batch.frames, batch.structures, points, kinds, batch.previous
    return mask_loss(model.segment(*(part[asked] for part in given)), batch.targets[asked])


def _wall_loss(model: EchoModel, tokens: Tensor, batch: Batch) -> Tensor:
    """Of the frames whose points are known, and of them alone: the others cost no time."""
    rows = torch.nonzero(batch.walls.isfinite().all(dim=(1, 2)))[:, 0]  # [K]
    if not len(rows):
        return tokens.new_zeros(())
    return _WALL_WEIGHT * point_loss(model.walls(tokens[rows], batch.frames[rows]), batch.walls[rows])


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up, then a cosine down to the last."""
    if step < recipe.warm_up:
        return recipe.learning_rate * (step + 1) / recipe.warm_up
    share = (step - recipe.warm_up) / max(1, recipe.steps - recipe.warm_up)
    return cosine(recipe.learning_rate, recipe.last_rate * recipe.learning_rate, share)


@torch.no_grad()
def _average(run: Run, recipe: Recipe, step: int) -> None:
    """Exponential average of the weights; short at first, so that it does not hold on to the start."""
    keep = min(recipe.averaging, (1 + step) / (5 + step))
    for kept, new in zip(run.average.parameters(), run.model.parameters(), strict=True):
        kept.lerp_(new, 1 - keep)
    for held, current in zip(run.average.buffers(), run.model.buffers(), strict=True):
        if held.is_floating_point():
            held.lerp_(current, 1 - keep)
        else:
            held.copy_(current)
