"""mapsto's prediction from an encoded batch to numpy arrays, as a finished run makes it."""

from __future__ import annotations

from benchmarks.clock import Clock
from benchmarks.task import Task
from mapsto.run import Run
from mapsto.steps.prepare import reopen, store_of


def run(task: Task, clock: Clock, rows: int) -> None:
    settled = Run.open(task.folder / "run")
    store = store_of(settled, lambda: reopen(settled), lambda event: None)
    learner = settled.new_learner(settled.new_model().eval(), None)
    batch = store.batch(store.rows("train")[:rows])
    while True:
        learner.arrays(batch)
        clock.step(rows)
