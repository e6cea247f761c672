"""The losses of DINOv2 and one of contrast, and the balancing of the teacher's answers.

Student and teacher see different parts of the same picture. The student is asked for the teacher's answer
to the whole picture (DINO, Caron M et al., 2021) and to the patches it cannot see (iBOT, Zhou J et al.,
2022), while its answers to different pictures are kept apart (KoLeo, Sablayrolles A et al., 2019). With
dozens of pictures a step, not thousands, those three start slowly: the student is asked, too, which of the
batch's pictures a part is of (InfoNCE, as in MoCo v3, Chen X et al., 2021). All are computed in full
precision, whatever the encoder runs in.
"""

from __future__ import annotations

import torch
import torch.distributed
import torch.nn.functional as F
from torch import Tensor

_LEAST_EXPONENT = -600.0


@torch.no_grad()
def sinkhorn_knopp(logits: Tensor, *, temperature: float, rounds: int = 3) -> Tensor:
    """Answers [N,K] to probabilities [N,K] that use every prototype equally (Cuturi M, 2013).

    Rows are normalised over K, columns over the N of all processes together, in turns.

    Parameters
    ----------
    logits : [N,K]
        N may differ between processes.
    temperature : float
        Below 1 sharpens.
    rounds : int
        Turns.
    """
    q = (logits.float() / temperature).double()
    # Of each column, for the first turn divides it by its sum; and never 0, which no turn could divide by.
    empty = q.new_full((1, q.shape[1]), -torch.inf)
    peaks = _over_all(torch.cat([q, empty]).amax(dim=0, keepdim=True), torch.distributed.ReduceOp.MAX)  # [1,K]
    q = (q - peaks).clamp(min=_LEAST_EXPONENT).exp()  # [N,K]
    for _ in range(rounds):
        q = q / _over_all(q.sum(dim=0, keepdim=True))
        q = q / q.sum(dim=1, keepdim=True)
    return q.float()


def dino_loss(students: Tensor, teachers: Tensor, *, temperature: float) -> Tensor:
    """Cross-entropy of every student's crop with every teacher's, but for the same crop.

    Parameters
    ----------
    students : [C,B,K]
        Logits of C crops; the first G are the crops that the teacher saw.
    teachers : [G,B,K]
        Balanced probabilities.
    temperature : float
        Of the student.

    Returns
    -------
    scalar
        Mean over pairs of crops and pictures.
    """
    logarithms = F.log_softmax(students.float() / temperature, dim=-1)
    with _full_precision(students):
        pairs = -torch.einsum("cbk,gbk->cg", logarithms, teachers) / students.shape[1]  # [C,G]
    return _over_other_crops(pairs)


def contrast_loss(students: Tensor, teachers: Tensor, clips: Tensor, *, temperature: float) -> Tensor:
    """Cross-entropy of which of the batch's pictures a student's crop is of, by likeness to the teacher's crops.

    The batch is that of all processes together, each with as many pictures. Another picture of the same clip is
    neither right nor wrong.

    Parameters
    ----------
    students : [C,B,D]
        Unit points of C crops; the first G are the crops that the teacher saw.
    teachers : [G,B,D]
        Unit points.
    clips : [B]
        Number of each picture's clip.
    temperature : float
        Of the likeness.

    Returns
    -------
    scalar
        Mean over pairs of crops, but for the same crop, and pictures.
    """
    others, numbers = _of_all(teachers.float(), dim=1), _of_all(clips, dim=0)  # [G,N,D], [N]
    own = _rank() * len(clips) + torch.arange(len(clips), device=clips.device)  # [B]
    again = (clips[:, None] == numbers) & (own[:, None] != torch.arange(len(numbers), device=clips.device))  # [B,N]
    with _full_precision(students):
        likeness = torch.einsum("cbd,gnd->cgbn", students.float(), others) / temperature
    logarithms = likeness.masked_fill(again, -torch.inf).log_softmax(dim=-1)  # [C,G,B,N]
    pairs = -logarithms[..., torch.arange(len(own)), own].mean(dim=-1)  # [C,G]
    return _over_other_crops(pairs)


def ibot_loss(students: Tensor, teachers: Tensor, weights: Tensor, *, temperature: float) -> Tensor:
    """Cross-entropy on hidden patches.

    Parameters
    ----------
    students : [M,K]
        Logits of the M patches that the student could not see.
    teachers : [M,K]
        Balanced probabilities of the same patches, seen.
    weights : [M]
        One over the number of hidden patches of the patch's picture, so that every picture counts alike;
        they sum to the number of pictures with hidden patches.
    temperature : float
        Of the student.
    """
    logarithms = F.log_softmax(students.float() / temperature, dim=-1)
    per_patch = -(teachers * logarithms).sum(dim=-1)  # [M]
    return (per_patch * weights).sum() / weights.sum().clamp(min=1e-6)


def koleo_loss(features: Tensor, clips: Tensor) -> Tensor:
    """Minus the mean logarithm of each feature's [B,D] distance to its nearest neighbour of another clip [B]."""
    unit = F.normalize(features.float(), dim=-1, eps=1e-8)
    with torch.no_grad(), _full_precision(features):
        similarity = unit @ unit.T
        similarity.masked_fill_(clips[:, None] == clips, -1)
        nearest = similarity.argmax(dim=1)
    distances = F.pairwise_distance(unit, unit[nearest], eps=1e-8)
    return -(distances + 1e-8).log().mean()


def _over_other_crops(pairs: Tensor) -> Tensor:
    """The mean over pairs of crops [C,G], but for the same crop."""
    same = torch.zeros_like(pairs, dtype=torch.bool)
    same.fill_diagonal_(True)
    return pairs[~same].mean()


def _full_precision(like: Tensor) -> torch.autocast:
    """Autocast off: half precision takes near neighbours for one another, and a loss loses its third digit."""
    return torch.autocast(like.device.type, enabled=False)


def _over_all(
    value: Tensor, operation: torch.distributed.ReduceOp.RedOpType = torch.distributed.ReduceOp.SUM
) -> Tensor:
    """A sum or maximum over all processes; the value itself where there is one."""
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(value, op=operation)
    return value


def _of_all(value: Tensor, *, dim: int) -> Tensor:
    """The values of all processes, of like shapes, one after the other; the value itself where there is one."""
    if not torch.distributed.is_initialized():
        return value
    every = [torch.empty_like(value) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(every, value.contiguous())
    return torch.cat(every, dim=dim)


def _rank() -> int:
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
