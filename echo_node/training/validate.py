"""Quick figures during training: of views, outlines and wall points."""

from __future__ import annotations

from collections import defaultdict

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from echo_node.codes import Structure
from echo_node.evaluation.scores import balanced_accuracy, dice
from echo_node.inference.preprocess import Letterbox
from echo_node.inference.prompts import LOW_RESOLUTION, MAX_POINTS
from echo_node.inference.walls import locate
from echo_node.models.assemble import EchoModel
from echo_node.training import data
from echo_node.training.augment import engine_window
from echo_node.training.inputs import encoder_input

_FRAMES_MASKED = 2  # per clip: neighbouring frames say little more
_LV = data.STRUCTURES.index(Structure.LV_CAVITY)
_LEAST_PIXELS = 200  # of a stored frame: of less no Dice is taken


@torch.no_grad()
def validate(model: EchoModel, clips: data.Clips, *, encoder: nn.Module) -> dict[str, float]:
    """Figures on clips as a node sees them, without prompts: whole sectors, and the window around an LV cavity.

    Parameters
    ----------
    model : EchoModel
    clips : Clips
    encoder : Module
        Which of the model's gives the tokens for outlines and wall points.

    Returns
    -------
    dict
        Balanced accuracy of views, Dice of each structure, ``close_dice`` of the LV cavity in its window, and the
        mean distance of wall points in pixels of the square.
    """
    was_training = model.training
    model.eval()
    size, device = model.shape.image_size, model.encoder.class_token.device
    views, scores, distances = [], defaultdict(list), []
    for images, packed, points in zip(clips.images, clips.masks, clips.points, strict=True):
        squares = np.stack([cv2.resize(f, (size, size), interpolation=cv2.INTER_AREA) for f in images])
        frames = encoder_input(squares, model.shape).to(device)
        views.append(int(model.view(model.encoder(frames)[None]).argmax()))
        tokens = encoder(frames)
        masks = np.unpackbits(packed[:_FRAMES_MASKED], axis=-1)  # [t,C,s,s]
        for index, structure in enumerate(data.STRUCTURES):
            if masks[:, index].sum() > _LEAST_PIXELS * _FRAMES_MASKED:
                found = _segment(model, tokens[:_FRAMES_MASKED], frames[:_FRAMES_MASKED], index)
                scores[f"dice_{structure.name}"].append(dice(found, _resized(masks[:, index], size)))
        if masks[:, _LV].sum() > _LEAST_PIXELS * _FRAMES_MASKED:
            cavity = np.unpackbits(packed[:, _LV], axis=-1)  # [T,s,s]
            scores["close_dice"].append(_close(model, encoder, images, cavity))
        if np.isfinite(points).all():
            places = locate(
                model.walls(tokens, frames).cpu().numpy(), Letterbox.around(np.ones((size, size), bool), size)
            )
            true = (points + 0.5) * (size / images.shape[-1]) - 0.5
            distances.append(np.linalg.norm(places.places - true, axis=-1).mean())
    model.train(was_training)
    figures = {"view_balanced_accuracy": balanced_accuracy(np.array(views), clips.views)}
    figures |= {name: float(np.mean(values)) for name, values in scores.items()}
    if distances:
        figures["wall_distance"] = float(np.mean(distances))
    return {name: round(value, 4) for name, value in figures.items()}


def _close(
    model: EchoModel, encoder: nn.Module, images: npt.NDArray[np.uint8], cavity: npt.NDArray[np.uint8]
) -> float:
    """Dice of an LV cavity u8 [T,s,s] in the window around it."""
    box = engine_window(np.asarray(cavity.any(axis=0), np.bool_), size=model.shape.image_size)
    frames = encoder_input(box.apply(images), model.shape).to(model.encoder.class_token.device)
    found = _segment(model, encoder(frames), frames, _LV)
    return dice(found, box.apply(cavity * np.uint8(255)) > 127)


def _segment(model: EchoModel, tokens: torch.Tensor, frames: torch.Tensor, structure: int) -> npt.NDArray[np.bool_]:
    n, device = len(tokens), tokens.device
    logits = model.segment(
        tokens,
        frames,
        torch.full((n,), structure, device=device),
        torch.zeros(n, MAX_POINTS, 2, device=device),
        torch.zeros(n, MAX_POINTS, dtype=torch.int64, device=device),
        torch.zeros(n, 1, LOW_RESOLUTION, LOW_RESOLUTION, device=device),
    )
    return np.asarray(logits[:, 0].cpu().numpy() > 0, np.bool_)


def _resized(masks: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.bool_]:
    scaled = [cv2.resize(m * 255, (size, size), interpolation=cv2.INTER_LINEAR) > 127 for m in masks]
    return np.stack(scaled)
