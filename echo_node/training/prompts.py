"""Prompts that a person or the frame before might have given, drawn from the truth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from echo_node.inference.prompts import LOW_RESOLUTION, MAX_POINTS, PointKind, as_previous

Mask = npt.NDArray[np.uint8]

_CORRECTED = 0.2  # share of prompts


@dataclass(slots=True)
class Prompt:
    """What the decoder takes beside the structure."""

    points: npt.NDArray[np.float32]  # [8,2] x, y in 0 to 1
    kinds: npt.NDArray[np.int64]  # [8]
    previous: npt.NDArray[np.float32]  # [1,32,32] logits


def no_prompt() -> Prompt:
    """The structure alone."""
    return Prompt(
        points=np.zeros((MAX_POINTS, 2), np.float32),
        kinds=np.zeros(MAX_POINTS, np.int64),
        previous=np.zeros((1, LOW_RESOLUTION, LOW_RESOLUTION), np.float32),
    )


def sample_clicks(rng: np.random.Generator) -> int:
    """How many clicks correct the answer to a prompt: mostly none."""
    return int(rng.integers(1, MAX_POINTS - 1)) if rng.uniform() < _CORRECTED else 0


def sample_prompt(truth: Mask, neighbour: Mask | None, rng: np.random.Generator) -> Prompt:
    """Often nothing; else points, a box, or the mask of a neighbouring frame, never quite right.

    Parameters
    ----------
    truth, neighbour : u8 [S,S]
        The structure on this frame and on another of the clip; None where it is not known there.
    rng : numpy Generator
    """
    prompt = no_prompt()
    chance = rng.uniform()
    if chance < 0.64:
        return prompt
    if chance < 0.72:
        _add_points(prompt, truth, rng)
    elif chance < 0.85 and truth.any():
        _add_box(prompt, truth, rng)
    elif neighbour is None:
        _add_points(prompt, truth, rng)
    else:
        prompt.previous[0] = as_previous(_roughened(neighbour, rng))
        if rng.uniform() < 0.5:
            _add_points(prompt, truth, rng)
    return prompt


def _add_points(prompt: Prompt, truth: Mask, rng: np.random.Generator) -> None:
    for slot in range(rng.integers(1, MAX_POINTS - 1)):
        is_inside = bool(truth.any()) and rng.uniform() < 0.65
        rows, cols = np.nonzero(truth if is_inside else truth == 0)
        pick = rng.integers(len(rows))
        prompt.points[slot] = (cols[pick] + 0.5) / truth.shape[1], (rows[pick] + 0.5) / truth.shape[0]
        prompt.kinds[slot] = PointKind.FOREGROUND if is_inside else PointKind.BACKGROUND


def _add_box(prompt: Prompt, truth: Mask, rng: np.random.Generator) -> None:
    rows, cols = np.flatnonzero(truth.any(axis=1)), np.flatnonzero(truth.any(axis=0))
    corners = np.array([[cols[0], rows[0]], [cols[-1] + 1, rows[-1] + 1]]) / truth.shape[0]
    prompt.points[:2] = np.clip(corners + rng.normal(0, 0.015, (2, 2)), 0, 1)
    prompt.kinds[:2] = PointKind.BOX_TOP_LEFT, PointKind.BOX_BOTTOM_RIGHT


def _roughened(mask: Mask, rng: np.random.Generator) -> Mask:
    kernel = np.ones((3, 3), np.uint8)
    change = cv2.dilate if rng.uniform() < 0.5 else cv2.erode
    rough = change(mask, kernel, iterations=int(rng.integers(0, 3)))
    return np.asarray(np.roll(rough, rng.integers(-2, 3, 2), axis=(0, 1)), np.uint8)
