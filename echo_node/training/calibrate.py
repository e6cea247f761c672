"""From logits to a probability that can be believed: a temperature (Guo 2017)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from echo_node.codes import View
from echo_node.export.package import Calibration
from echo_node.models.assemble import EchoModel
from echo_node.training import data
from echo_node.training.augment import looked_at
from echo_node.training.inputs import encoder_input

_TEMPERATURES = np.geomspace(0.3, 5.0, 60)
_MEASURED = [data.LABELS.index(view) for view in (View.A4C, View.A2C, View.PLAX)]
_WANTED = 0.93  # of the clips that would be measured, so many shall be of the view that they are taken for
_LOWEST, _HIGHEST = 0.6, 0.9  # a threshold above this would turn good clips away for little


@torch.no_grad()
def calibrate(model: EchoModel, clips: data.Clips, *, seed: int = 5) -> Calibration:
    """Fit the temperature on clips that no training saw, and choose the threshold.

    The clips are augmented as in training, since that is nearer to what a node meets.
    """
    model.eval()
    logits = []
    for index, images in enumerate(clips.images):
        rng = np.random.default_rng([seed, index])
        frames = looked_at(images, size=model.shape.image_size, rng=rng)
        tokens = model.encoder(encoder_input(frames, model.shape))
        logits.append(model.view(tokens[None])[0])
    rows, truth = torch.stack(logits), torch.from_numpy(clips.views)
    costs = [F.cross_entropy(rows / t, truth).item() for t in _TEMPERATURES]
    temperature = float(_TEMPERATURES[int(np.argmin(costs))])
    return Calibration(temperature=round(temperature, 4), threshold=_threshold(rows / temperature, truth))


def _threshold(logits: Tensor, truth: Tensor) -> float:
    """The lowest probability from which on the wanted share of the clips that would be measured is right.

    What is wrong then is mostly a neighbouring plane of the same heart; a clip without a heart is another matter,
    and `echo-node evaluate` counts those that are measured.
    """
    best, label = torch.softmax(logits, dim=1).max(dim=1)
    would_be = torch.isin(label, torch.tensor(_MEASURED))
    right = (label == truth).double()
    for threshold in np.arange(_LOWEST, _HIGHEST, 0.05):
        believed = would_be & (best >= threshold)
        if believed.any() and right[believed].mean() >= _WANTED:
            return round(float(threshold), 2)
    return _HIGHEST
