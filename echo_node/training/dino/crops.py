"""Parts of a clip: two large ones that the teacher sees too, and several small ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from echo_node.training.augment import randomise_greys, warped

Frames = npt.NDArray[np.uint8]

_ASPECT = (3 / 4, 4 / 3)
_TURN = 8.0  # degrees, standard deviation


@dataclass(frozen=True, slots=True, kw_only=True)
class CropRules:
    """How many parts of which size."""

    large: int = 64  # pixels
    small: int = 32
    small_count: int = 2
    large_share: tuple[float, float] = (0.4, 1.0)  # of the picture's area
    small_share: tuple[float, float] = (0.1, 0.4)


@dataclass(frozen=True, slots=True)
class Crops:
    """One clip's parts."""

    large: npt.NDArray[np.uint8]  # [2,T,S,S]
    small: npt.NDArray[np.uint8]  # [L,T,s,s]


def sample_crops(frames: Frames, rules: CropRules, rng: np.random.Generator) -> Crops:
    """Parts of a clip u8 [T,H,W], each the same of all frames and with its own grey levels.

    Never a left-right flip: in echocardiography the side is part of the meaning.
    """
    return Crops(
        large=np.stack([_crop(frames, rules.large, rules.large_share, rng) for _ in range(2)]),
        small=np.stack([_crop(frames, rules.small, rules.small_share, rng) for _ in range(rules.small_count)]),
    )


def _crop(frames: Frames, size: int, share: tuple[float, float], rng: np.random.Generator) -> Frames:
    height, width = frames.shape[1:]
    area = height * width * rng.uniform(*share)
    aspect = np.exp(rng.uniform(*np.log(_ASPECT)))
    w, h = min(width, np.sqrt(area * aspect)), min(height, np.sqrt(area / aspect))
    x, y = rng.uniform(0, width - w) + w / 2, rng.uniform(0, height - h) + h / 2
    turn = np.deg2rad(rng.normal(0, _TURN))
    c, s = np.cos(turn), np.sin(turn)
    # From the picture's pixels to the part's: its middle moved to the part's, turned back, scaled.
    linear = np.diag([size / w, size / h]) @ np.array([[c, s], [-s, c]])
    shift = size / 2 - linear @ np.array([x, y])
    return randomise_greys(warped(frames, np.column_stack([linear, shift]), size), rng)
