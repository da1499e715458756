"""skorch's NeuralNet with its defaults: https://skorch.readthedocs.io/en/stable/user/neuralnet.html

No validation split and no printed log, which no other contender has here."""

from __future__ import annotations

from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, LRScheduler

from benchmarks.clock import Clock
from benchmarks.task import Task
from benchmarks.workload import STEPS


class Turns(Callback):
    """Counts the steps."""

    def __init__(self, clock: Clock):
        self.clock = clock

    def on_batch_end(self, net: Any, batch: Any = None, training: bool = False, **more: Any) -> None:
        self.clock.step(len(batch[-1]))


class Loss(torch.nn.Module):
    """The workload's loss as the criterion that skorch wants."""

    def __init__(self, task: Any):
        super().__init__()
        self.task = task

    def forward(self, output: Any, target: Any) -> Any:
        return self.task.loss(output, target)


class Unpacked(torch.nn.Module):
    """skorch hands several inputs over as one list."""

    def __init__(self, net: torch.nn.Module):
        super().__init__()
        self.net = net

    def forward(self, inputs: Any) -> Any:
        return self.net(*inputs) if isinstance(inputs, (list, tuple)) else self.net(inputs)


def run(task: Task, clock: Clock) -> None:
    def optimizer(named: Any, lr: float) -> torch.optim.Optimizer:
        return task.optimizer(net.module_)

    net = NeuralNet(
        Unpacked(task.net()),
        criterion=Loss,
        criterion__task=task,
        optimizer=optimizer,
        lr=task.workload.lr,
        batch_size=task.workload.batch,
        max_epochs=10**6,
        iterator_train__shuffle=True,
        iterator_train__drop_last=True,
        train_split=None,
        callbacks=[
            ("turns", Turns(clock)),
            (
                "rate",
                LRScheduler(
                    policy=torch.optim.lr_scheduler.LambdaLR,
                    lr_lambda=lambda step: max(0.0, 1 - step / STEPS),
                    step_every="batch",
                ),
            ),
        ],
        callbacks__print_log=None,
        callbacks__valid_acc=None,
    )
    net.fit(task.dataset(), y=None)
