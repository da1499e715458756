"""An update: the mean loss's gradients over micro-batches and processes, clipped, and one step of the
optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mapsto.batch import Batch, key
from mapsto.learners.base import Logs

if TYPE_CHECKING:
    from mapsto.training.trainer import Trainer

LossOf = Callable[[Batch], tuple[tuple[Tensor, Tensor], Logs]]


def updated(trainer: Trainer, loss_of: LossOf, batch: Batch, optimizer: torch.optim.Optimizer) -> Logs:
    """One update of one optimizer's parameters; torch.OutOfMemoryError where the micro-batch is too large."""
    logs, total, count = _gradients(trainer, loss_of, batch, optimizer)
    scaler = trainer.learner.scaler
    if trainer.training.clip:
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(_parameters(optimizer), trainer.training.clip, foreach=True)
    scaler.step(
        optimizer
    )  # fused optimizers leave out a step of infinite gradients by themselves: nothing is waited for
    scaler.update()
    trainer.step_timer.mark("optimizer")
    return {**logs, "loss": total / count}


def _gradients(
    trainer: Trainer, loss_of: LossOf, batch: Batch, optimizer: torch.optim.Optimizer
) -> tuple[Logs, Tensor, Tensor]:
    """The mean loss's gradients over the whole batch -> (logs of the last piece, sum of losses, total count ≥
    1e-8). Pieces of a batch that fits as a whole go backward together: every weight is brought into the
    plan's arithmetic once, and its gradient back.
    """
    optimizer.zero_grad(set_to_none=True)
    total = count = torch.zeros((), device=trainer.learner.device)
    logs: Logs = {}
    ranges = batch.pieces(trainer.plan.micro_batch)
    together = [ranges] if trainer.plan.micro_batch >= batch.size else [[piece] for piece in ranges]
    whole = trainer.group.size == 1 and len(together) == 1
    for micro, pieces in enumerate(together if batch.size or whole else ()):
        seeded(
            key(trainer.training.seed, trainer.step, micro, trainer.group.rank, trainer.turn),
            trainer.learner.device,
        )
        parts = [batch if len(ranges) == 1 else batch.slice(low, high) for low, high in pieces]
        with trainer.learner.autocast:
            found = [_sums(trainer, loss_of, part, len(ranges)) for part in parts]
        (summed, counted, logs), *others = found
        summed, counted = sum((one[0] for one in others), summed), sum((one[1] for one in others), counted)
        trainer.step_timer.mark("forward")
        trainer.learner.scaler.scale(summed / counted.clamp(min=1e-8) if whole else summed).backward()
        trainer.step_timer.mark("backward")
        total, count = total + summed.detach(), count + counted
    if not whole:
        total, count = _together(trainer, optimizer, total, count)
    return logs, total, count.clamp(min=1e-8)


def seeded(seed: int, device: torch.device) -> None:
    """`torch.manual_seed` for the processor and the one device at work. It asks every kind of device there
    might be, and notes down the whole stack for those that were never used: 0.2 ms a step."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type != "cpu":
        torch.manual_seed(seed)


def _together(
    trainer: Trainer, optimizer: torch.optim.Optimizer, total: Tensor, count: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients summed over all processes and divided by the total count; the sums of losses and counts."""
    params = _parameters(optimizer)
    if trainer.group.size > 1:
        total, count = total.float().clone(), count.float().clone()
        grads = (
            [] if trainer.weights.shared else _all_gradients(params)
        )  # those of shared weights are summed as they come
        trainer.group.sum([*grads, total, count])
    torch._foreach_div_([p.grad for p in params if p.grad is not None], count.clamp(min=1e-8))
    return total, count


def _all_gradients(params: list[Tensor]) -> list[Tensor]:
    """Zeros where a process has none: all sum the same tensors."""
    for p in params:
        p.grad = torch.zeros_like(p) if p.grad is None else p.grad
    return [p.grad for p in params if p.grad is not None]


def _sums(trainer: Trainer, loss_of: LossOf, piece: Batch, pieces: int) -> tuple[Tensor, Tensor, Logs]:
    """(sum of losses, count, logs) of a piece, compiled where the plan is. CUDA graphs are for whole batches:
    the next piece would overwrite the gradients of the one before."""
    learner = trainer.learner
    if not learner.model.training:
        learner.model.train()  # walks through all modules
    compiled = (
        learner.compiled if loss_of == learner.loss and (pieces == 1 or not trainer.plan.graphs) else None
    )
    (rows, counts), logs = (compiled or loss_of)(learner.ready(piece))
    if piece.weight is not None:
        rows, counts = rows * piece.weight, counts * piece.weight
    return rows.sum(), counts.sum().detach(), logs


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
