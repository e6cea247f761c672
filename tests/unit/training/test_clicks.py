"""Clicks that a decoder in training is corrected by."""

import torch

from echo_node.inference.prompts import LOW_RESOLUTION, MAX_POINTS, PointKind
from echo_node.training import train as training
from echo_node.training.batches import Batch
from echo_node.training.clicks import clicked
from echo_node.training.recipe import Recipe

SIZE = 112


def batch(clicks, known):
    n = len(clicks)
    targets = torch.zeros(n, 1, SIZE, SIZE)
    targets[:, 0, 30:60, 40:90] = 1
    return Batch(
        frames=torch.zeros(n, 3, SIZE, SIZE),
        views=torch.zeros(n, dtype=torch.int64),
        view_weights=torch.zeros(n),
        structures=torch.zeros(n, dtype=torch.int64),
        points=torch.zeros(n, MAX_POINTS, 2),
        kinds=torch.zeros(n, MAX_POINTS, dtype=torch.int64),
        previous=torch.zeros(n, 1, LOW_RESOLUTION, LOW_RESOLUTION),
        clicks=torch.tensor(clicks),
        targets=targets,
        all_masks=targets,
        walls=torch.full((n, 4, 2), torch.nan),
        known=torch.tensor(known)[:, None],
    )


def shifted(tokens, frames, structures, points, kinds, previous):
    """An answer that lies 20 pixels too far right, but for the side that was clicked on."""
    answers = torch.full((len(points), 1, SIZE, SIZE), -1.0)
    answers[:, 0, 30:60, 60:110] = 1
    for answer, places, has in zip(answers[:, 0], points, kinds > 0, strict=True):
        for x in places[has][:, 0] * SIZE:
            answer[30:60, slice(40, 60) if x < 60 else slice(90, 110)] = 1 if x < 60 else -1
    return answers


def test_clicks_lie_where_each_answer_is_wrong():
    asked = batch([0, 1, 4, 4], [True, True, True, False])
    points, kinds = clicked(shifted, torch.zeros(4, 197, 128), asked)
    assert (kinds > 0).sum(dim=1).tolist() == [0, 1, 2, 0], "two put it right; the last is not known"
    assert kinds[2, :2].tolist() == [PointKind.FOREGROUND, PointKind.BACKGROUND]
    (missed, spilled) = (points[2, :2] * SIZE).tolist()
    assert 40 < missed[0] < 60
    assert 90 < spilled[0] < 110
    assert all(30 < y < 60 for _, y in (missed, spilled))
    assert not asked.kinds.any(), "the batch stays as it was drawn"


def test_masks_are_learned_from_the_clicks(monkeypatch):
    torch.manual_seed(0)
    model, asked = training._model(Recipe()), batch([3, 3], [True, True])
    asked.frames = asked.frames.normal_()
    tokens = torch.randn(2, 1 + 14 * 14, 128)
    losses = [training._outline_loss(model, tokens, asked).item()]
    monkeypatch.setattr(training, "clicked", lambda decoder, tokens, batch: (batch.points, batch.kinds))
    losses.append(training._outline_loss(model, tokens, asked).item())
    assert losses[0] != losses[1]
