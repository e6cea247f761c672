"""The view head: a linear decoder on the tokens of a sequence of frames (EchoApex, view application)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ViewHead(nn.Module):
    """Class token and mean patch of every frame, averaged over the sequence, to one logit per view."""

    def __init__(self, width: int, views: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(2 * width)
        self.linear = nn.Linear(2 * width, views)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens [B,T,1+P,D] of sequences of T frames to logits [B,V]."""
        frames = torch.cat([tokens[:, :, 0], tokens[:, :, 1:].mean(dim=2)], dim=-1)  # [B,T,2D]
        logits: Tensor = self.linear(self.norm(frames).mean(dim=1))
        return logits
