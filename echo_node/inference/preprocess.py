"""From a clip's frames to the encoder's input and back: one code for training and serving."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from echo_node.inference.sampling import BESIDE, spread

Frames = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

_DEVIATIONS = 3  # of a pixel over the clip, to grey levels: walls that pass reach some 200
_BLACK, _WHITE = 0.02, 0.995  # of a clip's greys, so many are at most as dark or at most as bright
_MEAN = 0.25  # of a clip's greys, once they are at one level
_GAMMAS = np.geomspace(0.3, 3.0, 64)  # that bring them there
_ISLAND = 0.1  # of the largest part: what is smaller is noise
WALL_MARGIN = 1.6  # of a window around wall points: its side over the longer extent of the four


@dataclass(frozen=True, slots=True)
class Letterbox:
    """The sector's box, scaled with its aspect kept into the middle of a square."""

    rows: int  # of the source picture
    cols: int
    top: int  # the sector's box in it
    left: int
    height: int
    width: int
    size: int  # of the square
    inner_top: int  # the box in the square
    inner_left: int
    inner_height: int
    inner_width: int

    @classmethod
    def around(cls, sector: Mask, size: int) -> Letterbox:
        """The letterbox of a sector bool [H,W] that is not empty."""
        return cls._of(_extent(sector), sector.shape, size)

    @classmethod
    def closer(cls, inside: Letterbox, seen: Mask, *, margin: float) -> Letterbox | None:
        """The letterbox of a square window around what is seen, cut to the one that it was seen in.

        Parameters
        ----------
        inside : Letterbox
            The wider one.
        seen : bool [H,W]
            Where the structure was seen, in the source picture.
        margin : float
            The window's side over the longer side of what is seen.

        Returns
        -------
        Letterbox or None
            None where nothing was seen.
        """
        if not seen.any():
            return None
        top, left, height, width = _extent(seen)
        half = max(height, width) * margin / 2
        row, col = top + height / 2, left + width / 2
        first_row, last_row = max(inside.top, int(row - half)), min(inside.top + inside.height, round(row + half))
        first_col, last_col = max(inside.left, int(col - half)), min(inside.left + inside.width, round(col + half))
        window = first_row, first_col, last_row - first_row, last_col - first_col
        return cls._of(window, seen.shape, inside.size)

    @classmethod
    def _of(cls, box: tuple[int, int, int, int], shape: tuple[int, ...], size: int) -> Letterbox:
        """The letterbox of a box (top, left, height, width) in a picture."""
        top, left, height, width = box
        scale = size / max(height, width)
        inner_height, inner_width = max(1, round(height * scale)), max(1, round(width * scale))
        return cls(
            rows=shape[0],
            cols=shape[1],
            top=top,
            left=left,
            height=height,
            width=width,
            size=size,
            inner_top=(size - inner_height) // 2,
            inner_left=(size - inner_width) // 2,
            inner_height=inner_height,
            inner_width=inner_width,
        )

    def apply(self, frames: Frames) -> Frames:
        """Frames u8 [T,H,W] as squares u8 [T,S,S]."""
        out = np.zeros((len(frames), self.size, self.size), np.uint8)
        inner = out[:, self._inner_rows, self._inner_cols]
        how = cv2.INTER_AREA if self.inner_height < self.height else cv2.INTER_LINEAR
        for target, frame in zip(inner, frames, strict=True):
            box = frame[self.top : self.top + self.height, self.left : self.left + self.width]
            target[:] = cv2.resize(box, (self.inner_width, self.inner_height), interpolation=how)
        return out

    def restore(self, logits: npt.NDArray[np.float32], sector: Mask, *, most: int) -> Mask:
        """Mask logits [T,S,S] as masks bool [T,H,W] of the source, inside its sector, of so many parts at most."""
        out = np.zeros((len(logits), self.rows, self.cols), np.bool_)
        for target, logit in zip(out, logits, strict=True):
            inner = np.ascontiguousarray(logit[self._inner_rows, self._inner_cols])
            box = cv2.resize(inner, (self.width, self.height), interpolation=cv2.INTER_LINEAR)
            there = slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)
            target[there] = without_islands(box > 0, most=most)
        return out & sector

    def holds(self, seen: Mask) -> bool:
        """Does all that was seen bool [H,W] lie inside?"""
        box = seen[self.top : self.top + self.height, self.left : self.left + self.width]
        return bool(box.sum() == seen.sum())

    def to_square(self, row: float, col: float) -> tuple[float, float]:
        """A point of the source as (x, y) in 0 to 1 of the square."""
        x = self.inner_left + (col - self.left + 0.5) * self.inner_width / self.width
        y = self.inner_top + (row - self.top + 0.5) * self.inner_height / self.height
        return x / self.size, y / self.size

    def from_square(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Points (x, y) in 0 to 1 of the square as (row, col) of the source."""
        row = (y * self.size - self.inner_top) * self.height / self.inner_height + self.top - 0.5
        col = (x * self.size - self.inner_left) * self.width / self.inner_width + self.left - 0.5
        return row, col

    @property
    def _inner_rows(self) -> slice:
        return slice(self.inner_top, self.inner_top + self.inner_height)

    @property
    def _inner_cols(self) -> slice:
        return slice(self.inner_left, self.inner_left + self.inner_width)


def _extent(mask: Mask) -> tuple[int, int, int, int]:
    """Top, left, height and width of a mask that is not empty."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(cols[0]), int(rows[-1] - rows[0] + 1), int(cols[-1] - cols[0] + 1)


def without_islands(mask: Mask, *, most: int) -> Mask:
    """The largest connected parts of a mask [H,W]: so many at most, none below a tenth of the largest.

    A chamber is one piece. A wall may be cut by the plane and by the sector's edges.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if areas.size < 2:
        return mask
    large = np.argsort(-areas, kind="stable")[:most]
    kept = 1 + large[areas[large] >= _ISLAND * areas.max()]
    # For one part np.isin takes six times as long.
    return np.asarray(np.logical_or.reduce([labels == part for part in kept]), np.bool_)


def in_clip(squares: Frames, channels: int, *, among: Frames | None = None) -> Frames:
    """A clip's frames with what an encoder of so many channels sees beside each.

    What moves is told from what does not, where one frame alone is too poor: a wall that is lost in one phase is
    seen in another. And the clip's greys are brought to one level: see :func:`level`.

    Parameters
    ----------
    squares : u8 [...,T,S,S]
    channels : int
        1: the frame alone, as it is. 3: the frame, the clip's mean, and three times its standard deviation, up to
        255, of levelled greys.
    among : u8 [...,K,S,S], optional
        The frames that level, mean and deviation are of; ``squares`` where left out. Of more than eight, eight: a
        deviation over fewer or more frames would look otherwise.

    Returns
    -------
    u8 [...,T,C,S,S]
    """
    if channels == 1:
        return squares[..., None, :, :]
    seen = squares if among is None else among
    seen = seen[..., list(spread(seen.shape[-3], BESIDE)), :, :]
    if squares.ndim > 3:
        pairs = zip(squares, seen, strict=True)
        return np.stack([in_clip(frames, channels, among=others) for frames, others in pairs])
    table = level(seen)
    squares, seen = table[squares], table[seen]
    beside = seen.mean(axis=0, dtype=np.float32), _DEVIATIONS * seen.std(axis=0, dtype=np.float32)
    others = [np.minimum(b, 255).round().astype(np.uint8) for b in beside]
    return np.stack([squares, *(np.broadcast_to(other, squares.shape) for other in others)], axis=1)


def level(seen: Frames) -> Frames:
    """What each grey of a clip becomes, so that all clips are about as bright and use all greys: u8 [256].

    Its darkest and brightest greys are taken for black and white, and a power between them gives the clip the mean
    that all have. Black is no grey here: it surrounds the sector.
    """
    counts = np.bincount(seen.ravel(), minlength=256)
    counts[0] = 0
    if not counts.any():
        return np.arange(256, dtype=np.uint8)
    share = np.cumsum(counts) / counts.sum()
    black, white = np.searchsorted(share, (_BLACK, _WHITE))
    scale = np.clip((np.arange(256) - black) / max(8, white - black), 0, 1)
    powers = scale ** _GAMMAS[:, None]  # [G,256]
    best = powers[np.abs(powers @ counts / counts.sum() - _MEAN).argmin()]
    return np.asarray(np.round(255 * best), np.uint8)


def normalise(squares: Frames, *, mean: float, std: float, channels: int = 1) -> npt.NDArray[np.float32]:
    """A clip's squares u8 [...,T,S,S] as encoder input float32 [...,T,C,S,S]: see :func:`in_clip`."""
    return scaled(in_clip(squares, channels), mean=mean, std=std)


def scaled(levels: Frames, *, mean: float, std: float) -> npt.NDArray[np.float32]:
    """Grey levels u8 of any shape, normalised."""
    return np.ascontiguousarray((levels.astype(np.float32) / 255 - mean) / std, np.float32)
