"""The encoder: a vision transformer over the patches of one grey frame.

Dosovitskiy A et al., "An image is worth 16x16 words", ICLR 2021. EchoApex (arXiv 2410.11092) uses the
base size; the default engine uses a tiny one, which is the same class with other numbers.
"""

from __future__ import annotations

import enum
import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Stem(enum.Enum):
    """How pixels become tokens."""

    PATCH = "patch"  # one linear map per patch, as the paper's encoder has it
    CONVOLUTION = "convolution"  # strided convolutions: learns far faster from little data


@dataclass(frozen=True, slots=True, kw_only=True)
class ViTShape:
    """The numbers of an encoder."""

    width: int
    depth: int
    heads: int
    image_size: int  # pixels, square
    patch_size: int  # pixels, square
    stem: Stem = Stem.PATCH

    @property
    def grid(self) -> int:
        """Patches along a side."""
        return self.image_size // self.patch_size


class VisionTransformer(nn.Module):
    """Pre-norm transformer with a class token and learned positions."""

    def __init__(self, shape: ViTShape) -> None:
        super().__init__()
        self.shape = shape
        self.patches = _stem(shape)
        self.class_token = nn.Parameter(torch.zeros(1, 1, shape.width))
        self.positions = nn.Parameter(torch.zeros(1, shape.grid**2 + 1, shape.width))
        self.blocks = nn.ModuleList(Block(shape.width, shape.heads) for _ in range(shape.depth))
        self.norm = nn.LayerNorm(shape.width)
        nn.init.trunc_normal_(self.positions, std=0.02)
        nn.init.normal_(self.class_token, std=1e-6)

    def forward(self, frames: Tensor) -> Tensor:
        """Encode frames [N,1,S,S] to tokens [N,1+G*G,D]; the class token comes first."""
        x = self.patches(frames)  # [N,D,G,G]
        x = x.flatten(2).transpose(1, 2)  # [N,G*G,D]
        x = torch.cat([self.class_token.expand(x.shape[0], -1, -1), x], dim=1)  # [N,1+G*G,D]
        x = x + self.positions
        for block in self.blocks:
            x = block(x)
        tokens: Tensor = self.norm(x)
        return tokens


def _stem(shape: ViTShape) -> nn.Module:
    """Frames [N,1,S,S] to a map [N,D,G,G] (Xiao T et al., "Early convolutions", NeurIPS 2021)."""
    if shape.stem is Stem.PATCH:
        return nn.Conv2d(1, shape.width, shape.patch_size, stride=shape.patch_size)
    halvings = shape.patch_size.bit_length() - 1
    widths = [1, *(shape.width >> (halvings - 1 - step) for step in range(halvings))]
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [
            nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        ]
        layers += [nn.Conv2d(after, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(shape.width, shape.width, 1))


class Block(nn.Module):
    """Attention, then an MLP, each on a normalised input and added to it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [N,L,D] to tokens [N,L,D]."""
        x = x + self.attention(self.norm1(x))
        x = x + self.mlp(self.norm2(x))
        return x


class SelfAttention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [N,L,D] to tokens [N,L,D]."""
        n, length, width = x.shape
        qkv = self.qkv(x).reshape(n, length, 3, self.heads, width // self.heads)  # [N,L,3,h,d]
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # [N,h,L,d] each
        x = F.scaled_dot_product_attention(q, k, v)  # [N,h,L,d]
        x = x.transpose(1, 2).reshape(n, length, width)  # [N,L,D]
        mixed: Tensor = self.out(x)
        return mixed
