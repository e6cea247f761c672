"""The hypertrophy head: image tokens and the frame itself to one heat map per wall point.

A convolutional decoder at three scales: the tokens' grid, twice and four times as fine. A wall's border is
finer than a patch, so the frame's own edges join at both finer scales, as in the prompt decoder. A map's
softmax is the probability of where the point lies; its mean around the peak is finer than a cell.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from echo_node.models.prompt_decoder import Refinement


class WallHead(nn.Module):
    """Image tokens and frame to heat maps."""

    def __init__(self, *, image_width: int, grid: int, points: int, channels: int = 1, width: int = 64) -> None:
        super().__init__()
        self.grid = grid
        self.project = nn.Linear(image_width, width)
        self.mix = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.GroupNorm(1, width), nn.GELU())
        self.widen = nn.ConvTranspose2d(width, width // 2, 2, stride=2)
        self.refine_twice = Refinement(width // 2, channels=channels)
        self.widen_again = nn.ConvTranspose2d(width // 2, width // 2, 2, stride=2)
        self.refine_fourfold = Refinement(width // 2, channels=channels)
        self.to_maps = nn.Conv2d(width // 2, points, 3, padding=1)

    def forward(self, tokens: Tensor, frames: Tensor) -> Tensor:
        """Find the points in every frame.

        Parameters
        ----------
        tokens : [B,1+P,D]
            The encoder's tokens of the frame.
        frames : [B,C,S,S]
            The frame, as the encoder took it.

        Returns
        -------
        [B,4,4G,4G]
            Logits over the cells of each point's map, in the order of ``codes.WallPoint``.
        """
        x = self.project(tokens[:, 1:]).transpose(1, 2).unflatten(2, (self.grid, self.grid))  # [B,W,G,G]
        x = x + self.mix(x)
        x = self.refine_twice(F.gelu(self.widen(x)), frames)  # [B,W/2,2G,2G]
        x = self.refine_fourfold(F.gelu(self.widen_again(x)), frames)  # [B,W/2,4G,4G]
        maps: Tensor = self.to_maps(F.gelu(x))
        return maps
