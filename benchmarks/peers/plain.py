"""The loop of PyTorch's tutorials, defaults everywhere:
https://docs.pytorch.org/tutorials/beginner/basics/optimization_tutorial.html"""

from __future__ import annotations

from benchmarks.clock import Clock
from benchmarks.task import Task


def run(task: Task, clock: Clock) -> None:
    net, loader = task.net(), task.loader()
    optimizer = task.optimizer(net)
    schedule = task.schedule(optimizer)
    running = 0.0
    net.train()
    while True:
        for *inputs, target in loader:
            loss = task.loss(net(*inputs), target)
            loss.backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            running += loss.item()
            clock.step(len(target))
