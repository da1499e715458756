"""The losses of the last steps. They lie on the device until somebody looks: reading waits for it."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Losses:
    """last: mean over the steps between the last two looks. total, steps: their sum, and how many they are,
    since the last evaluation."""

    def __init__(self) -> None:
        self._waiting: list[Tensor] = []
        self.last, self.total, self.steps = 0.0, 0.0, 0

    def add(self, loss: Tensor) -> None:
        """Of one step; nothing is waited for."""
        self._waiting.append(loss)

    def read(self) -> None:
        """The one wait for the device. Summed one by one, so that it is all the same when they are read."""
        if self._waiting:
            losses = torch.stack([loss.float() for loss in self._waiting]).tolist()
            self.last, self._waiting = sum(losses) / len(losses), []
            for loss in losses:
                self.total += loss
            self.steps += len(losses)

    def forget(self) -> None:
        """Drop what was not read."""
        self._waiting = []

    def mean(self) -> float | None:
        """Over the steps since the last evaluation, which this one ends; None where it is no number."""
        self.read()
        found = self.total / self.steps if self.steps else math.nan
        self.total, self.steps = 0.0, 0
        return found if math.isfinite(found) else None
