"""Published checkpoints, by synthetic ones of the same names and shapes."""

import math

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from echo_node.errors import EngineError
from echo_node.models.pretrained import load_pretrained
from echo_node.models.vit import Positions, VisionTransformer, ViTShape

WIDTH, DEPTH, HEADS, PATCH, GRID = 24, 2, 3, 4, 5
MEAN, STD = 0.2, 0.2
RGB_MEAN, RGB_STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def shape(positions: Positions) -> ViTShape:
    return ViTShape(
        width=WIDTH,
        depth=DEPTH,
        heads=HEADS,
        image_size=GRID * PATCH,
        patch_size=PATCH,
        registers=4,
        layer_scale=1e-5,
        positions=positions,
        norm_epsilon=1e-6 if positions is Positions.LEARNED else 1e-5,
    )


def checkpoint(version: int, *, grid: int = GRID) -> dict[str, Tensor]:
    """Every name and shape that DINOv2 (with registers) or DINOv3 publishes, with random numbers."""
    draw = torch.Generator().manual_seed(version)

    def random(*size: int) -> Tensor:
        return torch.randn(*size, generator=draw) * 0.3

    weights = {
        "cls_token": random(1, 1, WIDTH),
        "mask_token": random(1, WIDTH),
        "patch_embed.proj.weight": random(WIDTH, 3, PATCH, PATCH),
        "patch_embed.proj.bias": random(WIDTH),
        "norm.weight": random(WIDTH),
        "norm.bias": random(WIDTH),
    }
    if version == 2:
        weights["pos_embed"] = random(1, 1 + grid**2, WIDTH)
        weights["register_tokens"] = random(1, 4, WIDTH)
    else:
        steps = torch.arange(WIDTH // HEADS // 4)
        weights["rope_embed.periods"] = 100.0 ** (2 * steps / (WIDTH // HEADS // 2))
        weights["storage_tokens"] = random(1, 4, WIDTH)
    for i in range(DEPTH):
        for norm in ("norm1", "norm2"):
            weights[f"blocks.{i}.{norm}.weight"], weights[f"blocks.{i}.{norm}.bias"] = random(WIDTH), random(WIDTH)
        for name, rows, cols in (
            ("attn.qkv", 3 * WIDTH, WIDTH),
            ("attn.proj", WIDTH, WIDTH),
            ("mlp.fc1", 4 * WIDTH, WIDTH),
            ("mlp.fc2", WIDTH, 4 * WIDTH),
        ):
            weights[f"blocks.{i}.{name}.weight"] = random(rows, cols)
            weights[f"blocks.{i}.{name}.bias"] = random(rows)
        if version == 3:
            mask = torch.ones(3 * WIDTH)
            mask[WIDTH : 2 * WIDTH] = torch.nan
            weights[f"blocks.{i}.attn.qkv.bias_mask"] = mask
        weights[f"blocks.{i}.ls1.gamma"], weights[f"blocks.{i}.ls2.gamma"] = random(WIDTH), random(WIDTH)
    return weights


def as_the_hub_has_it(weights: dict[str, Tensor], version: int) -> dict[str, Tensor]:
    """The same checkpoint under the names of the hub's models Dinov2WithRegisters and DINOv3ViT."""
    layer = "encoder.layer" if version == 2 else "layer"
    patches = "embeddings.patch_embeddings" + (".projection" if version == 2 else "")
    parts = (
        [f"attention.{p}" for p in ("query", "key", "value")] if version == 2 else ["q_proj", "k_proj", "v_proj"]
    )
    out = "output.dense" if version == 2 else "o_proj"
    mlp = ("fc1", "fc2") if version == 2 else ("up_proj", "down_proj")
    named = {
        "embeddings.cls_token": weights["cls_token"],
        "embeddings.mask_token": weights["mask_token"],
        "embeddings.register_tokens": weights["register_tokens" if version == 2 else "storage_tokens"],
        f"{patches}.weight": weights["patch_embed.proj.weight"],
        f"{patches}.bias": weights["patch_embed.proj.bias"],
        **{f"{'layernorm' if version == 2 else 'norm'}.{k}": weights[f"norm.{k}"] for k in ("weight", "bias")},
    }
    if version == 2:
        named["embeddings.position_embeddings"] = weights["pos_embed"]
    for i in range(DEPTH):
        for kind in ("weight", "bias"):
            old, new = f"blocks.{i}", f"{layer}.{i}"
            for name in ("norm1", "norm2"):
                named[f"{new}.{name}.{kind}"] = weights[f"{old}.{name}.{kind}"]
            for part, value in zip(parts, weights[f"{old}.attn.qkv.{kind}"].chunk(3), strict=True):
                if (part, kind) != ("k_proj", "bias"):
                    named[f"{new}.attention.{part}.{kind}"] = value.clone()
            named[f"{new}.attention.{out}.{kind}"] = weights[f"{old}.attn.proj.{kind}"]
            for ours, theirs in zip(("fc1", "fc2"), mlp, strict=True):
                named[f"{new}.mlp.{theirs}.{kind}"] = weights[f"{old}.mlp.{ours}.{kind}"]
        for scale in (1, 2):
            named[f"{layer}.{i}.layer_scale{scale}.lambda1"] = weights[f"blocks.{i}.ls{scale}.gamma"]
    return named


def rotated(x: Tensor, *, grid: int, periods: Tensor) -> Tensor:
    """One head's patches [G*G,d], pair by pair as complex numbers."""
    out = x.clone()
    half = x.shape[1] // 2
    for patch in range(grid * grid):
        place = [(2 * (patch // grid) + 1) / grid - 1, (2 * (patch % grid) + 1) / grid - 1]
        for pair in range(half):
            angle = 2 * math.pi * place[pair // len(periods)] / periods[pair % len(periods)].item()
            number = complex(x[patch, pair], x[patch, pair + half]) * complex(math.cos(angle), math.sin(angle))
            out[patch, pair], out[patch, pair + half] = number.real, number.imag
    return out


def reference(weights: dict[str, Tensor], grey: Tensor, *, version: int) -> Tensor:
    """The published encoder, written out by hand on a colour picture: class and patch tokens [1+G*G,D]."""
    rgb = (grey.expand(3, -1, -1) - RGB_MEAN[:, None, None]) / RGB_STD[:, None, None]
    x = F.conv2d(rgb[None], weights["patch_embed.proj.weight"], weights["patch_embed.proj.bias"], stride=PATCH)
    x = torch.cat([weights["cls_token"][0], x[0].flatten(1).T])
    if version == 2:
        x = x + weights["pos_embed"][0]
    extra = weights["register_tokens" if version == 2 else "storage_tokens"][0]
    x = torch.cat([x[:1], extra, x[1:]])
    first, epsilon = 1 + len(extra), 1e-6 if version == 2 else 1e-5
    for i in range(DEPTH):
        w = {n.removeprefix(f"blocks.{i}."): v for n, v in weights.items() if n.startswith(f"blocks.{i}.")}
        bias = w["attn.qkv.bias"]
        if version == 3:
            bias = bias * w["attn.qkv.bias_mask"].nan_to_num(0)
        y = F.layer_norm(x, (WIDTH,), w["norm1.weight"], w["norm1.bias"], eps=epsilon)
        q, k, v = (y @ w["attn.qkv.weight"].T + bias).chunk(3, dim=1)
        heads = []
        for part in torch.arange(WIDTH).chunk(HEADS):
            a, b = q[:, part].clone(), k[:, part].clone()
            if version == 3:
                for tensor in (a, b):
                    tensor[first:] = rotated(tensor[first:], grid=GRID, periods=weights["rope_embed.periods"])
            heads.append((a @ b.T / math.sqrt(len(part))).softmax(dim=1) @ v[:, part])
        y = torch.cat(heads, dim=1) @ w["attn.proj.weight"].T + w["attn.proj.bias"]
        x = x + w["ls1.gamma"] * y
        y = F.layer_norm(x, (WIDTH,), w["norm2.weight"], w["norm2.bias"], eps=epsilon)
        y = F.gelu(y @ w["mlp.fc1.weight"].T + w["mlp.fc1.bias"]) @ w["mlp.fc2.weight"].T + w["mlp.fc2.bias"]
        x = x + w["ls2.gamma"] * y
    x = F.layer_norm(x, (WIDTH,), weights["norm.weight"], weights["norm.bias"], eps=epsilon)
    return torch.cat([x[:1], x[first:]])


@pytest.mark.parametrize(("version", "positions"), [(2, Positions.LEARNED), (3, Positions.ROTARY)])
@pytest.mark.parametrize("kept", [".pth", ".safetensors", "hub"])
@torch.no_grad()
def test_a_published_encoder_gives_what_it_gave(tmp_path, monkeypatch, version, positions, kept):
    monkeypatch.setattr("echo_node.models.hub_names.HEAD_WIDTH", WIDTH // HEADS)
    weights, path = checkpoint(version), tmp_path / ("weights.pth" if kept == ".pth" else "weights.safetensors")
    if kept == ".pth":
        torch.save(weights, path)
    else:
        save_file(weights if kept == ".safetensors" else as_the_hub_has_it(weights, version), path)
    encoder = VisionTransformer(shape(positions)).eval()
    load_pretrained(encoder, path, mean=MEAN, std=STD)
    grey = torch.rand(1, GRID * PATCH, GRID * PATCH, generator=torch.Generator().manual_seed(9))
    found = encoder((grey[None] - MEAN) / STD)[0]
    assert torch.allclose(found, reference(weights, grey, version=version), atol=2e-4)


@torch.no_grad()
def test_learned_positions_fit_another_grid(tmp_path):
    torch.save(checkpoint(2, grid=9), tmp_path / "w.pth")
    encoder = VisionTransformer(shape(Positions.LEARNED)).eval()
    load_pretrained(encoder, tmp_path / "w.pth", mean=MEAN, std=STD)
    larger = encoder(torch.zeros(1, 1, 8 * PATCH, 6 * PATCH))
    assert larger.shape == (1, 1 + 48, WIDTH)


def test_what_does_not_fit_is_named(tmp_path):
    weights = checkpoint(2)
    del weights["blocks.1.ls1.gamma"]
    weights["surprise"] = torch.zeros(3)
    torch.save(weights, tmp_path / "w.pth")
    encoder = VisionTransformer(shape(Positions.LEARNED))
    with pytest.raises(EngineError, match=r"2 tensors do not fit: blocks\.1\.scale1\.gamma: missing"):
        load_pretrained(encoder, tmp_path / "w.pth", mean=MEAN, std=STD)


def test_a_pickle_that_runs_something_is_refused(tmp_path):
    import pickle

    class Harm:
        def __reduce__(self):
            return print, ("harm",)

    (tmp_path / "w.pth").write_bytes(pickle.dumps({"cls_token": Harm()}))
    with pytest.raises(EngineError, match="is no checkpoint"):
        load_pretrained(VisionTransformer(shape(Positions.LEARNED)), tmp_path / "w.pth", mean=MEAN, std=STD)
