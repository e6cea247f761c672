"""Stage 3: the ejection fraction head, on the tokens of the frozen encoder of what is measured.

Apical beats are encoded once, in windows around the true cavity with an engine's margin, about, and with greys
changed as before. Their tokens stay in memory in half precision. A beat closes on itself, so the head learns
from stretches of one to two beats, at frame rates that differ. EF and the volume of every frame are the solid's
own. The figures come from whole cines of other patients, seen through the frames that an engine looks at.

Of labelled cines of one's own, seen whole, only EF is known. They are at most half of each step.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm, trange

from echo_node.evaluation.cases import Part
from echo_node.inference import ejection
from echo_node.inference.ejection import MOST_FRAMES
from echo_node.inference.preprocess import in_clip, scaled
from echo_node.models.assemble import EchoModel
from echo_node.models.checkpoints import load_state, save_state
from echo_node.models.ejection_head import EjectionHead
from echo_node.training import cines, own_cines
from echo_node.training.augment import looked_at, seen_straight
from echo_node.training.data import MEAN, STD
from echo_node.training.inputs import encoder_input
from echo_node.training.losses import ejection_loss
from echo_node.training.own_cines import FEWEST_FRAMES
from echo_node.training.place import Place
from echo_node.training.schedule import warmed_up

_FRAMES = (FEWEST_FRAMES, MOST_FRAMES)  # of a stretch
_BEATS = (1.05, 2.2)  # of a stretch
_LOWEST_RATE = 10.0  # frames a second of a stretch; an engine looks at some 15 or more
_ENCODED_AT_ONCE = 32  # frames
_ENOUGH = 20  # cines of one's own that say how wide errors are


@dataclass(frozen=True, slots=True, kw_only=True)
class EjectionRecipe:
    """Everything that decides the head, the encoder being given."""

    seed: int = 11
    beats: int = 1000  # of as many patients
    frames: int = 24  # of a beat
    looks: int = 1  # at every beat: windows and greys
    unseen: int = 60  # cines, for the figures and for the scale of the uncertainty
    steps: int = 3000
    batch: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warm_up: float = 0.05  # share of the steps
    averaging: float = 0.99  # of the weights that are kept
    validate_every: int = 250
    own: Path | None = None  # labelled cines of one's own, learned from beside the phantoms
    most_own: int = 3000  # of their patients; all tokens stay in memory


@dataclass(frozen=True, slots=True)
class Encoded:
    """A cine as the head meets it."""

    tokens: Tensor  # float16 [T,1+P,D]
    times: Tensor  # [T], seconds
    volumes: Tensor  # [T]; NaN where unknown
    ef: float  # share
    beat: float | None  # seconds, of one that closes on itself


@dataclass(frozen=True, slots=True)
class Sets:
    """What the head learns from, and what it is judged by; own ones may be none."""

    known: Sequence[Encoded]
    own: Sequence[Encoded]
    unseen: Sequence[Encoded]
    own_unseen: Sequence[Encoded]


def train_ejection(model: EchoModel, out: Path, recipe: EjectionRecipe | None = None) -> Mapping[str, float]:
    """Train the model's ejection fraction head, in place; nothing else of it changes.

    Parameters
    ----------
    model : EchoModel
        After stages 1 and 2.
    out : Path
        Folder of the run: ``cines/``, ``ejection.jsonl``, and ``ejection.pt`` when it is done, once and for all.
    recipe : EjectionRecipe, optional
        The default engine's, where left out.

    Returns
    -------
    mapping
        The figures on unseen cines: see :func:`validate`.
    """
    recipe = recipe or EjectionRecipe()
    kept, key = out / "ejection.pt", _key(model, recipe)
    if kept.exists() and (state := load_state(kept))["key"] == key:
        model.ejection.load_state_dict(state["head"])
        return dict(state["figures"])
    model.measuring.to(Place.find().device)
    sets = _data(model, out / "cines", recipe)
    model.measuring.cpu()
    torch.manual_seed(recipe.seed)
    head = copy.deepcopy(model.ejection).train()  # of a package it goes on; else it is as it was drawn
    smoothing = get_ema_multi_avg_fn(recipe.averaging)  # type: ignore[no-untyped-call]
    average = AveragedModel(head, multi_avg_fn=smoothing)
    optimiser = torch.optim.AdamW(head.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    figures: dict[str, float] = {}
    bar = trange(recipe.steps, desc="ejection", unit="step")
    for step in bar:
        for group in optimiser.param_groups:
            group["lr"] = warmed_up(
                recipe.learning_rate, recipe.learning_rate / 100, share=step / recipe.steps, warm_up=recipe.warm_up
            )
        loss = _step(head, optimiser, _draw(sets, recipe, np.random.default_rng([recipe.seed, step])))
        average.update_parameters(head)
        bar.set_postfix(loss=round(loss, 3))
        if (step + 1) % recipe.validate_every == 0 or step + 1 == recipe.steps:
            model.ejection.load_state_dict(average.module.state_dict())
            figures = validate(model.ejection, sets.unseen)
            if sets.own_unseen:
                figures |= {f"own_{name}": value for name, value in errors(model.ejection, sets.own_unseen).items()}
            with (out / "ejection.jsonl").open("a", encoding="utf-8") as metrics:
                metrics.write(json.dumps({"step": step + 1, "loss": round(loss, 4), **figures}) + "\n")
    factor = scale_uncertainty(model.ejection, sets.unseen, sets.own_unseen)
    tqdm.write(f"EF: uncertainty times {factor:.2f} to cover the errors on unseen cines", sys.stderr)
    save_state({"key": key, "head": model.ejection.state_dict(), "figures": figures}, kept)
    return figures


def _key(model: EchoModel, recipe: EjectionRecipe) -> str:
    """What a finished head is known by: recipe, own labels, and the weights that it began with and reads from."""
    known = hashlib.sha256(repr(replace(recipe, own=None)).encode())
    if recipe.own is not None:
        known.update(own_cines.digest(recipe.own).encode())
    for part in (model.measuring, model.ejection):
        for weights in part.state_dict().values():
            known.update(weights.detach().cpu().numpy().tobytes())
    return known.hexdigest()


def _data(model: EchoModel, folder: Path, recipe: EjectionRecipe) -> Sets:
    """Beats to learn from, and whole cines of other patients."""
    beats = cines.load(folder, seed=recipe.seed, cines=recipe.beats, frames=recipe.frames)
    known = [
        encode(model, cine, np.random.default_rng([recipe.seed, number, look]))
        for number, cine in enumerate(beats)
        for look in range(recipe.looks)
    ]
    others = cines.load(folder, seed=recipe.seed + 1, cines=recipe.unseen, frames=None)
    unseen = [encode(model, cine, np.random.default_rng([recipe.seed + 1, n])) for n, cine in enumerate(others)]
    own = {part: _own(model, recipe, part) for part in (Part.TRAIN, Part.VAL)} if recipe.own is not None else {}
    return Sets(known=known, own=own.get(Part.TRAIN, ()), unseen=unseen, own_unseen=own.get(Part.VAL, ()))


def _own(model: EchoModel, recipe: EjectionRecipe, part: Part) -> list[Encoded]:
    """Cines of one's own: to learn from, or for the figures and the scale of the uncertainty."""
    assert recipe.own is not None
    given = own_cines.load(recipe.own, part, most=recipe.most_own, seed=recipe.seed)
    is_learned = part is Part.TRAIN
    found = [
        encode_own(model, cine, np.random.default_rng([recipe.seed + 2, n]) if is_learned else None)
        for n, cine in enumerate(given)
    ]
    tqdm.write(f"{recipe.own} ({part.value}): EF of {len(found)} cines", sys.stderr)
    return found


