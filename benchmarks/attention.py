"""What a training step of the default encoder costs with attention from its parts, against the fused one.

Run: ``python -m benchmarks.attention``. The default engine's shape on this processor, with random weights, on which
time does not depend: frames forth and back, in bfloat16 where the processor knows it, as in training.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from unittest import mock

import torch
import torch.nn.functional as F

from benchmarks.timing import race
from echo_node.models import vit
from echo_node.models.assemble import SHAPES
from echo_node.training.inputs import CHANNELS
from echo_node.training.place import half_precision


def main() -> None:
    """Print the medians of a step, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--frames", type=int, default=16)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    shape = replace(SHAPES["tiny"], channels=CHANNELS)
    encoder = vit.VisionTransformer(shape).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    frames = torch.randn(chosen.frames, CHANNELS, shape.image_size, shape.image_size)

    def step() -> None:
        with half_precision(frames.device, wanted=True):
            tokens = encoder(frames)
        tokens.float().square().mean().backward()

    print(f"{chosen.frames} frames, {chosen.threads} threads")
    race({"fused": fused(step), "from its parts": step}, repeats=chosen.repeats)


def fused(step: Callable[[], None]) -> Callable[[], None]:
    """The step with torch's own attention."""

    def way() -> None:
        with mock.patch.object(vit, "attended", F.scaled_dot_product_attention):
            step()

    return way


if __name__ == "__main__":
    main()
