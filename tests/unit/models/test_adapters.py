"""Adapters change nothing at first, learn alone, and low-rank ones fold into the weights."""

import pytest
import torch

from echo_node.models.adapters import LowRank, Tuning, merge, prepare, trainable
from echo_node.models.vit import VisionTransformer, ViTShape

SHAPE = ViTShape(width=32, depth=2, heads=4, image_size=28, patch_size=14)


def encoder() -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(SHAPE).eval()


@pytest.mark.parametrize("tuning", Tuning)
@torch.no_grad()
def test_a_fresh_adapter_changes_nothing(tuning):
    plain, adapted, frames = encoder(), encoder(), torch.randn(2, 1, 28, 28)
    prepare(adapted, tuning)
    assert torch.allclose(plain(frames), adapted(frames), atol=1e-6)


@pytest.mark.parametrize(
    ("tuning", "count"),
    [
        (Tuning.FROZEN, 0),
        (Tuning.ADAPTER, 2 * (32 * 8 + 8 + 8 * 32 + 32)),
        (Tuning.LORA, 2 * (2 * 8 * 32 + 2 * 32 * 8)),
        (Tuning.FULL, sum(p.numel() for p in encoder().parameters())),
    ],
)
def test_only_what_was_chosen_learns(tuning, count):
    adapted = encoder()
    prepare(adapted, tuning)
    assert trainable(adapted) == count
    if count:
        adapted(torch.randn(2, 1, 28, 28)).square().sum().backward()
    for name, parameter in adapted.named_parameters():
        has_gradient = parameter.grad is not None
        assert has_gradient == (parameter.requires_grad and count > 0), name


@torch.no_grad()
def test_a_low_rank_change_folds_into_the_weights():
    adapted, frames = encoder(), torch.randn(2, 1, 28, 28)
    prepare(adapted, Tuning.LORA)
    plain = adapted(frames)
    for module in adapted.modules():
        if isinstance(module, LowRank):
            module.up.normal_()
    changed = adapted(frames)
    assert not torch.allclose(plain, changed, atol=1e-2)
    merge(adapted)
    assert not any(isinstance(module, LowRank) for module in adapted.modules())
    assert set(adapted.state_dict()) == set(encoder().state_dict())
    assert torch.allclose(adapted(frames), changed, atol=1e-4)
