"""Published encoders: DINOv2's and DINOv3's weights, by their names at Meta's or the hub's, into ours.

They see colour and we see grey. A grey frame has three equal channels, so the first layer's sum over them,
with both normalisations folded in, is exact.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from echo_node.errors import EngineError
from echo_node.models.hub_names import HEAD_WIDTH, by_their_own_names
from echo_node.models.vit import Positions, VisionTransformer, ViTShape, interpolated

# Of the pictures that both were trained on, per colour channel.
_MEAN, _STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])

_NAMES: tuple[tuple[str, str], ...] = (
    (r"^cls_token$", "class_token"),
    (r"^(register|storage)_tokens$", "registers"),
    (r"^pos_embed$", "positions"),
    (r"^rope_embed\.periods$", "rotary.periods"),
    (r"^patch_embed\.proj\.", "patches."),
    (r"\.attn\.qkv\.", ".attention.qkv."),
    (r"\.attn\.proj\.", ".attention.out."),
    (r"\.ls([12])\.gamma$", r".scale\1.gamma"),
    (r"\.mlp\.fc1\.", ".mlp.0."),
    (r"\.mlp\.fc2\.", ".mlp.2."),
)
# What torch and safetensors raise on a file that is none of theirs.
_BAD_FILE = (OSError, EOFError, KeyError, ValueError, RuntimeError, pickle.UnpicklingError, SafetensorError)
_UNUSED = re.compile(r"^mask_token$|^local_cls_norm\.")
_GRID = 16  # patches along a side: 224 pixels for DINOv2, 256 for DINOv3
_KEY_BIAS_MASK = "attention.qkv.bias_mask"


def published_shape(path: Path) -> ViTShape:
    """The encoder that a published checkpoint is of, as its tensors tell.

    Parameters
    ----------
    path : Path
        Of DINOv2 or DINOv3, sizes S, B or L. What else it is of (a giant's gated MLP) does not load then.

    Raises
    ------
    EngineError
        The checkpoint cannot be read, or is of neither.
    """
    weights = _renamed(_read(path))
    first = weights.get("patches.weight")
    if first is None or first.ndim != 4 or first.shape[0] % HEAD_WIDTH:
        raise EngineError(f"{path}: is no encoder of DINOv2 or DINOv3: patch_embed.proj.weight tells")
    registers = weights.get("registers")
    is_rotary = "rotary.periods" in weights  # DINOv3
    return ViTShape(
        width=first.shape[0],
        depth=len([name for name in weights if re.fullmatch(r"blocks\.\d+\.norm1\.weight", name)]),
        heads=first.shape[0] // HEAD_WIDTH,
        image_size=_GRID * first.shape[-1],
        patch_size=first.shape[-1],
        registers=0 if registers is None else registers.shape[1],
        layer_scale=1e-5 if "blocks.0.scale1.gamma" in weights else None,
        positions=Positions.ROTARY if is_rotary else Positions.LEARNED,
        norm_epsilon=1e-5 if is_rotary else 1e-6,
    )


def load_pretrained(encoder: VisionTransformer, path: Path, *, mean: float, std: float) -> None:
    """Fill an encoder from a published checkpoint.

    Parameters
    ----------
    encoder : VisionTransformer
        Of the checkpoint's width, depth, patch size, registers and kind of positions; learned positions are
        resampled to its grid.
    path : Path
        ``.safetensors``, or a ``.pth`` of which nothing but tensors is read.
    mean, std : float
        Of the grey levels that the encoder takes.

    Raises
    ------
    EngineError
        The checkpoint cannot be read or does not fit. It names what differs.
    """
    weights = _renamed(_read(path))
    for name in [n for n in weights if n.endswith(_KEY_BIAS_MASK)]:
        _mask_key_bias(weights, name)
    if "patches.weight" in weights:
        _to_grey(weights, mean=mean, std=std)
    if "positions" in weights and encoder.shape.grid:
        weights["positions"] = interpolated(weights["positions"], encoder.shape.grid, encoder.shape.grid)
    wanted = {name: tuple(value.shape) for name, value in encoder.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    differing = [
        f"{name}: {found.get(name, 'missing')}, {wanted.get(name, 'not wanted')} wanted"
        for name in sorted(wanted.keys() | found.keys())
        if wanted.get(name) != found.get(name)
    ]
    if differing:
        raise EngineError(f"{path}: {len(differing)} tensors do not fit: {'; '.join(differing[:5])}")
    encoder.load_state_dict(weights)


def _read(path: Path) -> Mapping[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except _BAD_FILE as error:
        raise EngineError(f"{path}: is no checkpoint: {type(error).__name__}") from error
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise EngineError(f"{path}: holds more than tensors")
    return by_their_own_names(content)


def _renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for name, value in weights.items():
        if _UNUSED.match(name):
            continue
        for pattern, replacement in _NAMES:
            name = re.sub(pattern, replacement, name)
        renamed[name] = value.float()
    return renamed


def _mask_key_bias(weights: dict[str, Tensor], name: str) -> None:
    """DINOv3's keys have no bias; its checkpoints say so with a mask beside the bias of all three."""
    del weights[name]
    bias = weights[name.removesuffix("_mask")].clone()
    query, key, _ = bias.chunk(3)
    bias[len(query) : len(query) + len(key)] = 0
    weights[name.removesuffix("_mask")] = bias


def _to_grey(weights: dict[str, Tensor], *, mean: float, std: float) -> None:
    """Fold three channels' weights [D,3,p,p] and both normalisations into one channel's."""
    colour = weights["patches.weight"] / _STD[:, None, None]
    weights["patches.weight"] = colour.sum(dim=1, keepdim=True) * std
    offset = (colour * (mean - _MEAN)[:, None, None]).sum(dim=(1, 2, 3))
    weights["patches.bias"] = weights["patches.bias"] + offset
