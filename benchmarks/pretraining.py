"""What some departures of the pretraining from DINOv2's recipe bring: ``python -m benchmarks.pretraining``.

Short runs on the same phantoms with departures taken back, and the views of unseen phantoms that neighbours and a
linear map then tell from the frozen features. What is best after so few steps need not be best after many.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from echo_node.models.assemble import SHAPES
from echo_node.models.vit import VisionTransformer
from echo_node.training import data
from echo_node.training.dino.pretrain import DinoRecipe, pretrain
from echo_node.training.dino.probe import probe
from echo_node.training.dino.sources import PhantomSource
from echo_node.training.inputs import CHANNELS
from echo_node.training.recipe import UNSEEN

_PROBED = 420

WAYS: dict[str, dict[str, Any]] = {
    "the recipe": {},
    "no contrast": {"contrast": 0.0},
    "no contrast, a teacher over a quarter of the run": {"contrast": 0.0, "follow_within": 0.25},
    "no contrast, teacher's temperature 0.04 to 0.07": {"contrast": 0.0, "teacher_temperature": (0.04, 0.07)},
    "a weight of 1 for hidden patches": {"ibot": 1.0},
    "no hidden patches": {"ibot": 0.0},
}


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--clips", type=int, default=2160)
    parser.add_argument("--phantoms", type=Path, help="folder of a run's phantoms; rendered where left out")
    parser.add_argument("--only", choices=WAYS, action="append", help="of the ways; all where left out")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        shards = args.phantoms or Path(scratch) / "phantoms"
        known = data.load(shards, seed=1, clips=args.clips, frames=6)
        unseen = data.load(shards, seed=UNSEEN, clips=_PROBED, frames=6)
        first = known.first(_PROBED)
        torch.manual_seed(1)
        random = VisionTransformer(replace(SHAPES["tiny"], channels=CHANNELS))
        plain = DinoRecipe(steps=args.steps, probe_every=args.steps)
        print(f"| {args.steps} steps of {plain.batch} of {args.clips} phantoms | neighbours | linear map |")
        print("| --- | --- | --- |")
        _print("a random encoder", probe(random, first, unseen))
        for number, (name, changes) in enumerate(WAYS.items()):
            if args.only and name not in args.only:
                continue
            learned = pretrain(Path(scratch) / str(number), PhantomSource(known), replace(plain, **changes))
            _print(name, probe(learned.encoder, first, unseen))


def _print(name: str, found: dict[str, float]) -> None:
    print(f"| {name} | {found['view_knn']:.3f} | {found['view_linear']:.3f} |", flush=True)


if __name__ == "__main__":
    main()
