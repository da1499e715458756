"""A public encoder that is not trained, behind which a linear model is solved: a linear probe (Alain & Bengio
2016, arXiv:1610.01644). Every training text is encoded once (`mapsto.steps.solve`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mapsto.batch import Field
from mapsto.errors import ConfigError
from mapsto.models.baseline import Body

AT_ONCE = 32  # texts: the attention of 256 of 512 tokens would take 3 GB a layer


class Probe(Body):
    """{slot: Texts} -> (B, D): what the encoder makes of them, centred and scaled for the linear model."""

    def __init__(self, reader: Any, width: int):
        super().__init__(width)
        self.reader, self.public = reader, reader.public
        self.requires_grad_(False)

    def train(self, mode: bool = True) -> Probe:
        """The encoder never drops anything."""
        super().train(mode)
        self.reader.eval()
        return self

    def plain(self, inputs: Mapping[str, Field]) -> Tensor:
        """(B, D): what the encoder makes of them."""
        ((name, texts),) = inputs.items()
        values: Any = texts
        with torch.no_grad():
            parts = [
                self.reader({name: values[low : low + AT_ONCE]})
                for low in range(0, len(values.lengths), AT_ONCE)
            ]
            return torch.cat(parts) if parts else self.centre.new_zeros(0, len(self.centre))

    def forward(self, features: Mapping[str, Any]) -> Tensor:
        return super().forward({"": self.plain(features)})


def refuse(frozen: bool, rank: int, part: str) -> None:
    """ConfigError where a public model cannot be frozen."""
    if frozen and rank:
        raise ConfigError(
            "model 'hub': frozen=true trains nothing of it, --lora trains adapters.\nLeave out one of them."
        )
    if frozen and part != "encoder":
        raise ConfigError(
            "model 'hub': frozen=true solves a linear model, which writes no text.\nLeave frozen out."
        )
