"""The ejection fraction head: the tokens of a sequence of frames to EF and a curve of relative volume.

A spatio-temporal decoder. In space, learned queries attend to the tokens of each frame; in time, a small
transformer looks over the sequence. A frame's place in time is told in seconds, so that frame rate and
dropped frames do not matter.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from echo_node.models.prompt_decoder import CrossAttention
from echo_node.models.vit import SelfAttention

_PERIODS_S = (0.1, 10.0)  # of the sines that tell the time: from a frame's to a clip's
_MEAN_VOLUME = 0.7  # of a beat, over the end-diastolic one: where learning starts


class EjectionHead(nn.Module):
    """Tokens of a sequence and its times to EF, its log-variance, and the volume of every frame."""

    def __init__(
        self,
        *,
        image_width: int,
        grid: int,
        width: int = 96,
        heads: int = 4,
        queries: int = 8,
        depth: int = 2,
    ) -> None:
        super().__init__()
        self.frame = FrameReader(image_width=image_width, grid=grid, width=width, heads=heads, queries=queries)
        self.time = TimeEncoding(width)
        self.layers = nn.ModuleList(TemporalLayer(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.to_volume = nn.Linear(width, 1)
        nn.init.normal_(self.to_volume.weight, std=0.01)
        nn.init.constant_(self.to_volume.bias, _MEAN_VOLUME)
        self.to_ejection = nn.Sequential(nn.Linear(2 * width + 2, width), nn.GELU(), nn.Linear(width, 2))

    def forward(self, tokens: Tensor, times: Tensor) -> Tensor:
        """Estimate EF.

        Parameters
        ----------
        tokens : [B,T,1+P,D]
            The encoder's tokens of sequences of T frames in a window around the left ventricle.
        times : [B,T]
            Seconds from the first frame.

        Returns
        -------
        [B,2+T]
            EF as a share, the logarithm of its variance, then each frame's volume over the end-diastolic one.
        """
        b, t = times.shape
        x = self.frame(tokens.reshape(b * t, tokens.shape[2], tokens.shape[3]))  # [B*T,W]
        x = x.reshape(b, t, -1) + self.time(times)  # [B,T,W]
        for layer in self.layers:
            x = layer(x)
        x = self.norm(x)
        volumes = self.to_volume(x)[..., 0]  # [B,T]
        ends = torch.stack([volumes.amax(dim=1), volumes.amin(dim=1)], dim=1)  # [B,2]
        summary = torch.cat([x.mean(dim=1), x.amax(dim=1), ends], dim=1)  # [B,2W+2]
        said = self.to_ejection(summary)  # [B,2]
        ef = ends[:, :1] - ends[:, 1:] + said[:, :1]  # what the curve shows, corrected
        return torch.cat([ef, said[:, 1:], volumes], dim=1)


class FrameReader(nn.Module):
    """One frame's tokens to one vector: learned queries gather what the patches say of the ventricle."""

    def __init__(self, *, image_width: int, grid: int, width: int, heads: int, queries: int) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.LayerNorm(image_width), nn.Linear(image_width, width), nn.GELU())
        self.places = nn.Parameter(torch.zeros(1, grid * grid, width))
        self.queries = nn.Parameter(torch.zeros(1, queries, width))
        nn.init.trunc_normal_(self.places, std=0.02)
        nn.init.trunc_normal_(self.queries, std=0.5)
        self.gather = CrossAttention(width, heads)
        self.mix = nn.Sequential(
            nn.Linear((queries + 1) * width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens [N,1+P,D] to a vector [N,W]."""
        said = self.project(tokens)  # [N,1+P,W]
        patches = said[:, 1:]
        queries = self.queries.expand(tokens.shape[0], -1, -1)  # [N,Q,W]
        gathered = self.gather(queries, patches + self.places, patches)  # [N,Q,W]
        read: Tensor = self.mix(torch.cat([gathered, said[:, :1]], dim=1).flatten(1))
        return read


class TimeEncoding(nn.Module):
    """Seconds to sines and cosines of periods from a frame's to a clip's, and on to the width."""

    rates: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        periods = torch.logspace(math.log10(_PERIODS_S[0]), math.log10(_PERIODS_S[1]), width // 2)
        self.register_buffer("rates", 2 * math.pi / periods)
        self.linear = nn.Linear(width // 2 * 2, width)

    def forward(self, times: Tensor) -> Tensor:
        """Times [B,T] in seconds to [B,T,W]."""
        angles = times[..., None] * self.rates  # [B,T,W/2]
        told: Tensor = self.linear(torch.cat([angles.sin(), angles.cos()], dim=-1))
        return told


class TemporalLayer(nn.Module):
    """Frames look at each other, then each at itself; normalised before, added after."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Frames [B,T,W] to frames [B,T,W]."""
        x = x + self.attention(self.norm1(x))
        mixed: Tensor = x + self.mlp(self.norm2(x))
        return mixed
