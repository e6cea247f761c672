"""An auxiliary head for training: every structure's mask straight from each patch's token."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from echo_node.models.vit import ViTShape


class DenseHead(nn.Module):
    """One linear map from a token to its patch of every mask. It is not exported."""

    def __init__(self, shape: ViTShape, *, structures: int) -> None:
        super().__init__()
        self.grid, self.patch = shape.grid, shape.patch_size
        self.linear = nn.Linear(shape.width, structures * shape.patch_size**2)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens [N,1+G*G,D] to logits [N,C,S,S]."""
        x = self.linear(tokens[:, 1:])  # [N,G*G,C*p*p]
        x = x.transpose(1, 2).unflatten(2, (self.grid, self.grid))  # [N,C*p*p,G,G]
        return F.pixel_shuffle(x, self.patch)  # [N,C,S,S]
