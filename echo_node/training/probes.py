"""What features say to a linear map, of views and of a mask: the heads of the experiments.

Both see features about their mean: else a head learns little of an encoder whose tokens are nearly alike.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from echo_node.models.vit import ViTShape
from echo_node.training.dense_head import DenseHead

_MOMENTUM = 0.1  # of the statistics: in tens of steps, not in thousands, features are others
_RARE = -2.0  # logit of a pixel of a mask, to begin with: some hundred small steps would not lead there


class ViewProbe(nn.Module):
    """Class token and mean patch of every frame, averaged over the sequence, to one logit per view."""

    def __init__(self, width: int, views: int) -> None:
        super().__init__()
        self.scale = Standardise(2 * width)
        self.linear = nn.Linear(2 * width, views)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens [B,T,1+P,D] of sequences of T frames to logits [B,V]."""
        logits: Tensor = self.linear(self.scale(self.features(tokens)))
        return logits

    def features(self, tokens: Tensor) -> Tensor:
        """Tokens [B,T,1+P,D] to what the linear map reads of a sequence [B,2D]."""
        frames = torch.cat([tokens[:, :, 0], tokens[:, :, 1:].mean(dim=2)], dim=-1)  # [B,T,2D]
        return frames.mean(dim=1)


class MaskProbe(nn.Module):
    """Each patch's token to its pixels of one mask."""

    def __init__(self, shape: ViTShape) -> None:
        super().__init__()
        self.scale = Standardise(shape.width, together=True)
        self.dense = DenseHead(shape, structures=1)
        nn.init.constant_(self.dense.linear.bias, _RARE)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens [N,1+P,D] to logits [N,1,S,S]."""
        logits: Tensor = self.dense(self.scale(tokens.flatten(0, 1)).unflatten(0, tokens.shape[:2]))
        return logits


class Standardise(nn.Module):
    """Features to mean 0 and deviation 1, each or all together, by what they were lately.

    What sets clips apart is small against what all have in common; without this a linear map spends its first
    thousand steps on the latter. Statistics run along rather than come from the batch, which holds a few clips.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, width: int, *, together: bool = False) -> None:
        super().__init__()
        self.together = together
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))

    @torch.no_grad()
    def fit(self, features: Tensor) -> None:
        """Take the statistics of a whole set of features [B,D]."""
        self.mean.copy_(features.mean(dim=0))
        self.variance.copy_(self._one(features.var(dim=0, correction=0)))

    def forward(self, features: Tensor) -> Tensor:
        """Features [B,D] to features [B,D]; in training the statistics follow them."""
        if self.training and len(features) > 1:
            with torch.no_grad():
                self.mean.lerp_(features.mean(dim=0), _MOMENTUM)
                self.variance.lerp_(self._one((features - self.mean).square().mean(dim=0)), _MOMENTUM)
        return (features - self.mean) * torch.rsqrt(self.variance + 1e-5)

    def _one(self, variance: Tensor) -> Tensor:
        """Of all features together where that is wanted: small ones stay small."""
        return variance.mean().expand_as(variance) if self.together else variance
