"""Losses: of masks, of points in heat maps, and of an ejection fraction with its uncertainty."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_PER_CELL = 0.1  # weight of a point's distance against its map's shape
_FEW_PIXELS = 10.0  # added to both areas: of a handful of pixels no ratio is taken
_PER_SHARE = 10.0  # weight of errors of EF and volume, in shares, against the likelihood


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """One minus soft Dice [B] of logits [B,1,S,S] against masks of 0 and 1 (Milletari F et al., 2016).

    One pixel is added above and below the line, so that an empty mask for an absent structure costs 0.
    """
    probability = torch.sigmoid(logits).flatten(1)
    truth = target.flatten(1)
    overlap = (probability * truth).sum(1)
    return 1 - (2 * overlap + 1) / (probability.sum(1) + truth.sum(1) + 1)


def area_loss(logits: Tensor, target: Tensor) -> Tensor:
    """How far a mask's area is from the true one, as the size of the ratio's logarithm [B].

    What a volume is made of: small cavities in systole are outlined too wide without it. Of what is not there
    nothing is asked, and a few pixels more or less are no ratio.
    """
    found = torch.sigmoid(logits).flatten(1).sum(1) + _FEW_PIXELS
    true = target.flatten(1).sum(1)
    return torch.where(true > 0, (found / (true + _FEW_PIXELS)).log().abs(), 0)


def mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Mean of binary cross-entropy (weighted by 2), Dice loss and area loss (by a half)."""
    entropy = F.binary_cross_entropy_with_logits(logits, target)
    return 2 * entropy + (dice_loss(logits, target) + 0.5 * area_loss(logits, target)).mean()


def point_loss(logits: Tensor, points: Tensor) -> Tensor:
    """How far heat maps are from their points, in shape and in place.

    Shape: the divergence of each map's softmax from a Gaussian of one cell around its point. Place: the distance
    of the softmax's mean from the point, in cells, which alone would say nothing of the shape (Nibali A et al.,
    DSNT, 2018). The first makes one narrow peak, which is what decoding looks for; the second puts it right
    between cells.

    Parameters
    ----------
    logits : [N,4,H,H]
    points : [N,4,2]
        Row and column as shares of the square; what is NaN or outside the square costs nothing.
    """
    side = logits.shape[-1]
    is_inside = ((points >= 0) & (points < 1)).all(dim=-1)  # [N,4]; NaN is not
    if not is_inside.any():
        return logits.sum() * 0
    maps = logits[is_inside].flatten(1).log_softmax(dim=1)  # [K,H*H]
    truth = points[is_inside] * side - 0.5  # [K,2], in cells
    steps = torch.arange(side, dtype=logits.dtype, device=logits.device)
    near = -0.5 * (steps - truth[..., None]) ** 2  # [K,2,H]
    target = (near[:, 0, :, None] + near[:, 1, None]).flatten(1).log_softmax(dim=1)  # [K,H*H]
    shape = F.kl_div(maps, target, reduction="batchmean", log_target=True)
    share = maps.exp().reshape(-1, side, side)  # [K,H,H]
    mean = torch.stack([share.sum(dim=2) @ steps, share.sum(dim=1) @ steps], dim=1)  # [K,2]
    return shape + _PER_CELL * (mean - truth).abs().mean()


def ejection_loss(found: Tensor, ef: Tensor, volumes: Tensor) -> Tensor:
    """EF by its absolute error, its uncertainty by Gaussian likelihood, and every frame's volume.

    The likelihood sees the errors, not the mean: else it would give up what is hard (Seitzer M et al., "On the
    pitfalls of heteroscedastic uncertainty estimation", ICLR 2022).

    Parameters
    ----------
    found : [B,2+T]
        Of the ejection head.
    ef : [B]
        True, as shares.
    volumes : [B,T]
        True, over the end-diastolic one; what is NaN costs nothing.
    """
    errors, spread = found[:, 0] - ef, found[:, 1]
    likelihood = 0.5 * (errors.detach() ** 2 * torch.exp(-spread) + spread).mean()
    known = volumes.isfinite()
    curve = (found[:, 2:] - volumes)[known].abs().sum() / known.sum().clamp(min=1)
    return _PER_SHARE * (errors.abs().mean() + curve) + likelihood
