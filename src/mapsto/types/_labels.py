"""What nets are given of labels that do not exclude each other. Letters: B batch, F features, K classes."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MultiHot(nn.Module):
    """(B, K) -> (B, 2K): which labels hold, and which are not known."""

    gives = "pooled"

    def __init__(self, labels: int):
        super().__init__()
        self.features = 2 * labels

    def forward(self, labels: Tensor) -> Tensor:
        return torch.cat([(labels > 0).float(), (labels < 0).float()], 1)


class LabelMean(nn.Module):
    """(B, K) -> (B, 1, width): the mean embedding of the labels that hold; vectors of their own for none and
    for not known."""

    gives = "tokens"

    def __init__(self, labels: int, width: int):
        super().__init__()
        self.table = nn.Parameter(torch.randn(labels, width) / width**0.5)
        self.none = nn.Parameter(torch.zeros(width))
        self.missing = nn.Parameter(torch.zeros(width))

    def forward(self, labels: Tensor) -> Tensor:
        held = (labels > 0).float()
        count = held.sum(1, keepdim=True)
        mean = held @ self.table / count.clamp(min=1) + (count == 0).float() * self.none
        unknown = (labels < 0).all(1, keepdim=True).float()
        return (mean * (1 - unknown) + unknown * self.missing)[:, None]
