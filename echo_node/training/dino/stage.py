"""The first stage of an engine: which pictures, which recipe."""

from __future__ import annotations

from pathlib import Path

from echo_node.errors import EchoNodeError
from echo_node.models.assemble import SHAPES
from echo_node.models.starting_point import read_encoder
from echo_node.training import data
from echo_node.training.dino.crops import CropRules
from echo_node.training.dino.pretrain import DinoRecipe, pretrain
from echo_node.training.dino.sources import FreshPhantoms, PhantomSource, Source, open_source
from echo_node.training.place import Place
from echo_node.training.recipe import UNSEEN, Recipe

_LEAST_BATCH = 8
_PROBED = 420  # labelled phantoms of each set, for the probes


def pretrain_on(
    folder: Path | None,
    out: Path,
    *,
    size: str,
    steps: int,
    batch: int,
    accumulate: int,
    workers: int,
    prototypes: int = 256,
    encoder: Path | None = None,
    fresh: bool = False,
) -> None:
    """Pretrain an encoder on a folder of pictures, or on phantoms without one.

    The features are probed on labelled phantoms either way. With the folder of an encoder it starts from that
    one, whatever the size says. Fresh phantoms are rendered as they are needed: by workers, or by a GPU without.

    Raises
    ------
    EchoNodeError
        A batch too small to tell pictures apart in.
    """
    if batch < _LEAST_BATCH:
        raise EchoNodeError(f"--batch {batch}: its pictures are told apart; take {_LEAST_BATCH} at least")
    labelled, shards = Recipe(), out / "phantoms"
    shape = SHAPES[size] if encoder is None else read_encoder(encoder).shape
    crop = shape.patch_size * round(0.29 * shape.grid)  # 32 pixels of 112
    recipe = DinoRecipe(
        size=size,
        encoder=encoder,
        steps=steps,
        batch=batch,
        accumulate=accumulate,
        workers=workers,
        prototypes=prototypes,
        crops=CropRules(large=crop * 2, small=crop),
    )
    place, seed, frames = Place.find(), labelled.seed, labelled.frames
    source: Source | None = None
    if folder is not None:
        source = open_source(folder, size=max(data.STORED_SIZE, shape.image_size), index=out / "index")
    elif fresh:
        source = FreshPhantoms(place.device if place.device.type == "cuda" and not workers else None)
    count = labelled.train_clips if source is None else _PROBED
    known = place.first_of_all(lambda: data.load(shards, seed=seed, clips=count, frames=frames))
    unseen = place.first_of_all(lambda: data.load(shards, seed=UNSEEN, clips=_PROBED, frames=frames))
    pretrain(out, source or PhantomSource(known), recipe, known=known.first(_PROBED), unseen=unseen)
