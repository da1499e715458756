"""Gradients of a net on training batches, and what one step at the peak rate would do to its weights."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mapsto.batch import Batch
from mapsto.doctor.base import Subject, matrices

FURTHER = (2.0, 3.0, 10.0, 30.0, 100.0)  # times as far as the training went
SOME, NOISE = 0.2, 1e-3  # of what was gained, and of the loss itself: less than that ahead is nothing


@dataclass(frozen=True)
class Slope:
    """Of one weight matrix: the norm of its gradient, and its own norm."""

    gradient: float
    weight: float


def gradients(patient: Subject, model: nn.Module) -> dict[str, Slope]:
    """{matrix: slope} of the learner's loss on the first training batches; parameters that are frozen get
    theirs too."""
    return patient.once(
        f"gradients {'first' if model is patient.first else 'trained'}", lambda: _gradients(patient, model)
    )


def _gradients(patient: Subject, model: nn.Module) -> dict[str, Slope]:
    net = copy.deepcopy(model).train().requires_grad_(True)
    _backward(patient, net, patient.probed)
    return {name: Slope(_norm(value.grad), _norm(value)) for name, value in matrices(net).items()}


def step_sizes(patient: Subject) -> dict[str, float]:
    """{matrix: |Δw| / |w|} of the first step if it were made at the peak rate, by the run's own optimizer.
    Matrices that begin at zero, or get no gradient, are left out."""
    return patient.once("step sizes", lambda: _step_sizes(patient))


def _step_sizes(patient: Subject) -> dict[str, float]:
    net = copy.deepcopy(patient.first).train()
    learner = _backward(patient, net, patient.batches[:1])
    before = {name: value.detach().clone() for name, value in matrices(net).items()}
    clip = patient.run.choice.training.clip
    for optimizer in learner.optimizers().values():
        for group in optimizer.param_groups:
            group["lr"] = group.get("peak", group["lr"])
            if clip:
                nn.utils.clip_grad_norm_([p for p in group["params"] if p.grad is not None], clip)
        optimizer.step()
    after = matrices(net)
    return {
        name: _norm(after[name] - old) / _norm(old)
        for name, old in before.items()
        if _norm(old) and _norm(after[name].grad)
    }


def _backward(patient: Subject, net: nn.Module, batches: list[Batch]) -> Any:
    learner = patient.loss_learner(net)
    count = sum(_add(learner, batch, number) for number, batch in enumerate(batches))
    for value in net.parameters():
        if value.grad is not None:
            value.grad /= max(count, 1e-8)
    return learner


def _add(learner: Any, batch: Batch, seed: int) -> float:
    """Add a batch's gradients to the net's. -> what its losses are sums over."""
    torch.manual_seed(seed)
    (rows, counts), _ = learner.loss(learner.ready(batch))
    rows.sum().backward()
    return float(counts.sum())


def _norm(value: Tensor | None) -> float:
    return 0.0 if value is None else float(value.detach().float().norm())


def along(patient: Subject, factors: tuple[float, ...]) -> list[float]:
    """The training loss at w₀ + k (w − w₀), for each k of `factors`: 0 is the fresh net, 1 the trained one,
    10 ten times as far along the same straight line. Same batches, same random draws for all."""
    start, end = dict(patient.first.named_parameters()), dict(patient.trained.named_parameters())
    found = []
    for factor in factors:
        net = copy.deepcopy(patient.trained)
        with torch.no_grad():
            for name, value in net.named_parameters():
                value.copy_(torch.lerp(start[name], end[name], factor))
        found.append(patient.training_loss(net))
    return found


def way(patient: Subject) -> tuple[list[float], float, float]:
    """(losses at 0, 1 and further along the way from the first weights to the trained ones, what the best
    further place would gain, how far it lies)."""
    losses = patient.once("way", lambda: along(patient, (0.0, 1.0, *FURTHER)))
    best = int(np.argmin(np.nan_to_num(losses[2:], nan=np.inf)))
    return losses, losses[1] - losses[2 + best], FURTHER[best]


def goes_on(patient: Subject) -> bool:
    """Does a good part of what was gained still lie ahead on that way?"""
    losses, ahead, _ = way(patient)
    return ahead > SOME * (losses[0] - losses[1]) and ahead > NOISE * abs(losses[0])
