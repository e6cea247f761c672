"""Domain randomisation on top of the phantom's: place, proportions, grey levels, blur, noise, haze.

Half of it looks at a whole sector, half into a window around one structure or the wall points, as an engine does.

Never a left-right flip: which side the left ventricle is on tells views apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from echo_node.inference.preprocess import WALL_MARGIN, Letterbox

MARGIN = 1.5  # an engine's window: its side over the structure's longer side
MARGINS = (1.2, 1.9)  # that it is trained with
_WALL_MARGINS = (WALL_MARGIN - 0.25, WALL_MARGIN + 0.35)

Images = npt.NDArray[np.uint8]
Masks = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float32]
Warp = npt.NDArray[np.float64]  # [2,3], from stored pixels (x, y, 1) to the result's


@dataclass(frozen=True, slots=True)
class Around:
    """What a window is drawn around, in stored pixels, and how wide it may be."""

    left: float
    top: float
    width: float
    height: float
    margins: tuple[float, float]  # the window's side over the longer of width and height

    @classmethod
    def mask(cls, masks: Masks) -> Around:
        """Around what any of the masks u8 [T,s,s] shows, which must be something."""
        left, top, width, height = cv2.boundingRect(masks.max(axis=0))
        return cls(left, top, width, height, MARGINS)

    @classmethod
    def points(cls, points: Points) -> Around:
        """Around points (row, column) [T,4,2]."""
        first, last = points.min(axis=(0, 1)).astype(float), points.max(axis=(0, 1)).astype(float)
        height, width = last - first
        return cls(first[1], first[0], width, height, _WALL_MARGINS)


def augment(
    images: Images,
    masks: Masks,
    points: Points,
    *,
    size: int,
    rng: np.random.Generator,
    around: Around | None = None,
) -> tuple[Images, Masks, Points]:
    """One clip's frames, changed alike, and their truth with them.

    Parameters
    ----------
    images : u8 [T,s,s]
    masks : u8 [T,C,s,s] of 0 and 1
    points : float32 [T,4,2]
        Row and column in stored pixels, or NaN.
    size : int
        S, of the result.
    rng : numpy Generator
    around : Around, optional
        What to go close to; the whole square where left out.

    Returns
    -------
    u8 [T,S,S], u8 [T,C,S,S], float32 [T,4,2]
        Points may lie outside the square.
    """
    warp = draw_warp(images.shape[-1], size, rng, around=around)
    labels = np.stack(
        [
            [cv2.warpAffine(m, warp, (size, size)) if m.any() else np.zeros((size, size), np.uint8) for m in c]
            for c in masks * np.uint8(255)
        ]
    )
    frames = randomise_greys(warped(images, warp, size), rng)
    return frames, (labels > 127).astype(np.uint8), moved(points, warp)


def looked_at(images: Images, *, size: int, rng: np.random.Generator, around: Around | None = None) -> Images:
    """As :func:`augment`, without any truth."""
    warp = draw_warp(images.shape[-1], size, rng, around=around)
    return randomise_greys(warped(images, warp, size), rng)


def seen_straight(images: Images, *, size: int, around: Around) -> Images:
    """The window that an engine sees around something, its greys as they are."""
    seen = np.zeros(images.shape[1:], np.bool_)
    top, left = int(around.top), int(around.left)
    seen[top : round(top + around.height), left : round(left + around.width)] = True
    return engine_window(seen, size=size).apply(images)


def engine_window(seen: npt.NDArray[np.bool_], *, size: int) -> Letterbox:
    """An engine's window in a stored square around what is seen there [s,s], which must be something."""
    box = Letterbox.closer(Letterbox.around(np.ones_like(seen), size), seen, margin=MARGIN)
    assert box is not None  # it is there
    return box


def draw_warp(stored: int, size: int, rng: np.random.Generator, *, around: Around | None) -> Warp:
    """A window of a stored square: the whole of it, or close around something; never quite straight."""
    return _whole(stored, size, rng) if around is None else _close(around, size, rng)


def warped(images: Images, warp: Warp, size: int) -> Images:
    """Frames u8 [T,s,s] seen through a window, u8 [T,S,S]."""
    area = np.abs(np.linalg.det(warp[:, :2]))  # of a stored pixel, in pixels of the result
    smooth = 0.5 * np.sqrt(max(0.0, 1 / area - 1))  # sigma that a shrinking needs
    frames = [
        cv2.warpAffine(cv2.GaussianBlur(f, (0, 0), smooth) if smooth > 0.3 else f, warp, (size, size))
        for f in images
    ]
    return np.asarray(np.stack(frames), np.uint8)


def moved(points: Points, warp: Warp) -> Points:
    """Points (row, column) [...,2] where a warp takes them; NaN stays NaN."""
    xy = points[..., ::-1] @ warp[:, :2].T + warp[:, 2]
    return np.asarray(xy[..., ::-1], np.float32)


def _whole(stored: int, size: int, rng: np.random.Generator) -> Warp:
    """Turn, zoom and shift about the middle."""
    zoom = size / stored * float(np.exp(rng.uniform(-0.16, 0.26)))
    middle = np.full(2, stored / 2)
    return _turned(middle, size / 2 + rng.uniform(-0.07, 0.07, 2) * size, zoom, rng)


