"""Shapes, and what the parts must and must not depend on."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from echo_node.inference.preprocess import Letterbox
from echo_node.inference.prompts import LOW_RESOLUTION, MAX_POINTS, PointKind
from echo_node.inference.walls import locate
from echo_node.models.assemble import SHAPES, EchoModel, build
from echo_node.models.checkpoints import load_weights, save_weights
from echo_node.models.prompt_decoder import click_maps
from echo_node.models.vit import ViTShape, attended
from echo_node.models.wall_head import WallHead
from echo_node.training.losses import point_loss

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
    assert model.walls(tokens, prompt_of(3)["frames"]).shape == (3, 4, 56, 56)
    for count in (1, 5):
        sequence = tokens[:1].expand(count, -1, -1)[None]
        assert model.ejection(sequence, torch.arange(count)[None] * 0.04).shape == (1, 2 + count)


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


def test_clicks_are_bumps_where_they_lie_and_boxes_are_none():
    points = torch.tensor([[[0.25, 0.75], [0.5, 0.5], [0.9, 0.1], [0.1, 0.9]] + [[0.0, 0.0]] * 4])
    kinds = torch.tensor(
        [[PointKind.FOREGROUND, PointKind.BACKGROUND, PointKind.BOX_TOP_LEFT] + [PointKind.NONE] * 5]
    )
    maps = click_maps(points, kinds, side=112)[0]  # foreground and background of the narrow width, then of the wide
    y, x = np.mgrid[:112, :112]
    for number, reach in ((0, 0.03), (2, 0.1)):
        apart = ((x + 0.5) / 112 - 0.25) ** 2 + ((y + 0.5) / 112 - 0.75) ** 2
        assert maps[number].numpy() == pytest.approx(np.exp(-apart / 2 / reach**2), abs=1e-6)
    row, col = divmod(int(maps[1].argmax()), 112)
    assert {row, col} <= {55, 56}
    none = click_maps(points, torch.zeros_like(kinds), side=112)
    assert not none.any()


@torch.no_grad()
def test_ejection_depends_on_times_and_on_their_order(model):
    tokens, times = model.encoder(torch.randn(6, 1, 112, 112))[None], torch.arange(6)[None] * 0.04
    said = model.ejection(tokens, times)
    assert not torch.allclose(said, model.ejection(tokens, 2 * times), atol=1e-4)
    back = model.ejection(tokens.flip(1), times.flip(1))
    assert torch.allclose(said[:, 2:], back[:, 2:].flip(1), atol=1e-5), "times say the order, not places in the row"


def test_the_wall_head_learns_where_spots_are():
    """Subpixel places from frames alone: half a pixel of the frame is a quarter of a cell."""
    torch.manual_seed(2)
    head, draw = WallHead(image_width=8, grid=7, points=4), torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(head.parameters(), lr=3e-3)
    tokens = torch.zeros(8, 50, 8)
    r = torch.arange(56.0)[None, :, None]
    for step in range(140):
        places = 18 + 20 * torch.rand(8, 2, generator=draw)
        frames = 3 * torch.exp(-((r - places[:, :1, None]) ** 2 + (r.mT - places[:, 1:, None]) ** 2) / 8)
        truth = ((places + 0.5) / 56)[:, None].expand(-1, 4, -1)
        maps = head(tokens, frames[:, None])
        loss = point_loss(maps, truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step == 0:
            first = loss.item()
    assert loss.item() < 0.1 * first
    box = Letterbox.around(np.ones((56, 56), bool), 56)
    found = locate(maps.detach().numpy(), box).places
    assert np.abs(found - places.numpy()[:, None]).mean() < 0.4


def test_weights_survive_a_file_within_half_precision(tmp_path):
    torch.manual_seed(1)
    first = EchoModel(SMALL, views=3, structures=2)
    save_weights(first, tmp_path / "w.safetensors")
    second = EchoModel(SMALL, views=3, structures=2)
    load_weights(second, tmp_path / "w.safetensors")
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-4)


def test_a_head_that_is_younger_than_the_weights_stays_as_it_is(tmp_path):
    torch.manual_seed(1)
    first, second = EchoModel(SMALL, views=3, structures=2), EchoModel(SMALL, views=3, structures=2)
    start = [p.clone() for p in second.walls.parameters()]
    save_weights(first, tmp_path / "w.safetensors")
    older = {n: v for n, v in load_file(tmp_path / "w.safetensors").items() if not n.startswith("walls.")}
    save_file(older, tmp_path / "older.safetensors")
    load_weights(second, tmp_path / "older.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(start, second.walls.parameters(), strict=True))
    assert torch.allclose(first.view.linear.weight, second.view.linear.weight, atol=1e-3)
    del older["view.linear.weight"]
    save_file(older, tmp_path / "torn.safetensors")
    with pytest.raises(RuntimeError, match=r"view\.linear\.weight"):
        load_weights(second, tmp_path / "torn.safetensors")


@pytest.mark.parametrize("length", [1, 7, 196])
def test_attention_from_its_parts_is_the_fused_one_with_its_gradients(length):
    draw = torch.Generator().manual_seed(length)
    of_parts = [torch.randn(2, 3, length, 8, generator=draw, requires_grad=True) for _ in range(3)]
    of_fused = [t.detach().clone().requires_grad_() for t in of_parts]
    weights = torch.randn(2, 3, length, 8, generator=draw)
    found, wanted = attended(*of_parts), F.scaled_dot_product_attention(*of_fused)
    assert torch.allclose(found, wanted, atol=1e-5)
    (found * weights).sum().backward()
    (wanted * weights).sum().backward()
    for ours, theirs in zip(of_parts, of_fused, strict=True):
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-4)
