"""The assembler: which numbers make which model."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from echo_node.codes import WallPoint
from echo_node.models.ejection_head import EjectionHead
from echo_node.models.prompt_decoder import PromptDecoder
from echo_node.models.view_head import ViewHead
from echo_node.models.vit import Stem, VisionTransformer, ViTShape
from echo_node.models.wall_head import WallHead


def _of_dinov2(*, width: int, depth: int, heads: int, patch_size: int = 14) -> ViTShape:
    """The encoders whose weights are published: DINOv2 with registers."""
    return ViTShape(
        width=width,
        depth=depth,
        heads=heads,
        image_size=16 * patch_size,
        patch_size=patch_size,
        registers=4,
        layer_scale=1e-5,
        norm_epsilon=1e-6,
    )


SHAPES: Mapping[str, ViTShape] = {
    # Small enough to be trained from nothing on two CPU cores within the hour.
    "tiny": ViTShape(width=128, depth=6, heads=4, image_size=112, patch_size=8, stem=Stem.CONVOLUTION),
    "small": _of_dinov2(width=384, depth=12, heads=6),
    "base": _of_dinov2(width=768, depth=12, heads=12),
    "large": _of_dinov2(width=1024, depth=24, heads=16),
}


class EchoModel(nn.Module):
    """An encoder of views and, tuned from it, one of all that is measured; and the heads that read their tokens.

    What is measured is looked at in windows of its own, so that a second encoder costs a further pass only over the
    few frames of the whole sector in which a structure is found. It is the paper's adapter, of full rank.
    """

    def __init__(self, shape: ViTShape, *, views: int, structures: int) -> None:
        super().__init__()
        self.shape = shape
        self.encoder = VisionTransformer(shape)  # for the view
        self.measuring = VisionTransformer(shape)  # for the other heads
        self.view = ViewHead(shape.width, views, grid=shape.grid)
        self.segment = PromptDecoder(
            image_width=shape.width,
            grid=shape.grid,
            image_size=shape.image_size,
            structures=structures,
            channels=shape.channels,
        )
        self.walls = WallHead(
            image_width=shape.width, grid=shape.grid, points=len(WallPoint), channels=shape.channels
        )
        self.ejection = EjectionHead(image_width=shape.width, grid=shape.grid)


def build(name: str, *, views: int, structures: int) -> EchoModel:
    """A model by the name of its size.

    Parameters
    ----------
    name : str
        ``tiny``, ``small``, ``base`` or ``large``.
    views, structures : int
        How many labels and prompts the heads know.
    """
    return EchoModel(SHAPES[name], views=views, structures=structures)
