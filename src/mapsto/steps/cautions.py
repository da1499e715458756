"""What a person is told last of a training: that the net learned too little to be used, or nothing, and what
to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mapsto import models
from mapsto.events import Emit
from mapsto.learners.base import Learner
from mapsto.measure.scores import Scores
from mapsto.metrics import Metric
from mapsto.run import Run
from mapsto.training.checkpoint import same_weights
from mapsto.training.trainer import Trainer

PASSES = 2  # over the training rows, below which minutes were too few to learn much
TIMES = 3  # times the minutes that are advised then


def cautions(run: Run, trainer: Trainer, test: Mapping[str, Scores], beside: Mapping[str, Any]) -> list[str]:
    """Sentences, none where all is well. test: {output: its figures}; beside: {output: {simple answer: its
    figures}} on the same rows."""
    passes = _passes(trainer)
    short = _out_of_time(trainer) and passes is not None and passes < PASSES
    found = [
        sentence
        for slot in test
        for sentence in _beaten(run, trainer.learner, slot, test[slot], beside.get(slot, {}))
    ]
    if short:
        found.append(f"its minutes were over after {passes:.2g} passes over the training rows")
    if not found:
        return []
    minutes = TIMES * (trainer.course.clock.minutes or 2)
    way = f"learn on: mapsto extend {run.path} --minutes {max(1, round(minutes))}"
    return [*found, way if short or _out_of_time(trainer) else f"find out why: mapsto doctor {run.path}"]


def tell_unchanged(run: Run, kept: str, emit: Emit) -> Run:
    """The run, extended; where it weighs as in the segment `kept`, why, and what would change it, is told."""
    if same_weights(run.path / kept, run.path):
        why = "no step made the weights better on validation rows; they are those it had"
        if models.solved(run.choice.model, run.choice.model_options):
            why = "its model is solved from its rows, and they say the same; add some with --data"
        elif not run.record.get("steps"):
            why = "no step was taken; give it --minutes, --steps or --epochs"
        emit({"event": "note", "text": f"nothing changed: {why}"})
    return run


def _passes(trainer: Trainer) -> float | None:
    rows = trainer.learner.size("train")
    return trainer.step * (trainer.learner.training.batch or 1) / rows if rows else None


def _out_of_time(trainer: Trainer) -> bool:
    """Did minutes end it, and no goal, patience or number of steps?"""
    fixed = trainer.course.fixed_total()
    timed = trainer.course.clock.minutes is not None and not trainer.stop
    return timed and (fixed is None or trainer.step < fixed)


def _beaten(run: Run, learner: Learner, slot: str, own: Scores, simple: Mapping[str, Scores]) -> list[str]:
    """How the net loses: by the first metric that simple answers have too, to what knows nothing of the
    inputs, or, beyond chance, to what is simple; by another one, beyond chance, to what knows nothing.
    Nothing where it does not."""
    metrics = [one for one in learner.metrics(slot) if one.name in own]
    if not metrics:
        return []
    trivial = run.output(slot).trivial
    values = {
        metric.name: {
            name: value
            for name, figures in simple.items()
            if (value := figures.get(metric.name, {}).get("value")) is not None
        }
        for metric in metrics
    }
    first = next((metric for metric in metrics if values[metric.name]), metrics[0])
    known, net = values[first.name], own[first.name]
    if trivial in known and not first.better(_number(net["value"]), known[trivial]):
        return [
            f"'{slot}': {first.name} {_said(net['value'])} is no better than that of '{trivial}',"
            f" {_said(known[trivial])}, which knows nothing of the inputs"
        ]
    better = {name: value for name, value in known.items() if _beyond_chance(first, value, net)}
    found = []
    if better:
        best = max(better, key=lambda name: better[name] if first.higher_is_better else -better[name])
        found.append(
            f"'{slot}': '{best}' reaches {first.name} {_said(better[best])} on the same rows, the net"
            f" {_said(net['value'])}"
        )
    for metric in metrics:
        value = values[metric.name].get(trivial)
        if metric is not first and value is not None and _beyond_chance(metric, value, own[metric.name]):
            found.append(
                f"'{slot}': by {metric.name} '{trivial}', which knows nothing of the inputs, is better:"
                f" {_said(value)}, the net {_said(own[metric.name]['value'])}"
            )
            break  # others mostly say the same
    return found


def _beyond_chance(metric: Metric, value: float, net: Mapping[str, Any]) -> bool:
    """Is a value better than the net's whole interval?"""
    edge = net["high"] if metric.higher_is_better else net["low"]
    return edge is not None and metric.better(value, _number(edge))


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _said(value: float | None) -> str:
    return "—" if value is None else f"{value:.4f}" if abs(value) < 1e4 else f"{value:,.0f}"
