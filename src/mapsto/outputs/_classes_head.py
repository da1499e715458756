"""The head of one of several classes (`mapsto.outputs.classes`). Letters: B rows of a batch, K classes, M
members of an ensemble, D width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from mapsto.outputs._head import Head, mean_of_views

if TYPE_CHECKING:
    from mapsto.outputs.base import Output
    from mapsto.prediction import Prediction

MOST_WEIGHT = 100.0  # of a class when balancing: one row in a million must not drown the rest


class ClassesHead(Head):
    """Softmax over K classes, cross-entropy. With `balance` a row's loss is weighted, its count stays 1: over
    the training rows the weights average 1."""

    weight: Tensor

    def __init__(self, output: Output, width: int):
        super().__init__()
        self.output, column_type = output, output.type
        self.smoothing = column_type.smoothing
        self.linear = nn.Linear(width, len(column_type.vocabulary))
        counts = torch.tensor(column_type.counts, dtype=torch.float32)
        weight = (counts.sum() / (len(counts) * counts.clamp(min=1))).clamp(max=MOST_WEIGHT)
        self.register_buffer(
            "weight", weight if column_type.balance else torch.ones_like(counts), persistent=False
        )
        with torch.no_grad():  # start at the classes' frequencies (Karpathy's recipe, 2019)
            prior = torch.log(counts + 1)
            self.linear.bias.copy_(torch.zeros_like(prior) if column_type.balance else prior - prior.mean())

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, D) -> logits (B, K), or members (B, M, D) -> (B, M, K)."""
        return self.linear(hidden)

    def loss(self, output: Tensor, target: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        logs = output.float().log_softmax(-1)
        logs = logs.mean(1) if logs.ndim == 3 else logs  # the mean of the members' losses
        known = target >= 0 if present is None else present & (target >= 0)
        label = target.clamp(min=0)
        right = logs.gather(1, label[:, None])[:, 0]
        per_row = -(1 - self.smoothing) * right - self.smoothing * logs.mean(1)
        return torch.where(known, per_row * self.weight[label], 0.0), known.float()

    def take_line(self, weight: Tensor, bias: Tensor) -> None:
        self.linear.weight.copy_(weight.T)
        self.linear.bias.copy_(bias)

    def merge(self, outputs: Sequence[Tensor], views: Tensor | None) -> Tensor:
        return mean_of_views(outputs)

    def predict(self, output: Tensor, options: Any = None) -> dict[str, Tensor]:
        """Members' mean of log-probabilities, renormalised. On reviews (imdb, a bag and a recurrent net) the
        log loss is .288 where the mean of probabilities has .306, and one temperature can calibrate it; among
        TabM's members, which agree, the two are level.
        """
        logs = output.float().log_softmax(-1)
        probability = (logs.mean(1) if logs.ndim == 3 else logs).softmax(-1)
        return {"probability": probability, "value": probability.argmax(1)}

    def decode(self, predicted: Mapping[str, np.ndarray]) -> list[Prediction]:
        return self.output.decode(predicted)
