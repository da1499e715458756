"""Several processes that learn together, each a part of every batch: data parallel. Here is what one process
alone is; `mapsto.training.process_group` is one of several.

All hold the same weights and take the same steps: gradients, losses and counts are summed over the company,
and divided by the total count, so that the number of processes changes nothing but the order of a sum. What a
clock, memory or a person decides, the first decides and tells the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mapsto.batch import Batch

if TYPE_CHECKING:
    from mapsto.training.ema import Ema


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
