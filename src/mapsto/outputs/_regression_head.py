"""The head of one number (`mapsto.outputs.regression`). Letters: B rows of a batch, M members of an ensemble,
D width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import huber_loss, mse_loss

from mapsto.errors import ConfigError
from mapsto.outputs._head import Head, mean_of_views

if TYPE_CHECKING:
    from mapsto.outputs.base import Output
    from mapsto.prediction import Prediction


class RegressionHead(Head):
    """One number, learned in standard deviations from the training mean (of the log scale where `log`)."""

    def __init__(self, output: Output, width: int):
        super().__init__()
        self.output, self.column_type = output, output.type
        self.linear = nn.Linear(width, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, D) -> (B,), or members (B, M, D) -> (B, M)."""
        return self.linear(hidden)[..., 0]

    def loss(self, output: Tensor, target: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        known = ~torch.isnan(target) if present is None else present & ~torch.isnan(target)
        target = torch.where(known, target, self.column_type.mean if not self.column_type.log else 0.0)
        if self.column_type.log:
            target = torch.sign(target) * torch.log1p(target.abs())
        standard = ((target - self.column_type.mean) / self.column_type.std).float()
        if cap := self.column_type.cap:
            standard = standard.clamp(-cap, cap)
        output = output.float()
        standard = standard[:, None].expand_as(output) if output.ndim == 2 else standard
        error = (huber_loss if self.column_type.loss == "huber" else mse_loss)(
            output, standard, reduction="none"
        )
        per_row = error.mean(1) if error.ndim == 2 else error  # the mean of the members' losses
        return torch.where(known, per_row, 0.0), known.float()

    @property
    def holds_line(self) -> bool:
        return not self.column_type.log

    def take_line(self, weight: Tensor, bias: Tensor) -> None:
        """In the target's unit."""
        if self.column_type.log:
            raise ConfigError(
                "the linear baseline is of the number itself, not of its logarithm.\nLeave log=true out, or"
                " take --model linear."
            )
        self.linear.weight.copy_(weight.T / self.column_type.std)
        self.linear.bias.copy_((bias - self.column_type.mean) / self.column_type.std)

    def merge(self, outputs: Sequence[Tensor], views: Tensor | None) -> Tensor:
        return mean_of_views(outputs)

    def predict(self, output: Tensor, options: Any = None) -> dict[str, Tensor]:
        """value (B,), and spread (B,): the standard deviation between members (1 without) in the target's
        unit at that value."""
        mean = output.float().mean(1) if output.ndim == 2 else output.float()
        value = (
            mean.double() if self.column_type.needs_float64 else mean
        ) * self.column_type.std + self.column_type.mean
        spread = (
            (output.float() - mean[:, None]).square().mean(1).sqrt()
            if output.ndim == 2
            else torch.ones_like(mean)
        )
        if self.column_type.log:
            value = torch.sign(value) * torch.expm1(value.abs())
            spread = spread * (1 + value.abs())  # the slope of expm1
        return {"value": value, "spread": spread * self.column_type.std}

    def decode(self, predicted: Mapping[str, np.ndarray]) -> list[Prediction]:
        return self.output.decode(predicted)
