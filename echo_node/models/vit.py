"""The encoder: a vision transformer over the patches of one grey frame, alone or in its clip.

Dosovitskiy A et al., "An image is worth 16x16 words", ICLR 2021, as DINOv2 has it (Oquab M et al., 2023):
layer scale, and register tokens that take what the encoder wants to note down (Darcet T et al., 2023).
EchoApex (arXiv 2410.11092) uses the base size; the default engine uses a tiny one, which is the same
class with other numbers.
"""

from __future__ import annotations

import enum
import itertools
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Stem(enum.Enum):
    """How pixels become tokens."""

    PATCH = "patch"  # one linear map per patch, as the paper's encoder has it
    CONVOLUTION = "convolution"  # strided convolutions: learns far faster from little data


class Positions(enum.Enum):
    """How a token knows its place."""

    LEARNED = "learned"  # a vector per place, added once (ViT, DINOv2)
    ROTARY = "rotary"  # queries and keys turned by their place in every block (DINOv3)


@dataclass(frozen=True, slots=True, kw_only=True)
class ViTShape:
    """The numbers of an encoder."""

    width: int
    depth: int
    heads: int
    image_size: int  # pixels, square
    patch_size: int  # pixels, square
    channels: int = 1  # 1: a frame alone; 3: a frame in its clip, see ``inference.preprocess.in_clip``
    stem: Stem = Stem.PATCH
    registers: int = 0
    layer_scale: float | None = None  # what the branches' scales start from; none without
    positions: Positions = Positions.LEARNED
    norm_epsilon: float = 1e-5  # added to the variance by the norms; DINOv2 has 1e-6

    @property
    def grid(self) -> int:
        """Patches along a side."""
        return self.image_size // self.patch_size


