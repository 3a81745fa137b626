"""Several processes that train one stage together, started by ``torchrun``.

No wrapper stands between a stage and its networks: every process holds the same weights, takes its share of the
batch, and gradients are averaged after each backward pass. Batch statistics are averaged after each step.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from retina_core.errors import InvalidValueError


def leave() -> None:
    """Take leave of the other processes, where there are any; called when the interpreter ends."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


@dataclass(frozen=True)
class Processes:
    """This process among its peers; one alone when not started by ``torchrun``."""

    rank: int = 0
    world: int = 1

    @classmethod
    def join(cls, device: torch.device) -> Processes:
        """Meet the other processes that ``torchrun`` started; at once where there are none."""
        world = int(os.environ.get("WORLD_SIZE", "1"))
        if world == 1:
            return cls()
        if not dist.is_initialized():
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
            atexit.register(leave)
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def share(self, batch_size: int) -> slice:
        """This process' part of a batch.

        Raises:
            InvalidValueError: the batch cannot be dealt out evenly, which would weigh samples unevenly.
        """
        if batch_size % self.world:
            reason = f"{self.world} processes cannot share it evenly; choose a multiple of {self.world}"
            raise InvalidValueError("training", "batch_size", batch_size, reason)
        part = batch_size // self.world
        return slice(self.rank * part, (self.rank + 1) * part)

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their mean over the processes, in one message."""
        if self.world == 1 or not tensors:
            return
        flat = torch.cat([tensor.float().flatten() for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.world
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def average_buffers(self, networks: Iterable[nn.Module]) -> None:
        """Keep running statistics of batch normalisation the same everywhere."""
        self.average([b for n in networks for b in n.buffers() if b.is_floating_point()])

    def highest(self, value: int) -> int:
        """The highest of the processes' values, the same for all of them."""
        if self.world == 1:
            return value
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        agreed = torch.tensor(value, device=device)
        dist.all_reduce(agreed, dist.ReduceOp.MAX)
        return int(agreed)

    def wait(self) -> None:
        """Until every process is here."""
        if self.world > 1:
            dist.barrier()
