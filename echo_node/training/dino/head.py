"""The projection head that answers are read from, in pretraining only."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ProjectionHead(nn.Module):
    """Three layers to a point on a sphere, and its likeness to each prototype (Caron M et al., 2021)."""

    def __init__(self, width: int, *, prototypes: int, hidden: int, bottleneck: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, bottleneck),
        )
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        self.prototypes = nn.Linear(bottleneck, prototypes, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens [N,D] to logits [N,K]: cosines, in -1 to 1."""
        with torch.autocast(tokens.device.type, enabled=False):  # half precision would take near answers for equal
            points = F.normalize(self.mlp(tokens.float()), dim=-1, eps=1e-6)
            return F.linear(points, F.normalize(self.prototypes.weight, dim=-1))