def encode(model: EchoModel, cine: cines.Cine, rng: np.random.Generator) -> Encoded:
    """One look at a phantom's cine."""
    squares = looked_at(cine.images, size=model.shape.image_size, rng=rng, around=cine.around)
    return Encoded(
        tokens=_tokens(model, encoder_input(squares, model.shape)),
        times=torch.from_numpy(cine.times),
        volumes=torch.from_numpy(cine.volumes),
        ef=float(cine.ef),
        beat=float(cine.beat),
    )


def encode_own(model: EchoModel, cine: own_cines.OwnCine, rng: np.random.Generator | None) -> Encoded:
    """One look at a cine of one's own, of which no volume is known: an engine's where there is no randomness.

    Its window is around the cavity as it was outlined, not as an engine finds it.
    """
    both, shape = np.concatenate([cine.images, cine.beside]), model.shape
    if rng is None:
        squares = seen_straight(both, size=shape.image_size, around=cine.around)
    else:
        squares = looked_at(both, size=shape.image_size, rng=rng, around=cine.around)
    images, beside = np.split(squares, [len(cine.images)])
    frames = scaled(in_clip(images, shape.channels, among=beside), mean=MEAN, std=STD)
    return Encoded(
        tokens=_tokens(model, torch.from_numpy(frames)),
        times=torch.from_numpy(cine.times),
        volumes=torch.full((len(cine.times),), torch.nan),
        ef=cine.ef,
        beat=None,
    )


