"""The ultrasound sector inside a picture: without text, icons, traces, ticks and bars.

It is found from the pixels, inside the region's box where there is one. Where no sector is found that
is an error of the clip: a mask that fails open would let burned-in names through.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from echo_node.codes import Reason
from echo_node.dicom.regions import Region
from echo_node.errors import ClipError

Mask = npt.NDArray[np.bool_]
Levels = npt.NDArray[Any]  # of whole numbers

_DARKEST = 6  # grey levels: noise of compression stays below
_FRAMES_FOR_CHANGE = 4
_LEAST_CHANGE = 4  # grey levels over the frames; speckle changes by more, text by less
_WHITE = 150  # grey levels at which a picture is as bright as most; both of the above are less in a dimmer one
_TEXT = 96  # grey levels: what is as bright and never changes may be text; still tissue is mostly darker
_BESIDE_TEXT = 0.012  # of the picture's height: how far its blurred edges reach
_WORKING_ROWS = 256
_CLOSING = 0.03  # of the picture's height: gaps of a dark chamber or a dropped-out wall
_OPENING = 0.02  # of the same: text, ticks and traces are thinner
_FLATTEST = 0.3  # height over width, or the other way round
_LEAST_AREA = 0.04  # of the picture
_MOVING_SHARE = 0.25  # of a part's pixels, where it is tissue
_LEAST_FILL = 0.12  # bright share of a sector's hull: lines of text leave more room
_COLOUR_SPREAD = 40  # between channels, the map's tint taken away
_COLOURED_SHARE = 0.004  # of the sector: a colour box, not an overlay
_TINT_BIN = 16  # grey levels
_TINT_STRIDE = 3  # pixels: some of them show the map as well as all
_LEAST_OF_A_TINT = 50  # pixels: fewer of a brightness say nothing of the map


def find(frames: npt.NDArray[np.uint8], overlay: Mask, region: Region | None) -> Mask:
    """The sector as bool [H,W].

    Parameters
    ----------
    frames : u8 [t,H,W]
        Grey levels of some frames. From four frames on, what is bright and never changes is no ultrasound: text.
        What is dimmer may be tissue in a short or quiet clip. Frames that are all the same are a still.
    overlay : bool [H,W]
        Pixels that some frame shows in colour.
    region : Region, optional
        The box of the two-dimensional region, if it fits the picture.

    Raises
    ------
    ClipError
        NO_SECTOR.
    """
    most = frames.max(axis=0)
    dimness = min(1.0, float(np.percentile(most, 99.5)) / _WHITE)
    lit = (most > max(1.0, _DARKEST * dimness)) & ~overlay
    by = np.ptp(frames, axis=0)
    change, text = np.zeros_like(lit), lit
    if len(frames) >= _FRAMES_FOR_CHANGE and by.any():
        change = by > max(1.0, _LEAST_CHANGE * dimness)
        text = ~change & (most >= _TEXT)
        lit &= change | _quiet_tissue(most, text)
    box = np.ones_like(lit)
    if region is not None:
        box[:] = False
        box[max(0, region.top) : region.bottom + 1, max(0, region.left) : region.right + 1] = True
    lit &= box
    solid = _solid(lit)
    body = _largest(solid)
    hull = _hull(body) & box
    if not (text & box & ~hull).any():  # no screen around it: what lies apart is tissue beyond a dark chamber
        hull = _hull(body | _moving(solid, change)) & box
    if hull.mean() < _LEAST_AREA:
        raise ClipError(Reason.NO_SECTOR, f"the largest lit area fills {hull.mean():.1%} of the picture")
    fill = float(lit[hull].mean())
    if fill < _LEAST_FILL:
        raise ClipError(Reason.NO_SECTOR, f"only {fill:.0%} of the largest area is lit")
    return np.asarray(hull, np.bool_)


def _quiet_tissue(most: npt.NDArray[np.uint8], text: Mask) -> Mask:
    """Where a picture [H,W] may be tissue though it does not change: not flat, nor near what may be text."""
    beside = cv2.dilate(text.astype(np.uint8), _disk(2 * max(2, round(_BESIDE_TEXT * len(most))) + 1)) > 0
    near = np.ones((3, 3), np.uint8)
    flat = cv2.dilate(most, near) == cv2.erode(most, near)
    return np.asarray(~flat & ~beside, np.bool_)


def coloured(frame: npt.NDArray[np.uint8]) -> Mask:
    """Pixels of an RGB frame [H,W,3] not grey, and in another colour than most that are as bright: no tint."""
    strong = np.asarray(_spread(frame) > _COLOUR_SPREAD, np.bool_)
    if not strong.any():
        return strong
    map_of = _grey_map(frame[::_TINT_STRIDE, ::_TINT_STRIDE].reshape(-1, 3))
    doubtful = frame[strong]  # [N,3]
    strong[strong] = _spread(doubtful - map_of[_brightness(doubtful)]) > _COLOUR_SPREAD
    return strong


def brightest(colours: Levels) -> Levels:
    """The largest of three channels [...,3]; NumPy reduces an axis of three ten times as slowly."""
    return np.maximum(np.maximum(colours[..., 0], colours[..., 1]), colours[..., 2])


def darkest(colours: Levels) -> Levels:
    """The smallest of three channels [...,3]."""
    return np.minimum(np.minimum(colours[..., 0], colours[..., 1]), colours[..., 2])


def _spread(colours: Levels) -> Levels:
    """The largest of three channels less the smallest [...]."""
    return brightest(colours) - darkest(colours)


def _brightness(colours: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
    return np.asarray(colours.sum(axis=-1, dtype=np.uint16) // 3, np.uint16)


def _grey_map(colours: npt.NDArray[np.uint8]) -> npt.NDArray[np.int16]:
    """The colour [256,3] in which most pixels of a brightness are shown, of colours [N,3]."""
    bins = _brightness(colours) // _TINT_BIN
    counts = np.bincount(bins, minlength=256 // _TINT_BIN)
    known = np.flatnonzero(counts >= min(counts.max(), _LEAST_OF_A_TINT))
    medians = np.array([np.median(colours[bins == b], axis=0) for b in known])  # [K,3]
    levels = np.arange(256)
    middles = medians.mean(axis=1)
    chroma = [np.interp(levels, middles, medians[:, c] - middles) for c in range(3)]
    return np.asarray(levels[:, None] + np.stack(chroma, axis=-1), np.int16)


def has_colour_box(colours: Mask, sector: Mask) -> bool:
    """Does a frame whose :func:`coloured` pixels these are show flow: patches of colour inside the sector?

    An overlay's lines vanish when they are thinned.
    """
    solid = cv2.erode((colours & sector).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return bool(solid.sum() >= _COLOURED_SHARE * sector.sum())


def _solid(lit: Mask) -> Mask:
    """The solid parts of a picture, worked out at a reduced scale."""
    scale = max(1, len(lit) // _WORKING_ROWS)
    rows, cols = lit.shape
    small = cv2.resize(lit.astype(np.uint8) * 255, (cols // scale, rows // scale), interpolation=cv2.INTER_AREA)
    closing, opening = max(3, int(_CLOSING * len(small))), max(3, int(_OPENING * len(small)))
    thinned = cv2.morphologyEx((small > 90).astype(np.uint8), cv2.MORPH_OPEN, _disk(2))
    closed = cv2.morphologyEx(thinned, cv2.MORPH_CLOSE, _disk(closing))
    solid = cv2.morphologyEx(closed, cv2.MORPH_OPEN, _disk(opening))
    return np.asarray(cv2.resize(solid, (cols, rows), interpolation=cv2.INTER_NEAREST) > 0, np.bool_)


def _disk(size: int) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)


def _largest(picture: Mask) -> Mask:
    """The largest component with a sector's proportions: a banner of text is wide and low."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(picture.astype(np.uint8), connectivity=8)
    tall = stats[:, cv2.CC_STAT_HEIGHT] / np.maximum(stats[:, cv2.CC_STAT_WIDTH], 1)
    areas = np.where((tall > _FLATTEST) & (tall < 1 / _FLATTEST), stats[:, cv2.CC_STAT_AREA], 0)
    areas[0] = 0  # the background
    best = int(np.argmax(areas))
    return np.asarray(labels == best if areas[best] else np.zeros_like(picture), np.bool_)


def _moving(picture: Mask, change: Mask) -> Mask:
    """The components of which enough changes."""
    count, labels = cv2.connectedComponents(picture.astype(np.uint8), connectivity=8)
    sizes = np.bincount(labels.ravel(), minlength=count)
    shares = np.bincount(labels[change], minlength=count) / np.maximum(sizes, 1)
    shares[0] = 0  # the background
    return np.asarray((shares >= _MOVING_SHARE)[labels], np.bool_)


def _hull(body: Mask) -> Mask:
    """The convex hull: fans and rectangles are convex, a dark side of them is still sector."""
    hull = np.zeros(body.shape, np.uint8)
    if not body.any():
        return np.asarray(hull > 0, np.bool_)
    points = np.argwhere(body)[:, ::-1].astype(np.int32)
    cv2.fillConvexPoly(hull, cv2.convexHull(points), 1)
    return np.asarray(hull > 0, np.bool_)
