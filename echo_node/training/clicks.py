"""Clicks that correct what a decoder in training answers, as the person at the screen will give them.

A click says most where the answer is wrong, and only the decoder itself knows where that is: points drawn from the
truth alone teach it little of them. So it is asked, and asked again, as Segment Anything was trained (Kirillov A et
al., ICCV 2023, appendix A).
"""

from __future__ import annotations

import torch
from torch import Tensor

from echo_node.evaluation.clicks import next_click
from echo_node.models.prompt_decoder import PromptDecoder
from echo_node.training.batches import Batch


@torch.no_grad()
def clicked(decoder: PromptDecoder, tokens: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """The batch's points [B*T,8,2] and kinds [B*T,8], and clicks in the middle of each answer's largest error.

    Parameters
    ----------
    decoder : PromptDecoder
    tokens : [B*T,1+P,D]
        The encoder's, of the frames.
    batch : Batch
        A prompt that is to be corrected has no points of its own.
    """
    points, kinds = batch.points.clone(), batch.kinds.clone()
    truth = batch.targets[:, 0].cpu().numpy() > 0.5  # [B*T,S,S]
    for slot in range(int(batch.clicks.max())):
        rows = torch.nonzero(batch.asked & (batch.clicks > slot))[:, 0]
        given = (part[rows] for part in (tokens, batch.frames, batch.structures, points, kinds, batch.previous))
        answers = decoder(*given)[:, 0].cpu().numpy() > 0  # [K,S,S]
        for row, answer in zip(rows.tolist(), answers, strict=True):
            click = next_click(answer, truth[row])
            if click is not None:
                points[row, slot] = torch.tensor([click.col + 0.5, click.row + 0.5]) / truth.shape[-1]
                kinds[row, slot] = int(click.kind)
    return points, kinds
