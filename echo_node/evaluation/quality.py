"""How well a picture shows the ventricle: from its pixels and the truth, never from the engine.

The generalised contrast-to-noise ratio of cavity against myocardium: one minus the overlap of their
grey levels' histograms, 1 where a threshold could tell them apart and 0 where nothing could
(Rodriguez-Molares et al., IEEE TUFFC 2020;67:745). Shadows, haze, dropout, gain and compression all
enter it as they are seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from echo_node.codes import Structure
from echo_node.evaluation.cases import QUALITIES
from echo_node.records import Clip, Segmentation

POOR_BELOW, GOOD_FROM = 0.5, 0.7
_LEVELS = 32  # bins of 256 grey levels
_LEAST_PIXELS = 100


def quality(clip: Clip, masks: Sequence[Segmentation]) -> str | None:
    """Good, fair or poor; None where the cavity or its wall is not labelled."""
    contrast = cavity_contrast(clip, masks)
    if contrast is None:
        return None
    if contrast < POOR_BELOW:
        return QUALITIES[2]
    return QUALITIES[1] if contrast < GOOD_FROM else QUALITIES[0]


def cavity_contrast(clip: Clip, masks: Sequence[Segmentation]) -> float | None:
    """The generalised contrast-to-noise ratio over the labelled frames, 0 to 1."""
    levels = [_levels(clip, masks, s) for s in (Structure.LV_CAVITY, Structure.LV_MYOCARDIUM)]
    if min(map(len, levels)) < _LEAST_PIXELS:
        return None
    cavity, wall = (np.histogram(v, bins=_LEVELS, range=(0, 256))[0] / len(v) for v in levels)
    return 1.0 - float(np.minimum(cavity, wall).sum())


def _levels(clip: Clip, masks: Sequence[Segmentation], structure: Structure) -> npt.NDArray[np.uint8]:
    found = next((m for m in masks if m.structure is structure), None)
    if found is None:
        return np.zeros(0, np.uint8)
    frames = clip.frames[[clip.frame_numbers.index(number) for number in found.frame_numbers]]
    return np.asarray(frames[found.masks], np.uint8)
