"""The projection head that answers are read from, in pretraining only."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ProjectionHead(nn.Module):
    """Three layers to a point on a sphere, and its likeness to each prototype (Caron M et al., 2021).

    Each layer is followed by a batch norm, as MoCo v3's are: a small encoder's tokens are nearly alike at first,
    and so were all its answers. It knows the batch it sees and keeps none.
    """

    def __init__(self, width: int, *, prototypes: int, hidden: int, bottleneck: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden, bias=False),
            nn.BatchNorm1d(hidden, track_running_stats=False),
            nn.GELU(),
            nn.Linear(hidden, hidden, bias=False),
            nn.BatchNorm1d(hidden, track_running_stats=False),
            nn.GELU(),
            nn.Linear(hidden, bottleneck, bias=False),
            nn.BatchNorm1d(bottleneck, affine=False, track_running_stats=False),
        )
        self.prototypes = nn.Linear(bottleneck, prototypes, bias=False)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens [N,D] to unit points [N,d] and logits [N,K], cosines. N is 2 at least."""
        with torch.autocast(tokens.device.type, enabled=False):  # half precision would take near answers for equal
            points = F.normalize(self.mlp(tokens.float()), dim=-1, eps=1e-6)
            return points, F.linear(points, F.normalize(self.prototypes.weight, dim=-1))
