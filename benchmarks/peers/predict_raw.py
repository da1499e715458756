"""Raw inference: the net in evaluation mode under `torch.inference_mode`, probabilities as numpy."""

from __future__ import annotations

import torch

from benchmarks.clock import Clock
from benchmarks.task import Task


def run(task: Task, clock: Clock, rows: int) -> None:
    net = task.net().eval()
    dataset = task.dataset()
    collate = task.collate or torch.utils.data.default_collate
    *inputs, _ = collate([dataset[row] for row in range(rows)])
    with torch.inference_mode():
        while True:
            output = net(*inputs)
            (output.softmax(-1) if task.workload.loss == "cross_entropy" else output).numpy()
            clock.step(rows)
