"""What features say of views to a linear map: the probe of the experiments, on class token and mean patch."""

from __future__ import annotations

import torch
from torch import Tensor, nn


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


class Standardise(nn.Module):
    """Features to mean 0 and deviation 1 each, by what they were lately.

    What sets clips apart is small against what all have in common; without this a linear map spends its first
    thousand steps on the latter. Statistics run along rather than come from the batch, which holds a few clips.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, width: int, *, momentum: float = 0.02) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))

    @torch.no_grad()
    def fit(self, features: Tensor) -> None:
        """Take the statistics of a whole set of features [B,D]."""
        self.mean.copy_(features.mean(dim=0))
        self.variance.copy_(features.var(dim=0, correction=0))

    def forward(self, features: Tensor) -> Tensor:
        """Features [B,D] to features [B,D]; in training the statistics follow them."""
        if self.training and len(features) > 1:
            with torch.no_grad():
                self.mean.lerp_(features.mean(dim=0), self.momentum)
                self.variance.lerp_((features - self.mean).square().mean(dim=0), self.momentum)
        return (features - self.mean) * torch.rsqrt(self.variance + 1e-5)
