"""Which frames of a clip are looked at: decoding and encoding are what costs."""

from __future__ import annotations

import numpy as np

from echo_node.records import Clip

BESIDE = 8  # frames that tell what moves in a clip; training has six, over a beat
VIEW_FRAMES = 16  # spread over the clip: systole and diastole are both among them


def spread(total: int, wanted: int = VIEW_FRAMES) -> tuple[int, ...]:
    """Up to ``wanted`` indices, evenly over ``total`` frames."""
    return tuple(np.unique(np.linspace(0, total - 1, min(wanted, total)).round().astype(int)).tolist())


def middle(total: int, wanted: int) -> tuple[int, ...]:
    """Up to ``wanted`` consecutive indices from the middle of ``total`` frames."""
    first = max(0, (total - wanted) // 2)
    return tuple(range(first, min(total, first + wanted)))


def pick(clip: Clip, indices: tuple[int, ...]) -> Clip:
    """A clip that holds only some of its frames."""
    picked = list(indices)
    return Clip(
        SOPInstanceUID=clip.SOPInstanceUID,
        frames=clip.frames[picked],
        frame_numbers=tuple(clip.frame_numbers[i] for i in picked),
        times_ms=None if clip.times_ms is None else clip.times_ms[picked],
        spacing_mm=clip.spacing_mm,
        sector=clip.sector,
        mode=clip.mode,
        NumberOfFrames=clip.NumberOfFrames,
    )
