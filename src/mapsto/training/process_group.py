"""One of several processes that learn together, by gloo on processors and nccl on GPUs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from mapsto.batch import Batch
from mapsto.training.distributed import Group

MEET = "MAPSTO_MEET"  # a file at which processes of one machine find each other


PATIENCE = timedelta(hours=2)  # an evaluation or a compilation may keep the others waiting


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


def join_group() -> Group:
    """Alone, unless this process was started as one of several."""
    return DistributedGroup() if int(os.environ.get("WORLD_SIZE", "1")) > 1 else Group()
