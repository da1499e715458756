"""What a step of a net takes on this machine, before there is a training: by it recipes choose a size.

What a machine reaches at best misleads where nets are small, or a neighbour is busy.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import nn

from mapsto.batch import Batch
from mapsto.config import Training
from mapsto.training.arithmetic import has_bfloat16
from mapsto.training.machine import remembered, waited
from mapsto.training.optimizers import build_optimizer

TIMES = 3  # of which the least counts, after one to warm up
MOST_VALUES = 1_000_000  # of the inputs at once: 325 pictures of 32 × 32, 6 of 224 × 224
ENOUGH = 1.0  # seconds for all of them


def step_seconds(model: nn.Module, batch: Batch, training: Training, device: torch.device) -> float:
    """Seconds of a step (forward, backward, optimizer) of a net on a usual batch, with the threads that suit
    it. Remembered by the net's shapes, the batch's and the machine, so that two equal trainings choose
    alike."""
    shapes = [tuple(value.shape) for value in model.parameters()]
    inputs = [(name, tuple(getattr(value, "shape", ()))) for name, value in batch.inputs.items()]
    what = f"step of {shapes} on {inputs} by {training.optimizer}"
    return remembered(what, device, lambda: _measured(model, batch, training, device))


def _measured(model: nn.Module, batch: Batch, training: Training, device: torch.device) -> float:
    """Of as many rows as take no memory to speak of, and as much more for the others."""
    values = sum(one.numel() for one in batch.inputs.values() if isinstance(one, torch.Tensor))
    rows = max(1, min(batch.size, MOST_VALUES * batch.size // max(1, values)))
    share, batch = batch.size / rows, batch.slice(0, rows).to(device)
    pictures = any(isinstance(value, torch.Tensor) and value.ndim == 4 for value in batch.inputs.values())
    if pictures:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model = model.to(device).train()
    optimizer = build_optimizer(model, training)

    def step() -> float:
        start = waited(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device)):
            outputs = model(batch.inputs, size=batch.size)
        torch.stack([value.float().square().mean() for value in outputs.values()]).sum().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return waited(device) - start

    before = torch.get_num_threads()
    try:
        return share * min(
            _least(step, threads) for threads in {before, 1 if device.type == "cpu" else before}
        )
    finally:
        torch.set_num_threads(before)


def _least(step: Callable[[], float], threads: int) -> float:
    torch.set_num_threads(threads)
    found, begun = [step()], time.monotonic()
    while len(found) <= TIMES and time.monotonic() - begun < ENOUGH:
        found.append(step())
    return min(found)
