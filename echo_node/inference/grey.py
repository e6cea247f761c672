"""Grey levels on the device: a graph of the node's own beside the package's, so that pixels travel as bytes."""

from __future__ import annotations

import hashlib

import numpy as np

from echo_node.inference.backend import Arrays
from echo_node.inference.manifest import GraphEntry, Preprocess, TensorEntry
from echo_node.inference.preprocess import scaled

GREY = "grey levels"
LEVELS, FRAMES = "levels", "frames"


def grey_entry(settings: Preprocess) -> GraphEntry:
    """What the graph takes (u8) and gives (float32): squares [batch,C,S,S]."""
    shape = ("batch", settings.channels, settings.size, settings.size)
    return GraphEntry(
        file="grey.onnx",
        inputs={LEVELS: TensorEntry(dtype="uint8", shape=shape)},
        outputs={FRAMES: TensorEntry(dtype="float32", shape=shape)},
    )


def grey_sha256(settings: Preprocess) -> str:
    """Of all that decides the graph."""
    text = f"grey {settings.channels} {settings.size} {settings.mean!r} {settings.std!r}"
    return hashlib.sha256(text.encode()).hexdigest()


def grey_golden(settings: Preprocess) -> Arrays:
    """Every level, and what ``preprocess`` makes of it."""
    shape = 2, settings.channels, settings.size, settings.size
    levels = np.arange(np.prod(shape)).reshape(shape).astype(np.uint8)
    return {f"in_{LEVELS}": levels, f"out_{FRAMES}": scaled(levels, mean=settings.mean, std=settings.std)}
