"""The view head: a linear decoder on the tokens of a sequence of frames (EchoApex, view application)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_FIELDS = 4  # along a side: views differ by what lies where


class ViewHead(nn.Module):
    """Class token and sixteen overlapping fields of patches, averaged over the sequence, to one logit per view."""

    def __init__(self, width: int, views: int, *, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.stride = grid // _FIELDS
        self.norm = nn.LayerNorm((1 + _FIELDS**2) * width)
        self.linear = nn.Linear((1 + _FIELDS**2) * width, views)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens [B,T,1+P,D] of sequences of T frames to logits [B,V]."""
        tokens = tokens.mean(dim=1)  # [B,1+P,D]
        n, _, width = tokens.shape
        patches = tokens[:, 1:].transpose(1, 2).reshape(n, width, self.grid, self.grid)  # [B,D,G,G]
        fields = F.avg_pool2d(patches, self.grid - (_FIELDS - 1) * self.stride, stride=self.stride)  # [B,D,4,4]
        logits: Tensor = self.linear(self.norm(torch.cat([tokens[:, 0], fields.flatten(1)], dim=1)))
        return logits