class VisionTransformer(nn.Module):
    """Pre-norm transformer with a class token, register tokens, and one token per patch."""

    def __init__(self, shape: ViTShape) -> None:
        super().__init__()
        self.shape = shape
        self.patches = _stem(shape)
        self.class_token = nn.Parameter(torch.zeros(1, 1, shape.width))
        if shape.registers:
            self.registers = nn.Parameter(torch.zeros(1, shape.registers, shape.width))
            nn.init.normal_(self.registers, std=1e-6)
        if shape.positions is Positions.LEARNED:
            self.positions = nn.Parameter(torch.zeros(1, shape.grid**2 + 1, shape.width))
            nn.init.trunc_normal_(self.positions, std=0.02)
        else:
            self.rotary = RotaryPositions(shape.width // shape.heads)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.depth))
        self.norm = nn.LayerNorm(shape.width, eps=shape.norm_epsilon)
        nn.init.normal_(self.class_token, std=1e-6)

    def forward(self, frames: Tensor, masked: Tensor | None = None, mask_token: Tensor | None = None) -> Tensor:
        """Encode frames.

        Parameters
        ----------
        frames : [N,C,S,S]
            Normalised grey in the shape's channels; S need not be the shape's own size, only a multiple of its
            patches.
        masked : bool [N,G*G], optional
            Patches that are hidden behind ``mask_token`` [D]: of pretraining only.

        Returns
        -------
        [N,1+G*G,D]
            The class token, then the patches. Registers are dropped.
        """
        x = self.patches(frames)  # [N,D,G,G]
        rows, cols = x.shape[-2:]
        x = x.flatten(2).transpose(1, 2)  # [N,G*G,D]
        if masked is not None and mask_token is not None:
            x = torch.where(masked[..., None], mask_token, x)
        x = torch.cat([self.class_token.expand(x.shape[0], -1, -1), x], dim=1)  # [N,1+G*G,D]
        turn = None
        if self.shape.positions is Positions.LEARNED:
            x = x + interpolated(self.positions, rows, cols)
        else:
            turn = self.rotary(rows, cols)
        extra = self.shape.registers
        if extra:
            x = torch.cat([x[:, :1], self.registers.expand(x.shape[0], -1, -1), x[:, 1:]], dim=1)
        for block in self.blocks:
            x = block(x, turn)
        x = self.norm(x)
        return torch.cat([x[:, :1], x[:, 1 + extra :]], dim=1) if extra else x


def interpolated(positions: Tensor, rows: int, cols: int) -> Tensor:
    """Learned positions [1,1+g*g,D] for a grid of another size [1,1+rows*cols,D]."""
    grid = math.isqrt(positions.shape[1] - 1)
    if (rows, cols) == (grid, grid):
        return positions
    places = positions[:, 1:].reshape(1, grid, grid, -1).permute(0, 3, 1, 2)  # [1,D,g,g]
    places = F.interpolate(places, size=(rows, cols), mode="bicubic", antialias=True)
    return torch.cat([positions[:, :1], places.flatten(2).transpose(1, 2)], dim=1)


class RotaryPositions(nn.Module):
    """Angles by which a patch's place turns queries and keys (Su J et al., 2021), along both axes.

    Places run from -1 to 1 over the frame, whatever its size, and the periods grow from 1 to the base
    (DINOv3, Simeoni O et al., 2025).
    """

    periods: Tensor

    def __init__(self, head_width: int, *, base: float = 100.0) -> None:
        super().__init__()
        steps = torch.arange(head_width // 4) / (head_width // 4)
        self.register_buffer("periods", base**steps)

    def forward(self, rows: int, cols: int) -> tuple[Tensor, Tensor]:
        """Cosine and sine [G*G,d] of every patch."""
        device = self.periods.device
        y = (torch.arange(rows, device=device) + 0.5) / rows * 2 - 1
        x = (torch.arange(cols, device=device) + 0.5) / cols * 2 - 1
        places = torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=-1).flatten(0, 1)  # [G*G,2]
        angles = (2 * math.pi * places[:, :, None] / self.periods).flatten(1)  # [G*G,d/2]
        angles = angles.tile(2)  # [G*G,d]
        return angles.cos(), angles.sin()


def turned(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Queries or keys [N,h,L,d], their last G*G tokens turned; class token and registers have no place."""
    cosine, sine = (angle.to(x.dtype) for angle in turn)
    first = x.shape[2] - cosine.shape[0]
    patches = x[:, :, first:]
    low, high = patches.chunk(2, dim=-1)
    patches = patches * cosine + torch.cat([-high, low], dim=-1) * sine
    return torch.cat([x[:, :, :first], patches], dim=2)


def _stem(shape: ViTShape) -> nn.Module:
    """Frames [N,C,S,S] to a map [N,D,G,G] (Xiao T et al., "Early convolutions", NeurIPS 2021)."""
    if shape.stem is Stem.PATCH:
        return nn.Conv2d(shape.channels, shape.width, shape.patch_size, stride=shape.patch_size)
    halvings = shape.patch_size.bit_length() - 1
    widths = [shape.channels, *(shape.width >> (halvings - 1 - step) for step in range(halvings))]
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
    """Attention, then an MLP, each on a normalised input, scaled, and added to it."""

    def __init__(self, shape: ViTShape) -> None:
        super().__init__()
        width = shape.width
        self.norm1 = nn.LayerNorm(width, eps=shape.norm_epsilon)
        self.attention = SelfAttention(width, shape.heads)
        self.norm2 = nn.LayerNorm(width, eps=shape.norm_epsilon)
        self.mlp: nn.Module = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        start = shape.layer_scale
        self.scale1 = nn.Identity() if start is None else LayerScale(width, start)
        self.scale2 = nn.Identity() if start is None else LayerScale(width, start)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Tokens [N,L,D] to tokens [N,L,D]."""
        x = x + self.scale1(self.attention(self.norm1(x), turn))
        x = x + self.scale2(self.mlp(self.norm2(x)))
        return x


class LayerScale(nn.Module):
    """A learned factor per channel (Touvron H et al., "Going deeper with image transformers", 2021)."""

    def __init__(self, width: int, start: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), start))

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [N,L,D] to tokens [N,L,D]."""
        return x * self.gamma


class SelfAttention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv: nn.Module = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Tokens [N,L,D] to tokens [N,L,D]."""
        n, length, width = x.shape
        qkv = self.qkv(x).reshape(n, length, 3, self.heads, width // self.heads)  # [N,L,3,h,d]
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # [N,h,L,d] each
        if turn is not None:
            q, k = turned(q, turn), turned(k, turn)
        # On a processor the fused one's gradient takes twice the time of its parts'.
        fused = not (torch.is_grad_enabled() and x.device.type == "cpu")
        x = F.scaled_dot_product_attention(q, k, v) if fused else attended(q, k, v)  # [N,h,L,d]
        x = x.transpose(1, 2).reshape(n, length, width)  # [N,L,D]
        mixed: Tensor = self.out(x)
        return mixed


def attended(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Scaled dot-product attention [N,h,L,d], from its parts."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)  # [N,h,L,L]
    with torch.autocast(q.device.type, enabled=False):  # the scores' own precision: it adds up in full
        shares = scores.softmax(dim=-1)
    mixed: Tensor = shares @ v
    return mixed
