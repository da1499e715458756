"""The moving average of weights and buffers (Polyak & Juditsky 1992), and what else is done to all weights at
once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Ema:
    """Follows a model's floating-point weights and buffers. decay 0: follows nothing, and `applied` changes
    nothing."""

    def __init__(self, model: nn.Module, decay: float, local: Callable[[list[Tensor]], list[Tensor]] = list):
        """local: what this process holds of tensors, on the same memory."""
        self.decay = decay
        self.live = [
            value.detach() for value in model.state_dict(keep_vars=True).values() if value.is_floating_point()
        ]
        self.values = [value.clone() for value in self.live] if decay else []
        self._live, self._values = local(self.live), local(self.values)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """One step; the memory grows with the steps until it is the one asked for."""
        if self.values:
            torch._foreach_lerp_(self._values, self._live, 1 - min(self.decay, (1 + step) / (10 + step)))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the model holds the average; afterwards its own weights, bit for bit."""
        if not self.values:
            yield
            return
        own = [value.clone() for value in self._live]
        self._put(self._values)
        try:
            yield
        finally:
            self._put(own)

    def copy_to(self) -> None:
        """The average into the model; nothing where there is none."""
        self._put(self._values)

    @torch.no_grad()
    def _put(self, values: list[Tensor]) -> None:
        if values:
            torch._foreach_copy_(self._live, values)

    def load(self, values: Mapping[str, Tensor]) -> None:
        """The average as a checkpoint holds it: {place: value}."""
        for place, value in values.items():
            self.values[int(place)].copy_(value)

    def sound(self) -> bool:
        """Are all weights finite that this process holds? A checkpoint of others would be no way back."""
        norms = torch._foreach_norm(self._live)
        return bool(torch.isfinite(torch.stack([norm.float() for norm in norms]).sum()))
