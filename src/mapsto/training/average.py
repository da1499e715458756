"""The moving average of weights and buffers (Polyak & Juditsky 1992), and what else is done to all weights at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """Follows a model's floating-point weights and buffers. decay 0: follows nothing, and `applied` changes nothing."""

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.live = [value.detach() for value in model.state_dict(keep_vars=True).values() if value.is_floating_point()]
        self.values = [value.clone() for value in self.live] if decay else []

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """One step; the memory grows with the steps until it is the one asked for."""
        if self.values:
            torch._foreach_lerp_(self.values, self.live, 1 - min(self.decay, (1 + step) / (10 + step)))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the model holds the average; afterwards its own weights, bit for bit."""
        if not self.values:
            yield
            return
        own = [value.clone() for value in self.live]
        self.put(self.values)
        try:
            yield
        finally:
            self.put(own)

    @torch.no_grad()
    def put(self, values: list[Tensor]) -> None:
        """Other values into the model; nothing where there are none."""
        if values:
            torch._foreach_copy_(self.live, values)

    def load(self, values: Mapping[str, Tensor]) -> None:
        """The average as a checkpoint holds it: {place: value}."""
        for place, value in values.items():
            self.values[int(place)].copy_(value)

    def sound(self) -> bool:
        """Are all weights finite? A checkpoint that is not would be no way back."""
        norms = torch._foreach_norm(self.live)
        return bool(torch.isfinite(torch.stack([norm.float() for norm in norms]).sum()))
