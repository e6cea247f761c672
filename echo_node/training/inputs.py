"""Frames as the encoder that is trained takes them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from echo_node.inference.preprocess import normalise
from echo_node.models.vit import ViTShape
from echo_node.training.data import MEAN, STD

CHANNELS = 3  # of an encoder that is trained: a frame in its clip


def encoder_input(squares: npt.NDArray[np.uint8], shape: ViTShape) -> Tensor:
    """A clip's squares u8 [...,T,S,S] as float32 [...,T,C,S,S], in the shape's channels."""
    return torch.from_numpy(normalise(squares, mean=MEAN, std=STD, channels=shape.channels))
