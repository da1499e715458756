"""The linear model that is printed beside every net, as a run of its own: its weights are solved
(`mapsto.steps.solve`), not learned step by step. `linear` is the same model learned by gradients.

Letters: B batch, F plain features, K columns of an answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mapsto.config import Budget, Training
from mapsto.models.base import Heads, Net, Stems, Types, flat
from mapsto.models.linear import feature_shapes, needs_input
from mapsto.signature import Signature

UNCUT = 1e18  # a feature is never so large; infinity would look like a weight that has overflown


@dataclass(frozen=True)
class Config:
    """A linear model has no options of its own."""


class Body(nn.Module):
    """{slot: (B, ...)} -> (B, F): features less their centre, scaled, cut at `most`. plain: {slot: inputs} ->
    (B, F), where its features are not the rooms' plain ones."""

    plain: Callable[[Mapping[str, Any]], Tensor] | None = None
    centre: Tensor
    scale: Tensor
    most: Tensor

    def __init__(self, width: int):
        super().__init__()
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.register_buffer("most", torch.tensor(UNCUT))

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        known = torch.nan_to_num(flat(features).float(), posinf=0.0, neginf=0.0)
        return ((known - self.centre) * self.scale).clamp(-self.most, self.most)


def solved(config: Config) -> bool:
    """Its weights are those that `Body` and `Head.take_line` are given."""
    return True


def wants(signature: Signature, config: Config) -> dict[str, dict[str, Any]]:
    return {slot.name: {"fixed": True} for slot in signature.inputs}


def defaults(facts: Any, config: Config) -> dict[str, Any]:
    """One exact solution: whole numbers of 32 bits, one view of a row, a budget that nobody waits for."""
    training = Training(
        optimizer="adamw",
        lr=1e-3,
        batch=min(256, max(1, facts.rows)),
        weight_decay=0.0,
        momentum=0.9,
        warmup=0.0,
        schedule="constant",
        clip=0.0,
        ema=0.0,
        precision="float32",
    )
    return {
        "training": training,
        "budget": Budget(steps=1, patience=0.0),
        "learner_options": {"views": False},
        "type_options": {},
        "why": "the linear baseline, solved from training rows alone: validation rows calibrate it",
    }


def build(signature: Signature, types: Types, config: Config, kinds: Mapping[str, str]) -> Net:
    needs_input(signature, "baseline")
    stems = Stems(signature, types, None)
    shapes = feature_shapes(stems, signature, types, "baseline").values()
    width = sum(math.prod(side or 1 for side in shape) for shape in shapes)
    return Net(stems, Body(width), Heads(signature, types, kinds, width, "pooled"))
