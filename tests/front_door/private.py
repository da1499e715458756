"""Learning in private (DP-SGD) as one file: each example's gradient is clipped, and noise is added to their
sum. Abadi et al. 2016, arXiv:1607.00133.

epsilon: what anybody can learn of one example, at probability 1 - delta, by the bound of Bun & Steinke 2016 for
zero-concentrated differential privacy without the gain of drawing few rows: an upper bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mapsto.batch import Batch
from mapsto.config import setting
from mapsto.learners.base import Logs, Updates
from mapsto.learners.supervised import Supervised

DELTA = 1e-5


class Private(Supervised):
    """Learn, and give no example away."""

    @dataclass(frozen=True)
    class Config(Supervised.Config):
        norm: float = setting(1.0, "each example's gradient is no longer", above=0)
        noise: float = setting(1.0, "standard deviation of the noise, in norms", above=0)

    def __init__(self, *words: Any):
        super().__init__(*words)
        self.steps = torch.zeros((), dtype=torch.int64)  # that spent privacy

    def step(self, batch: Batch, trainer: Updates) -> Logs:
        params = [p for p in self.model.parameters() if p.requires_grad]
        total, logs = [torch.zeros_like(p) for p in params], {}
        for row in range(batch.size):
            logs = trainer.gradients(self.loss, batch.slice(row, row + 1))
            grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in params]
            length = torch.stack([grad.norm() for grad in grads]).norm()
            share = (self.config.norm / length.clamp(min=1e-12)).clamp(max=1)
            total = [so_far + share * grad for so_far, grad in zip(total, grads, strict=True)]
        spread = self.config.noise * self.config.norm
        for p, gradient in zip(params, total, strict=True):
            p.grad = (gradient + spread * torch.randn_like(gradient)) / batch.size
        trainer.apply()
        self.steps += 1
        return logs

    def record(self) -> dict[str, Any]:
        rho = int(self.steps) / (2 * self.config.noise**2)
        return {"epsilon": round(rho + 2 * math.sqrt(rho * math.log(1 / DELTA)), 3), "delta": DELTA}

    def state_dict(self) -> dict[str, Tensor]:
        return {"steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.steps = state["steps"].clone()
