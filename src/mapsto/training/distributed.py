"""Several processes that learn together, each a part of every batch: data parallel, by gloo on processors and
nccl on GPUs.

All hold the same weights and take the same steps: gradients, losses and counts are summed over the company,
and divided by the total count, so that the number of processes changes nothing but the order of a sum. What a
clock, memory or a person decides, the first decides and tells the others.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

from mapsto.batch import Batch

if TYPE_CHECKING:
    from mapsto.training.ema import Ema

MEET = "MAPSTO_MEET"  # a file at which processes of one machine find each other
PATIENCE = timedelta(hours=2)  # an evaluation or a compilation may keep the others waiting


class Group:
    """One process alone. rank: which it is; size: how many there are."""

    rank, size = 0, 1

    def share(self, batch: Batch) -> Batch:
        """This process's rows of a global batch."""
        return batch

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Each tensor becomes its sum over all processes, in place."""

    def broadcast(self, what: Any) -> Any:
        """What the first process says."""
        return what

    def all(self, what: bool) -> bool:
        """Do all processes say so?"""
        return what

    def barrier(self) -> None:
        """Go on once all have come here."""

    def close(self) -> None:
        """The work is done."""


class DistributedGroup(Group):
    """One of several, as `mapsto.training.processes` or torchrun start them: RANK, WORLD_SIZE and where they
    meet stand in the environment."""

    def __init__(self) -> None:
        backend = "nccl" if torch.cuda.device_count() >= int(os.environ["WORLD_SIZE"]) else "gloo"
        place = {
            "init_method": f"file://{os.environ[MEET]}",
            "rank": int(os.environ["RANK"]),
            "world_size": int(os.environ["WORLD_SIZE"]),
        }
        dist.init_process_group(backend, timeout=PATIENCE, **(place if MEET in os.environ else {}))
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        talk = dist.new_group(backend="gloo", timeout=PATIENCE)  # words go from processor to processor
        assert not isinstance(talk, int), "every process belongs to the group"
        self.talk = talk
        self.alike = (
            False  # must all make the same number of passes, because none can compute without the others?
        )

    def share(self, batch: Batch) -> Batch:
        mine = batch.every(self.rank, self.size)  # so that each has its part of the longer rows
        return replace(mine, cuts=()) if self.alike else mine

    def sum(self, tensors: Sequence[Tensor]) -> None:
        for kind in dict.fromkeys(tensor.dtype for tensor in tensors):
            alike = [tensor for tensor in tensors if tensor.dtype == kind]
            flat = torch.cat([tensor.reshape(-1) for tensor in alike])
            dist.all_reduce(flat)
            parts = [
                part.view_as(tensor)
                for part, tensor in zip(flat.split([t.numel() for t in alike]), alike, strict=True)
            ]
            torch._foreach_copy_(alike, parts)

    def broadcast(self, what: Any) -> Any:
        said = [what]
        dist.broadcast_object_list(said, src=0, group=self.talk)
        return said[0]

    def all(self, what: bool) -> bool:
        said: list[Any] = [None] * self.size
        dist.all_gather_object(said, what, group=self.talk)
        return all(said)

    def barrier(self) -> None:
        dist.barrier(group=self.talk)

    def close(self) -> None:
        dist.destroy_process_group()


class Copies:
    """How a learner's weights lie in the processes: each has a copy. `mapsto.training.sharded` knows another
    way. `shared`: do all processes have to come to an evaluation or a checkpoint? per_row: bytes of
    activations, where somebody found out."""

    shared = False
    per_row = 0

    def whole(self, value: Tensor) -> Tensor | None:
        """A weight, moment or average put together; None in processes that do not write."""
        return value

    def part(self, value: Tensor, like: Tensor) -> Tensor:
        """Of a whole tensor what this process holds of one `like` it."""
        return value

    def local(self, values: list[Tensor]) -> list[Tensor]:
        """What this process holds of each, as plain tensors on the same memory."""
        return values

    @contextmanager
    def evaluated(self, ema: Ema) -> Iterator[None]:
        """Inside, the first process's learner computes with the averaged weights."""
        with ema.applied():
            yield

    def optimizer(self, made: torch.optim.Optimizer) -> torch.optim.Optimizer:
        """An optimizer over the weights as they lie here."""
        return made


def join_group() -> Group:
    """Alone, unless this process was started as one of several."""
    return DistributedGroup() if int(os.environ.get("WORLD_SIZE", "1")) > 1 else Group()
