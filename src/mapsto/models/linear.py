"""Linear models: plain features straight into the heads, nothing in between.

With a category's head this is logistic regression (Cox 1958) and, trained one row at a time, Rosenblatt's
perceptron (1958); with a number's head linear regression. Features: numbers standardised, categories one-hot,
pixels as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from mapsto.batch import Padded
from mapsto.errors import ConfigError
from mapsto.models.base import Heads, Net, Stems, Types, features_of_nothing, flat
from mapsto.signature import Signature


@dataclass(frozen=True)
class Config:
    """A linear model has no options of its own."""


class Flat(nn.Module):
    """{slot: (B, ...)} -> (B, F)."""

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        return flat(features)


def wants(signature: Signature, config: Config) -> dict[str, dict[str, Any]]:
    return {slot.name: {"fixed": True} for slot in signature.inputs}


def build(signature: Signature, types: Types, config: Config, kinds: Mapping[str, str]) -> Net:
    needs_input(signature, "linear")
    stems = Stems(signature, types, None)
    width = sum(
        math.prod(side or 1 for side in shape)
        for shape in feature_shapes(stems, signature, types, "linear").values()
    )
    return Net(stems, Flat(), Heads(signature, types, kinds, width, "pooled"))


def needs_input(signature: Signature, model: str) -> None:
    """ConfigError for `-> image`: this model maps something to something."""
    if not signature.inputs:
        raise ConfigError(
            f"model '{model}' needs an input, '{signature}' has none left of the arrow.\nName what is given."
        )


def feature_shapes(
    stems: Stems, signature: Signature, types: Types, model: str, sequences: bool = False
) -> dict[str, tuple[int | None, ...]]:
    """{slot: shape of one row's features}. A sequence's is (None, D); ConfigError for a model that takes no
    `sequences`."""
    shapes: dict[str, tuple[int | None, ...]] = {}
    for name, found in features_of_nothing(stems, signature, types).items():
        if isinstance(found, list) or (isinstance(found, Padded) and not sequences):
            raise ConfigError(
                f"model '{model}' takes features of fixed size, '{name}' gives sequences.\nUse --model"
                " fusion."
            )
        shapes[name] = (
            (None, *found.values.shape[2:]) if isinstance(found, Padded) else tuple(found.shape[1:])
        )
    return shapes
