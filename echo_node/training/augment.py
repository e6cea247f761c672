"""Domain randomisation on top of the phantom's: place, scale, grey levels, blur, noise, haze.

Half of it looks at a whole sector, half into a window around one structure, as an engine does.

Never a left-right flip: which side the left ventricle is on tells views apart.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

MARGIN = 1.5  # an engine's window: its side over the structure's longer side
_MARGINS = (1.2, 1.9)  # that it is trained with

Images = npt.NDArray[np.uint8]
Masks = npt.NDArray[np.uint8]


def augment(
    images: Images, masks: Masks, *, size: int, rng: np.random.Generator, around: int | None = None
) -> tuple[Images, Masks]:
    """One clip's frames, changed alike.

    Parameters
    ----------
    images : u8 [T,s,s]
    masks : u8 [T,C,s,s] of 0 and 1
    size : int
        S, of the result.
    rng : numpy Generator
    around : int, optional
        The structure to go close to, which some frame must show; the whole square where left out.

    Returns
    -------
    u8 [T,S,S], u8 [T,C,S,S]
    """
    warp = _whole(images.shape[-1], size, rng) if around is None else _close(masks[:, around], size, rng)
    area = np.abs(np.linalg.det(warp[:, :2]))  # of a stored pixel, in pixels of the result
    smooth = 0.5 * np.sqrt(max(0.0, 1 / area - 1))  # sigma that a shrinking needs
    frames = np.stack(
        [
            cv2.warpAffine(cv2.GaussianBlur(f, (0, 0), smooth) if smooth > 0.3 else f, warp, (size, size))
            for f in images
        ]
    )
    labels = np.stack(
        [
            [cv2.warpAffine(m, warp, (size, size)) if m.any() else np.zeros((size, size), np.uint8) for m in c]
            for c in masks * np.uint8(255)
        ]
    )
    return randomise_greys(np.asarray(frames, np.uint8), rng), (labels > 127).astype(np.uint8)


def _whole(stored: int, size: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Turn, zoom and shift about the middle."""
    zoom = size / stored * np.exp(rng.uniform(-0.16, 0.2))
    turn = float(rng.normal(0, 5))
    warp = np.asarray(cv2.getRotationMatrix2D((stored / 2, stored / 2), turn, float(zoom)), np.float64)
    warp[:, 2] += size / 2 - stored / 2 + rng.uniform(-0.07, 0.07, 2) * size
    return warp


def _close(masks: Masks, size: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A window of the engine's margin, about, around what any of the masks [T,s,s] shows."""
    x, y, width, height = cv2.boundingRect(masks.max(axis=0))
    side = max(width, height) * rng.uniform(*_MARGINS)
    middle = np.array([x + width / 2, y + height / 2]) + rng.uniform(-0.1, 0.1, 2) * side
    turn = float(rng.normal(0, 5))
    warp = np.asarray(cv2.getRotationMatrix2D((float(middle[0]), float(middle[1])), turn, size / side), np.float64)
    warp[:, 2] += size / 2 - middle
    return warp


def randomise_greys(frames: Images, rng: np.random.Generator) -> Images:
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