@torch.no_grad()
def _tokens(model: EchoModel, frames: Tensor) -> Tensor:
    """Of frames [T,C,S,S], float16 [T,1+P,D]: made where the encoder is, kept in the processor's memory."""
    model.eval()
    device = model.measuring.class_token.device
    parts = torch.split(frames, _ENCODED_AT_ONCE)
    return torch.cat([model.measuring(part.to(device)).half().cpu() for part in parts])


@dataclass(frozen=True, slots=True)
class Stretches:
    """One step's input and truth."""

    tokens: Tensor  # [B,T,1+P,D]
    times: Tensor  # [B,T], seconds from the first frame
    volumes: Tensor  # [B,T]
    ef: Tensor  # [B]


def _draw(sets: Sets, recipe: EjectionRecipe, rng: np.random.Generator) -> list[Stretches]:
    """One step's stretches. Own ones are as large a part as of all that is known, but half at most."""
    own = round(recipe.batch * min(0.5, len(sets.own) / (len(sets.known) + len(sets.own))))
    own = max(own, min(1, len(sets.own)))
    drawn = [draw_stretches(sets.known, rng, batch=max(1, recipe.batch - own))]
    return [*drawn, *(draw_stretches(sets.own, rng, batch=1) for _ in range(own))]  # each at its own rate


def draw_stretches(known: Sequence[Encoded], rng: np.random.Generator, *, batch: int) -> Stretches:
    """Stretches of random beats, or whole cines, all of one number of frames."""
    chosen = [known[i] for i in rng.integers(0, len(known), batch)]
    whole = [cine for cine in chosen if cine.beat is None]
    most = min([_FRAMES[1], *(len(cine.times) for cine in whole)])
    fewest = max([_FRAMES[0], *(math.ceil(_LOWEST_RATE * float(cine.times[-1])) for cine in whole)])
    count = int(rng.integers(min(fewest, most), most + 1))
    places = [_draw_places(cine, count, rng) for cine in chosen]  # in frames from the first, growing
    inside = [torch.from_numpy(place % len(cine.times)) for cine, place in zip(chosen, places, strict=True)]
    return Stretches(
        tokens=torch.stack([cine.tokens[i] for cine, i in zip(chosen, inside, strict=True)]).float(),
        times=torch.stack([_seconds(cine, place) for cine, place in zip(chosen, places, strict=True)]),
        volumes=torch.stack([cine.volumes[i] for cine, i in zip(chosen, inside, strict=True)]),
        ef=torch.tensor([cine.ef for cine in chosen]),
    )


