"""A generative adversarial network as one file of a package: `-> point`.

Goodfellow et al. 2014, with the gradient penalty on real rows of Mescheder et al. 2018. The learner is
measured by what it makes: how far its points' mean and spread lie from those of the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from mapsto.batch import Batch
from mapsto.cells import Column
from mapsto.config import Budget
from mapsto.errors import CellError
from mapsto.learners.base import Learner, Logs, Updates
from mapsto.metrics import Metric, mean_of
from mapsto.outputs.base import Output
from mapsto.prediction import USUAL, Keep, Measured
from mapsto.recipes import OUTPUTS, Facts, Recipe
from mapsto.recipes._choice import output_types
from mapsto.recipes._sizes import ADAMW
from mapsto.signature import Signature
from mapsto.types.base import DataType, Layout

NOISE = 4  # numbers that a point is made from


@dataclass(frozen=True)
class Point(DataType):
    """Two numbers, [x, y]."""

    outputs = ("point",)

    @classmethod
    def sniff(cls, column: Column) -> float:
        return float(all(isinstance(cell, (list, tuple)) and len(cell) == 2 for cell in column.known))

    def read(self, cell: Any) -> tuple[float, float] | None:
        if cell is None:
            return None
        if not isinstance(cell, (list, tuple)) or len(cell) != 2:
            raise CellError(f"expected two numbers, got {cell!r}")
        return float(cell[0]), float(cell[1])

    @property
    def layout(self) -> Layout:
        return Layout("float32", (2,))

    def encode(self, value: Any) -> np.ndarray:
        return np.array([0, 0] if value is None else value, np.float32)

    def output(self, kind: str | None = None) -> Output:
        return Output(self)

    def show(self, value: Any) -> str:
        return f"{value[0]:.3f} {value[1]:.3f}"


@dataclass(frozen=True)
class Config:
    """Of the model."""

    width: int = 32


class Players(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.maker = nn.Sequential(nn.Linear(NOISE, width), nn.SiLU(), nn.Linear(width, 2))
        self.critic = nn.Sequential(nn.Linear(2, width), nn.SiLU(), nn.Linear(width, 1))

    def forward(self, inputs: Any, condition: Any = None, size: int | None = None) -> dict[str, Tensor]:
        return {"point": self.maker(torch.randn(size or 1, NOISE))}


def build(signature: Signature, types: Any, config: Config, kinds: Mapping[str, str]) -> nn.Module:
    return Players(config.width)


def decide(facts: Facts) -> dict[str, Any]:
    training = replace(ADAMW, batch=64, weight_decay=0.0, warmup=0.0)
    return {"options": {}, "training": training, "budget": Budget(epochs=200.0, patience=0.0)}


def fits(signature: Signature) -> bool:
    return not signature.inputs and output_types(signature) == ["point"]


RECIPES = (Recipe("-> point", OUTPUTS, fits, "gan", decide, "two players", "gan"),)


class Gan(Learner):
    """Two players, two updates a step."""

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        model: Any = self.model
        return {
            "critic": torch.optim.Adam(model.critic.parameters(), 4e-3, betas=(0.5, 0.99)),
            "maker": torch.optim.Adam(model.maker.parameters(), 2e-3, betas=(0.5, 0.99)),
        }

    def step(self, batch: Batch, trainer: Updates) -> Logs:
        return trainer.update(self.judge, batch, "critic") | trainer.update(self.fool, batch, "maker")

    def judge(self, batch: Batch) -> tuple[tuple[Tensor, Tensor], Logs]:
        model: Any = self.model
        real: Any = batch.targets["point"]
        real = real.clone().requires_grad_()
        scores = model.critic(real)[:, 0]
        (slope,) = torch.autograd.grad(scores.sum(), real, create_graph=True)
        made = model.critic(self.outputs(batch)["point"].detach())[:, 0]
        return (softplus(-scores) + softplus(made) + 0.1 * (slope**2).sum(1), torch.ones(batch.size)), {}

    def fool(self, batch: Batch) -> tuple[tuple[Tensor, Tensor], Logs]:
        model: Any = self.model
        return (softplus(-model.critic(self.outputs(batch)["point"]))[:, 0], torch.ones(batch.size)), {}

    def metrics(self, slot: str) -> tuple[Metric, ...]:
        says = "How far the mean of what is made lies from that of the data, and the spread from the spread."
        return (Metric("apart", says, lambda found, target: found["apart"], mean_of, higher_is_better=False),)

    def measure(self, split: str, keep: Keep = USUAL) -> Measured:
        store = keep.store or self.store
        if store is None or (keep.store is None and not self.size(split)):
            return Measured(np.empty(0, np.int64))
        real = torch.cat([batch.targets["point"] for batch in store.iterate(split, 1024, keep.most)])  # type: ignore[misc]
        made = torch.tensor(self.sample(1024, self.Sampling())["point"])
        apart = (made.mean(0) - real.mean(0)).abs() + (made.std(0) - real.std(0)).abs()
        return Measured.of_statistics({"point": {"apart": apart.numpy()[:, None].astype(float)}})

    @torch.no_grad()
    def sample(self, n: int, options: Any) -> dict[str, list[Any]]:
        return {"point": self.outputs(Batch({}, {}, n))["point"].tolist()}
