"""What frozen features know, without training an encoder: nearest neighbours, and a linear map."""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from echo_node.evaluation.scores import balanced_accuracy
from echo_node.models.vit import VisionTransformer
from echo_node.training import data
from echo_node.training.inputs import encoder_input

_NEIGHBOURS, _TEMPERATURE = 10, 0.07  # as DINO's protocol weighs them
_RIDGE = 1e-2  # of the linear map, per sample


def probe(encoder: VisionTransformer, known: data.Clips, unseen: data.Clips) -> dict[str, float]:
    """Balanced accuracy of views that neighbours and a linear map tell from a clip's features."""
    train, test = features(encoder, known), features(encoder, unseen)
    answers = {"knn": nearest(train, known, test), "linear": linear(train, known, test)}
    return {f"view_{n}": round(balanced_accuracy(a.numpy(), unseen.views), 4) for n, a in answers.items()}


@torch.no_grad()
def features(encoder: VisionTransformer, clips: data.Clips) -> Tensor:
    """Class token and mean patch, averaged over a clip's frames [N,2D]."""
    was_training = encoder.training
    encoder.eval()
    size, device = encoder.shape.image_size, encoder.class_token.device
    rows = []
    for images in clips.images:
        squares = np.stack([cv2.resize(f, (size, size), interpolation=cv2.INTER_AREA) for f in images])
        tokens = encoder(encoder_input(squares, encoder.shape).to(device))
        rows.append(torch.cat([tokens[:, 0], tokens[:, 1:].mean(dim=1)], dim=-1).mean(dim=0).float().cpu())
    encoder.train(was_training)
    return torch.stack(rows)


def nearest(train: Tensor, known: data.Clips, test: Tensor) -> Tensor:
    """Classes [M] by the weighted votes of the nearest cosines (Wu Z et al., 2018)."""
    similarity = F.normalize(test, dim=1) @ F.normalize(train, dim=1).T  # [M,N]
    best, index = similarity.topk(min(_NEIGHBOURS, len(train)), dim=1)
    classes = torch.from_numpy(known.views)[index]  # [M,k]
    votes = F.one_hot(classes, len(data.LABELS)) * (best / _TEMPERATURE).exp()[..., None]
    return votes.sum(dim=1).argmax(dim=1)


def linear(train: Tensor, known: data.Clips, test: Tensor) -> Tensor:
    """Classes [M] by ridge regression on standardised features, which needs no steps and no luck."""
    mean, std = train.mean(dim=0), train.std(dim=0) + 1e-6
    x, y = ((t - mean) / std for t in (train, test))
    targets = F.one_hot(torch.from_numpy(known.views), len(data.LABELS)).double()
    x = torch.cat([x, torch.ones(len(x), 1)], dim=1).double()
    gram = x.T @ x + _RIDGE * len(x) * torch.eye(x.shape[1], dtype=torch.float64)
    weights = torch.linalg.solve(gram, x.T @ targets)
    answers: Tensor = torch.cat([y, torch.ones(len(y), 1)], dim=1).double() @ weights
    return answers.argmax(dim=1)
