"""One update: the mean loss's gradients over micro-batches and processes, clipped and scaled, and one step of
the optimizer.

The pieces of a batch count by what they are sums over (rows, labels, tokens), never alike, so that how it is
cut changes nothing but the order of a sum.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim import Optimizer

from mapsto.batch import Batch, key
from mapsto.learners.base import Learner, Logs, LossOf
from mapsto.training.distributed import Copies, Group
from mapsto.training.plan import Plan
from mapsto.training.step_timer import StepTimer


class Updater:
    """Takes the updates of one learner by a plan. weights: how they lie in the processes of the group.
    optimizers: by name, as `fresh` makes them. Batches come as `Learner.ready` makes them."""

    def __init__(self, learner: Learner, group: Group):
        self.learner, self.group, self.plan = learner, group, Plan("cpu")
        self.weights, self.timer = Copies(), StepTimer(torch.device("cpu"))
        self.optimizers: dict[str, Optimizer] = {}
        self.begin(0)

    def begin(self, step: int) -> None:
        """A step begins. Every pass draws its own noise, of the step and of its turn within it."""
        self.step, self.turn = step, 0

    def fresh(self) -> None:
        """Optimizers as at the first step; each group's rate is its "peak", which a schedule goes by."""
        made = self.learner.optimizers()
        self.optimizers = {name: self.weights.optimizer(one) for name, one in made.items()}
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group.setdefault("peak", group["lr"])

    def gradients(self, loss_of: LossOf, batch: Batch, optimizer: Optimizer) -> Logs:
        """The mean loss's gradients over the whole batch, of one optimizer's parameters -> logs of the last
        piece, and "loss". Pieces of a batch that fits as a whole go backward together: every weight is
        brought into the plan's arithmetic once, and its gradient back. torch.OutOfMemoryError where the
        micro-batch is too large."""
        optimizer.zero_grad(set_to_none=True)
        total = count = torch.zeros((), device=self.learner.device)
        logs: Logs = {}
        ranges = batch.pieces(self.plan.micro_batch)
        together = [ranges] if self.plan.micro_batch >= batch.size else [[piece] for piece in ranges]
        whole = self.group.size == 1 and len(together) == 1
        for micro, pieces in enumerate(together if batch.size or whole else ()):
            self._seed(micro)
            parts = [batch if len(ranges) == 1 else batch.slice(low, high) for low, high in pieces]
            with self.learner.autocast:
                found = [self._sums(loss_of, part, len(ranges)) for part in parts]
            logs = found[0][2]
            summed, counted = _added([one[0] for one in found]), _added([one[1] for one in found])
            self.timer.mark("forward")
            mean = summed / counted.clamp(min=1e-8) if whole else summed
            self.learner.scaler.scale(mean).backward()
            self.timer.mark("backward")
            total, count = total + summed.detach(), count + counted
        if not whole:
            total, count = self._over_processes(optimizer, total, count)
        self.turn += 1
        return {**logs, "loss": total / count.clamp(min=1e-8)}

    def apply(self, optimizer: Optimizer) -> None:
        """The gradients that lie in an optimizer's parameters, clipped, become one step of it."""
        scaler, clip = self.learner.scaler, self.learner.training.clip
        if clip:
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(_parameters(optimizer), clip, foreach=True)
        scaler.step(optimizer)  # fused optimizers leave out a step of infinite gradients without a wait
        scaler.update()
        self.timer.mark("optimizer")

    def _seed(self, micro: int) -> None:
        """Noise of this pass: a function of seed, step, piece, process and turn."""
        seed = key(self.learner.training.seed, self.step, micro, self.group.rank, self.turn)
        seed_device(seed, self.learner.device)

    def _sums(self, loss_of: LossOf, piece: Batch, pieces: int) -> tuple[Tensor, Tensor, Logs]:
        """(sum of losses, count, logs) of a piece, compiled where the plan is. CUDA graphs are for whole
        batches: the next piece would overwrite the gradients of the one before."""
        learner = self.learner
        if not learner.model.training:
            learner.model.train()  # walks through all modules
        may_compile = loss_of == learner.loss and (pieces == 1 or not self.plan.graphs)
        compiled = learner.compiled if may_compile else None
        (rows, counts), logs = (compiled or loss_of)(piece)
        if piece.weight is not None:
            rows, counts = rows * piece.weight, counts * piece.weight
        return rows.sum(), counts.sum().detach(), logs

    def _over_processes(self, optimizer: Optimizer, total: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients summed over all processes and divided by the total count; the sums of losses and
        counts."""
        params = _parameters(optimizer)
        if self.group.size > 1:
            total, count = total.float().clone(), count.float().clone()
            grads = (
                [] if self.weights.shared else _all_gradients(params)
            )  # shared ones are summed as they come
            self.group.sum([*grads, total, count])
        torch._foreach_div_([p.grad for p in params if p.grad is not None], count.clamp(min=1e-8))
        return total, count


def seed_device(seed: int, device: torch.device) -> None:
    """`torch.manual_seed` for the processor and the one device at work. It asks every kind of device there
    might be, and notes down the whole stack for those that were never used: 0.2 ms a step."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type != "cpu":
        torch.manual_seed(seed)


def _added(parts: list[Tensor]) -> Tensor:
    first, *others = parts
    return sum(others, first)


def _all_gradients(params: list[Tensor]) -> list[Tensor]:
    """Zeros where a process has none: all sum the same tensors."""
    for p in params:
        p.grad = torch.zeros_like(p) if p.grad is None else p.grad
    return [p.grad for p in params if p.grad is not None]


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
