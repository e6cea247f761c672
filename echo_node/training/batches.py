"""Batches of the joint training: which clips, which frames, looked at how, asked what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import reduce

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from echo_node.codes import Structure, View
from echo_node.inference.preprocess import in_clip, scaled
from echo_node.models.vit import ViTShape
from echo_node.training import data
from echo_node.training.augment import Around, augment
from echo_node.training.place import Place
from echo_node.training.prompts import no_prompt, sample_clicks, sample_prompt
from echo_node.training.recipe import Recipe

_APICAL = [data.LABELS.index(view) for view in (View.A4C, View.A2C)]
_PLAX = data.LABELS.index(View.PLAX)
_WALLS_WINDOW = 0.7  # of windows in clips with wall points: around these
_LEAST_PIXELS = 400  # of all frames together: what is smaller is nothing to go close to
_LV = data.STRUCTURES.index(Structure.LV_CAVITY)


@dataclass(slots=True)
class Batch:
    """One step's input: sequences for the view head, pairs of frame and structure for the decoder."""

    frames: Tensor  # [B*T,C,S,S]
    views: Tensor  # [B]
    view_weights: Tensor  # [B], 0 where a window is shown: only of a whole sector is the view asked
    structures: Tensor  # [B*T]
    points: Tensor  # [B*T,8,2]
    kinds: Tensor  # [B*T,8]
    previous: Tensor  # [B*T,1,32,32]
    clicks: Tensor  # [B*T], how many correct the answer
    targets: Tensor  # [B*T,1,S,S]
    all_masks: Tensor  # [B*T,C,S,S]
    walls: Tensor  # [B*T,4,2], row and column as shares of the square; NaN where unknown
    known: Tensor  # bool [B*T,C], of which masks something is known

    @property
    def asked(self) -> Tensor:
        """Whether anything is known of a frame's masks, bool [B*T]."""
        return self.known.any(dim=1)

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return Batch(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})

    def beside(self, other: Batch) -> Batch:
        """Both as one."""
        return Batch(**{f.name: torch.cat([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self)})


def batches(
    sets: Sequence[data.Clips], recipe: Recipe, place: Place, *, shape: ViTShape, first_step: int
) -> Iterator[Batch]:
    """This process's batches for an encoder from a step on; the next is drawn while one is learned from.

    Of each set of clips as many as of the others, and one at least.
    """
    recipe = replace(recipe, clips_per_step=max(1, recipe.clips_per_step // place.processes // len(sets)))
    weights = [view_weights(clips, recipe) for clips in sets]

    def draw(step: int) -> Batch:
        rng = np.random.default_rng([recipe.seed, step, place.rank])
        parts = [
            draw_batch(clips, recipe, shape=shape, rng=rng, view_weights=weight)
            for clips, weight in zip(sets, weights, strict=True)
        ]
        return reduce(Batch.beside, parts)

    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(draw, first_step)
        for step in range(first_step, recipe.steps):
            batch = coming.result()
            coming = ahead.submit(draw, step + 1)
            yield batch


def view_weights(clips: data.Clips, recipe: Recipe) -> npt.NDArray[np.float32]:
    """What a view counts [V]: the less the more often it is drawn, by the root.

    So the views of which there are more clips, those that are measured, stay the likelier ones, as in exams.
    """
    everyone = np.bincount(clips.views[clips.views >= 0], minlength=len(data.LABELS)) / len(clips)
    drawn = (1 - recipe.apical_share - recipe.wall_share) * everyone
    for views, share in ((_APICAL, recipe.apical_share), ([_PLAX], recipe.wall_share)):
        of_these = np.isin(np.arange(len(everyone)), views) * everyone
        drawn = drawn + share * of_these / max(of_these.sum(), 1e-9)
    weights = 1 / np.sqrt(len(everyone) * np.maximum(drawn, 1e-3))
    return np.asarray(weights / max(weights @ drawn, 1e-9), np.float32)


def draw_batch(
    clips: data.Clips,
    recipe: Recipe,
    *,
    shape: ViTShape,
    rng: np.random.Generator,
    view_weights: npt.NDArray[np.float32],
) -> Batch:
    """Random clips, random frames of each, one structure and prompt per frame."""
    chosen, size = draw_clips(clips, recipe, rng), shape.image_size
    images, everything, walls, knowns, tells_view = [], [], [], [], []  # of each clip
    structures, targets, clicks, prompts = [], [], [], []  # of each frame
    for index in chosen:
        order = _drawn_first(rng.permutation(recipe.frames), clips.known[index], clips.points[index])
        picked = np.sort(order[: recipe.frames_per_clip])
        seen = _draw_beside(order, recipe, rng) if shape.channels > 1 else picked
        masks, known = np.unpackbits(clips.masks[index][picked], axis=-1), clips.known[index][picked]
        points = clips.points[index][picked]
        window, around = _draw_window(masks, points, recipe, rng)
        frames, labels, points = augment(
            clips.images[index][seen], masks, points, size=size, rng=rng, around=window
        )
        images.append(in_clip(frames[np.isin(seen, picked)], shape.channels, among=frames))
        everything.append(labels)
        walls.append((points + 0.5) / size)
        knowns.append(known)
        tells_view.append(window is None and clips.views[index] >= 0)
        present = np.flatnonzero(labels.any(axis=(0, 2, 3)))
        for t in range(len(picked)):
            clicks.append(sample_clicks(rng))
            structure = _draw_structure(present, known[t], rng, around=around, usual=not clicks[-1])
            beside = (t + 1) % len(picked)
            neighbour = labels[beside, structure] if known[beside, structure] else None
            structures.append(structure)
            targets.append(labels[t, structure])
            prompts.append(no_prompt() if clicks[-1] else sample_prompt(labels[t, structure], neighbour, rng))
    return Batch(
        frames=torch.from_numpy(scaled(np.concatenate(images), mean=data.MEAN, std=data.STD)),
        views=torch.from_numpy(clips.views[chosen]),
        view_weights=torch.from_numpy(view_weights[clips.views[chosen]] * np.array(tells_view)),
        structures=torch.tensor(structures),
        points=torch.from_numpy(np.stack([p.points for p in prompts])),
        kinds=torch.from_numpy(np.stack([p.kinds for p in prompts])),
        previous=torch.from_numpy(np.stack([p.previous for p in prompts])),
        clicks=torch.tensor(clicks),
        targets=torch.from_numpy(np.stack(targets)[:, None].astype(np.float32)),
        all_masks=torch.from_numpy(np.concatenate(everything).astype(np.float32)),
        walls=torch.from_numpy(np.concatenate(walls)),
        known=torch.from_numpy(np.concatenate(knowns)),
    )


def draw_clips(clips: data.Clips, recipe: Recipe, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Indices of a batch's clips: some of the apical views, some with wall points, the others any.

    Where there are none of these, any.
    """
    count = recipe.clips_per_step
    anyone = rng.integers(0, len(clips), count)
    apical, with_walls = (
        rng.choice(np.flatnonzero(those if those.any() else ~those), count)
        for those in (np.isin(clips.views, _APICAL), _placed(clips.points).any(axis=1))
    )
    chance = rng.uniform(size=count)
    some = np.where(chance < recipe.apical_share + recipe.wall_share, with_walls, anyone)
    return np.where(chance < recipe.apical_share, apical, some)


def _drawn_first(
    order: npt.NDArray[np.int64], known: npt.NDArray[np.bool_], points: npt.NDArray[np.float32]
) -> npt.NDArray[np.int64]:
    """A random order of frames, those with a known mask or wall points before the others."""
    drawn = known.any(axis=1) | _placed(points)
    return order[np.argsort(~drawn[order], kind="stable")]


def _placed(points: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Whether all wall points [...,4,2] are known, bool [...]."""
    return np.asarray(np.isfinite(points).all(axis=(-2, -1)), np.bool_)


def _draw_beside(order: npt.NDArray[np.int64], recipe: Recipe, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """The frames that are looked at and those beside them, of a random order: mostly all, down to no other."""
    if rng.uniform() < recipe.whole_clip_share:
        return np.sort(order)
    return np.sort(order[: rng.integers(recipe.frames_per_clip, recipe.frames + 1)])


def _draw_window(
    masks: npt.NDArray[np.uint8], points: npt.NDArray[np.float32], recipe: Recipe, rng: np.random.Generator
) -> tuple[Around | None, int | None]:
    """What to go close to: the wall points, or a structure, mostly the LV cavity, and which; None for nothing."""
    present = np.flatnonzero(masks.sum(axis=(0, 2, 3)) > _LEAST_PIXELS)
    placed = points[_placed(points)]
    if rng.uniform() >= recipe.close_share or not (present.size or placed.size):
        return None, None
    if placed.size and (not present.size or rng.uniform() < _WALLS_WINDOW):
        return Around.points(placed), None
    structure = _LV if _LV in present and rng.uniform() < 0.7 else int(rng.choice(present))
    return Around.mask(masks[:, structure]), structure


def _draw_structure(
    present: npt.NDArray[np.int64],
    known: npt.NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    around: int | None,
    usual: bool,
) -> int:
    """What is asked for: sometimes what is not there, and always something known.

    Usually what the window is around or the LV cavity; else, where it is to be corrected, any that is there.
    """
    chance = rng.uniform()
    if usual and chance < 0.6:
        structure = _LV if around is None else around
    elif chance < 0.9 and present.size:
        structure = int(rng.choice(present))
    else:
        structure = int(rng.integers(len(data.STRUCTURES)))
    return structure if known[structure] or not known.any() else int(rng.choice(np.flatnonzero(known)))
