"""The view head once more, on the finished encoder: a linear map of frozen features, over all clips at once.

While encoder and head learn together a batch shows eight whole clips, so that nineteen views make a noisy task;
on kept features the same map sees thousands.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import trange

from echo_node.inference.preprocess import in_clip, scaled
from echo_node.models.assemble import EchoModel
from echo_node.training import data
from echo_node.training.augment import looked_at


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewRecipe:
    """Everything that decides the map, the encoder being given."""

    seed: int = 17
    frames: int = 2  # of a clip, each look
    steps: int = 1500
    batch: int = 512  # clips
    learning_rate: float = 5e-4
    weight_decay: float = 0.1


def fit_views(model: EchoModel, clips: data.Clips, recipe: ViewRecipe | None = None) -> float:
    """Train the model's view head, in place; nothing else of it changes.

    Rare views count more, by the root of how rare they are: those that are measured stay the likelier ones.

    Returns
    -------
    float
        Mean loss of the last hundred steps.
    """
    recipe = recipe or ViewRecipe()
    tokens = _encoded(model, clips, recipe)  # [N,17*D]
    classes = torch.from_numpy(clips.views)
    weights = (1 / torch.bincount(classes, minlength=len(data.LABELS)).clamp(min=1)).sqrt()
    torch.manual_seed(recipe.seed)
    head = model.view.train()
    optimiser = torch.optim.AdamW(head.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, recipe.steps)
    losses = []
    for step in trange(recipe.steps, desc="views", unit="step"):
        rng = np.random.default_rng([recipe.seed, step])
        rows = torch.from_numpy(rng.integers(0, len(clips), recipe.batch))
        logits = head.decide(tokens[rows].float())
        loss = F.cross_entropy(logits, classes[rows], weight=weights, label_smoothing=0.02)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    head.eval()
    return float(np.mean(losses[-100:]))


@torch.no_grad()
def _encoded(model: EchoModel, clips: data.Clips, recipe: ViewRecipe) -> Tensor:
    """What the head reads of each clip, float16 [N,17*D]: frames looked at whole, with other greys each."""
    model.eval()
    rows = []
    for number in trange(len(clips), desc="encode", unit="clip"):
        rng = np.random.default_rng([recipe.seed, 1, number])
        picked = np.sort(rng.permutation(clips.images.shape[1])[: recipe.frames])
        squares = looked_at(clips.images[number], size=model.shape.image_size, rng=rng)
        frames = in_clip(squares[picked], model.shape.channels, among=squares)
        tokens = model.encoder(torch.from_numpy(scaled(frames, mean=data.MEAN, std=data.STD)))
        rows.append(model.view.read(tokens[None])[0].half())
    return torch.stack(rows)
