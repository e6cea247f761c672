"""Shapes, and what the parts must and must not depend on."""

import pytest
import torch

from echo_node.inference.prompts import LOW_RESOLUTION, MAX_POINTS, PointKind
from echo_node.models.assemble import SHAPES, EchoModel, build
from echo_node.models.checkpoints import load_weights, save_weights
from echo_node.models.vit import ViTShape

SMALL = ViTShape(width=32, depth=1, heads=2, image_size=28, patch_size=14)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build("tiny", views=7, structures=6).eval()


def prompt_of(n: int) -> dict:
    return {
        "frames": torch.randn(n, 1, 112, 112, generator=torch.Generator().manual_seed(1)),
        "structure": torch.zeros(n, dtype=torch.int64),
        "points": torch.rand(n, MAX_POINTS, 2),
        "kinds": torch.zeros(n, MAX_POINTS, dtype=torch.int64),
        "previous": torch.zeros(n, 1, LOW_RESOLUTION, LOW_RESOLUTION),
    }


@torch.no_grad()
def test_shapes(model):
    tokens = model.encoder(torch.randn(3, 1, 112, 112))
    assert tokens.shape == (3, 1 + 14 * 14, 128)
    assert model.view(tokens[None]).shape == (1, 7)
    assert model.segment(tokens, **prompt_of(3)).shape == (3, 1, 112, 112)


@pytest.mark.parametrize("name", ["small", "base", "large"])
def test_larger_encoders_are_the_same_class_with_other_numbers(name):
    assert SHAPES[name].image_size % SHAPES[name].patch_size == 0
    with torch.device("meta"):
        assert isinstance(build(name, views=18, structures=6), EchoModel)


@torch.no_grad()
def test_the_view_does_not_depend_on_the_order_of_frames(model):
    tokens = model.encoder(torch.randn(4, 1, 112, 112))
    assert torch.allclose(model.view(tokens[None]), model.view(tokens.flip(0)[None]), atol=1e-5)


@torch.no_grad()
def test_points_that_are_none_say_nothing(model):
    tokens = model.encoder(torch.randn(1, 1, 112, 112))
    prompt = prompt_of(1)
    other = prompt | {"points": torch.rand(1, MAX_POINTS, 2)}
    assert torch.equal(model.segment(tokens, **prompt), model.segment(tokens, **other))
    kinds = prompt["kinds"].clone()
    kinds[0, 0] = PointKind.FOREGROUND
    assert not torch.allclose(model.segment(tokens, **prompt), model.segment(tokens, **(prompt | {"kinds": kinds})))


@torch.no_grad()
def test_a_finer_grid_of_the_frame_than_the_patches_reaches_the_mask(model):
    """Two frames with the same tokens, one shifted by a pixel, have different outlines."""
    tokens, prompt = model.encoder(torch.zeros(1, 1, 112, 112)), prompt_of(1)
    moved = prompt | {"frames": prompt["frames"].roll(1, dims=-1)}
    assert not torch.allclose(model.segment(tokens, **prompt), model.segment(tokens, **moved))


def test_weights_survive_a_file_within_half_precision(tmp_path):
    torch.manual_seed(1)
    first = EchoModel(SMALL, views=3, structures=2)
    save_weights(first, tmp_path / "w.safetensors")
    second = EchoModel(SMALL, views=3, structures=2)
    load_weights(second, tmp_path / "w.safetensors")
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-4)
