"""Losses."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """One minus soft Dice [B] of logits [B,1,S,S] against masks of 0 and 1 (Milletari F et al., 2016).

    One pixel is added above and below the line, so that an empty mask for an absent structure costs 0.
    """
    probability = torch.sigmoid(logits).flatten(1)
    truth = target.flatten(1)
    overlap = (probability * truth).sum(1)
    return 1 - (2 * overlap + 1) / (probability.sum(1) + truth.sum(1) + 1)


def mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Mean of binary cross-entropy (weighted by 2) and Dice loss."""
    entropy = F.binary_cross_entropy_with_logits(logits, target)
    return 2 * entropy + dice_loss(logits, target).mean()
