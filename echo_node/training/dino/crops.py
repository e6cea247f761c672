"""Parts of a clip: two large ones that the teacher sees too, and several small ones."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from echo_node.training.augment import randomise_greys

Frames = npt.NDArray[np.uint8]

_ASPECT = (3 / 4, 4 / 3)
_TURN = 8.0  # degrees, standard deviation


@dataclass(frozen=True, slots=True, kw_only=True)
class CropRules:
    """How many parts of which size."""

    large: int = 112  # pixels
    small: int = 48
    small_count: int = 6
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
    # From the part's pixels to the picture's: scaled, turned about the part's middle, moved there.
    scale = np.array([[c, -s], [s, c]]) @ np.diag([w / size, h / size])
    shift = np.array([x, y]) - scale @ np.array([size / 2, size / 2])
    inverse = np.column_stack([scale, shift])
    smooth = 0.5 * np.sqrt(max(0.0, w * h / size**2 - 1))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    parts = [
        cv2.warpAffine(
            cv2.GaussianBlur(f, (0, 0), smooth) if smooth > 0.3 else f, inverse, (size, size), flags=flags
        )
        for f in frames
    ]
    return randomise_greys(np.asarray(np.stack(parts), np.uint8), rng)
