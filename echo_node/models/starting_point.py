"""An encoder in a folder: its shape by name, its weights as safetensors. What training can start from."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch.nn.functional as F
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from echo_node.errors import EngineError
from echo_node.models.checkpoints import save_weights, write_weights
from echo_node.models.vit import Positions, Stem, VisionTransformer, ViTShape

ARCHITECTURE, WEIGHTS = "architecture.yaml", "weights.safetensors"
_ORIGIN = "origin.txt"
_PREFIX = "encoder."  # in an engine package, whose heads stand beside it
_MEASURING = "measuring."  # the second encoder, which a package may lack


def architecture(shape: ViTShape) -> dict[str, Any]:
    """An encoder's shape, its choices by their names."""
    return {k: v.value if isinstance(v, enum.Enum) else v for k, v in dataclasses.asdict(shape).items()}


def write_encoder(encoder: VisionTransformer, folder: Path, *, origin: str) -> None:
    """Write an encoder alone; the folder must not be there yet.

    Parameters
    ----------
    encoder : VisionTransformer
    folder : Path
    origin : str
        How it came to be, for the cards of engines that start from it: "pretrained on ...".

    Raises
    ------
    EngineError
        It is.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise EngineError(f"{folder}: is there already") from error
    save_weights(encoder, folder / WEIGHTS)
    _write_words(encoder.shape, folder, origin)


def keep_encoder(encoder: VisionTransformer, folder: Path, *, origin: str) -> None:
    """Write an encoder into a run's folder, over what it held before, in full precision."""
    half = folder / f"{WEIGHTS}.half"
    write_weights(encoder.state_dict(), half)
    half.replace(folder / WEIGHTS)
    _write_words(encoder.shape, folder, origin)


def _write_words(shape: ViTShape, folder: Path, origin: str) -> None:
    text = yaml.safe_dump(architecture(shape), sort_keys=False)
    (folder / ARCHITECTURE).write_text(text, encoding="utf-8")
    (folder / _ORIGIN).write_text(origin + "\n", encoding="utf-8")


def read_origin(folder: Path) -> str:
    """How the encoder in a folder came to be; nothing where the folder does not say, as a package does not."""
    path = folder / _ORIGIN
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""


def read_encoder(folder: Path) -> VisionTransformer:
    """The encoder of a starting point, of a pretraining's folder, or of an engine package.

    Raises
    ------
    EngineError
        The files are missing or do not fit each other.
    """
    try:
        encoder = VisionTransformer(read_shape(folder / ARCHITECTURE))
        weights = load_file(folder / WEIGHTS)
        if any(name.startswith(_PREFIX) for name in weights):
            weights = {n.removeprefix(_PREFIX): w for n, w in weights.items() if n.startswith(_PREFIX)}
        encoder.load_state_dict({name: weight.float() for name, weight in weights.items()})
    except OSError as error:
        raise EngineError(f"{folder}: holds no encoder: {error.strerror or error}") from error
    except (SafetensorError, RuntimeError) as error:
        raise EngineError(f"{folder / WEIGHTS}: does not fit {ARCHITECTURE}: {error}") from error
    return encoder


def load_heads(model: nn.Module, folder: Path) -> None:
    """Give a model what stands beside an encoder in an engine package: heads, and a second encoder if it has one.

    Elsewhere there is nothing.

    Parameters
    ----------
    model : Module
        With an ``encoder``, which is left as it is, as is ``measuring`` where the package has none; and heads by
        the package's names.
    folder : Path
        What :func:`read_encoder` reads.

    Raises
    ------
    EngineError
        The package's heads are of other labels or of another shape.
    """
    weights = {name: weight.float() for name, weight in load_file(folder / WEIGHTS).items()}
    if not any(name.startswith(_PREFIX) for name in weights):
        return
    has_second = any(name.startswith(_MEASURING) for name in weights)
    left = (_PREFIX,) if has_second else (_PREFIX, _MEASURING)
    kept = {n: w for n, w in model.state_dict().items() if n.startswith(left)}
    try:
        model.load_state_dict(widened(weights, model.state_dict()) | kept)
    except RuntimeError as error:
        raise EngineError(f"{folder / WEIGHTS}: has other heads than are trained: {error}") from error


def widened(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a model whose convolutions take fewer channels for one where they take more behind these.

    The further channels count nothing at first, so that the model gives what it gave: frames in their clip after
    frames alone, clicks as maps after none.

    Parameters
    ----------
    weights, wanted : mapping of name to Tensor
        State dicts of the two; those of ``wanted`` only tell the shapes.
    """
    found = dict(weights)
    for name, value in weights.items():
        target = wanted.get(name)
        if target is not None and value.ndim == 4 and value.shape[1] < target.shape[1]:
            found[name] = F.pad(value, (0, 0, 0, 0, 0, target.shape[1] - value.shape[1]))
    return found


def read_shape(path: Path) -> ViTShape:
    """An encoder's shape as :data:`ARCHITECTURE` has it.

    Raises
    ------
    EngineError
        The file is missing, or describes no encoder.
    """
    try:
        values = yaml.safe_load(path.read_bytes())
        choices = {"stem": Stem(values["stem"]), "positions": Positions(values["positions"])}
        return ViTShape(**(values | choices))
    except OSError as error:
        raise EngineError(f"{path.parent}: holds no encoder: {error.strerror or error}") from error
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise EngineError(f"{path}: describes no encoder: {error}") from error
