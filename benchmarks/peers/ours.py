"""mapsto: its own trainer over its own store, with the plan it measures itself. What `mapsto train` runs,
from the settled run on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.clock import Clock
from benchmarks.task import Task
from benchmarks.workload import STEPS
from mapsto.config import Budget
from mapsto.run import Run
from mapsto.steps.prepare import reopen, store_of
from mapsto.training.trainer import Trainer


def run(task: Task, clock: Clock) -> None:
    settled = Run.open(task.folder / "run")
    store = store_of(settled, lambda: reopen(settled), lambda event: None)
    learner = settled.new_learner(settled.new_model(), store)
    counted(learner, clock)
    Trainer(learner, None, Budget(steps=STEPS), None, told).fit()


def counted(learner: Any, clock: Clock) -> None:
    """The learner, whose steps the clock counts."""
    inner = learner.step

    def step(batch: Any, trainer: Any) -> Any:
        logs = inner(batch, trainer)
        clock.step(batch.size)
        return logs

    learner.step = step


def told(event: Mapping[str, Any]) -> None:
    """The plan, into the log."""
    if event["event"] == "plan":
        print("plan:", event["text"], dict(event.get("seconds", {})))
