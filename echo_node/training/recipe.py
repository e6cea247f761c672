"""Everything that decides the result of the joint training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from echo_node.errors import EngineError
from echo_node.training import data

UNSEEN = 2  # seed of the phantoms that a run is watched by and its package calibrated on


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides a run's result.

    Views are learned at a rate that stays high, and what is kept is the average of many steps (Izmailov P et al.,
    2018): at a rate that falls to nothing the last steps teach what phantoms alone have, and real hearts are lost.
    """

    views: bool = True  # the first stage: the encoder of views; else that of what is measured is tuned
    size: str = "tiny"
    encoder: Path | None = None  # folder of one to start from, whose shape then counts and not the size
    own: Path | None = None  # labelled clips of one's own, learned from beside the phantoms
    seed: int = 1  # of the phantoms learned from and of all draws; UNSEEN is not for learning
    train_clips: int = 400 * len(data.CYCLE)
    validation_clips: int = 10 * len(data.CYCLE)
    frames: int = 6  # per clip, as rendered
    steps: int = 8000  # of the first stage
    measuring_steps: int = 6000  # of the second
    clips_per_step: int = 32  # of all processes together
    frames_per_clip: int = 1
    close_share: float = 0.0  # of clips looked at in a window around one structure
    whole_clip_share: float = 0.8  # of clips whose frames are all there to see what moves; of others some
    apical_share: float = 0.0  # of a batch at least: the views that are measured need the finest masks
    wall_share: float = 0.0  # of a batch at least: clips whose wall points are known
    learning_rate: float = 7e-4
    last_rate: float = 0.5  # share of the rate that is left at the end
    weight_decay: float = 0.05
    warm_up: int = 100
    averaging: float = 0.9995  # of the weights that are kept
    half_precision: bool = True  # bfloat16 in the encoder, where the device knows it: twice as fast
    validate_every: int = 500

    def of_measuring(self) -> Recipe:
        """The second stage's: mostly windows, many apical, and whole sectors to find structures in."""
        return replace(
            self,
            views=False,
            steps=self.measuring_steps,
            clips_per_step=max(1, self.clips_per_step // 2),
            frames_per_clip=2,
            close_share=0.85,
            apical_share=0.32,
            wall_share=0.12,
            learning_rate=6e-4,
            last_rate=0.01,
            averaging=0.998,
        )

    def __post_init__(self) -> None:
        if self.seed == UNSEEN:
            raise EngineError(f"seed {UNSEEN}: these phantoms are kept unseen. Take another seed")
