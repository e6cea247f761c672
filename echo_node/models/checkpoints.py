"""Weights in and out: safetensors only, for what is shared; ``weights_only`` for a run's own state."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn


def save_weights(model: nn.Module, path: Path) -> None:
    """Write a model's weights as safetensors, in half precision: to train on from."""
    write_weights({name: value.half() for name, value in model.state_dict().items()}, path)


def write_weights(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write safetensors for whom the umask allows: the library's own files are for nobody but their writer."""
    path.write_bytes(save({name: value.contiguous().cpu() for name, value in weights.items()}))


def load_weights(model: nn.Module, path: Path) -> None:
    """Read weights that :func:`save_weights` wrote; every name and shape must fit.

    A head of which the file has nothing, since it is younger than the file, stays as it is.
    """
    found = {name: value.float() for name, value in load_file(path).items()}
    parts = {name.split(".")[0] for name in found}
    kept = {name: value for name, value in model.state_dict().items() if name.split(".")[0] not in parts}
    model.load_state_dict(kept | found)


def save_state(state: dict[str, Any], path: Path) -> None:
    """Write a run's state, whole or not at all."""
    half = path.with_suffix(".half")
    torch.save(state, half)
    half.replace(path)


def load_state(path: Path) -> dict[str, Any]:
    """Read a run's state; nothing but tensors and plain values is accepted."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state
