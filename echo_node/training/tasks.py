"""The tasks that experiments fit an encoder to, each with the simplest head that can: a linear map.

What is told apart is then what the tokens hold, not what a large head makes of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from echo_node.codes import Structure, View
from echo_node.evaluation.scores import balanced_accuracy, dice
from echo_node.models.vit import ViTShape
from echo_node.phantom.planes import VIEWS
from echo_node.training import data
from echo_node.training.augment import augment
from echo_node.training.losses import mask_loss
from echo_node.training.probes import MaskProbe, ViewProbe
from echo_node.training.studies import Studies

_CAVITY = data.STRUCTURES.index(Structure.LV_CAVITY)


@dataclass(frozen=True, slots=True)
class Examples:
    """Pictures, each group of T with its target, and whose they are."""

    frames: npt.NDArray[np.uint8]  # [M,T,S,S]
    classes: npt.NDArray[np.int64]  # [M], index into LABELS
    cavities: npt.NDArray[np.uint8]  # [M,T,S,S], 0 and 1
    owners: npt.NDArray[np.int64]  # [M], number of the study

    def rows(self, studies: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Indices of what belongs to some studies."""
        return np.flatnonzero(np.isin(self.owners, studies))


class Task(Protocol):
    """What is asked of an encoder's tokens."""

    name: str
    figure: str  # what is scored
    views: Sequence[View]  # that are shown
    probe_rate: float  # at which its head learns on tokens that do not change

    def head(self, shape: ViTShape, tokens: Tensor) -> nn.Module:
        """A fresh head for tokens such as these [M,T,1+p,D]."""
        ...

    def kept(self, tokens: Tensor) -> Tensor:
        """Of tokens [N,1+P,D] what the head reads [N,1+p,D]."""
        ...

    def loss(self, head: nn.Module, tokens: Tensor, examples: Examples) -> Tensor:
        """Of tokens [M,T,1+p,D] against the examples' targets."""
        ...

    def score(self, head: nn.Module, tokens: Tensor, examples: Examples) -> float:
        """The figure, of tokens [M,T,1+p,D]; higher is better."""
        ...


class ViewTask:
    """Which view a clip shows: a linear map from class token and mean patch."""

    name = "view"
    figure = "view balanced accuracy"
    views: Sequence[View] = VIEWS
    probe_rate = 3e-3

    def head(self, shape: ViTShape, tokens: Tensor) -> nn.Module:
        """See :class:`Task`."""
        head = ViewProbe(shape.width, len(data.LABELS)).to(tokens.device)
        head.scale.fit(head.features(tokens.float()))
        return head

    def kept(self, tokens: Tensor) -> Tensor:
        """See :class:`Task`; one mean patch is to the head what all are."""
        return torch.stack([tokens[:, 0], tokens[:, 1:].mean(dim=1)], dim=1)

    def loss(self, head: nn.Module, tokens: Tensor, examples: Examples) -> Tensor:
        """See :class:`Task`."""
        classes = torch.from_numpy(examples.classes).to(tokens.device)
        return F.cross_entropy(head(tokens), classes, label_smoothing=0.02)

    def score(self, head: nn.Module, tokens: Tensor, examples: Examples) -> float:
        """See :class:`Task`."""
        return balanced_accuracy(head(tokens).argmax(dim=1).cpu().numpy(), examples.classes)


class CavityTask:
    """Where the LV cavity is on apical frames: a linear map from each patch's token to its pixels."""

    name = "lv"
    figure = "LV cavity Dice"
    views: Sequence[View] = (View.A4C, View.A2C)
    probe_rate = 1e-2

    def head(self, shape: ViTShape, tokens: Tensor) -> nn.Module:
        """See :class:`Task`."""
        head = MaskProbe(shape).to(tokens.device)
        head.scale.fit(tokens.flatten(0, 2).float())
        return head

    def kept(self, tokens: Tensor) -> Tensor:
        """See :class:`Task`."""
        return tokens

    def loss(self, head: nn.Module, tokens: Tensor, examples: Examples) -> Tensor:
        """See :class:`Task`."""
        cavities = torch.from_numpy(examples.cavities).flatten(0, 1)[:, None]
        return mask_loss(head(tokens.flatten(0, 1)), cavities.to(tokens.device, torch.float32))

    def score(self, head: nn.Module, tokens: Tensor, examples: Examples) -> float:
        """See :class:`Task`; the mean over frames."""
        found = (head(tokens.flatten(0, 1)) > 0)[:, 0].cpu().numpy()
        true = examples.cavities.reshape(found.shape).astype(np.bool_)
        return float(np.mean([dice(f, t) for f, t in zip(found, true, strict=True)]))


TASKS: Mapping[str, Task] = {task.name: task for task in (ViewTask(), CavityTask())}


def taken(examples: Examples, rows: npt.NDArray[np.int64]) -> Examples:
    """Some of the examples."""
    return Examples(examples.frames[rows], examples.classes[rows], examples.cavities[rows], examples.owners[rows])


def looks_at(studies: Studies, *, size: int, looks: int, seed: int) -> Examples:
    """Examples to learn from: each clip several times, moved and changed in its greys."""
    clips = studies.clips
    frames, cavities = [], []
    for index, (images, packed) in enumerate(zip(clips.images, clips.masks, strict=True)):
        for look in range(looks):
            rng = np.random.default_rng([seed, 3, index, look])
            masks = np.unpackbits(packed[:, _CAVITY : _CAVITY + 1], axis=-1)
            nowhere = np.full((len(images), 4, 2), np.nan, np.float32)
            seen, labels, _ = augment(images, masks, nowhere, size=size, rng=rng)
            frames.append(seen)
            cavities.append(labels[:, 0])
    return Examples(
        np.stack(frames), np.repeat(clips.views, looks), np.stack(cavities), np.repeat(studies.owners, looks)
    )


def as_they_are(studies: Studies, *, size: int) -> Examples:
    """Examples to judge by: every clip once, all its frames, as a node sees them."""
    clips = studies.clips
    return Examples(
        np.stack([_shrunk(images, size) for images in clips.images]),
        clips.views,
        np.stack([_shrunk(_cavity(packed) * 255, size) > 127 for packed in clips.masks]).astype(np.uint8),
        studies.owners,
    )


def _cavity(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.unpackbits(packed[:, _CAVITY], axis=-1)


def _shrunk(squares: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    shrunk: list[npt.NDArray[Any]] = [cv2.resize(s, (size, size), interpolation=cv2.INTER_AREA) for s in squares]
    return np.asarray(np.stack(shrunk), np.uint8)
