"""``echo-node engines import --checkpoint``: from a published encoder to what training starts from."""

from __future__ import annotations

from pathlib import Path

from echo_node.models.pretrained import load_pretrained, published_shape
from echo_node.models.starting_point import write_encoder
from echo_node.models.vit import VisionTransformer
from echo_node.training.data import MEAN, STD


def import_encoder(checkpoint: Path, out: Path) -> int:
    """Write the encoder of a DINOv2 or DINOv3 checkpoint for grey frames as training normalises them.

    Raises
    ------
    EngineError
        The checkpoint is none of theirs, or the folder is there already.
    """
    encoder = VisionTransformer(published_shape(checkpoint))
    load_pretrained(encoder, checkpoint, mean=MEAN, std=STD)
    write_encoder(encoder, out, origin=f"taken from the published weights {checkpoint.name}")
    shape = encoder.shape
    print(
        f"{out}: width {shape.width}, depth {shape.depth}, patches of {shape.patch_size}, frames of "
        f"{shape.image_size} pixels; an encoder without heads: echo-node pretrain --encoder {out}"
    )
    return 0
