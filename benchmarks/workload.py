"""What is compared: a net, data, an optimizer. No torch here: the process that keeps time loads nothing that
computes.

A workload is one file of `workloads/`, which holds `WORKLOAD`. Its data and its net are settled once by
mapsto itself and written into a folder (`prepare.py`): all contenders then learn from the same arrays with
the same net from the same first weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

STEPS = (
    10**9
    # the schedule falls linearly to zero over so many steps: within a measurement the rate is as good as
    # constant
)


@dataclass(frozen=True)
class Workload:
    """One network on one data set with one optimizer and one batch size.

    kind: what a row is: "pictures" (C, H, W), "texts" (tokens of unequal length), "cells" (numbers and
    codes), "windows" (tokens in, the next tokens out). data: files of the data folder, `archive.zip!member`
    for one in an archive. peers: who is compared unless asked. bars: {peer: least ratio ours / peer}; "tuned"
    is the best loop written by hand."""

    name: str
    says: str
    kind: str
    data: tuple[str, ...]
    signature: str
    model: str
    optimizer: str = "adamw"
    lr: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.01
    batch: int = 128
    loss: str = "cross_entropy"
    peers: tuple[str, ...] = ("plain", "tuned", "ours")
    bars: Mapping[str, float] = field(default_factory=lambda: {"tuned": 0.95})

    def options(self) -> dict[str, Any]:
        """The same, as options of `mapsto train`: nothing that no peer does (no moving average, no
        clipping)."""
        return {
            "model": self.model,
            "optimizer": self.optimizer,
            "lr": self.lr,
            "momentum": self.momentum,
            "weight_decay": self.weight_decay,
            "batch": self.batch,
            "steps": STEPS,
            "warmup": 0.0,
            "schedule": "linear",
            "clip": 0.0,
            "ema": 0.0,
        }
