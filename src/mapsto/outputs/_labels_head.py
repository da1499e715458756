"""The head of any number of labels at once (`mapsto.outputs.labels`). Letters: B rows of a batch, K labels, M
members of an ensemble, D width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from mapsto.outputs._head import Head, mean_of_views

if TYPE_CHECKING:
    from mapsto.outputs.base import Output
    from mapsto.prediction import Prediction


class LabelsHead(Head):
    """A logistic score a label; binary cross-entropy summed over the known labels, which are the count."""

    def __init__(self, output: Output, width: int):
        super().__init__()
        self.output = output
        self.linear = nn.Linear(width, len(output.type.vocabulary))

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, D) -> logits (B, K), or members (B, M, D) -> (B, M, K)."""
        return self.linear(hidden)

    def loss(self, output: Tensor, target: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        known = target >= 0 if present is None else present & (target >= 0)
        truth = target.clamp(min=0)
        truth = truth[:, None].expand_as(output) if output.ndim == 3 else truth
        cost = binary_cross_entropy_with_logits(output.float(), truth, reduction="none")
        cost = cost.mean(1) if cost.ndim == 3 else cost  # the mean of the members' losses
        return (cost * known).sum(1), known.sum(1).float()

    def take_line(self, weight: Tensor, bias: Tensor) -> None:
        self.linear.weight.copy_(weight.T)
        self.linear.bias.copy_(bias)

    def merge(self, outputs: Sequence[Tensor], views: Tensor | None) -> Tensor:
        return mean_of_views(outputs)

    def predict(self, output: Tensor, options: Any = None) -> dict[str, Tensor]:
        probability = output.float().sigmoid()
        probability = probability.mean(1) if probability.ndim == 3 else probability
        return {"probability": probability, "value": probability > 0.5}

    def decode(self, predicted: Mapping[str, np.ndarray]) -> list[Prediction]:
        return self.output.decode(predicted)
