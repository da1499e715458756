"""Weights of which every process holds a part, by PyTorch's `fully_shard`. When they are held so,
`mapsto.training.sharded` says; it loads this file, and with it half of torch.distributed, only then."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from mapsto.learners.base import Learner
from mapsto.training.distributed import Copies, Group
from mapsto.training.ema import Ema
from mapsto.training.process_group import DistributedGroup

BLOCKS = "blocks"  # under this name architectures keep their repeated layers


class Shares(Copies):
    """Each process holds a part of every weight. A learner's model is cut up when this is made; the first
    process keeps a whole one, in the processor's memory, to evaluate with."""

    shared = True

    def __init__(self, learner: Learner, group: Group, per_row: int = 0):
        """per_row: bytes of activations, where somebody found out."""
        assert isinstance(group, DistributedGroup)
        group.alike, self.per_row = True, per_row
        self.learner, self.first, device = learner, group.rank == 0, learner.device
        self.model = copy.deepcopy(learner.model.cpu()) if self.first else None
        learner.model.to(device)
        if device.type == "cuda":
            torch.cuda.set_device(device)
        mesh = init_device_mesh(device.type, (group.size,))
        repeated = [held for name, held in learner.model.named_modules() if name.split(".")[-1] == BLOCKS]
        for module in [*(block for held in repeated for block in held.children()), learner.model]:
            fully_shard(module, mesh=mesh)
        for module in learner.model.modules():
            if isinstance(module, FSDPModule):
                module.set_gradient_divide_factor(
                    1.0
                )  # gradients are summed; the trainer divides, by the total count
                module.set_force_sum_reduction_for_comms(True)  # gloo knows no other way

    def whole(self, value: Tensor) -> Tensor | None:
        found = value.full_tensor() if isinstance(value, DTensor) else value
        return found.cpu() if self.first else None

    def part(self, value: Tensor, like: Tensor) -> Tensor:
        if not isinstance(like, DTensor):
            return value
        return distribute_tensor(
            value.to(like.device), like.device_mesh, like.placements, src_data_rank=None
        )  # each cuts its own

    def local(self, values: list[Tensor]) -> list[Tensor]:
        return [value.to_local() if isinstance(value, DTensor) else value for value in values]

    @contextmanager
    def evaluated(self, ema: Ema) -> Iterator[None]:
        own = self.learner.model
        state = own.state_dict()
        floating = [name for name, value in state.items() if value.is_floating_point()]
        state |= dict(zip(floating, ema.values or ema.live, strict=True))
        found = {name: whole for name, value in state.items() if (whole := self.whole(value)) is not None}
        if self.model is None:
            yield
            return
        self.model.load_state_dict(found)
        self.learner.model = self.model.to(self.learner.device)
        try:
            yield
        finally:
            self.model.cpu()
            self.learner.model = own

    def optimizer(self, made: torch.optim.Optimizer) -> torch.optim.Optimizer:
        """PyTorch's fused SGD takes no parts of weights; its steps over many weights at once do."""
        if isinstance(made, torch.optim.SGD):
            for group in made.param_groups:
                group["fused"], group["foreach"] = False, True
        return made
