"""``echo-node pretrain``: pictures without labels to an encoder.

One process per device: alone, or as many as ``torchrun`` starts. Every picture has a random stream of its
own (seed and number), so that workers, processes and restarts change nothing of what is seen.

Where this departs from DINOv2's code, on purpose:

- A contrast of the batch's pictures beside the class loss (``losses.contrast_loss``): with 64 pictures a step the
  class loss alone brought little of anything.
- Batch norms in the heads, whose statistics are of one process and one part of a step; their first weights are
  torch's own.
- The teacher follows within 0.4 % of the run at first, ten steps at least: a momentum of 0.9, where a run of
  100,000 steps has 0.9975. Its temperature is lower, for there are few prototypes: 256 of each head.
- Patches are hidden only where there is echo, so that they are half as many: what is black around a sector is no
  riddle. The iBOT loss, a mean
  over the pictures of which something is hidden, half of all, has a weight of 0.3.
- Crops are smaller than what the encoder serves, 64 pixels for one of 112, and two small ones: four times as many
  pictures for the same work. Small crops are of a tenth of a picture at least, large ones of four: a sector fills
  half of its square.
- No left-right flip, no colour, no solarisation: crops get the grey levels of ultrasound and turns of some 8
  degrees.
- No drop path and no layer-wise decay of the rate: both are for large encoders on many pictures.
- The rate is as given, not scaled with the batch; it falls with the share of the run, whatever its length. Weight
  decay ends at 0.2: runs are short.
- Two projection heads, one of class tokens, one of patches (as DINOv2 for its giant), and narrower (512, then 128).
  Prototypes are unit vectors by division rather than by weight norm with a gain held at 1: the same function.
- Tokens and learned positions do not decay.
- Gradients are clipped over encoder and heads together.
- Answers are balanced, and pictures contrasted, within each part of an accumulated step, over all processes.
- A stem of convolutions has batch statistics: the teacher takes over the student's, those of the first process.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset
from tqdm import trange

from echo_node.errors import EchoNodeError
from echo_node.models.assemble import SHAPES
from echo_node.models.checkpoints import load_state, save_state
from echo_node.models.starting_point import keep_encoder, read_encoder, read_origin, widened
from echo_node.models.vit import ViTShape
from echo_node.training import data
from echo_node.training.dino.crops import CropRules, sample_crops
from echo_node.training.dino.learner import Learner, follow, teacher_of
from echo_node.training.dino.losses import contrast_loss, dino_loss, ibot_loss, koleo_loss, sinkhorn_knopp
from echo_node.training.dino.masking import has_echo, sample_masks
from echo_node.training.dino.probe import probe
from echo_node.training.dino.sources import Source
from echo_node.training.inputs import CHANNELS, encoder_input
from echo_node.training.place import Place, half_precision, share_buffers
from echo_node.training.schedule import cosine, ramp, warmed_up

_FORM = 2  # of pictures and losses, beside the recipe: what began with another does not go on
_LEAST_STEPS = 10.0  # that the teacher's average is over


@dataclass(frozen=True, slots=True, kw_only=True)
class DinoRecipe:
    """Everything that decides a pretraining's result."""

    size: str = "tiny"
    encoder: Path | None = None  # folder of one to start from, whose shape then counts and not the size
    seed: int = 1
    steps: int = 2000
    batch: int = 64  # pictures per process, step and accumulation
    accumulate: int = 1
    crops: CropRules = field(default_factory=CropRules)
    prototypes: int = 256  # of each head; DINOv2 has 65,536 and more, for batches of thousands
    hidden: int = 512
    bottleneck: int = 128
    learning_rate: float = 1e-3
    last_learning_rate: float = 1e-6
    warm_up: float = 0.1  # shares of the run from here on
    hold_prototypes: float = 0.02
    warm_teacher: float = 0.3
    weight_decay: tuple[float, float] = (0.04, 0.2)
    follow_within: float = 0.004  # share of the run, at its start, that the teacher's average is over
    teacher_temperature: tuple[float, float] = (0.02, 0.03)
    student_temperature: float = 0.1
    contrast_temperature: float = 0.2
    contrast: float = 1.0  # weights of losses, beside 1 of the class loss
    ibot: float = 0.3
    koleo: float = 0.1
    clip_norm: float = 3.0
    probe_every: int = 250
    half_precision: bool = True  # bfloat16, where the device knows it
    workers: int = 0

    def momentum(self, share: float) -> float:
        """How much of itself the teacher keeps, which ends at all of it."""
        return cosine(1 - 1 / max(_LEAST_STEPS, self.follow_within * self.steps), 1.0, share)

    def kept(self) -> dict[str, str]:
        """What a run that goes on must have alike: all but who reads the pictures and how often it is probed."""
        free = {"workers", "probe_every", "encoder"}
        return {f.name: str(getattr(self, f.name)) for f in fields(self) if f.name not in free} | {
            "form": str(_FORM)
        }


