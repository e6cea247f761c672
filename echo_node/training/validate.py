"""Quick figures during training: balanced accuracy of views, Dice of each structure, distance of wall points."""

from __future__ import annotations

from collections import defaultdict

import cv2
import numpy as np
import numpy.typing as npt
import torch

from echo_node.evaluation.scores import balanced_accuracy, dice
from echo_node.inference.preprocess import Letterbox
from echo_node.inference.prompts import LOW_RESOLUTION, MAX_POINTS
from echo_node.inference.walls import locate
from echo_node.models.assemble import EchoModel
from echo_node.training import data
from echo_node.training.inputs import encoder_input

_FRAMES_MASKED = 2  # per clip: neighbouring frames say little more


@torch.no_grad()
def validate(model: EchoModel, clips: data.Clips) -> dict[str, float]:
    """Figures on clips as a node sees them: whole, without prompts. Distances are in pixels of the square."""
    was_training = model.training
    model.eval()
    size = model.shape.image_size
    views, scores, distances = [], defaultdict(list), []
    for images, packed, points in zip(clips.images, clips.masks, clips.points, strict=True):
        squares = np.stack([cv2.resize(f, (size, size), interpolation=cv2.INTER_AREA) for f in images])
        frames = encoder_input(squares, model.shape)
        tokens = model.encoder(frames)
        views.append(int(model.view(tokens[None]).argmax()))
        masks = np.unpackbits(packed[:_FRAMES_MASKED], axis=-1)  # [t,C,s,s]
        for index, structure in enumerate(data.STRUCTURES):
            if masks[:, index].sum() > 200 * _FRAMES_MASKED:
                found = _segment(model, tokens[:_FRAMES_MASKED], frames[:_FRAMES_MASKED], index)
                scores[structure.name].append(dice(found, _resized(masks[:, index], size)))
        if np.isfinite(points).all():
            places = locate(
                model.walls(tokens, frames).numpy(), Letterbox.around(np.ones((size, size), bool), size)
            )
            true = (points + 0.5) * (size / images.shape[-1]) - 0.5
            distances.append(np.linalg.norm(places.places - true, axis=-1).mean())
    model.train(was_training)
    figures = {"view_balanced_accuracy": balanced_accuracy(np.array(views), clips.views)}
    figures |= {f"dice_{name}": float(np.mean(values)) for name, values in scores.items()}
    if distances:
        figures["wall_distance"] = float(np.mean(distances))
    return {name: round(value, 4) for name, value in figures.items()}


def _segment(model: EchoModel, tokens: torch.Tensor, frames: torch.Tensor, structure: int) -> npt.NDArray[np.bool_]:
    n = len(tokens)
    logits = model.segment(
        tokens,
        frames,
        torch.full((n,), structure),
        torch.zeros(n, MAX_POINTS, 2),
        torch.zeros(n, MAX_POINTS, dtype=torch.int64),
        torch.zeros(n, 1, LOW_RESOLUTION, LOW_RESOLUTION),
    )
    return np.asarray(logits[:, 0].numpy() > 0, np.bool_)


def _resized(masks: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.bool_]:
    scaled = [cv2.resize(m * 255, (size, size), interpolation=cv2.INTER_LINEAR) > 127 for m in masks]
    return np.stack(scaled)
