"""Which patches the student does not see: rectangles, until enough are hidden (Bao H et al., BEiT, 2022)."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F
from torch import Tensor

Mask = npt.NDArray[np.bool_]

_LEAST_PATCHES = 4  # of a rectangle
_ASPECT = (0.3, 1 / 0.3)
_TRIES = 10
_ABOVE_BLACK = 0.02  # normalised
_LEAST_ECHO = 0.25  # of a patch's pixels


def sample_masks(
    count: int,
    grid: int,
    *,
    rng: np.random.Generator,
    probability: float = 0.5,
    share: tuple[float, float] = (0.1, 0.5),
) -> Mask:
    """Masks of hidden patches [N,G*G].

    Parameters
    ----------
    count, grid : int
        N pictures of G x G patches.
    rng : numpy Generator
    probability : float
        Share of the pictures of which anything is hidden.
    share : (float, float)
        Between which shares of a picture are hidden, spread evenly over the pictures.
    """
    masks = np.zeros((count, grid * grid), np.bool_)
    hidden = round(count * probability)
    edges = np.linspace(*share, hidden + 1)
    for row, (low, high) in zip(rng.permutation(count)[:hidden], itertools.pairwise(edges), strict=True):
        masks[row] = _hide(grid, round(grid * grid * rng.uniform(low, high)), rng).ravel()
    return masks


def has_echo(frames: Tensor, patch: int) -> Tensor:
    """Patches bool [N,P] of frames [N,C,S,S] of which a quarter at least is brighter than the frame's black."""
    grey = frames[:, :1]
    lit = (grey > grey.amin(dim=(2, 3), keepdim=True) + _ABOVE_BLACK).float()
    return (F.avg_pool2d(lit, patch) > _LEAST_ECHO).flatten(1)


def _hide(grid: int, wanted: int, rng: np.random.Generator) -> Mask:
    mask = np.zeros((grid, grid), np.bool_)
    while (left := wanted - int(mask.sum())) > 0:
        added = False
        for _ in range(_TRIES):
            area = rng.uniform(min(_LEAST_PATCHES, left), left) if left > 1 else 1.0
            aspect = math.exp(rng.uniform(math.log(_ASPECT[0]), math.log(_ASPECT[1])))
            height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if not (1 <= height <= grid and 1 <= width <= grid):
                continue
            top, left_edge = rng.integers(grid - height + 1), rng.integers(grid - width + 1)
            part = mask[top : top + height, left_edge : left_edge + width]
            if 0 < part.size - int(part.sum()) <= left:
                part[:] = True
                added = True
                break
        if not added:  # the gaps that are left are too small for a rectangle
            mask.flat[rng.choice(np.flatnonzero(~mask))] = True
    return mask