def _close(around: Around, size: int, rng: np.random.Generator) -> Warp:
    """A window of about the engine's margin around something."""
    side = max(around.width, around.height) * rng.uniform(*around.margins)
    middle = np.array([around.left + around.width / 2, around.top + around.height / 2])
    middle = middle + rng.uniform(-0.1, 0.1, 2) * side
    return _turned(middle, np.full(2, size / 2), size / side, rng)


def _turned(middle: Warp, to: Warp, zoom: float, rng: np.random.Generator) -> Warp:
    """A warp that takes a point (x, y) to another, turned, squeezed and sheared: hearts of other proportions."""
    turn, squeeze, shear = np.deg2rad(rng.normal(0, 5)), float(np.exp(rng.normal(0, 0.06))), rng.normal(0, 0.05)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    linear = zoom * rotation @ np.array([[squeeze, shear], [0.0, 1 / squeeze]])
    return np.column_stack([linear, to - linear @ middle])


def randomise_greys(frames: Images, rng: np.random.Generator) -> Images:
    """Other machines, settings and windows than the phantom's; what is black outside the sector stays so."""
    x = frames.astype(np.float32) / 255
    inside = _sector(frames)
    x = x ** float(np.exp(rng.normal(0, 0.35)))
    if rng.uniform() < 0.5:  # uneven gain
        x = x * np.exp(_field(frames.shape[-1], 0.3, rng))
    x = x * float(rng.uniform(0.6, 1.4)) + float(rng.uniform(-0.06, 0.06))
    if rng.uniform() < 0.5:  # no echo from walls that the beam runs along, as from the atrial septum
        for _ in range(rng.integers(1, 4)):
            x = x * (1 - _blob(inside, rng) * np.float32(rng.uniform(0.5, 1.0)))
    if rng.uniform() < 0.3:  # clutter where there is none: side lobes, reverberation
        for _ in range(rng.integers(1, 4)):
            spot = _blob(inside, rng) * np.float32(rng.uniform(0.3, 0.9))
            x = x + spot * (np.float32(rng.uniform(0.1, 0.5)) * _speckle(x.shape[-1], rng) - x)
    if rng.uniform() < 0.25:  # a narrow dynamic range: cavities are black
        black = float(rng.uniform(0.2, 0.7) * np.clip(x[:, inside].mean(), 0, 0.5)) if inside.any() else 0.0
        x = (x - black) / (1 - black)
    if rng.uniform() < 0.25:  # haze: cavities are grey
        haze = np.clip(_field(frames.shape[-1], 0.25, rng), 0, 0.6)
        x = x + haze * (1 - x)
    if rng.uniform() < 0.35:
        sigma = float(rng.uniform(0.4, 1.3))
        x = np.stack([cv2.GaussianBlur(f, (0, 0), sigma) for f in x])
    if rng.uniform() < 0.25:  # stored small once, or few beams: coarser along one axis or both
        coarse = tuple(int(frames.shape[-1] / rng.uniform(1, 2.8)) for _ in range(2))
        x = np.stack([cv2.resize(cv2.resize(f, coarse, interpolation=cv2.INTER_AREA), f.shape) for f in x])
    if rng.uniform() < 0.3:  # edge enhancement
        x = np.stack([f + rng.uniform(0.3, 1.0) * (f - cv2.GaussianBlur(f, (0, 0), 1.5)) for f in x])
    if rng.uniform() < 0.4:
        x = x + rng.normal(0, rng.uniform(0.01, 0.06), x.shape).astype(np.float32)
    out = np.asarray(np.clip(np.where(inside, x, 0), 0, 1) * 255, np.uint8)
    return _cut(out, rng)


def _sector(frames: Images) -> npt.NDArray[np.bool_]:
    """What is no black surroundings on any frame, its dark holes filled [S,S]."""
    lit = (frames.max(axis=0) > 0).astype(np.uint8)
    return np.asarray(cv2.morphologyEx(lit, cv2.MORPH_CLOSE, np.ones((11, 11), np.uint8)) > 0, np.bool_)


def _field(size: int, deviation: float, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """A smooth random field [S,S]."""
    coarse = rng.normal(0, deviation, (4, 4)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)


def _speckle(size: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Grains of some pixels [S,S], of median 1."""
    grains = cv2.GaussianBlur(rng.normal(0, 1, (size, size)).astype(np.float32), (0, 0), rng.uniform(0.7, 1.8))
    return np.asarray(np.exp(0.5 * grains / grains.std()), np.float32)


def _blob(inside: npt.NDArray[np.bool_], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """A round spot with soft edges somewhere in the sector: 1 in its middle, 0 far from it [S,S]."""
    rows, cols = np.nonzero(inside)
    if not rows.size:
        return np.zeros(inside.shape, np.float32)
    at, size = int(rng.integers(rows.size)), len(inside)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    widths = rng.uniform(0.03, 0.1, 2) * size
    distance = ((y - rows[at]) / widths[0]) ** 2 + ((x - cols[at]) / widths[1]) ** 2
    return np.asarray(np.exp(-(distance**2) / 2), np.float32)


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
