"""How many multiplications a forward pass takes, by the formulas of torch's own counter."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class _Counted(TorchDispatchMode):
    """Adds up what every operation takes. torch's `FlopCounterMode` finds the same, but brings in its
    compiler for it: 1.5 s of processor time in a fresh process, against 0.02 s."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # what would import the compiler; nothing here is compiled

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        formula = flop_registry.get(func._overloadpacket)
        if formula is None:  # an operation made of others, as inference mode hands it over
            with self:
                found = func.decompose(*args, **kwargs)
            if found is not NotImplemented:
                return found
        found = func(*args, **kwargs)
        if formula is not None:
            self.total += formula(*args, **kwargs, out_val=found)
        return found


def multiplications(asked: Callable[[Any, Any], Any], learner: Any, batch: Any) -> float:
    """Of `asked(learner, batch)`, a learner's method that runs the net. Outside inference mode, where torch
    itself takes operations apart; what stands in it within is taken apart here, more slowly."""
    with torch.no_grad(), _Counted() as counted:
        inspect.unwrap(asked)(learner, batch)
    return counted.total / 2
