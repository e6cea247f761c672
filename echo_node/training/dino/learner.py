"""Student and teacher: the same parts, the second an average of the first over time."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from echo_node.models.vit import VisionTransformer, ViTShape
from echo_node.training.dino.head import ProjectionHead


class Learner(nn.Module):
    """An encoder with the heads that its answers are read from."""

    def __init__(self, shape: ViTShape, *, prototypes: int, hidden: int, bottleneck: int) -> None:
        super().__init__()
        self.encoder = VisionTransformer(shape)
        self.mask_token = nn.Parameter(torch.zeros(shape.width))
        sizes = {"prototypes": prototypes, "hidden": hidden, "bottleneck": bottleneck}
        self.whole = ProjectionHead(shape.width, **sizes)
        self.patches = ProjectionHead(shape.width, **sizes)

    def forward(self, large: Tensor, small: Tensor, masked: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What the student answers.

        Parameters
        ----------
        large : [2,B,C,S,S]
            The crops that the teacher sees too.
        small : [L,B,C,s,s]
            The others.
        masked : bool [2*B,P]
            Patches of the large crops that are hidden.

        Returns
        -------
        points : [2+L,B,d]
            Of every crop, unit vectors.
        logits : [2+L,B,K]
            Of every crop.
        patch_logits : [M,K]
            Of the hidden patches.
        features : [2,B,D]
            Class tokens of the large crops.
        """
        batch = large.shape[1]
        seen = self.encoder(large.flatten(0, 1), masked, self.mask_token)  # [2B,1+P,D]
        parts = self.encoder(small.flatten(0, 1))  # [LB,1+p,D]
        points, logits = self.whole(torch.cat([seen[:, 0], parts[:, 0]]))  # [(2+L)B,d], [(2+L)B,K]
        _, hidden = self.patches(seen[:, 1:][masked])  # [M,K]
        each, pair = (-1, batch), (2, batch)
        return points.unflatten(0, each), logits.unflatten(0, each), hidden, seen[:, 0].unflatten(0, pair)

    @torch.no_grad()
    def teach(self, large: Tensor, masked: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the teacher answers, which sees everything: points [2,B,d], logits [2,B,K], of patches [M,K]."""
        seen = self.encoder(large.flatten(0, 1))
        points, logits = self.whole(seen[:, 0])
        _, hidden = self.patches(seen[:, 1:][masked])
        return points.unflatten(0, (2, -1)), logits.unflatten(0, (2, -1)), hidden


def teacher_of(student: Learner) -> Learner:
    """A copy that no gradient reaches."""
    teacher = copy.deepcopy(student)
    return teacher.requires_grad_(requires_grad=False).eval()


@torch.no_grad()
def follow(teacher: Learner, student: Learner, *, momentum: float) -> None:
    """Move the teacher's weights towards the student's."""
    for held, new in zip(teacher.parameters(), student.parameters(), strict=True):
        held.lerp_(new, 1 - momentum)
    for kept, current in zip(teacher.buffers(), student.buffers(), strict=True):
        kept.copy_(current)