def _draw_places(cine: Encoded, count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Frames [T] of a stretch, no frame twice: of a beat or more, at no less than the lowest rate if that goes.

    What does not close on itself is taken from its first frame to its last.
    """
    total = len(cine.times)
    if cine.beat is None:
        return np.linspace(0, total - 1, count).round().astype(np.int64)
    longest = min(_BEATS[1], count / (_LOWEST_RATE * cine.beat))
    shortest = max(_BEATS[0], count / total)
    beats = rng.uniform(shortest, max(shortest, longest))
    steps = np.linspace(0, beats * total - 1, count).round().astype(np.int64)
    return steps + int(rng.integers(total))


def _seconds(cine: Encoded, places: npt.NDArray[np.int64]) -> Tensor:
    """When these frames [T] are, from the first of them."""
    if cine.beat is None:
        return cine.times[places] - cine.times[places[0]]
    return torch.from_numpy((places - places[0]) * (cine.beat / len(cine.times))).float()


def _step(head: EjectionHead, optimiser: torch.optim.Optimizer, batches: Sequence[Stretches]) -> float:
    counts = torch.tensor([float(len(batch.ef)) for batch in batches])
    each = [ejection_loss(head(batch.tokens, batch.times), batch.ef, batch.volumes) for batch in batches]
    loss = (torch.stack(each) * counts).sum() / counts.sum()
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
    optimiser.step()
    return loss.item()


@torch.no_grad()
def validate(head: EjectionHead, unseen: Sequence[Encoded]) -> dict[str, float]:
    """Errors of EF in points, of ED and ES in volume (percent of the end-diastolic one) on whole cines."""
    ends = []
    for cine in unseen:
        picked = list(ejection.looked_at(cine.times.double().numpy() * 1000))
        said = _said(head, cine)
        true = cine.volumes[picked]
        at_ed, at_es = true[said[2:].argmax()], true[said[2:].argmin()]
        ends.append(100 * (true.max() - at_ed + at_es - true.min()).item() / 2)
    return errors(head, unseen) | {"end_error": round(float(np.mean(ends)), 3)}


@torch.no_grad()
def errors(head: EjectionHead, unseen: Sequence[Encoded]) -> dict[str, float]:
    """Mean absolute error and bias of EF in points on whole cines."""
    found = [100 * (_said(head, cine)[0].item() - cine.ef) for cine in unseen]
    return {"ef_mae": round(float(np.abs(found).mean()), 3), "ef_bias": round(float(np.mean(found)), 3)}


def _said(head: EjectionHead, cine: Encoded) -> Tensor:
    """The head's output [2+T] for the frames that an engine would look at."""
    picked = list(ejection.looked_at(cine.times.double().numpy() * 1000))
    times = cine.times[picked] - cine.times[picked[0]]
    said: Tensor = head(cine.tokens[picked].float()[None], times[None])[0]
    return said


@torch.no_grad()
def scale_uncertainty(head: EjectionHead, *sets: Sequence[Encoded]) -> float:
    """Set the head's log-variance so that errors on unseen cines have the spread that it says.

    Parameters
    ----------
    head : EjectionHead
    *sets
        Cines; of those sets that hold enough, or of the first, the one with the wider errors counts.

    Returns
    -------
    float
        The factor on the standard deviation.
    """
    first, *others = sets
    factor = max(_excess(head, unseen) for unseen in (first, *(s for s in others if len(s) >= _ENOUGH)))
    last = head.to_ejection[-1]
    assert isinstance(last, nn.Linear)
    last.bias[1] += 2 * math.log(factor)
    return factor


def _excess(head: EjectionHead, unseen: Sequence[Encoded]) -> float:
    """Root mean square of errors over what the head says of them."""
    said = torch.stack([_said(head, cine)[:2] for cine in unseen])  # [N,2]
    off = said[:, 0] - torch.tensor([cine.ef for cine in unseen])
    return float((off**2 * torch.exp(-said[:, 1])).mean().sqrt())
