"""How a training went, step by step: its losses in one drawing, and its rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mapsto.blocks import Line, Lines
from mapsto.files import read_json_lines
from mapsto.registry import entry
from mapsto.run import Run
from mapsto.training.budget import shape

PLACES = 200  # at which the rate is drawn
FEW = 60  # evaluations up to which each is a dot

Log = Sequence[Mapping[str, Any]]
Marks = tuple[tuple[float, str], ...]


def held_out(run: Run) -> str:
    """The rows that chose the weights, in words."""
    together = "validation" in entry("learners", run.choice.learner).learns_from
    return "rows that each net had not seen" if together else "validation rows"


def losses(run: Run, log: Log, marks: Marks) -> Lines | None:
    """The training loss and, where a metric is the same loss, that of the validation rows."""
    steps, loss = tuple(entry["step"] for entry in log), tuple(entry.get("loss") for entry in log)
    if all(value is None for value in loss):
        return None
    curves = [Line("training loss, mean since the last look", steps, loss, points=len(log) <= FEW)]
    title = "training loss, mean since the last look"
    if (other := validation_loss(run)) is not None:
        known = (entry["scores"].get(other[0], {}).get(other[1]) for entry in log)
        values = tuple(None if value is None else run.output(other[0]).as_loss(value) for value in known)
        if any(value is not None for value in values):
            curves.append(Line("validation loss", steps, values, points=len(log) <= FEW))
            title = "loss"
    return Lines(tuple(curves), "step", title, marks=marks)


def validation_loss(run: Run) -> tuple[str, str] | None:
    """(output, metric) whose value on validation rows tells the loss that is learned by. None where there is
    none, or where the loss is a sum over outputs."""
    outputs = [slot.name for slot in run.signature.outputs]
    metric = run.output(outputs[0]).loss_metric if len(outputs) == 1 else ""
    return (outputs[0], metric) if metric else None


def rate(run: Run, log: Log, marks: Marks) -> Lines | None:
    """The learning rate, from the schedule and the progress that was logged. None where it is constant, or
    not known."""
    training = run.choice.training
    if training.lr is None or training.schedule in (None, "constant"):
        return None
    known = [(0, 0.0), *((entry["step"], entry["progress"]) for entry in log if "progress" in entry)]
    if len(known) < 2:
        return None
    at, progress = np.array(known, np.float64).T
    steps = np.unique(np.linspace(0, at[-1], PLACES).round())
    factors = np.ones(len(steps))
    for decision in read_json_lines(run.path / "decisions.jsonl"):
        if "rate" in decision:
            factors[steps >= decision["step"]] *= decision["rate"]
    shares = [
        shape(float(p), training.schedule, training.warmup or 0.0) for p in np.interp(steps, at, progress)
    ]
    values = tuple((training.lr * factors * np.array(shares)).tolist())
    return Lines((Line("rate", tuple(steps.tolist()), values),), "step", "learning rate", marks=marks)