@dataclass(slots=True)
class Pretraining:
    """A run's state: all that a checkpoint holds."""

    student: Learner
    teacher: Learner
    optimiser: torch.optim.Optimizer
    step: int = 0

    @classmethod
    def start(cls, recipe: DinoRecipe, device: torch.device) -> Pretraining:
        """A fresh run."""
        torch.manual_seed(recipe.seed)
        start = None if recipe.encoder is None else read_encoder(recipe.encoder)
        student = Learner(
            replace(SHAPES[recipe.size] if start is None else start.shape, channels=CHANNELS),
            prototypes=recipe.prototypes,
            hidden=recipe.hidden,
            bottleneck=recipe.bottleneck,
        )
        if start is not None:
            student.encoder.load_state_dict(widened(start.state_dict(), student.encoder.state_dict()))
        student = student.to(device)
        return cls(student, teacher_of(student), torch.optim.AdamW(_groups(student), betas=(0.9, 0.999)))

    def save(self, path: Path, recipe: DinoRecipe, pictures: str) -> None:
        """Write the checkpoint, and the teacher's encoder beside it: the folder is then one to start from."""
        state = {
            "recipe": recipe.kept(),
            "student": self.student.state_dict(),
            "teacher": self.teacher.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
        }
        save_state(state, path)
        per_step = recipe.batch * recipe.accumulate * Place.find().processes
        origin = f"pretrained without labels in {self.step:,} steps of {per_step:,} {pictures}"
        before = "" if recipe.encoder is None else read_origin(recipe.encoder) or "given weights"
        keep_encoder(self.teacher.encoder, path.parent, origin=f"{origin}, after {before}" if before else origin)

    def resume(self, path: Path, recipe: DinoRecipe) -> None:
        """Go on from a checkpoint.

        Raises
        ------
        EchoNodeError
            It was made by another recipe.
        """
        state = load_state(path)
        before, now = state.get("recipe", {}), recipe.kept()
        differs = [
            f"{name} ({before.get(name)}, now {value})" for name, value in now.items() if before.get(name) != value
        ]
        if differs:
            raise EchoNodeError(f"{path}: was made with another {', '.join(differs)}; choose another --run")
        self.student.load_state_dict(state["student"])
        self.teacher.load_state_dict(state["teacher"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = state["step"]


def _groups(student: Learner) -> list[dict[str, object]]:
    """Weights decay; biases, norms, scales, tokens and positions do not (they are vectors or named)."""
    free = {"class_token", "registers", "positions", "mask_token"}
    named = list(student.named_parameters())
    vectors = [p for n, p in named if p.ndim < 2 or n.rpartition(".")[2] in free]
    prototypes = [p for n, p in named if "prototypes" in n]
    others = {id(p) for p in [*vectors, *prototypes]}
    return [
        {"params": [p for _, p in named if id(p) not in others], "decays": True, "prototypes": False},
        {"params": vectors, "decays": False, "prototypes": False},
        {"params": prototypes, "decays": True, "prototypes": True},
    ]


class CropsOf(Dataset[tuple[Tensor, Tensor, int]]):
    """Pictures by number, cut into crops: [2,C,S,S] and [L,C,s,s], normalised, each in its clip; and its number."""

    def __init__(self, source: Source, recipe: DinoRecipe, shape: ViTShape) -> None:
        self._source, self._recipe, self._shape = source, recipe, shape

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, int]:
        rng = np.random.default_rng([self._recipe.seed, 1, number])
        frames, clip = self._source.draw(rng)
        crops = sample_crops(frames, self._recipe.crops, rng)
        return self._first(crops.large), self._first(crops.small), clip

    def _first(self, crops: npt.NDArray[np.uint8]) -> Tensor:
        """The picture's crops among those of its clip u8 [N,T,S,S]."""
        return encoder_input(crops, self._shape)[:, 0]


def pretrain(
    out: Path,
    source: Source,
    recipe: DinoRecipe,
    *,
    known: data.Clips | None = None,
    unseen: data.Clips | None = None,
) -> Learner:
    """Pretrain, or go on where the folder's checkpoint stands.

    Parameters
    ----------
    out : Path
        Folder of the run: ``checkpoint.pt``, ``metrics.jsonl``, and the teacher's encoder to start from.
    source : Source
        Pictures.
    recipe : DinoRecipe
    known, unseen : Clips, optional
        Labelled ones, to probe the features with as training goes on.

    Returns
    -------
    Learner
        The teacher.

    Raises
    ------
    EchoNodeError
        A loss is no number.
    """
    out.mkdir(parents=True, exist_ok=True)
    place = Place.find()
    run, checkpoint = Pretraining.start(recipe, place.device), out / "checkpoint.pt"
    if checkpoint.exists():
        run.resume(checkpoint, recipe)
    alone = place.processes == 1
    student = run.student if alone else DistributedDataParallel(run.student)
    batches = _batches(source, recipe, place, shape=run.student.encoder.shape, first_step=run.step)
    bar = trange(run.step, recipe.steps, initial=run.step, total=recipe.steps, desc="pretrain", unit="step")
    for step in bar:
        losses = _step(run, student, recipe, place, batches, step)
        run.step = step + 1
        bar.set_postfix(losses)
        is_last = run.step == recipe.steps
        if place.rank == 0 and (is_last or run.step % recipe.probe_every == 0):
            run.save(checkpoint, recipe, source.pictures)
            known_ones = probe(run.teacher.encoder, known, unseen) if known and unseen else {}
            with (out / "metrics.jsonl").open("a", encoding="utf-8") as metrics:
                metrics.write(json.dumps({"step": run.step, **losses, **known_ones}) + "\n")
    return run.teacher


def _batches(
    source: Source, recipe: DinoRecipe, place: Place, *, shape: ViTShape, first_step: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Batches of this process, from a step on: pictures are numbered over all processes."""
    per_step = recipe.batch * recipe.accumulate * place.processes
    numbers = (
        step * per_step + part * recipe.batch * place.processes + place.rank * recipe.batch + n
        for step in range(first_step, recipe.steps)
        for part in range(recipe.accumulate)
        for n in range(recipe.batch)
    )
    loader = DataLoader(
        CropsOf(source, recipe, shape),
        batch_size=recipe.batch,
        sampler=numbers,
        num_workers=recipe.workers,
        pin_memory=place.device.type == "cuda",
    )
    for large, small, clips in loader:
        yield (
            large.transpose(0, 1).to(place.device, non_blocking=True),
            small.transpose(0, 1).to(place.device, non_blocking=True),
            clips.to(place.device, non_blocking=True),
        )


def _step(
    run: Pretraining,
    student: nn.Module,
    recipe: DinoRecipe,
    place: Place,
    batches: Iterator[tuple[Tensor, Tensor, Tensor]],
    step: int,
) -> dict[str, float]:
    share = step / recipe.steps
    _set_rates(run.optimiser, recipe, share)
    sums: dict[str, float] = {}
    run.optimiser.zero_grad(set_to_none=True)
    for part in range(recipe.accumulate):
        large, small, clips = next(batches)
        rng = np.random.default_rng([recipe.seed, 2, step, part, place.rank])
        patch = run.student.encoder.shape.patch_size
        masked = torch.from_numpy(sample_masks(2 * recipe.batch, recipe.crops.large // patch, rng=rng))
        masked = masked.to(place.device)
        riddles = masked & has_echo(large.flatten(0, 1), patch)
        masked = riddles if riddles.sum() > 1 else masked  # a batch norm needs two
        with half_precision(place.device, wanted=recipe.half_precision):
            losses = _losses(run, student, recipe, (large, small, masked, clips), share)
        total = torch.stack(list(losses.values())).sum() / recipe.accumulate
        total.backward()  # type: ignore[no-untyped-call]
        for name, loss in losses.items():
            sums[name] = sums.get(name, 0.0) + loss.item() / recipe.accumulate
    if not math.isfinite(sum(sums.values())):
        raise EchoNodeError(f"step {step + 1}: a loss is no number ({sums}); the last checkpoint is kept")
    norm = nn.utils.clip_grad_norm_(run.student.parameters(), recipe.clip_norm)
    if not norm.isfinite():
        raise EchoNodeError(f"step {step + 1}: a gradient is no number ({sums}); the last checkpoint is kept")
    run.optimiser.step()
    share_buffers(run.student)
    follow(run.teacher, run.student, momentum=recipe.momentum(share))
    return {name: round(value, 4) for name, value in sums.items()}


def _losses(
    run: Pretraining,
    student: nn.Module,
    recipe: DinoRecipe,
    batch: tuple[Tensor, Tensor, Tensor, Tensor],
    share: float,
) -> dict[str, Tensor]:
    large, small, masked, clips = batch
    low, high = recipe.teacher_temperature
    temperature = ramp(low, high, share=share, until=recipe.warm_teacher)
    near, whole, patches = run.teacher.teach(large, masked)
    balanced = sinkhorn_knopp(whole.flatten(0, 1), temperature=temperature).view_as(whole)
    patch_targets = sinkhorn_knopp(patches, temperature=temperature)
    points, logits, hidden, features = student(large, small, masked)
    counts = masked.sum(dim=1, keepdim=True).clamp(min=1)  # [2B,1]
    weights = (1 / counts).expand_as(masked)[masked]
    return {
        "dino": dino_loss(logits, balanced, temperature=recipe.student_temperature),
        "contrast": recipe.contrast * contrast_loss(points, near, clips, temperature=recipe.contrast_temperature),
        "ibot": recipe.ibot * ibot_loss(hidden, patch_targets, weights, temperature=recipe.student_temperature),
        "koleo": recipe.koleo * (koleo_loss(features[0], clips) + koleo_loss(features[1], clips)),
    }


def _set_rates(optimiser: torch.optim.Optimizer, recipe: DinoRecipe, share: float) -> None:
    rate = warmed_up(recipe.learning_rate, recipe.last_learning_rate, share=share, warm_up=recipe.warm_up)
    decay = cosine(*recipe.weight_decay, share)
    for group in optimiser.param_groups:
        held = group["prototypes"] and share < recipe.hold_prototypes
        group["lr"] = 0.0 if held else rate
        group["weight_decay"] = decay if group["decays"] else 0.0
