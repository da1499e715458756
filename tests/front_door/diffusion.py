"""Pictures from noise as one file of a package: `-> tiny`, of 8 x 8 grey pixels.

Flow matching: Lipman et al. 2023, arXiv:2210.02747.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor, nn

from mapsto.batch import Batch
from mapsto.cells import Column
from mapsto.config import Budget, setting
from mapsto.errors import CellError
from mapsto.files import write_atomic
from mapsto.learners.base import Learner, Logs
from mapsto.metrics import Metric, mean_of
from mapsto.outputs.base import Output
from mapsto.prediction import USUAL, Keep, Measured
from mapsto.recipes import OUTPUTS, Facts, Recipe
from mapsto.recipes._choice import output_types
from mapsto.recipes._sizes import ADAMW
from mapsto.signature import Signature
from mapsto.types.base import DataType, Layout

SIDE = 8


@dataclass(frozen=True)
class Tiny(DataType):
    """An 8 x 8 picture, right of the arrow: rows of numbers from 0 to 255."""

    outputs = ("picture",)
    suffix = ".png"

    @classmethod
    def sniff(cls, column: Column) -> float:
        return float(all(np.shape(cell) == (SIDE, SIDE) for cell in column.known[:32]))

    def read(self, cell: Any) -> np.ndarray | None:
        if cell is None:
            return None
        found = np.asarray(cell)
        if found.shape != (SIDE, SIDE):
            raise CellError(f"expected {SIDE} x {SIDE} numbers, got {found.shape}")
        return found.astype(np.uint8)

    @property
    def layout(self) -> Layout:
        return Layout("uint8", (SIDE, SIDE))

    def encode(self, value: Any) -> np.ndarray:
        return np.zeros((SIDE, SIDE), np.uint8) if value is None else value

    def collate(self, arrays: Any, draw: Any) -> Tensor:
        """(B, 64), from -1 to 1."""
        return arrays.flatten(1).float() / 127.5 - 1

    def output(self, kind: str | None = None) -> Output:
        return Output(self)

    def write(self, value: Any, path: Path) -> None:
        shown = PIL.Image.fromarray(value)
        write_atomic(path, lambda temporary: shown.save(temporary, "PNG"))


@dataclass(frozen=True)
class Config:
    """Of the model."""

    width: int = 64


class Velocity(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(SIDE**2 + 1, width), nn.SiLU(), nn.Linear(width, SIDE**2))

    def forward(self, inputs: Any, condition: Any = None, size: int | None = None) -> dict[str, Tensor]:
        noisy, time = condition
        return {"tiny": self.net(torch.cat([noisy, time], 1))}


def build(signature: Signature, types: Any, config: Config, kinds: Mapping[str, str]) -> nn.Module:
    return Velocity(config.width)


def decide(facts: Facts) -> dict[str, Any]:
    training = replace(ADAMW, batch=64, weight_decay=0.0, warmup=0.0)
    return {"options": {}, "training": training, "budget": Budget(epochs=200.0, patience=0.0)}


def fits(signature: Signature) -> bool:
    return not signature.inputs and output_types(signature) == ["tiny"]


RECIPES = (Recipe("-> tiny", OUTPUTS, fits, "diffusion", decide, "a way from noise to pictures", "diffusion"),)


class Diffusion(Learner):
    """The way from noise to a picture, learned at random points of it."""

    @dataclass(frozen=True)
    class Sampling(Learner.Sampling):
        """How pictures are made."""

        steps: int = setting(20, "steps from noise to a picture", above=0)

    def loss(self, batch: Batch) -> tuple[tuple[Tensor, Tensor], Logs]:
        clean: Any = batch.targets["tiny"]
        noise, time = torch.randn_like(clean), torch.rand(len(clean), 1)
        speed = self.model({}, condition=(torch.lerp(noise, clean, time), time))["tiny"]
        return (((speed - (clean - noise)) ** 2).mean(1), torch.ones(batch.size)), {}

    @torch.no_grad()
    def sample(self, n: int, options: Any) -> dict[str, list[Any]]:
        picture = torch.randn(n, SIDE**2)
        for i in range(options.steps):
            time = torch.full((n, 1), i / options.steps)
            picture = picture + self.model({}, condition=(picture, time))["tiny"] / options.steps
        made = ((picture.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).view(n, SIDE, SIDE)
        return {"tiny": list(made.numpy())}

    def metrics(self, slot: str) -> tuple[Metric, ...]:
        says = "Mean squared error of the way from noise to a picture."
        return (Metric("loss", says, lambda found, target: found["loss"], mean_of, higher_is_better=False),)

    @torch.no_grad()
    def measure(self, split: str, keep: Keep = USUAL) -> Measured:
        if keep.store is None and not self.size(split):
            return Measured(np.empty(0, np.int64))
        wrong = [self.loss(batch)[0][0] for batch in self.iterate(split, keep.most, keep.store)]
        return Measured.of_statistics({"tiny": {"loss": torch.cat(wrong).double().numpy()[:, None]}})
