"""Few parameters that fit a frozen encoder to a task: bottlenecks beside the blocks, or low-rank changes.

Houlsby N et al., 2019, as Chen S et al. (AdaptFormer, 2022) put them: in parallel to the MLP. Hu EJ et al.
(LoRA), 2021: on the queries and values. Both start by changing nothing.
"""

from __future__ import annotations

import enum
import math

import torch
from torch import Tensor, nn

from echo_node.models.vit import Block, SelfAttention, VisionTransformer


class Tuning(enum.Enum):
    """What of an encoder learns."""

    FROZEN = "frozen"
    ADAPTER = "adapter"
    LORA = "lora"
    FULL = "full"


def prepare(encoder: VisionTransformer, tuning: Tuning, *, rank: int = 8) -> None:
    """Make an encoder learn by a tuning, in place.

    Parameters
    ----------
    encoder : VisionTransformer
        Without adapters yet.
    tuning : Tuning
    rank : int
        Width of the bottleneck, or rank of the change.
    """
    encoder.requires_grad_(requires_grad=tuning is Tuning.FULL)
    for block in encoder.blocks:
        assert isinstance(block, Block)
        if tuning is Tuning.ADAPTER:
            block.mlp = AdaptedMlp(block.mlp, encoder.shape.width, rank)
        elif tuning is Tuning.LORA:
            plain = block.attention.qkv
            assert isinstance(plain, nn.Linear)
            block.attention.qkv = LowRank(plain, rank)


def merge(encoder: VisionTransformer) -> None:
    """Fold low-rank changes into the weights, in place: the graph is then the plain encoder's."""
    for block in encoder.blocks:
        attention = block.attention
        assert isinstance(attention, SelfAttention)
        if isinstance(attention.qkv, LowRank):
            attention.qkv = attention.qkv.merged()


def trainable(module: nn.Module) -> int:
    """How many parameters learn."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


class AdaptedMlp(nn.Module):
    """A block's MLP with a bottleneck beside it."""

    def __init__(self, mlp: nn.Module, width: int, rank: int) -> None:
        super().__init__()
        self.mlp = mlp
        self.adapter = nn.Sequential(nn.Linear(width, rank), nn.ReLU(), nn.Linear(rank, width))
        last = self.adapter[2]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [N,L,D] to tokens [N,L,D]."""
        both: Tensor = self.mlp(x) + self.adapter(x)
        return both


class LowRank(nn.Module):
    """The map to queries, keys and values, with a low-rank change of the queries and values."""

    def __init__(self, qkv: nn.Linear, rank: int) -> None:
        super().__init__()
        width = qkv.in_features
        self.qkv, self.width = qkv, width
        self.down = nn.Parameter(torch.empty(2, rank, width))
        self.up = nn.Parameter(torch.zeros(2, width, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [N,L,D] to [N,L,3D]."""
        change = torch.einsum("nld,crd,cwr->cnlw", x, self.down, self.up)  # [2,N,L,D]
        added = torch.cat([change[0], torch.zeros_like(change[0]), change[1]], dim=-1)
        qkv: Tensor = self.qkv(x) + added
        return qkv

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """The same map as one layer."""
        plain = nn.Linear(self.width, 3 * self.width, device=self.up.device)
        plain.load_state_dict(self.qkv.state_dict())
        query, value = self.up @ self.down  # [D,D] each
        plain.weight[: self.width] += query
        plain.weight[2 * self.width :] += value
        return plain
