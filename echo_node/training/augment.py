"""Domain randomisation on top of the phantom's: place, scale, grey levels, blur, noise, haze.

Never a left-right flip: which side the left ventricle is on tells views apart.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.uint8]
Masks = npt.NDArray[np.uint8]


def augment(images: Images, masks: Masks, *, size: int, rng: np.random.Generator) -> tuple[Images, Masks]:
    """One clip's frames [T,s,s] and masks [T,C,s,s], changed alike, as [T,S,S] and [T,C,S,S]."""
    warp = _affine(images.shape[-1], size, rng)
    frames = np.stack([cv2.warpAffine(f, warp, (size, size), flags=cv2.INTER_AREA) for f in images])
    labels = np.stack(
        [
            [cv2.warpAffine(m, warp, (size, size), flags=cv2.INTER_LINEAR) for m in channels]
            for channels in masks * np.uint8(255)
        ]
    )
    return _greys(np.asarray(frames, np.uint8), rng), (labels > 127).astype(np.uint8)


def _affine(stored: int, size: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Turn, zoom and shift about the middle."""
    zoom = size / stored * np.exp(rng.uniform(-0.16, 0.2))
    turn = float(rng.normal(0, 5))
    warp = np.asarray(cv2.getRotationMatrix2D((stored / 2, stored / 2), turn, float(zoom)), np.float64)
    warp[:, 2] += size / 2 - stored / 2 + rng.uniform(-0.07, 0.07, 2) * size
    return warp


def _greys(frames: Images, rng: np.random.Generator) -> Images:
    size = frames.shape[-1]
    x = frames.astype(np.float32) / 255
    inside = x > 0
    x = x ** float(np.exp(rng.normal(0, 0.35)))
    if rng.uniform() < 0.5:  # uneven gain
        field = cv2.resize(
            rng.normal(0, 0.3, (4, 4)).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC
        )
        x = x * np.exp(field)
    x = x * float(rng.uniform(0.6, 1.4)) + float(rng.uniform(-0.06, 0.06))
    if rng.uniform() < 0.35:
        sigma = float(rng.uniform(0.4, 1.3))
        x = np.stack([cv2.GaussianBlur(f, (0, 0), sigma) for f in x])
    if rng.uniform() < 0.3:  # edge enhancement
        x = np.stack([f + rng.uniform(0.3, 1.0) * (f - cv2.GaussianBlur(f, (0, 0), 1.5)) for f in x])
    if rng.uniform() < 0.4:
        x = x + rng.normal(0, rng.uniform(0.01, 0.06), x.shape).astype(np.float32)
    out = np.asarray(np.clip(np.where(inside, x, 0), 0, 1) * 255, np.uint8)
    return _cut(out, rng)


def _cut(frames: Images, rng: np.random.Generator) -> Images:
    """Sometimes a sector that ends early at a side or below, as narrow or shallow settings make."""
    size = frames.shape[-1]
    if rng.uniform() < 0.2:
        edge = int(rng.uniform(0, 0.18) * size)
        side = rng.integers(3)
        if side == 0:
            frames[:, :, :edge] = 0
        elif side == 1:
            frames[:, :, size - edge :] = 0
        else:
            frames[:, size - edge :, :] = 0
    return frames
