"""The interactive segmentation head: prompts and image tokens to the mask of one structure.

Shaped after Segment Anything (Kirillov A et al., ICCV 2023): sparse prompts become tokens, the
previous mask is added to the image, both attend to each other, and the mask is a product of the
structure's token with the upscaled image. A border is finer than a patch, so the frame itself joins
while the image is upscaled, as finer maps do in Segment Anything 2 (Ravi N et al., 2024); and so is the
error that a click is to mend, so the clicks join there too, as maps (Sofiiuk K et al., 2021). A structure
is itself a learned prompt: the same decoder works by itself, follows a person's clicks, and carries a
mask from frame to frame.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from echo_node.inference.prompts import CLICKS, PointKind

_REACHES = 0.03, 0.1  # of a click in its maps, as shares of the square


class PromptDecoder(nn.Module):
    """Image tokens and prompts to mask logits."""

    def __init__(
        self,
        *,
        image_width: int,
        grid: int,
        image_size: int,
        structures: int,
        channels: int = 1,
        width: int = 96,
        heads: int = 4,
    ) -> None:
        super().__init__()
        self.grid, self.image_size = grid, image_size
        self.project = nn.Linear(image_width, width)
        self.prompts = PromptEncoder(structures, width=width, grid=grid)
        self.layers = nn.ModuleList(TwoWayLayer(width, heads) for _ in range(2))
        self.upscale = nn.Sequential(
            nn.ConvTranspose2d(width, width // 2, 2, stride=2),
            nn.GroupNorm(1, width // 2),
            nn.GELU(),
            nn.ConvTranspose2d(width // 2, width // 4, 2, stride=2),
            nn.GELU(),
            nn.Conv2d(width // 4, width // 4, 3, padding=1),
            nn.GELU(),
        )
        self.refine = Refinement(width // 4, channels=channels + len(CLICKS) * len(_REACHES))
        self.to_kernel = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width // 4))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(
        self, tokens: Tensor, frames: Tensor, structure: Tensor, points: Tensor, kinds: Tensor, previous: Tensor
    ) -> Tensor:
        """Decode one mask per row.

        Parameters
        ----------
        tokens : [B,1+P,D]
            The encoder's tokens of the frame.
        frames : [B,C,S,S]
            The frame, as the encoder took it.
        structure : int64 [B]
            Which structure is meant.
        points : [B,8,2]
            x and y in 0 to 1 of the square.
        kinds : int64 [B,8]
            A :class:`PointKind` each.
        previous : [B,1,32,32]
            Logits of an earlier mask; zeros where there is none.

        Returns
        -------
        [B,1,S,S]
            Logits; positive inside.
        """
        image = self.project(tokens[:, 1:]) + self.prompts.dense(previous)  # [B,P,W]
        queries = self.prompts.sparse(structure, points, kinds)  # [B,1+8,W]
        place = self.prompts.places.to(image.dtype)  # [1,P,W]
        asked = queries
        for layer in self.layers:
            queries, image = layer(queries, image, asked=asked, place=place)
        n, _, width = image.shape
        picture = image.transpose(1, 2).reshape(n, width, self.grid, self.grid)  # [B,W,G,G]
        near = torch.cat([frames, click_maps(points, kinds, side=frames.shape[-1])], dim=1)
        picture = self.refine(self.upscale(picture), near)  # [B,W/4,4G,4G]
        kernel = self.to_kernel(queries[:, 0])  # [B,W/4]
        logits = torch.einsum("bchw,bc->bhw", picture, kernel)[:, None] + self.bias  # [B,1,4G,4G]
        return F.interpolate(logits, size=(self.image_size, self.image_size), mode="bilinear")


def click_maps(points: Tensor, kinds: Tensor, *, side: int) -> Tensor:
    """Where the clicks [B,8,2] of kinds [B,8] lie: a bump each, of two widths, [B,4,S,S] by width and kind."""
    steps = (torch.arange(side, device=points.device) + 0.5) / side
    offsets = points[..., None] - steps  # [B,8,2,S], x then y
    maps = []
    for reach in _REACHES:
        across, down = torch.exp(-((offsets / reach) ** 2) / 2).unbind(dim=2)  # [B,8,S] each
        for kind in CLICKS:
            of_kind = (kinds == kind).to(points.dtype)[..., None]  # [B,8,1]
            maps.append((down * of_kind).transpose(1, 2) @ across)  # [B,S,S]
    return torch.stack(maps, dim=1)


class Refinement(nn.Module):
    """What is finer than a patch, edges and clicks, added to the upscaled image (twice the map's resolution)."""

    def __init__(self, width: int, *, channels: int, detail: int = 16) -> None:
        super().__init__()
        self.detail = nn.Sequential(
            nn.Conv2d(channels, detail, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(detail, detail, 3, padding=1),
            nn.ReLU(),
        )
        self.fuse = nn.Sequential(
            nn.Conv2d(width + detail, 2 * detail, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * detail, width, 3, padding=1),
        )

    def forward(self, picture: Tensor, frames: Tensor) -> Tensor:
        """Map [B,W,H,H] and frames, with other maps behind them or not, [B,C,S,S] to a map [B,W,H,H]."""
        side = 2 * picture.shape[-1]
        fine = self.detail(F.interpolate(frames, size=(side, side), mode="bilinear"))  # [B,d,H,H]
        added: Tensor = self.fuse(torch.cat([picture, fine], dim=1))
        return picture + added


class PromptEncoder(nn.Module):
    """Structure, points and box to tokens; the previous mask to a map over the image's tokens."""

    frequencies: Tensor
    places: Tensor

    def __init__(self, structures: int, *, width: int, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.structures = nn.Embedding(structures, width)
        self.kinds = nn.Embedding(len(PointKind), width)
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("frequencies", torch.randn(2, width // 2, generator=generator))
        steps = (torch.arange(grid) + 0.5) / grid
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        places = self._fourier(torch.stack([x, y], dim=-1).reshape(1, grid * grid, 2))
        self.register_buffer("places", places)
        self.mask = nn.Sequential(
            nn.Conv2d(1, width // 4, 3, padding=1), nn.GELU(), nn.Conv2d(width // 4, width, 1)
        )

    def sparse(self, structure: Tensor, points: Tensor, kinds: Tensor) -> Tensor:
        """Prompt tokens [B,1+8,W]; the structure comes first."""
        is_point = (kinds != PointKind.NONE).to(points.dtype)[..., None]  # [B,8,1]
        dots = self._fourier(points) * is_point + self.kinds(kinds)  # [B,8,W]
        return torch.cat([self.structures(structure)[:, None], dots], dim=1)

    def dense(self, previous: Tensor) -> Tensor:
        """Map [B,P,W] of a previous mask's logits [B,1,32,32]; nothing where they are all zero."""
        is_there = (previous.abs().amax(dim=(1, 2, 3), keepdim=True) > 0).to(previous.dtype)
        pooled = F.interpolate(previous, size=(self.grid, self.grid), mode="area")  # [B,1,G,G]
        embedded: Tensor = self.mask(torch.tanh(pooled)) * is_there  # [B,W,G,G]
        return embedded.flatten(2).transpose(1, 2)  # [B,P,W]

    def _fourier(self, points: Tensor) -> Tensor:
        """Random Fourier features [...,W] of places [...,2] in 0 to 1 (Tancik M et al., 2020)."""
        angles = (2 * points - 1) @ self.frequencies * (2 * math.pi)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)


class TwoWayLayer(nn.Module):
    """Queries look at each other and at the image; the image looks at the queries."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.among = CrossAttention(width, heads)
        self.to_image = CrossAttention(width, heads)
        self.from_image = CrossAttention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))

    def forward(self, queries: Tensor, image: Tensor, *, asked: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        """Queries [B,Q,W] and image [B,P,W], each told again what was asked and where it lies."""
        q = queries + asked
        queries = self.norms[0](queries + self.among(q, q, queries))
        queries = self.norms[1](queries + self.to_image(queries + asked, image + place, image))
        queries = self.norms[2](queries + self.mlp(queries))
        image = self.norms[3](image + self.from_image(image + place, queries + asked, queries))
        return queries, image


class CrossAttention(nn.Module):
    """Multi-head attention of one set of tokens to another."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """[B,Q,W] from keys and values [B,K,W]."""
        heads = [
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B,h,L,d]
            for layer, x in ((self.q, q), (self.k, k), (self.v, v))
        ]
        x = F.scaled_dot_product_attention(heads[0], heads[1], heads[2])  # [B,h,Q,d]
        mixed: Tensor = self.out(x.transpose(1, 2).flatten(2))
        return mixed
