"""Pictures that are no DICOM objects, as the node's reader would hand them on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from echo_node.codes import ImageMode
from echo_node.dicom import sector
from echo_node.dicom.pixels import LUMA
from echo_node.dicom.regions import DataType, Region, SpatialFormat
from echo_node.errors import ClipError
from echo_node.records import Clip

_LOOKED_AT = 6  # frames for finding the sector, as echo_node.dicom.clips looks at


def seen_clip(
    frames: npt.NDArray[np.uint8],
    *,
    uid: str,
    times_ms: npt.NDArray[np.float64] | None,
    spacing_mm: tuple[float, float] | None,
    mode: ImageMode | None = None,
    region: Region | None = None,
) -> Clip | None:
    """Grey inside the sector and 0 outside; None where no sector is found.

    Parameters
    ----------
    frames : u8 [T,H,W] or [T,H,W,3]
        Grey or RGB.
    uid : str
        To know the clip by.
    times_ms : float [T], optional
        From the first frame.
    spacing_mm : (float, float), optional
        Height and width of a pixel.
    mode : ImageMode, optional
        What a cart would state. Left out: a colour box makes it colour flow, else it is 2D.
    region : Region, optional
        The box that a cart would state.
    """
    looked = frames[np.unique(np.linspace(0, len(frames) - 1, min(_LOOKED_AT, len(frames))).astype(int))]
    if frames.ndim == 3:
        grey, colours = frames, np.zeros(looked.shape, np.bool_)
        levels = looked
    else:
        grey = np.stack([np.asarray((f @ LUMA).round(), np.uint8) for f in frames])
        colours = np.stack([sector.coloured(f) for f in looked])
        levels = sector.darkest(looked)
    overlay = np.asarray(colours.any(axis=0), np.bool_)
    try:
        mode = mode or _mode(looked, colours, region)
        is_flat = mode is ImageMode.TWO_D
        nothing = np.zeros_like(overlay)
        seen = sector.find(levels, overlay if is_flat else nothing, region)
    except ClipError:
        return None
    keep = seen & ~overlay if is_flat else seen
    return whole_clip(
        np.where(keep, grey, np.uint8(0)), seen, uid=uid, times_ms=times_ms, spacing_mm=spacing_mm, mode=mode
    )


def region_of(box: npt.NDArray[np.bool_], spacing_mm: tuple[float, float] | None) -> Region:
    """The two-dimensional region that a cart would state around a sector bool [H,W]."""
    rows, cols = np.flatnonzero(box.any(axis=1)), np.flatnonzero(box.any(axis=0))
    return Region(
        left=int(cols[0]),
        top=int(rows[0]),
        right=int(cols[-1]),
        bottom=int(rows[-1]),
        spatial_format=SpatialFormat.TWO_D,
        data_type=DataType.TISSUE,
        spacing_mm=spacing_mm,
    )


def whole_clip(
    frames: npt.NDArray[np.uint8],
    seen: npt.NDArray[np.bool_],
    *,
    uid: str,
    times_ms: npt.NDArray[np.float64] | None,
    spacing_mm: tuple[float, float] | None,
    mode: ImageMode = ImageMode.TWO_D,
) -> Clip:
    """A clip of all its frames u8 [T,H,W], whose sector bool [H,W] is known."""
    return Clip(
        SOPInstanceUID=uid,
        frames=frames,
        frame_numbers=tuple(range(1, len(frames) + 1)),
        times_ms=times_ms,
        spacing_mm=spacing_mm,
        sector=seen,
        mode=mode,
        NumberOfFrames=len(frames),
    )


def _mode(looked: npt.NDArray[np.uint8], colours: npt.NDArray[np.bool_], region: Region | None) -> ImageMode:
    if looked.ndim == 3:
        return ImageMode.TWO_D
    whole = sector.find(sector.brightest(looked), np.zeros(looked.shape[1:3], np.bool_), region)
    return ImageMode.COLOUR_FLOW if any(sector.has_colour_box(c, whole) for c in colours) else ImageMode.TWO_D
