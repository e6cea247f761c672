"""Which of the processes of a run this is: alone, or one of as many as ``torchrun`` starts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed
from torch import nn

T = TypeVar("T")


_PATIENCE = timedelta(hours=12)  # of processes that wait for the first, which renders phantoms or validates


@dataclass(slots=True)
class Place:
    """Which process of how many this is, and its device."""

    rank: int
    processes: int
    device: torch.device

    @classmethod
    def find(cls) -> Place:
        """From what torchrun says; alone where it says nothing."""
        on_gpu = torch.cuda.is_available()
        if "RANK" not in os.environ:
            return cls(0, 1, torch.device("cuda" if on_gpu else "cpu"))
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=_PATIENCE)
        local = int(os.environ["LOCAL_RANK"])
        device = torch.device("cuda", local) if on_gpu else torch.device("cpu")
        if on_gpu:
            torch.cuda.set_device(device)
        return cls(torch.distributed.get_rank(), torch.distributed.get_world_size(), device)

    def first_of_all(self, make: Callable[[], T]) -> T:
        """What a call gives, made by the first process before the others, which find on disk what it left."""
        if self.rank == 0:
            made = make()
        if self.processes > 1:
            torch.distributed.barrier()
        return made if self.rank == 0 else make()


def half_precision(device: torch.device, *, wanted: bool) -> torch.autocast:
    """bfloat16 where it is wanted and the device computes in it: others emulate it, thirty times slower."""
    knows = device.type == "cuda" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=wanted and knows)


def share_buffers(module: nn.Module) -> None:
    """Give every process the first one's buffers: running statistics follow what each has seen."""
    if not torch.distributed.is_initialized():
        return
    for buffer in module.buffers():
        torch.distributed.broadcast(buffer, src=0)


def share_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Give every process the mean of all gradients; what one did not need counts as zero."""
    if not torch.distributed.is_initialized():
        return
    learning = [p for p in parameters if p.requires_grad]
    flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in learning])
    torch.distributed.all_reduce(flat)
    flat /= torch.distributed.get_world_size()
    first = 0
    for parameter in learning:
        parameter.grad = flat[first : first + parameter.numel()].view_as(parameter)
        first += parameter.numel()
