"""One trial: a task fitted to an encoder by one way of tuning, from the labels of a few studies.

First a head learns on the untouched encoder's tokens; where the tuning is "frozen" that is all. Else the
encoder and that head then learn together (Kumar A et al., "Fine-tuning can distort pretrained features", ICLR
2022). So every tuning starts from the same head, sees the same pictures in the same order, and differs by what of
the encoder learns.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from echo_node.models.adapters import Tuning, prepare, trainable
from echo_node.models.vit import VisionTransformer
from echo_node.training.inputs import encoder_input
from echo_node.training.place import half_precision
from echo_node.training.schedule import warmed_up
from echo_node.training.tasks import Examples, Task, taken

_ENCODED_AT_ONCE = 64  # groups of frames
_WARM_UP, _LAST = 0.1, 0.01  # share of the steps; share of the rate that is left at the end
_CLIP_NORM = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecipe:
    """Everything that decides a trial's result but for its cell."""

    seed: int = 1
    unseen: int = 12  # studies that are judged by
    frames: int = 2  # of a clip
    looks: int = 2  # at a clip
    probe_steps: int = 300
    probe_batch: int = 64
    steps: int = 80
    batch: int = 16  # clips
    head_rate: float = 1e-3
    adapter_rate: float = 2e-3  # of bottlenecks and low-rank changes
    full_rate: float = 5e-4
    weight_decay: float = 0.05
    rank: int = 8
    half_precision: bool = True  # bfloat16 in the encoder, where the device knows it: twice as fast


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One trial's place in a table."""

    start: str  # name of the encoder
    tuning: Tuning
    studies: int  # whose labels are known
    repeat: int  # draws the studies and the head's first weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a trial gave."""

    cell: Cell
    score: float
    encoder: int  # parameters of the encoder that learned
    head: int  # parameters of the head
    whole: int  # parameters of the encoder without adapters
    seconds: float


@dataclass(frozen=True, slots=True)
class Start:
    """An encoder, and what it says of the examples as long as it is not touched."""

    encoder: VisionTransformer
    known: Tensor  # [M,T,1+p,D], half precision
    unseen: Tensor


def drawn(studies: int, cell: Cell, seed: int) -> npt.NDArray[np.int64]:
    """The studies whose labels a cell knows: of one repeat, those of a smaller cell are among a larger one's."""
    return np.random.default_rng([seed, 4, cell.repeat]).permutation(studies)[: cell.studies]


def untouched(
    encoder: VisionTransformer, task: Task, known: Examples, unseen: Examples, recipe: TrialRecipe
) -> Start:
    """Encode all examples once."""
    half = recipe.half_precision
    return Start(encoder, encoded(encoder, task, known, half=half), encoded(encoder, task, unseen, half=half))


def run_trial(
    cell: Cell, start: Start, task: Task, known: Examples, unseen: Examples, recipe: TrialRecipe
) -> Outcome:
    """Fit and judge one cell."""
    began = time.monotonic()
    device, shape = start.encoder.class_token.device, start.encoder.shape
    rows = known.rows(drawn(int(known.owners.max()) + 1, cell, recipe.seed))
    torch.manual_seed(recipe.seed * 1000 + cell.repeat)
    tokens, examples = start.known[rows].to(device), taken(known, rows)
    head = task.head(shape, tokens)
    _probe(head, task, tokens, examples, cell, recipe)
    learned, shown = 0, start.unseen
    if cell.tuning is not Tuning.FROZEN:
        encoder = copy.deepcopy(start.encoder)
        prepare(encoder, cell.tuning, rank=recipe.rank)
        encoder = encoder.to(device)  # what was added, too
        learned = trainable(encoder)
        _tune(encoder, head, task, examples, cell, recipe)
        shown = encoded(encoder, task, unseen, half=recipe.half_precision)
    head.eval()
    with torch.no_grad():
        score = task.score(head, shown.to(device).float(), unseen)
    return Outcome(
        cell=cell,
        score=score,
        encoder=learned,
        head=sum(p.numel() for p in head.parameters()),
        whole=sum(p.numel() for p in start.encoder.parameters()),
        seconds=round(time.monotonic() - began, 1),
    )


@torch.no_grad()
def encoded(encoder: VisionTransformer, task: Task, examples: Examples, *, half: bool) -> Tensor:
    """What a task reads of every example's tokens [M,T,1+p,D], in half precision, on the processor."""
    encoder.eval()
    parts = []
    for first in range(0, len(examples.frames), _ENCODED_AT_ONCE):
        frames = examples.frames[first : first + _ENCODED_AT_ONCE]
        parts.append(_tokens(encoder, task, frames, half=half).half().cpu())
    return torch.cat(parts)


def _tokens(encoder: VisionTransformer, task: Task, frames: npt.NDArray[np.uint8], *, half: bool) -> Tensor:
    """Frames u8 [M,T,S,S] to tokens [M,T,1+p,D]."""
    device = encoder.class_token.device
    images = encoder_input(frames, encoder.shape).flatten(0, 1).to(device)  # [M*T,C,S,S]
    with half_precision(device, wanted=half):
        tokens = encoder(images)
    kept = task.kept(tokens.float())  # [M*T,1+p,D]
    return kept.reshape(len(frames), -1, *kept.shape[1:])


def _probe(
    head: nn.Module, task: Task, tokens: Tensor, examples: Examples, cell: Cell, recipe: TrialRecipe
) -> None:
    """Let the head learn on tokens that do not change."""
    head.eval()  # its statistics are those of all the tokens already
    optimiser = _optimiser([(head.parameters(), task.probe_rate)], recipe)
    for step in range(recipe.probe_steps):
        rng = np.random.default_rng([recipe.seed, 5, cell.repeat, step])
        rows = rng.integers(len(tokens), size=min(recipe.probe_batch, len(tokens)))
        _step(optimiser, task.loss(head, tokens[rows].float(), taken(examples, rows)), step / recipe.probe_steps)


def _tune(
    encoder: VisionTransformer, head: nn.Module, task: Task, examples: Examples, cell: Cell, recipe: TrialRecipe
) -> None:
    """Let encoder and head learn together."""
    is_full = cell.tuning is Tuning.FULL
    encoder.train(is_full)  # else the stem's batch statistics would move, though they are frozen
    head.train()
    learning = [p for p in encoder.parameters() if p.requires_grad]
    rate = recipe.full_rate if is_full else recipe.adapter_rate
    optimiser = _optimiser([(learning, rate), (head.parameters(), recipe.head_rate)], recipe)
    for step in range(recipe.steps):
        rng = np.random.default_rng([recipe.seed, 6, cell.repeat, step])
        batch = taken(examples, rng.integers(len(examples.owners), size=recipe.batch))
        tokens = _tokens(encoder, task, batch.frames, half=recipe.half_precision)
        _step(optimiser, task.loss(head, tokens, batch), step / recipe.steps)


def _optimiser(groups: Iterable[tuple[Iterable[nn.Parameter], float]], recipe: TrialRecipe) -> torch.optim.AdamW:
    parts = [{"params": list(parameters), "peak": rate} for parameters, rate in groups]
    return torch.optim.AdamW(parts, weight_decay=recipe.weight_decay)


def _step(optimiser: torch.optim.Optimizer, loss: Tensor, share: float) -> None:
    for group in optimiser.param_groups:
        peak = group["peak"]
        group["lr"] = warmed_up(peak, _LAST * peak, share=share, warm_up=_WARM_UP)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_([p for group in optimiser.param_groups for p in group["params"]], _CLIP_NORM)
    optimiser.step()
